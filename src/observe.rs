//! Log lines, metrics, progress and annotations: renderings of one type, [`Event`].

pub mod annotations;
pub mod dotenv;
mod log;
mod metrics;
mod outages;
mod transfer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use self::metrics::Metrics;
use self::outages::{Note, Outages};
pub use self::transfer::Transfer;

use crate::clock::Clock;
use crate::duration::{in_minutes, in_ms, to_the_second};
use crate::event::{Ending, Event, What};
use crate::export::{ExportRef, Status};
use crate::moment::Moment;
use crate::output::ProgressLine;
use crate::watch::Watch;
use crate::words::{Closing, Surroundings, Words};

/// How long nothing is printed at most, so that a CI system does not consider the job dead.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Renders the events of a command that waits.
#[derive(Debug)]
pub struct Observer {
    clock: Clock,
    surroundings: Surroundings,
    line: ProgressLine,
    structured: bool,
    /// Whether the changes of the status are shown by the line alone.
    is_brief: bool,
    outages: Outages,
    deadline: Option<Moment>,
    following: BTreeMap<ExportRef, Following>,
    followed: usize,
    spoke_at: Moment,
}

/// What the progress line says of one export.
#[derive(Debug)]
struct Following {
    status: Option<Status>,
    failure: Option<String>,
    polls: u32,
    started_at: Moment,
    next_poll_at: Moment,
}

impl Observer {
    /// An observer that draws on `line`; with `structured` it also logs each end.
    #[must_use]
    pub fn new(clock: Clock, surroundings: Surroundings, line: ProgressLine, structured: bool) -> Self {
        let spoke_at = clock.now();
        let following = BTreeMap::new();
        Self {
            clock,
            surroundings,
            line,
            structured,
            is_brief: false,
            outages: Outages::default(),
            deadline: None,
            following,
            followed: 0,
            spoke_at,
        }
    }

    /// The same for one of several steps: if there is a line, it alone shows the status.
    #[must_use]
    pub fn in_brief(self) -> Self {
        let is_brief = self.line.is_shown();
        Self { is_brief, ..self }
    }

    /// Shows when the wait ends at the latest.
    pub const fn set_deadline(&mut self, deadline: Option<Moment>) {
        self.deadline = deadline;
    }

    /// Renders an event.
    pub fn event(&mut self, event: &Event) {
        let now = event.at;
        let names_export = self.structured || self.followed > 1;
        let named = if names_export { log::Named::Export } else { log::Named::Nothing };
        // One export alone may tell of each failure.
        let note = if self.followed > 1 { self.outages.take(event) } else { Note::Nothing };
        if let What::Finished(ending) = &event.what {
            if self.structured {
                log::write(event, named, Words::of_ending(ending, &self.surroundings).cure.as_deref());
            }
            self.following.remove(&ending.watch.export);
        } else if self.is_brief && matches!(event.what, What::Added { .. } | What::StatusChanged { .. }) {
            // The line has it.
        } else if let What::Added { watch } = &event.what {
            log::followed(event, watch, &self.surroundings);
        } else {
            log::noted(event, named, &note);
        }
        match &event.what {
            // The others do not concern watches, or only those of a daemon, which draws no line.
            What::Finished(_)
            | What::Resumed { .. }
            | What::DeliverySent(_)
            | What::DeliveryRetrying { .. }
            | What::DeliveryGivenUp { .. }
            | What::AccountPaused { .. }
            | What::AccountResumed { .. }
            | What::DaemonStarted(_)
            | What::DaemonStopping { .. }
            | What::Api(_)
            | What::Task(_) => {}
            // The first poll draws the line: by then all are known.
            What::Added { watch } => {
                self.followed += 1;
                self.note(watch, None, Duration::ZERO, now);
                self.spoke_at = now;
                return;
            }
            What::Polled { watch, delay, .. } | What::StatusChanged { watch, delay, .. } => {
                self.note(watch, None, *delay, now);
            }
            What::Retrying { watch, failure, delay, .. } => {
                self.note(watch, Some(failure.problem.to_string()), *delay, now);
            }
        }
        if !matches!(event.what, What::Polled { .. }) && note != Note::Again {
            self.spoke_at = now;
        }
        self.draw(now);
    }

    /// The last lines about a watch.
    #[must_use]
    pub fn closing(&self, ending: &Ending) -> Closing {
        Closing::of_ending(ending, &Words::of_ending(ending, &self.surroundings), self.followed > 1)
    }

    fn note(&mut self, watch: &Watch, failure: Option<String>, delay: Duration, now: Moment) {
        let following = Following {
            status: watch.progress.status().cloned(),
            failure,
            polls: watch.progress.polls(),
            started_at: watch.progress.started_at(),
            next_poll_at: now.plus(delay),
        };
        self.following.insert(watch.export, following);
    }

    /// Redraws the line; without a line, logs a heartbeat if nothing was logged for a minute. Returns how long to wait
    /// until the next call.
    pub fn tick(&mut self) -> Duration {
        let now = self.clock.now();
        if self.line.is_shown() {
            self.draw(now);
            return ProgressLine::REDRAW_EVERY;
        }
        let quiet = now.since(self.spoke_at);
        if quiet < HEARTBEAT {
            return HEARTBEAT - quiet;
        }
        self.spoke_at = now;
        let Some(next) = self.following.values().min_by_key(|following| following.next_poll_at) else {
            return HEARTBEAT;
        };
        tracing::info!(
            exports.in_progress = self.following.len(),
            status = next.status.as_ref().map(Status::as_str),
            error.title = next.failure,
            polls = self.polls(),
            waited_ms = in_ms(now.since(next.started_at)),
            next_poll_ms = in_ms(next.next_poll_at.since(now)),
            left_ms = self.deadline.map(|deadline| in_ms(deadline.since(now))),
            "still waiting"
        );
        HEARTBEAT
    }

    fn polls(&self) -> u32 {
        self.following.values().map(|following| following.polls).sum()
    }

    fn draw(&self, now: Moment) {
        let Some(next) = self.following.values().min_by_key(|following| following.next_poll_at) else {
            return;
        };
        let done = self.followed - self.following.len();
        let mut parts = Vec::new();
        if self.followed > 1 {
            parts.push(format!("{done} of {} ended", self.followed));
        }
        parts.push(match (&next.failure, &next.status) {
            // The line above says why.
            (Some(_), Some(status)) => format!("{status}, retrying"),
            (Some(_), None) => "retrying".to_owned(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "no answer yet".to_owned(),
        });
        // Whole seconds, so that the line does not flicker.
        let waited = to_the_second(now.since(next.started_at)).to_string();
        let mut line = format!("{}  {waited}", parts.join(" · "));
        line += &format!(" · next check {}", to_the_second(next.next_poll_at.since(now)));
        if let Some(deadline) = self.deadline {
            line += &format!(" · gives up in {}", in_minutes(deadline.since(now)));
        }
        self.line.draw(line);
    }
}

/// Logs the events of a daemon.
#[derive(Debug, Default)]
pub struct Journal {
    accounts: RwLock<BTreeMap<Arc<str>, Surroundings>>,
    outages: Mutex<Outages>,
}

impl Journal {
    /// Remembers the settings of an account, which hints name.
    pub fn learn(&self, account: Arc<str>, surroundings: Surroundings) {
        self.accounts.write().unwrap_or_else(PoisonError::into_inner).insert(account, surroundings);
    }

    /// What to do about an ending, if we know.
    #[must_use]
    pub fn advice(&self, ending: &Ending) -> Option<String> {
        let known = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&ending.watch.account).and_then(|surroundings| Words::of_ending(ending, surroundings).cure)
    }

    /// Logs an event.
    pub fn event(&self, event: &Event) {
        let advice = if let What::Finished(ending) = &event.what { self.advice(ending) } else { None };
        let note = self.outages.lock().unwrap_or_else(PoisonError::into_inner).take(event);
        if advice.is_some() {
            log::write(event, log::Named::Watch, advice.as_deref());
            log::recovered(&note, log::Named::Watch);
        } else {
            log::noted(event, log::Named::Watch, &note);
        }
    }
}

/// Logs an event of a start or a download.
pub fn log_event(event: &Event) {
    log::write(event, log::Named::Export, None);
}

/// Calls `tick` forever; it returns the pause until the next call.
pub async fn keep_ticking(mut tick: impl FnMut() -> Duration) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(tick()).await;
    }
}

#[cfg(test)]
mod tests;
