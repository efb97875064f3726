//! The rules of following an export: what a poll's answer means, and what follows from it.
//!
//! Everything here is pure. Time and randomness are arguments, nothing waits and nothing is sent: the
//! [`runner`](crate::runner) does that. The rules are written down in `docs/ARCHITECTURE.md`.

pub mod budget;
pub mod kept;
pub mod observation;
pub mod outage;
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
use outage::Outage;
use outcome::Outcome;
use pace::{Pace, Position, lengthen};

/// The time that the last poll gets, which starts at the deadline or is in flight then.
pub const LAST_POLL: Duration = Duration::from_secs(1);

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

/// A hint that asked for more time than a limit left: it ended the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlong {
    /// What the server asked for.
    pub asked: Duration,
    /// The option that sets the limit.
    pub option: &'static str,
    /// The limit.
    pub limit: Duration,
}

/// A limit of a watch.
struct Limit {
    at: Moment,
    outcome: Outcome,
    option: &'static str,
    length: Duration,
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
    /// When the last poll began that found the export in progress.
    in_progress_at: Option<Moment>,
    timeline: Vec<Change>,
    created: Option<String>,
    row_count: Option<u64>,
    problem: Option<Problem>,
    /// What the last poll failed of, if it did, and how many polls in a row have.
    failure: Option<FailureKind>,
    in_a_row: u32,
    /// What the last answer of the outage meant, if there was one.
    refusal: Option<FailureKind>,
    outage: Outage,
    overlong: Option<Overlong>,
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
            in_progress_at: None,
            timeline: Vec::new(),
            created: None,
            row_count: None,
            problem: None,
            failure: None,
            in_a_row: 0,
            refusal: None,
            outage: Outage { failed_at: None, planned: Duration::ZERO, length: Duration::ZERO },
            overlong: None,
            pace: None,
            retry: None,
            throttle: None,
        }
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
            Answer::Status(report) => self.record_report(report, observation, policy, now, rng),
            Answer::Failure(failure) => self.record_failure(failure, observation, policy, now, rng),
        }
    }

    /// Notes why the watch ends though nobody asks for it any more.
    pub fn give_up(&mut self, failure: &Failure) {
        (self.problem, self.failure) = (Some(failure.problem.clone()), Some(failure.kind));
    }

    fn record_report(
        &mut self,
        report: &Report,
        observation: &Observation,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.remember(report, now);
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
                self.schedule(delay, observation, self.limit_of_wait(policy), now, rng)
            }
        }
    }

    fn record_failure(
        &mut self,
        failure: &Failure,
        observation: &Observation,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.in_a_row = if self.failure == Some(failure.kind) { self.in_a_row + 1 } else { 1 };
        self.give_up(failure);
        if failure.problem.http_status.is_some() {
            self.refusal = Some(failure.kind);
        }
        if let Some(outcome) = self.permanent(failure.kind, policy, now) {
            return Decision::Finish(outcome);
        }
        let delay = match (failure.kind, observation.hint) {
            (FailureKind::Throttled, None) => policy.throttle.next(&mut self.throttle, rng),
            _ => policy.retry.next(&mut self.retry, rng),
        };
        let outage = self.limit_of_outage(failure.kind, policy, now);
        let limit = self.limit_of_wait(policy).into_iter().chain(outage).min_by_key(|limit| limit.at);
        let decision = self.schedule(delay, observation, limit, now, rng);
        if let Decision::PollAfter(pause) = decision {
            self.outage.plan(pause);
        }
        decision
    }

    fn limit_of_wait(&self, policy: &Policy) -> Option<Limit> {
        let length = policy.max_wait?;
        let at = self.started_at.plus(length);
        Some(Limit { at, outcome: Outcome::TimedOut, option: "--max-wait", length })
    }

    /// Counts a failure as part of an outage, and says when that has lasted too long.
    fn limit_of_outage(&mut self, kind: FailureKind, policy: &Policy, now: Moment) -> Option<Limit> {
        if kind == FailureKind::Unauthorized && !policy.unauthorized_is_final {
            // A credential that is waited for makes no outage: Snyk answers.
            self.outage = Outage::default();
            return None;
        }
        self.outage.fail(self.polled_at, now);
        let length = policy.max_outage?;
        let outcome = match self.refusal {
            Some(FailureKind::NotFound) => Outcome::NotFound,
            Some(FailureKind::Conflict) => Outcome::Conflict,
            _ => Outcome::Unavailable,
        };
        Some(Limit { at: now.plus(self.outage.left(length)), outcome, option: "--max-outage", length })
    }

    /// How a failure ends the watch, if nothing better can follow it.
    fn permanent(&self, kind: FailureKind, policy: &Policy, now: Moment) -> Option<Outcome> {
        let seen_before = self.in_progress_at.is_some();
        if seen_before && self.in_a_row < kind.believed_after() {
            return None;
        }
        match kind {
            FailureKind::Unauthorized => policy.unauthorized_is_final.then_some(Outcome::Unauthorized),
            FailureKind::Forbidden => Some(Outcome::Forbidden),
            FailureKind::Rejected | FailureKind::Gateway => Some(Outcome::Rejected),
            FailureKind::Conflict => (!policy.retry_conflict).then_some(Outcome::Conflict),
            FailureKind::Unrecoverable => policy.unrecoverable_is_final.then_some(Outcome::Unavailable),
            FailureKind::NotFound => {
                let may_appear = now.since(self.started_at) < policy.not_found_grace;
                (!may_appear).then_some(Outcome::NotFound)
            }
            FailureKind::Throttled | FailureKind::Transient => None,
        }
    }

    /// An answer with a status word ends an outage: the paces of failure start anew, the main one goes on.
    fn remember(&mut self, report: &Report, now: Moment) {
        (self.problem, self.failure, self.in_a_row, self.refusal) = (None, None, 0, None);
        (self.outage, self.retry, self.throttle) = (Outage::default(), None, None);
        self.created = report.created.clone().or_else(|| self.created.take());
        self.row_count = report.row_count.or(self.row_count);
        if self.status() != Some(&report.status) {
            if self.timeline.len() == TIMELINE_LIMIT {
                self.timeline.remove(TIMELINE_LIMIT / 2);
            }
            self.timeline.push(Change { status: report.status.clone(), at: now });
        }
    }

    /// The next poll: after `delay`, not before the server's hint, not after the limit. A limit that has come, or that
    /// lies before the hint, ends the watch now: nothing is gained by waiting.
    fn schedule(
        &mut self,
        delay: Duration,
        observation: &Observation,
        limit: Option<Limit>,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        let floor = observation.pause().unwrap_or_default();
        let wanted = match observation.pause() {
            Some(pause) => delay.max(lengthen_hint(pause, rng)),
            None => delay,
        };
        let Some(Limit { at, outcome, option, length }) = limit else { return Decision::PollAfter(wanted) };
        if now < at && now.plus(floor) <= at {
            return Decision::PollAfter(wanted.min(at.since(now)));
        }
        let asked = observation.hint.filter(|_| now < at);
        self.overlong = asked.map(|asked| Overlong { asked, option, limit: length });
        Decision::Finish(outcome)
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

    /// What the last poll failed of, if it did.
    #[must_use]
    pub const fn failure(&self) -> Option<FailureKind> {
        self.failure
    }

    /// The hint that ended the watch, if one did.
    #[must_use]
    pub const fn overlong(&self) -> Option<Overlong> {
        self.overlong
    }

    /// How late at most an end that was seen at `now` was seen: the time since the start of the last poll that
    /// found the export in progress. Nothing where no poll ever did.
    #[must_use]
    pub fn late_at_most(&self, now: Moment) -> Option<Duration> {
        self.in_progress_at.map(|at| now.since(at))
    }
}

/// A pause that a server asks for, with up to a tenth added.
pub(crate) fn lengthen_hint(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    lengthen(pause, HINT_JITTER, rng)
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
