//! The progress of a start or a download.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::BinaryBytes;

use super::{HEARTBEAT, keep_ticking, log_event};
use crate::clock::Clock;
use crate::duration::{in_ms, to_the_second};
use crate::event::{Event, TaskEvent, What};
use crate::moment::Moment;
use crate::output::ProgressLine;

/// After how long the rate is shown.
const RATED_AFTER: Duration = Duration::from_millis(500);

/// Shows the progress of a start or a download.
#[derive(Debug)]
pub struct Transfer {
    clock: Clock,
    line: ProgressLine,
    since: Moment,
    state: Mutex<State>,
}

/// How far it is.
#[derive(Debug, Default)]
struct State {
    polls: u32,
    spoke_at: Moment,
    /// How many bytes there will be, if that is known of all files.
    total: Option<u64>,
    files: usize,
    came: u64,
    whole: usize,
    /// Why it does not go on at this moment.
    trouble: Option<String>,
}

impl Transfer {
    /// Progress that is drawn on `line`.
    #[must_use]
    pub fn new(clock: Clock, line: ProgressLine) -> Self {
        let since = clock.now();
        let state = Mutex::new(State { spoke_at: since, ..State::default() });
        Self { clock, line, since, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renders an event.
    pub fn event(&self, event: &Event) {
        let What::Task(task) = &event.what else { return };
        log_event(event);
        let mut state = self.state();
        match task {
            TaskEvent::Retrying { problem, .. } => {
                state.spoke_at = event.at;
                state.trouble = Some(format!("retrying: {problem}"));
                drop(state);
                self.tick();
            }
            TaskEvent::StatusRequested => state.polls += 1,
            TaskEvent::DownloadStarted { files, bytes } => {
                (state.spoke_at, state.files, state.total) = (event.at, *files, *bytes);
            }
            TaskEvent::Received(bytes) => {
                state.came += bytes;
                state.trouble = None;
            }
            TaskEvent::Discarded(bytes) => state.came = state.came.saturating_sub(*bytes),
            TaskEvent::FileDownloaded(_) => state.whole += 1,
            TaskEvent::LinksExpired { .. } => state.spoke_at = event.at,
            TaskEvent::Started { .. }
            | TaskEvent::NotStarted(_)
            | TaskEvent::Unchecked { .. }
            | TaskEvent::Miscounted { .. }
            | TaskEvent::Downloaded { .. }
            | TaskEvent::NotDownloaded(_) => {}
        }
    }

    /// How many files are whole, and how many there are.
    #[must_use]
    pub fn files(&self) -> (usize, usize) {
        let state = self.state();
        (state.whole, state.files)
    }

    /// How often the status was requested.
    #[must_use]
    pub fn polled(&self) -> u32 {
        self.state().polls
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.clock.now().since(self.since)
    }

    /// Redraws the line; without a line, logs a heartbeat if nothing was logged for a minute. Returns how long to wait
    /// until the next call.
    fn tick(&self) -> Duration {
        let (now, mut state) = (self.clock.now(), self.state());
        if self.line.is_shown() {
            self.draw(&state, now);
            return ProgressLine::REDRAW_EVERY;
        }
        let quiet = now.since(state.spoke_at);
        if quiet < HEARTBEAT {
            return HEARTBEAT - quiet;
        }
        state.spoke_at = now;
        tracing::info!(
            download.files_whole = state.whole,
            download.files = state.files,
            download.bytes_received = state.came,
            download.bytes = state.total,
            error.title = state.trouble.as_deref(),
            waited_ms = in_ms(now.since(self.since)),
            "still at it"
        );
        HEARTBEAT
    }

    /// Runs `work`, and shows meanwhile that it goes on.
    pub async fn ticking<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = keep_ticking(|| self.tick()) => match never {},
        }
    }

    fn draw(&self, state: &State, now: Moment) {
        let mut parts = Vec::new();
        if let Some(trouble) = &state.trouble {
            parts.push(trouble.chars().take(60).collect());
        }
        if state.files == 0 {
            self.line.draw(parts.pop().unwrap_or_else(|| "asking".to_owned()));
            return;
        }
        let (came, took) = (state.came, now.since(self.since));
        parts.push(match state.total {
            Some(total) => format!("{} of {}", BinaryBytes(came), BinaryBytes(total)),
            None => BinaryBytes(came).to_string(),
        });
        // The rate of the first moments means nothing.
        if came > 0 && took > RATED_AFTER {
            let rate = came as f64 / took.as_secs_f64();
            parts.push(format!("{}/s", BinaryBytes(rate as u64)));
            let left = state.total.map(|total| total.saturating_sub(came) as f64 / rate);
            parts.extend(
                left.map(|left| format!("{} left", to_the_second(Duration::from_secs_f64(left.min(1e6))))),
            );
        }
        parts.push(format!("{} of {} files", state.whole, state.files));
        self.line.draw_bar(came, state.total, parts.join(" · "));
    }
}
