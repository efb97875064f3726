//! The progress line: on a terminal, one line that is redrawn in place.

use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;

/// A line at the bottom of the terminal, or nothing without a terminal. Clones share the line.
#[derive(Debug, Clone, Default)]
pub struct ProgressLine(Option<(Output, bool)>);

/// What the line shows.
#[derive(Debug)]
pub(super) struct Drawing {
    text: String,
    /// How much is done, and of how much, if that is known.
    share: Option<(u64, u64)>,
    is_unicode: bool,
}

impl ProgressLine {
    /// How often the line is redrawn.
    pub(crate) const REDRAW_EVERY: Duration = Duration::from_millis(250);

    /// A line on standard error, with symbols beyond ASCII if `is_unicode`.
    #[must_use]
    pub const fn on(output: Output, is_unicode: bool) -> Self {
        Self(Some((output, is_unicode)))
    }

    /// Whether there is a line at all.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Redraws the line.
    pub(crate) fn draw(&self, text: String) {
        self.show(text, None);
    }

    /// Redraws the line, with a bar if `all` is known.
    pub(crate) fn draw_bar(&self, done: u64, all: Option<u64>, text: String) {
        self.show(text, all.map(|all| (done, all)));
    }

    /// Removes the line until it is drawn again.
    pub fn clear(&self) {
        if let Some((output, _)) = &self.0 {
            output.draw(None);
        }
    }

    fn show(&self, text: String, share: Option<(u64, u64)>) {
        if let Some((output, is_unicode)) = &self.0 {
            let text = if *is_unicode { text } else { text.replace('·', "-") };
            output.draw(Some(Drawing { text, share, is_unicode: *is_unicode }));
        }
    }
}

/// The line on the terminal. The writing thread draws it, because a terminal may block.
#[derive(Debug, Default)]
pub(super) struct Bar(OnceLock<ProgressBar>);

impl Bar {
    pub(super) fn draw(&self, drawing: Option<Drawing>) {
        let bar = self
            .0
            .get_or_init(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)));
        let Some(Drawing { text, share, is_unicode }) = drawing else {
            bar.finish_and_clear();
            bar.unset_length();
            return;
        };
        if bar.is_finished() {
            bar.reset();
        }
        if share.is_none() && bar.length().is_none() {
            bar.set_style(style("{spinner} {wide_msg}", is_unicode));
        }
        if let Some((done, all)) = share {
            if bar.length() != Some(all) {
                let style = style("{spinner} [{bar:16}] {percent}% {wide_msg}", is_unicode);
                bar.set_style(style.progress_chars("=> "));
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
            // What is not shown needs no room, and would come back below.
            Some(bar) if !bar.is_finished() => bar.suspend(write),
            _ => write(),
        }
    }
}

fn style(template: &str, is_unicode: bool) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    if is_unicode { style } else { style.tick_chars(r"|/-\ ") }
}
