//! A watch: the wish to follow one export to its end. This is what is remembered of it between two polls; the [`rules`]
//! decide what follows from each.

pub(crate) mod block;
pub mod budget;
pub mod failing;
pub mod kept;
pub mod labels;
mod limit;
pub mod observation;
pub mod outage;
pub mod outcome;
pub mod pace;
mod policy;
mod row;
pub mod rules;
pub mod tries;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::failing::Failing;
pub use self::labels::Labels;
pub use self::limit::Overlong;
pub use self::policy::{Policy, Refusal};
pub use self::row::{DEFAULT_ACCOUNT, NewWatch, Watch};
pub use self::rules::{Decision, LAST_POLL};

use self::observation::{FailureKind, Problem};
use self::outage::Outage;
use self::pace::Position;
use crate::export::Status;
use crate::moment::Moment;

/// A status and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The status.
    pub status: Status,
    /// When it was first seen.
    pub at: Moment,
}

/// How far a watch has come: all that the rules remember between two polls.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    started_at: Moment,
    polls: u32,
    polled_at: Moment,
    /// When the last poll began that found the export in progress.
    in_progress_at: Option<Moment>,
    timeline: Vec<Change>,
    created: Option<String>,
    row_count: Option<u64>,
    problem: Option<Problem>,
    /// Why the last poll failed, if it did, and how many polls in a row failed so.
    failure: Option<FailureKind>,
    in_a_row: u32,
    /// What the last HTTP answer of the outage meant, if there was one.
    refusal: Option<FailureKind>,
    outage: Outage,
    failing: Vec<Failing>,
    overlong: Option<Overlong>,
    pace: Position,
    retry: Position,
    throttle: Position,
}

impl Progress {
    /// A watch that starts `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { started_at: now, polled_at: now, ..Self::default() }
    }

    /// When the last poll starts.
    #[must_use]
    pub fn deadline(&self, policy: &Policy) -> Option<Moment> {
        policy.max_wait.map(|max_wait| self.started_at.plus(max_wait))
    }

    /// When the watch started.
    #[must_use]
    pub const fn started_at(&self) -> Moment {
        self.started_at
    }

    /// When the last poll started; if there was none, when the watch did.
    #[must_use]
    pub const fn polled_at(&self) -> Moment {
        self.polled_at
    }

    /// How many polls have ended.
    #[must_use]
    pub const fn polls(&self) -> u32 {
        self.polls
    }

    /// The last status seen.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        self.timeline.last().map(|change| &change.status)
    }

    /// The statuses seen, in order.
    #[must_use]
    pub fn timeline(&self) -> &[Change] {
        &self.timeline
    }

    /// When the export was created, as Snyk says.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// How many rows the export has, as Snyk says.
    #[must_use]
    pub const fn row_count(&self) -> Option<u64> {
        self.row_count
    }

    /// The problem of the last poll, if it failed.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// Why the last poll failed, if it did.
    #[must_use]
    pub const fn failure(&self) -> Option<FailureKind> {
        self.failure
    }

    /// The runs of polls that failed, in order, as far as they are kept.
    #[must_use]
    pub fn failing(&self) -> &[Failing] {
        &self.failing
    }

    /// The hint that ended the watch, if one did.
    #[must_use]
    pub const fn overlong(&self) -> Option<Overlong> {
        self.overlong
    }

    /// Whether a poll has found the export in progress.
    #[must_use]
    pub const fn was_answered(&self) -> bool {
        self.in_progress_at.is_some()
    }

    /// How late an end seen at `now` is at most: the time since the last poll began that found the export in progress. A
    /// poll that failed does not show that the export had not ended. If all earlier polls failed, the time since the watch
    /// started; `None` if there were none.
    #[must_use]
    pub fn late_at_most(&self, now: Moment) -> Option<Duration> {
        let since = self.in_progress_at.or((self.polls > 1).then_some(self.started_at));
        since.map(|at| now.since(at))
    }
}

#[cfg(test)]
mod tests;
