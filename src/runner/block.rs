//! What blocks an account: a refused credential or a 429. Both block it in one way, with a reason and a time.
//!
//! While an account is blocked, nobody asks for its watches but the one poll that can end the block. Watches whose own
//! time is over end all the same.

use std::time::Duration;

use super::{Plan, Refusal};
use crate::moment::Moment;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Problem};
use crate::watch::outage::Outage;
use crate::watch::outcome::Outcome;
use crate::watch::pace::Position;
use crate::watch::{Policy, Progress, lengthen_hint};

/// How often a credential that was refused is tried again. The client looks at its file when it does.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(30);

/// What is known of an account that can keep it from asking.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    block: Option<Block>,
    /// When the last poll began whose answer shows that the credential works.
    works_since: Option<Moment>,
    throttle: Position,
    /// The run of 429s.
    outage: Outage,
}

#[derive(Debug)]
struct Block {
    why: Why,
    since: Moment,
    /// Until when nobody asks.
    until: Moment,
    failure: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The server answers 429. It is over when its time is.
    Throttled,
    /// A credential that has worked was refused once: the next poll says whether it is so.
    Doubted,
    /// The credential is refused: a poll that is answered ends it.
    Refused,
}

/// What others hear of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Its credential is refused.
    Refused(Problem),
    /// Its credential works again, after so long.
    Works(Duration),
}

impl Blocking {
    /// Whether nobody may ask, but for a try.
    pub(super) fn is_blocked(&self, now: Moment) -> bool {
        self.block.as_ref().is_some_and(|block| block.why != Why::Throttled || now < block.until)
    }

    /// Until when nobody asks.
    pub(super) fn until(&self) -> Moment {
        self.block.as_ref().map_or_else(Moment::default, |block| block.until)
    }

    /// Takes the one poll that is due now to see whether the block is over.
    pub(super) fn may_try(&mut self, now: Moment) -> bool {
        let Some(block) = self.block.as_mut().filter(|block| block.until <= now) else { return false };
        block.until = now.plus(TRY_AGAIN_EVERY);
        true
    }

    /// A refused credential is tried at once: it may be another now.
    pub(super) fn tried_now(mut self) -> Self {
        if let Some(block) = self.block.as_mut().filter(|block| block.why != Why::Throttled) {
            block.until = Moment::default();
        }
        self
    }

    /// Watches that started by then have no time left, if there can be any.
    pub(super) fn over(&self, plan: &Plan, now: Moment) -> Option<Moment> {
        self.limits(plan).filter_map(|(age, _)| now.before(age)).max()
    }

    /// How a watch ends, and why, if its time is over.
    pub(super) fn end_of(&self, progress: &Progress, plan: &Plan, now: Moment) -> Option<(Failure, Outcome)> {
        let is_over = |age| now.before(age).is_some_and(|by| progress.started_at() <= by);
        let (_, outcome) = self.limits(plan).find(|(age, _)| is_over(*age))?;
        Some((self.block.as_ref()?.failure.clone(), outcome))
    }

    /// How old a watch may get while nobody can ask for it, and how it ends then.
    fn limits(&self, plan: &Plan) -> impl Iterator<Item = (Duration, Outcome)> {
        let is_refused = self.block.as_ref().is_some_and(|block| block.why == Why::Refused);
        let refused = (is_refused && plan.refusal == Refusal::EndsAccount).then_some(Duration::ZERO);
        let Policy { max_wait, max_outage, .. } = plan.policy;
        let outage = max_outage.filter(|max| self.outage.left(*max).is_zero());
        let limits =
            [(refused, Outcome::Unauthorized), (max_wait, Outcome::TimedOut), (outage, Outcome::Unavailable)];
        limits.into_iter().filter_map(|(age, outcome)| Some((age?, outcome)))
    }

    /// What an answer to a poll that began at `polled_at` says of the credential.
    pub(super) fn heed_credential(
        &mut self,
        observation: &Observation,
        polled_at: Moment,
        plan: &Plan,
        now: Moment,
    ) -> Option<News> {
        match &observation.answer {
            Answer::Failure(failure) if failure.kind == FailureKind::Unauthorized => {
                self.refuse(failure, polled_at, plan, now)
            }
            Answer::Failure(failure) if proves_nothing(failure.kind) => {
                let is_doubted = |block: &&mut Block| block.why == Why::Doubted && polled_at >= block.since;
                if let Some(block) = self.block.as_mut().filter(is_doubted) {
                    block.until = now.plus(plan.policy.retry.first());
                }
                None
            }
            Answer::Status(_) | Answer::Failure(_) => {
                self.works_since = self.works_since.max(Some(polled_at));
                let is_over = |block: &mut Block| block.why != Why::Throttled && polled_at >= block.since;
                let Block { why, since, .. } = self.block.take_if(is_over)?;
                (why == Why::Refused).then(|| News::Works(now.since(since)))
            }
        }
    }

    /// A 401. After a good answer it is believed when the next poll sees it too; one that was asked before the last good
    /// answer, or before the doubt, says nothing.
    fn refuse(&mut self, failure: &Failure, polled_at: Moment, plan: &Plan, now: Moment) -> Option<News> {
        let is_stale = self.works_since.is_some_and(|works_since| polled_at < works_since);
        if plan.refusal == Refusal::EachForItself || is_stale {
            return None;
        }
        let (why, since, until) = match &self.block {
            Some(Block { why: Why::Doubted, since, .. }) if polled_at < *since => return None,
            Some(Block { why: Why::Refused, since, .. }) => (Why::Refused, *since, now.plus(TRY_AGAIN_EVERY)),
            Some(Block { why: Why::Throttled, .. }) | None if self.works_since.is_some() => {
                (Why::Doubted, now, now.plus(plan.policy.retry.first()))
            }
            _ => (Why::Refused, now, now.plus(TRY_AGAIN_EVERY)),
        };
        let is_news = why == Why::Refused && !matches!(&self.block, Some(Block { why: Why::Refused, .. }));
        let until =
            if why == Why::Refused && plan.refusal == Refusal::EndsAccount { Moment::NEVER } else { until };
        self.block = Some(Block { why, since, until: until.max(self.until()), failure: failure.clone() });
        is_news.then(|| News::Refused(failure.problem.clone()))
    }

    /// A 429 blocks the account for as long as the server says, or else for the next delay of the pace of 429s. Gives the
    /// end of the pause. Answers to polls that began before the first of several 429s add no delay of the pace.
    pub(super) fn heed_pace(
        &mut self,
        observation: &Observation,
        polled_at: Moment,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Option<Moment> {
        let is_news = self.block.as_ref().is_none_or(|block| polled_at >= block.since);
        let failure = match &observation.answer {
            Answer::Failure(failure) if failure.kind == FailureKind::Throttled => failure,
            Answer::Status(_) if is_news => {
                (self.throttle, self.outage) = (None, Outage::default());
                return None;
            }
            Answer::Status(_) | Answer::Failure(_) => return None,
        };
        let pause = match observation.pause() {
            Some(pause) => lengthen_hint(pause, rng),
            None if !is_news => return None,
            None => policy.throttle.next(&mut self.throttle, rng),
        };
        if is_news {
            self.outage.fail(polled_at, now);
        }
        self.outage.plan(pause);
        let until = now.plus(pause).max(self.until());
        match self.block.as_mut().filter(|block| block.why != Why::Throttled) {
            Some(block) => block.until = until,
            None => {
                let since = if is_news { now } else { self.block.as_ref().map_or(now, |block| block.since) };
                self.block = Some(Block { why: Why::Throttled, since, until, failure: failure.clone() });
            }
        }
        Some(until)
    }
}

/// Whether a failure says nothing of the credential.
const fn proves_nothing(kind: FailureKind) -> bool {
    use FailureKind::{Gateway, Throttled, Transient, Unrecoverable};
    matches!(kind, Transient | Throttled | Unrecoverable | Gateway)
}
