//! The rules of following an export: what a poll's answer means, and what follows from it.
//!
//! Everything here is pure. Time and randomness are arguments, nothing waits and nothing is sent: the
//! [`runner`](crate::runner) does that. The rules are written down in `docs/ARCHITECTURE.md`.

pub mod budget;
pub mod kept;
pub mod observation;
pub mod outcome;
pub mod pace;
pub mod tries;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::export::{ExportRef, Phase, Status, Vocabulary};
use crate::moment::Moment;
use crate::text::Text;
use observation::{Answer, Failure, FailureKind, Observation, Problem, Report};
use outcome::Outcome;
use pace::{Pace, Position, lengthen};

/// The time that the last poll gets, which starts at the deadline or is in flight then.
pub const LAST_POLL: Duration = Duration::from_secs(1);

/// How many times in a row an export that has been seen must be missing before it counts as gone.
const NOT_FOUND_IN_A_ROW: u32 = 3;

/// What a hint is lengthened by at most, so that all who were sent away do not come back at once.
const HINT_JITTER: f64 = 0.1;

/// How many status changes a timeline keeps: a server that flaps must not fill our memory.
const TIMELINE_LIMIT: usize = 100;

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
    /// Whether a 401 ends the watch at once; otherwise it is the credential's trouble, which is waited out.
    pub unauthorized_is_final: bool,
    /// For how long nobody could ask, all in all, through no fault of the server's: it counts for no outage.
    pub downtime: Duration,
    /// What the status words mean.
    pub vocabulary: Vocabulary,
    /// How long the export may stay in one status.
    pub max_in_progress: Vec<(Status, Duration)>,
}

/// What follows from an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Poll again after this delay.
    PollAfter(Duration),
    /// The watch has ended.
    Finish(Outcome),
}

/// A status and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The status word.
    pub status: Status,
    /// When it was first seen.
    #[serde(serialize_with = "as_text")]
    pub at: Moment,
}

fn as_text<S: serde::Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

/// How far a watch has come: all that the rules remember between two polls.
#[derive(Debug, Clone)]
pub struct Progress {
    started_at: Moment,
    polls: u32,
    polled_at: Moment,
    answered_at: Option<Moment>,
    /// The policy's downtime when the outage began.
    downtime: Duration,
    in_progress_at: Option<Moment>,
    timeline: Vec<Change>,
    created: Option<String>,
    row_count: Option<u64>,
    problem: Option<Problem>,
    /// What the last answer of the outage meant, if there was one.
    refusal: Option<FailureKind>,
    not_found_in_a_row: u32,
    pace: Position,
    retry: Position,
    throttle: Position,
}

impl Progress {
    /// A watch that starts `now`.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self {
            started_at: now,
            polls: 0,
            polled_at: now,
            answered_at: None,
            downtime: Duration::ZERO,
            in_progress_at: None,
            timeline: Vec::new(),
            created: None,
            row_count: None,
            problem: None,
            refusal: None,
            not_found_in_a_row: 0,
            pace: None,
            retry: None,
            throttle: None,
        }
    }

    /// This watch, for an account that could not ask for so long before it started.
    #[must_use]
    pub fn after_downtime(self, downtime: Duration) -> Self {
        Self { downtime, ..self }
    }

    /// Notes that a poll starts `now`, and says how long it may take: the request's own time limit, but no
    /// longer than [`LAST_POLL`] after the deadline.
    pub fn begin_poll(&mut self, policy: &Policy, now: Moment) -> Duration {
        self.polled_at = now;
        match self.deadline(policy) {
            Some(deadline) => policy.request_timeout.min(deadline.max(now).plus(LAST_POLL).since(now)),
            None => policy.request_timeout,
        }
    }

    /// Takes in what a poll saw, `now`, and decides what follows.
    ///
    /// Every rule of following is here or below. The only randomness is `rng`'s (but see [`Pace::next`]).
    pub fn record(
        &mut self,
        observation: &Observation,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.polls += 1;
        match &observation.answer {
            Answer::Status(report) => self.record_report(report, observation.hint, policy, now, rng),
            Answer::Failure(failure) => self.record_failure(failure, observation.hint, policy, now, rng),
        }
    }

    fn record_report(
        &mut self,
        report: &Report,
        hint: Option<Duration>,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.remember(report, policy, now);
        match policy.vocabulary.phase(&report.status) {
            Some(Phase::Finished) => Decision::Finish(Outcome::Finished),
            Some(Phase::Failed) => {
                self.problem = report.error.clone().map(|detail| Problem {
                    http_status: Some(200),
                    title: Some(Text::new("the export failed")),
                    detail: Some(detail),
                    ..Problem::default()
                });
                Decision::Finish(Outcome::Failed)
            }
            None => Decision::Finish(Outcome::UnknownStatus),
            Some(Phase::InProgress) => {
                self.in_progress_at = Some(self.polled_at);
                let mut delay = policy.pace.next(&mut self.pace, rng);
                let deadline = self.deadline(policy);
                if let Some(stalled_at) = self.stalled_at(policy) {
                    if now >= stalled_at && deadline.is_none_or(|deadline| stalled_at <= deadline) {
                        return Decision::Finish(Outcome::Stalled);
                    }
                    delay = delay.min(stalled_at.since(now).max(Duration::from_millis(1)));
                }
                let limit = deadline.map(|deadline| (deadline, Outcome::TimedOut));
                schedule(delay, hint, limit, now, rng)
            }
        }
    }

    fn record_failure(
        &mut self,
        failure: &Failure,
        hint: Option<Duration>,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.problem = Some(failure.problem.clone());
        if failure.problem.http_status.is_some() {
            self.refusal = Some(failure.kind);
        }
        let missing = failure.kind == FailureKind::NotFound;
        self.not_found_in_a_row = if missing { self.not_found_in_a_row + 1 } else { 0 };
        if let Some(outcome) = self.permanent(failure.kind, policy, now) {
            return Decision::Finish(outcome);
        }
        let delay = match (failure.kind, hint) {
            (FailureKind::Throttled, None) => policy.throttle.next(&mut self.throttle, rng),
            _ => policy.retry.next(&mut self.retry, rng),
        };
        let deadline = self.deadline(policy).map(|deadline| (deadline, Outcome::TimedOut));
        // A credential that is waited for makes no outage: Snyk answers.
        let max_outage = policy.max_outage.filter(|_| failure.kind != FailureKind::Unauthorized);
        let outage = max_outage.map(|max| {
            let outcome = match self.refusal {
                Some(FailureKind::NotFound) => Outcome::NotFound,
                Some(FailureKind::Conflict) => Outcome::Conflict,
                _ => Outcome::Unavailable,
            };
            let excused = policy.downtime.saturating_sub(self.downtime);
            (self.answered_at.unwrap_or(self.started_at).plus(max).plus(excused), outcome)
        });
        let limit = deadline.into_iter().chain(outage).min_by_key(|(at, _)| *at);
        schedule(delay, hint, limit, now, rng)
    }

    /// How a failure ends the watch, if nothing better can follow it.
    fn permanent(&self, kind: FailureKind, policy: &Policy, now: Moment) -> Option<Outcome> {
        match kind {
            FailureKind::Unauthorized => policy.unauthorized_is_final.then_some(Outcome::Unauthorized),
            FailureKind::Forbidden => Some(Outcome::Forbidden),
            FailureKind::Rejected | FailureKind::Gateway => Some(Outcome::Rejected),
            FailureKind::Conflict => (!policy.retry_conflict).then_some(Outcome::Conflict),
            FailureKind::Unrecoverable => policy.unrecoverable_is_final.then_some(Outcome::Unavailable),
            FailureKind::NotFound => {
                let may_appear = now.since(self.started_at) < policy.not_found_grace;
                let may_return = self.answered_at.is_some() && self.not_found_in_a_row < NOT_FOUND_IN_A_ROW;
                (!may_appear && !may_return).then_some(Outcome::NotFound)
            }
            FailureKind::Throttled | FailureKind::Transient => None,
        }
    }

    /// An answer with a status word ends an outage: the paces of failure start anew, the main one goes on.
    fn remember(&mut self, report: &Report, policy: &Policy, now: Moment) {
        (self.answered_at, self.downtime) = (Some(now), policy.downtime);
        (self.problem, self.refusal) = (None, None);
        self.not_found_in_a_row = 0;
        (self.retry, self.throttle) = (None, None);
        self.created = report.created.clone().or_else(|| self.created.take());
        self.row_count = report.row_count.or(self.row_count);
        if self.status() != Some(&report.status) {
            if self.timeline.len() == TIMELINE_LIMIT {
                self.timeline.remove(TIMELINE_LIMIT / 2);
            }
            self.timeline.push(Change { status: report.status.clone(), at: now });
        }
    }

    fn stalled_at(&self, policy: &Policy) -> Option<Moment> {
        let change = self.timeline.last()?;
        let (_, limit) = policy.max_in_progress.iter().find(|(status, _)| *status == change.status)?;
        Some(change.at.plus(*limit))
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

    /// How many polls were answered or given up.
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

    /// The failure that the watch is in, if the last poll failed.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// How late at most an end that was seen at `now` was seen: the time since the start of the last poll that
    /// found the export in progress. Nothing where no poll ever did.
    #[must_use]
    pub fn late_at_most(&self, now: Moment) -> Option<Duration> {
        self.in_progress_at.map(|at| now.since(at))
    }
}

/// The next poll: after `delay`, not before the server's hint, not after the limit. A limit that has come, or
/// that lies before the hint, ends the watch now: waiting would be in vain.
fn schedule(
    delay: Duration,
    hint: Option<Duration>,
    limit: Option<(Moment, Outcome)>,
    now: Moment,
    rng: &mut fastrand::Rng,
) -> Decision {
    let floor = hint.unwrap_or_default();
    let wanted = hint.map_or(delay, |hint| delay.max(lengthen(hint, HINT_JITTER, rng)));
    match limit {
        Some((at, outcome)) if now >= at || now.plus(floor) > at => Decision::Finish(outcome),
        Some((at, _)) => Decision::PollAfter(wanted.min(at.since(now))),
        None => Decision::PollAfter(wanted),
    }
}

/// What the owner of a watch notes on it, for whoever hears of its end.
pub type Labels = BTreeMap<String, String>;

/// A watch: the wish to follow one export to its end, and how far it has come.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its id. In a command that waits, watches are known by their exports, and have none.
    pub id: Uuid,
    /// Whose credential asks.
    pub account: Arc<str>,
    /// What its owner notes on it.
    pub labels: Labels,
    /// The export that is followed.
    pub export: ExportRef,
    /// How far it has come.
    pub progress: Progress,
}

impl Watch {
    /// A watch of a command that waits: known by its export, and of the one account that the command has.
    #[must_use]
    pub fn unnamed(export: ExportRef, now: Moment) -> Self {
        let (id, account, labels) = (Uuid::nil(), Arc::from("default"), Labels::new());
        Self { id, account, labels, export, progress: Progress::new(now) }
    }
}

#[cfg(test)]
mod tests;
