//! What unit tests share: answers to polls, a policy, exports.

pub(crate) mod cells;

use std::time::Duration;

use uuid::Uuid;

use crate::export::{ExportRef, Scope, Status, Vocabulary};
use crate::watch::observation::{Failure, FailureKind, Observation, Problem, Report};
use crate::watch::pace::Pace;
use crate::watch::{Policy, Refusal};

/// A status document that says nothing but this word.
pub(crate) fn report(word: &str) -> Report {
    let status = Status::new(word).unwrap();
    Report { status, created: None, row_count: None, results: None, error: None }
}

/// An answer with a status word.
pub(crate) fn status(word: &str) -> Observation {
    Observation { answer: Ok(report(word)), hint: None }
}

/// An answer with an HTTP status, and without a status word.
pub(crate) fn http(code: u16) -> Observation {
    failed(FailureKind::of_http_status(code), Problem { http_status: Some(code), ..Problem::default() })
}

/// A poll that failed.
pub(crate) fn failed(kind: FailureKind, problem: Problem) -> Observation {
    Observation { answer: Err(Failure { kind, problem }), hint: None }
}

/// The same, with a hint.
pub(crate) fn hinted(observation: Observation, seconds: u64) -> Observation {
    Observation { hint: Some(Duration::from_secs(seconds)), ..observation }
}

/// A pace without jitter.
pub(crate) fn pace(initial_ms: u64, multiplier: f64, max_s: u64) -> Pace {
    Pace::new(Duration::from_millis(initial_ms), multiplier, Duration::from_secs(max_s), 0.0).unwrap()
}

/// The defaults of a wait for one export, without jitter.
pub(crate) fn policy() -> Policy {
    Policy {
        pace: pace(500, 1.1, 30),
        retry: pace(1000, 2.0, 30),
        throttle: pace(5000, 2.0, 60),
        max_wait: Some(Duration::from_secs(50 * 60)),
        max_outage: Some(Duration::from_secs(10 * 60)),
        request_timeout: Duration::from_secs(30),
        not_found_grace: Duration::ZERO,
        retry_conflict: false,
        unrecoverable_is_final: true,
        refusal: Refusal::EndsWatch,
        vocabulary: Vocabulary::default(),
        max_in_progress: Vec::new(),
    }
}

/// An export of a group, by a number.
pub(crate) fn export(number: u128) -> ExportRef {
    ExportRef { scope: Scope::Group, scope_id: Uuid::from_u128(1), export_id: Uuid::from_u128(number) }
}

/// So many exports, numbered from 0.
pub(crate) fn exports(count: u128) -> Vec<ExportRef> {
    (0..count).map(export).collect()
}
