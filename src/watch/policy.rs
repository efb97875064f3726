//! The limits and schedules of a watch.

use std::time::Duration;

use super::pace::Pace;
use crate::export::{Status, Vocabulary};

/// What a refused credential (401) does to the watches of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It ends the watch that asked.
    EndsWatch,
    /// They wait until the credential works again, or until their own time is over.
    PausesAccount,
    /// It ends all of them, without a poll of each.
    EndsAccount,
}

/// The limits and schedules of a watch, as the user sets them.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The schedule while the export is in progress.
    pub pace: Pace,
    /// The schedule while polls fail.
    pub retry: Pace,
    /// The schedule while Snyk answers 429 without a hint.
    pub throttle: Pace,
    /// The longest time to follow the export.
    pub max_wait: Option<Duration>,
    /// The longest outage.
    pub max_outage: Option<Duration>,
    /// The longest time for one poll.
    pub request_timeout: Duration,
    /// How long after its start a missing export may still appear.
    pub not_found_grace: Duration,
    /// Whether a 409 is retried.
    pub retry_conflict: bool,
    /// Whether a failure that no retry can fix ends the watch at once.
    pub unrecoverable_is_final: bool,
    /// What a refused credential does.
    pub refusal: Refusal,
    /// What the status words mean.
    pub vocabulary: Vocabulary,
    /// The longest time in one status.
    pub max_in_progress: Vec<(Status, Duration)>,
}
