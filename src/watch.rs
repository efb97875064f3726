//! The rules of following an export: what a poll's answer means, and what follows from it.
//!
//! Everything here is pure. Time and randomness are arguments, nothing waits and nothing is sent: the
//! [`runner`](crate::runner) does that. The rules are written down in `docs/ARCHITECTURE.md`.

pub mod budget;
pub mod kept;
pub mod labels;
mod limit;
pub mod observation;
pub mod outage;
pub mod outcome;
pub mod pace;
mod policy;
mod row;
pub mod tries;

use std::time::Duration;

use serde::Serialize;

pub use self::labels::Labels;
pub use self::limit::Overlong;
pub use self::policy::Policy;
pub use self::row::{DEFAULT_ACCOUNT, NewWatch, Watch};

use crate::export::{Phase, Status};
use crate::moment::Moment;
use crate::text::Text;
use limit::Limit;
use observation::{Answer, Failure, FailureKind, Observation, Problem, Report};
use outage::Outage;
use outcome::Outcome;
use pace::{Position, lengthen};

/// The time that the last poll gets, which starts at the deadline or is in flight then.
pub const LAST_POLL: Duration = Duration::from_secs(1);

/// What a hint is lengthened by at most, so that all who were sent away do not come back at once.
const HINT_JITTER: f64 = 0.1;

/// How many status changes a timeline keeps: a server that flaps must not fill our memory.
const TIMELINE_LIMIT: usize = 100;

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
    /// Every rule of following is here or below. The only randomness is `rng`'s (but see [`pace::Pace::next`]).
    pub fn record(
        &mut self,
        observation: &Observation,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.polls += 1;
        let next = match &observation.answer {
            Answer::Status(report) => self.record_report(report, policy, now, rng),
            Answer::Failure(failure) => self.record_failure(failure, observation.hint, policy, now, rng),
        };
        let decision = next.and_then(|(delay, limit)| self.schedule(delay, observation, limit, now, rng));
        match decision {
            Ok(pause) => {
                self.outage.plan(pause);
                Decision::PollAfter(pause)
            }
            Err(outcome) => Decision::Finish(outcome),
        }
    }

    /// Notes why the watch ends though nobody asks for it any more.
    pub fn give_up(&mut self, failure: &Failure) {
        (self.problem, self.failure) = (Some(failure.problem.clone()), Some(failure.kind));
    }

    /// The delay that the pace wants, and the limit that the watch is up against; or how it ends.
    fn record_report(
        &mut self,
        report: &Report,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Result<(Duration, Option<Limit>), Outcome> {
        self.remember(report, now);
        match policy.vocabulary.phase(&report.status) {
            Some(Phase::InProgress) => {}
            Some(Phase::Finished) => return Err(Outcome::Finished),
            Some(Phase::Failed) => {
                self.problem = report.error.clone().map(|detail| Problem {
                    http_status: Some(200),
                    title: Some(Text::new("the export failed")),
                    detail: Some(detail),
                    ..Problem::default()
                });
                return Err(Outcome::Failed);
            }
            None => return Err(Outcome::UnknownStatus),
        }
        self.in_progress_at = Some(self.polled_at);
        let mut delay = policy.pace.next(&mut self.pace, rng);
        let deadline = self.deadline(policy);
        if let Some(stalled_at) = self.stalled_at(policy) {
            if now >= stalled_at && deadline.is_none_or(|deadline| stalled_at <= deadline) {
                return Err(Outcome::Stalled);
            }
            delay = delay.min(stalled_at.since(now).max(Duration::from_millis(1)));
        }
        Ok((delay, self.limit_of_wait(policy)))
    }

    fn record_failure(
        &mut self,
        failure: &Failure,
        hint: Option<Duration>,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Result<(Duration, Option<Limit>), Outcome> {
        self.in_a_row = if self.failure == Some(failure.kind) { self.in_a_row + 1 } else { 1 };
        self.give_up(failure);
        if failure.problem.http_status.is_some() {
            self.refusal = Some(failure.kind);
        }
        if let Some(outcome) = self.permanent(failure.kind, policy, now) {
            return Err(outcome);
        }
        let delay = match (failure.kind, hint) {
            (FailureKind::Throttled, None) => policy.throttle.next(&mut self.throttle, rng),
            _ => policy.retry.next(&mut self.retry, rng),
        };
        let outage = self.limit_of_outage(failure.kind, policy, now);
        Ok((delay, self.limit_of_wait(policy).into_iter().chain(outage).min_by_key(|limit| limit.at)))
    }

    fn limit_of_wait(&self, policy: &Policy) -> Option<Limit> {
        let (at, length) = (self.deadline(policy)?, policy.max_wait?);
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
        if self.was_answered() && self.in_a_row < kind.believed_after() {
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

    /// The pause until the next poll: `delay`, not before the server's hint, not after the limit. A limit that has come,
    /// or that lies before the hint, ends the watch now: nothing is gained by waiting.
    fn schedule(
        &mut self,
        delay: Duration,
        observation: &Observation,
        limit: Option<Limit>,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Result<Duration, Outcome> {
        let pause = observation.pause();
        let wanted = pause.map_or(delay, |pause| delay.max(lengthen_hint(pause, rng)));
        let Some(Limit { at, outcome, option, length }) = limit else { return Ok(wanted) };
        if now < at && now.plus(pause.unwrap_or_default()) <= at {
            return Ok(wanted.min(at.since(now)));
        }
        let asked = observation.hint.filter(|_| now < at);
        self.overlong = asked.map(|asked| Overlong { asked, option, limit: length });
        Err(outcome)
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

    /// Whether a poll has found the export in progress.
    #[must_use]
    pub const fn was_answered(&self) -> bool {
        self.in_progress_at.is_some()
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

#[cfg(test)]
mod tests;
