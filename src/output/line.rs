//! The progress line: on a terminal, one line that is redrawn in place.

use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;

/// A line at the bottom of the terminal, or nothing without a terminal. Clones share the line.
#[derive(Debug, Clone, Default)]
pub struct ProgressLine(Option<Output>);

/// What the line shows.
#[derive(Debug)]
pub(super) struct Drawing {
    text: String,
    /// How much is done, and of how much, if that is known.
    share: Option<(u64, u64)>,
}

impl ProgressLine {
    /// How often the line is redrawn.
    pub(crate) const REDRAW_EVERY: Duration = Duration::from_millis(250);

    /// A line on standard error.
    #[must_use]
    pub const fn on(output: Output) -> Self {
        Self(Some(output))
    }

    /// Whether there is a line at all.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Redraws the line.
    pub(crate) fn draw(&self, text: String) {
        self.show(Some(Drawing { text, share: None }));
    }

    /// Redraws the line, with a bar if `all` is known.
    pub(crate) fn draw_bar(&self, done: u64, all: Option<u64>, text: String) {
        self.show(Some(Drawing { text, share: all.map(|all| (done, all)) }));
    }

    /// Removes the line until it is drawn again.
    pub fn clear(&self) {
        self.show(None);
    }

    fn show(&self, drawing: Option<Drawing>) {
        if let Some(output) = &self.0 {
            output.draw(drawing);
        }
    }
}

/// The line on the terminal. The writing thread draws it, because a terminal may block.
#[derive(Debug, Default)]
pub(super) struct Bar(OnceLock<ProgressBar>);

impl Bar {
    pub(super) fn draw(&self, drawing: Option<Drawing>) {
        let bar = self.0.get_or_init(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_style(plain())
        });
        let Some(Drawing { text, share }) = drawing else {
            bar.finish_and_clear();
            bar.unset_length();
            bar.set_style(plain());
            return;
        };
        if bar.is_finished() {
            bar.reset();
        }
        if let Some((done, all)) = share {
            if bar.length() != Some(all) {
                let style = ProgressStyle::with_template("{spinner} [{bar:16}] {percent}% {wide_msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
                bar.set_style(style);
                bar.set_length(all);
            }
            bar.set_position(done);
        }
        bar.set_message(text);
        bar.tick();
    }

    /// Hides the line while `write` writes to what may be the same terminal.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.0.get() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// The line without a bar.
fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
