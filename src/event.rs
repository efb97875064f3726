//! What happens to watches, as everything that reports it (log, progress, annotations) is told.

use std::time::Duration;

use crate::export::Status;
use crate::moment::Moment;
use crate::watch::Watch;
use crate::watch::observation::{Failure, Report};
use crate::watch::outcome::Outcome;

/// Something that happened to a watch.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A watch was taken on.
    Added {
        /// The watch.
        watch: &'a Watch,
    },
    /// A poll found the same status as the one before.
    Polled {
        /// The watch.
        watch: &'a Watch,
        /// The pause until the next poll.
        delay: Duration,
    },
    /// A poll found another status, and the watch goes on.
    StatusChanged {
        /// The watch.
        watch: &'a Watch,
        /// The status before, if there was one.
        from: Option<&'a Status>,
        /// The pause until the next poll.
        delay: Duration,
    },
    /// A poll failed in passing.
    Retrying {
        /// The watch.
        watch: &'a Watch,
        /// What was wrong.
        failure: &'a Failure,
        /// The pause until the next poll.
        delay: Duration,
    },
    /// A watch has ended.
    Finished(&'a Ending),
}

/// The end of a watch.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The watch.
    pub watch: Watch,
    /// How it ended.
    pub outcome: Outcome,
    /// The last status document, where one ended the watch.
    pub report: Option<Report>,
    /// When the end was seen.
    pub at: Moment,
}

impl Ending {
    /// How long the watch lasted.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.at.since(self.watch.progress.started_at())
    }

    /// How many rows the export has, as Snyk says.
    #[must_use]
    pub fn row_count(&self) -> Option<u64> {
        self.watch.progress.row_count().or(self.report.as_ref().and_then(|report| report.row_count))
    }

    /// How late at most the end of the export was seen; only an end of the export itself can be late.
    #[must_use]
    pub fn late_at_most(&self) -> Option<Duration> {
        let is_its_own = matches!(self.outcome, Outcome::Finished | Outcome::Failed | Outcome::UnknownStatus);
        is_its_own.then(|| self.watch.progress.late_at_most(self.at)).flatten()
    }
}

impl<'a> Event<'a> {
    /// The stable names of all events, as logs carry them in `event`.
    pub const NAMES: [&'static str; 5] =
        ["watch.added", "watch.polled", "watch.status_changed", "watch.retrying", "watch.finished"];

    /// The event's stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let [added, polled, status_changed, retrying, finished] = Self::NAMES;
        match self {
            Self::Added { .. } => added,
            Self::Polled { .. } => polled,
            Self::StatusChanged { .. } => status_changed,
            Self::Retrying { .. } => retrying,
            Self::Finished(_) => finished,
        }
    }

    /// The watch that it happened to.
    #[must_use]
    pub const fn watch(&self) -> &'a Watch {
        match self {
            Self::Added { watch }
            | Self::Polled { watch, .. }
            | Self::StatusChanged { watch, .. }
            | Self::Retrying { watch, .. } => watch,
            Self::Finished(ending) => &ending.watch,
        }
    }
}
