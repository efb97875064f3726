//! The rules of following an export: what a poll's answer means, and what follows from it.
//!
//! Everything here is pure. Time and randomness are arguments, nothing waits and nothing is sent: the
//! [`runner`](crate::runner) does that. The rules are written down in `docs/ARCHITECTURE.md`.

use std::time::Duration;

use super::failing;
use super::limit::{Limit, Overlong};
use super::observation::{Failure, FailureKind, Observation, Problem, Report};
use super::outage::Outage;
use super::outcome::Outcome;
use super::pace::lengthen_hint;
use super::{Change, Policy, Progress, Refusal};
use crate::export::Phase;
use crate::moment::Moment;
use crate::text::Text;

/// How long the last poll may take, counted from the deadline.
pub const LAST_POLL: Duration = Duration::from_secs(1);

/// How many status changes a timeline keeps, so that a status that flaps does not fill the memory.
pub(super) const TIMELINE_LIMIT: usize = 100;

/// What follows from an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Poll again after this delay.
    PollAfter(Duration),
    /// The watch has ended.
    Finish(Outcome),
}

impl Progress {
    /// Notes that a poll starts `now`, and says how long it may take: the request's own time limit, but no
    /// longer than [`LAST_POLL`] after the deadline.
    pub fn begin_poll(&mut self, policy: &Policy, now: Moment) -> Duration {
        self.polled_at = now;
        match self.deadline(policy) {
            Some(deadline) => policy.request_timeout.min(deadline.max(now).plus(LAST_POLL).since(now)),
            None => policy.request_timeout,
        }
    }

    /// Records the observation of a poll, `now`, and decides what follows.
    ///
    /// Every rule of following is here or below. The only randomness is `rng`'s (but see [`Pace::next`](super::pace::Pace::next)).
    pub fn record(
        &mut self,
        observation: &Observation,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Decision {
        self.polls += 1;
        let next = match &observation.answer {
            Ok(report) => self.record_report(report, policy, now, rng),
            Err(failure) => self.record_failure(failure, observation.hint, policy, now, rng),
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

    /// Records why the watch ends without another poll.
    pub fn give_up(&mut self, failure: &Failure) {
        (self.problem, self.failure) = (Some(failure.problem.clone()), Some(failure.kind));
    }

    /// The delay by the pace, and the next limit; or how the watch ends.
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
        failing::fail(&mut self.failing, now);
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
        if kind == FailureKind::Unauthorized && policy.refusal != Refusal::EndsWatch {
            // Waiting for a credential is not an outage: Snyk answers.
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

    /// How a failure ends the watch, if it is permanent.
    fn permanent(&self, kind: FailureKind, policy: &Policy, now: Moment) -> Option<Outcome> {
        if self.was_answered() && self.in_a_row < kind.believed_after() {
            return None;
        }
        match kind {
            FailureKind::Unauthorized => {
                (policy.refusal == Refusal::EndsWatch).then_some(Outcome::Unauthorized)
            }
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

    /// Records a status. It ends an outage: the paces of failures start again, the main one goes on.
    fn remember(&mut self, report: &Report, now: Moment) {
        failing::answer(&mut self.failing, now);
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

    /// The pause until the next poll: `delay`, but not before the server's hint and not after the limit. A limit that is
    /// reached, or that lies before the hint, ends the watch now.
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
}
