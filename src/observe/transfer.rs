//! What is said while an export is started and while its files come.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use indicatif::BinaryBytes;

use super::{HEARTBEAT, keep_ticking, log_event};
use crate::clock::Clock;
use crate::duration::{in_ms, to_the_second};
use crate::event::{Event, TaskEvent, What};
use crate::moment::Moment;
use crate::output::ProgressLine;

/// After how long it can be said how fast it goes.
const RATED_AFTER: Duration = Duration::from_millis(500);

/// Shows the progress of a start or a download.
#[derive(Debug)]
pub struct Transfer {
    clock: Clock,
    line: ProgressLine,
    since: Moment,
    polls: Cell<u32>,
    spoke_at: Cell<Moment>,
    /// How many bytes there will be, where that is known of all files.
    total: Cell<Option<u64>>,
    files: Cell<usize>,
    came: Cell<u64>,
    whole: Cell<usize>,
    /// What stands in the way at this moment.
    trouble: RefCell<Option<String>>,
}

impl Transfer {
    /// Progress that is drawn on `line`.
    #[must_use]
    pub fn new(clock: Clock, line: ProgressLine) -> Self {
        let now = clock.now();
        Self {
            clock,
            line,
            since: now,
            polls: Cell::default(),
            spoke_at: Cell::new(now),
            total: Cell::default(),
            files: Cell::default(),
            came: Cell::default(),
            whole: Cell::default(),
            trouble: RefCell::default(),
        }
    }

    /// Renders an event.
    pub fn event(&self, event: &Event) {
        let What::Task(task) = &event.what else { return };
        log_event(event);
        match task {
            TaskEvent::Retrying { problem, .. } => {
                self.spoke_at.set(event.at);
                self.trouble.replace(Some(format!("retrying: {problem}")));
                self.tick();
            }
            TaskEvent::StatusRequested => self.polls.set(self.polls.get() + 1),
            TaskEvent::DownloadStarted { files, bytes } => {
                self.spoke_at.set(event.at);
                self.files.set(*files);
                self.total.set(*bytes);
            }
            TaskEvent::Received(bytes) => {
                self.came.set(self.came.get() + bytes);
                self.trouble.take();
            }
            TaskEvent::Discarded(bytes) => self.came.set(self.came.get().saturating_sub(*bytes)),
            TaskEvent::FileDownloaded(_) => self.whole.set(self.whole.get() + 1),
            TaskEvent::LinksExpired { .. } => self.spoke_at.set(event.at),
            TaskEvent::Started { .. }
            | TaskEvent::NotStarted(_)
            | TaskEvent::Unchecked { .. }
            | TaskEvent::Miscounted { .. }
            | TaskEvent::Downloaded { .. }
            | TaskEvent::NotDownloaded(_) => {}
        }
    }

    /// How many files are whole.
    #[must_use]
    pub fn files_whole(&self) -> usize {
        self.whole.get()
    }

    /// How often the status was asked for.
    #[must_use]
    pub fn polled(&self) -> u32 {
        self.polls.get()
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.clock.now().since(self.since)
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.get()
    }

    /// Redraws the line; without one, says that we are alive if nothing was said for a minute. Returns how long it has
    /// nothing to say.
    fn tick(&self) -> Duration {
        let now = self.clock.now();
        if self.line.is_shown() {
            self.draw(now);
            return ProgressLine::REDRAW_EVERY;
        }
        let quiet = now.since(self.spoke_at.get());
        if quiet < HEARTBEAT {
            return HEARTBEAT - quiet;
        }
        self.spoke_at.set(now);
        tracing::info!(
            download.files_whole = self.whole.get(),
            download.files = self.files.get(),
            download.bytes_received = self.came.get(),
            download.bytes = self.total.get(),
            error.title = self.trouble.borrow().as_deref(),
            waited_ms = in_ms(now.since(self.since)),
            "still at it"
        );
        HEARTBEAT
    }

    /// Does something while it is told that we are at it.
    pub async fn ticking<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = keep_ticking(|| self.tick()) => match never {},
        }
    }

    fn draw(&self, now: Moment) {
        let mut parts = Vec::new();
        if let Some(trouble) = &*self.trouble.borrow() {
            parts.push(trouble.chars().take(60).collect());
        }
        if self.files.get() == 0 {
            self.line.draw(parts.pop().unwrap_or_else(|| "asking".to_owned()));
            return;
        }
        let (came, took) = (self.came.get(), now.since(self.since));
        parts.push(match self.total.get() {
            Some(total) => format!("{} of {}", BinaryBytes(came), BinaryBytes(total)),
            None => BinaryBytes(came).to_string(),
        });
        // Of the first moments nothing can be said.
        if came > 0 && took > RATED_AFTER {
            let rate = came as f64 / took.as_secs_f64();
            parts.push(format!("{}/s", BinaryBytes(rate as u64)));
            let left = self.total.get().map(|total| total.saturating_sub(came) as f64 / rate);
            parts.extend(
                left.map(|left| format!("{} left", to_the_second(Duration::from_secs_f64(left.min(1e6))))),
            );
        }
        parts.push(format!("{} of {} files", self.whole.get(), self.files.get()));
        self.line.draw_bar(came, self.total.get(), parts.join(" · "));
    }
}
