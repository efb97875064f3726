//! What the user wants of a watch.

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

/// What the user wants of a watch.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The schedule while the export is in progress.
    pub pace: Pace,
    /// The schedule while polls fail.
    pub retry: Pace,
    /// The schedule while Snyk answers 429 without saying for how long.
    pub throttle: Pace,
    /// How long to follow the export at most.
    pub max_wait: Option<Duration>,
    /// How long to go on without any status word at most.
    pub max_outage: Option<Duration>,
    /// How long one poll may take.
    pub request_timeout: Duration,
    /// How long after the start a missing export may still appear.
    pub not_found_grace: Duration,
    /// Whether a 409 may pass.
    pub retry_conflict: bool,
    /// Whether what no retry can heal ends the watch at once.
    pub unrecoverable_is_final: bool,
    /// What a refused credential does.
    pub refusal: Refusal,
    /// What the status words mean.
    pub vocabulary: Vocabulary,
    /// How long the export may stay in one status.
    pub max_in_progress: Vec<(Status, Duration)>,
}
