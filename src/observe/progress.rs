//! The progress line: on a terminal, one line that is redrawn in place.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line at the bottom of the terminal, or nothing where there is no terminal. Clones are the same line.
#[derive(Debug, Clone)]
pub struct ProgressLine(Option<ProgressBar>);

impl ProgressLine {
    /// How often the line is redrawn.
    pub(super) const REDRAW_EVERY: Duration = Duration::from_millis(250);

    /// A line on standard error if `shown`, otherwise none.
    #[must_use]
    pub fn new(shown: bool) -> Self {
        Self(shown.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.with_style(plain())
        }))
    }

    /// Whether there is a line at all.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Redraws the line.
    pub(super) fn draw(&self, text: String) {
        if let Some(bar) = self.live() {
            bar.set_message(text);
            bar.tick();
        }
    }

    /// Redraws the line behind a bar, where it is known how much there is of it.
    pub(super) fn draw_bar(&self, done: u64, all: Option<u64>, text: String) {
        if let (Some(bar), Some(all)) = (self.live(), all) {
            if bar.length() != Some(all) {
                let style = ProgressStyle::with_template("{spinner} [{bar:16}] {percent}% {wide_msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
                bar.set_style(style);
                bar.set_length(all);
            }
            bar.set_position(done);
        }
        self.draw(text);
    }

    /// The line, to draw on: it may have been taken away when something else had come to its end.
    fn live(&self) -> Option<&ProgressBar> {
        let bar = self.0.as_ref()?;
        if bar.is_finished() {
            bar.reset();
        }
        Some(bar)
    }

    /// Takes the line away, until there is something to draw again.
    pub fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
            bar.unset_length();
            bar.set_style(plain());
        }
    }

    /// Writes to standard error above the line. That nobody reads any more is no error of ours.
    pub fn write_above(&self, bytes: &[u8]) {
        self.aside(|| {
            let _ = std::io::stderr().lock().write_all(bytes);
        });
    }

    /// Takes the line away for as long as `write` writes to what may be the same terminal.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// The line without a bar.
fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
