//! What blocks an account: a refused credential or a 429. Both block it in one way, with a reason and a time.
//!
//! While an account is blocked, its watches are not polled, except by the one poll that can end the block. Watches whose
//! own time is over end all the same.

use std::time::Duration;

use super::observation::{Failure, FailureKind, Observation, Problem};
use super::outage::Outage;
use super::outcome::Outcome;
use super::pace::{Position, lengthen_hint};
use super::{Policy, Progress, Refusal};
use crate::moment::Moment;

/// How often a refused credential is tried again. The client reads its file again then.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(30);

/// What can block an account, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Blocking {
    block: Option<Block>,
    /// When the last poll began whose answer proved that the credential works.
    works_since: Option<Moment>,
    throttle: Position,
    /// The run of 429s.
    outage: Outage,
}

#[derive(Debug)]
struct Block {
    why: Why,
    since: Moment,
    /// Until when no poll begins.
    until: Moment,
    failure: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The server answers 429. The block ends when its time is over.
    Throttled,
    /// A credential that has worked was refused once: the next poll confirms it or not.
    Doubted,
    /// The credential is refused: a good answer ends the block.
    Refused,
}

/// A change of an account that is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Its credential is refused.
    Refused(Problem),
    /// Its credential works: again, after this time, or for the first time that is known here.
    Works(Option<Duration>),
}

impl Blocking {
    /// Whether no poll may begin, except for a try.
    pub(crate) fn is_blocked(&self, now: Moment) -> bool {
        self.block.as_ref().is_some_and(|block| block.why != Why::Throttled || now < block.until)
    }

    /// Whether a 429 blocks it, since when, until when, and what was answered, while no poll may begin.
    pub(crate) fn pause(&self, now: Moment) -> Option<(bool, Moment, Moment, &Problem)> {
        let block = self.block.as_ref().filter(|_| self.is_blocked(now))?;
        Some((block.why == Why::Throttled, block.since, block.until, &block.failure.problem))
    }

    /// Until when no poll begins.
    pub(crate) fn until(&self) -> Moment {
        self.block.as_ref().map_or_else(Moment::default, |block| block.until)
    }

    /// Whether a poll may begin now. While the credential is refused or doubted, one poll at a time may try it.
    pub(crate) fn may_ask(&mut self, now: Moment) -> bool {
        match &mut self.block {
            Some(block) if now < block.until => return false,
            Some(block) if block.why != Why::Throttled => block.until = now.plus(TRY_AGAIN_EVERY),
            Some(_) | None => {}
        }
        true
    }

    /// Lets a refused credential be tried at once: it may be a new one.
    pub(crate) fn tried_now(mut self) -> Self {
        if let Some(block) = self.block.as_mut().filter(|block| block.why != Why::Throttled) {
            block.until = Moment::default();
        }
        self
    }

    /// While the account is blocked: watches that started by this moment have no time left.
    pub(crate) fn over(&self, policy: &Policy, now: Moment) -> Option<Moment> {
        self.limits(policy, now).filter_map(|(age, _)| now.before(age)).max()
    }

    /// Why and how a watch ends without a poll: the account is blocked, and the watch's time is over.
    pub(crate) fn end_of(
        &self,
        progress: &Progress,
        policy: &Policy,
        now: Moment,
    ) -> Option<(Failure, Outcome)> {
        let is_over = |age| now.before(age).is_some_and(|by| progress.started_at() <= by);
        let (_, outcome) = self.limits(policy, now).find(|(age, _)| is_over(*age))?;
        Some((self.block.as_ref()?.failure.clone(), outcome))
    }

    /// How old a watch may get while the account is blocked, and how it ends then.
    fn limits(&self, policy: &Policy, now: Moment) -> impl Iterator<Item = (Duration, Outcome)> {
        let why = self.block.as_ref().filter(|_| self.is_blocked(now)).map(|block| block.why);
        let ends_all = why == Some(Why::Refused) && policy.refusal == Refusal::EndsAccount;
        let outage = policy.max_outage.filter(|max| self.outage.left(*max).is_zero());
        let limits = [
            (ends_all.then_some(Duration::ZERO), Outcome::Unauthorized),
            (policy.max_wait, Outcome::TimedOut),
            (outage, Outcome::Unavailable),
        ];
        limits.into_iter().filter_map(move |(age, outcome)| Some((age.filter(|_| why.is_some())?, outcome)))
    }

    /// Records what the answer to a poll says about the credential.
    pub(crate) fn record_credential(
        &mut self,
        observation: &Observation,
        progress: &Progress,
        policy: &Policy,
        now: Moment,
    ) -> Option<News> {
        let polled_at = progress.polled_at();
        match &observation.answer {
            Err(failure) if failure.kind == FailureKind::Unauthorized => {
                self.refuse(failure, progress, policy, now)
            }
            Err(failure) if proves_nothing(failure.kind) => {
                let is_doubted = |block: &&mut Block| block.why == Why::Doubted && polled_at >= block.since;
                if let Some(block) = self.block.as_mut().filter(is_doubted) {
                    block.until = now.plus(policy.retry.first());
                }
                None
            }
            Ok(_) | Err(_) => {
                let is_first = self.works_since.is_none();
                self.works_since = self.works_since.max(Some(polled_at));
                let is_over = |block: &mut Block| block.why != Why::Throttled && polled_at >= block.since;
                match self.block.take_if(is_over) {
                    Some(Block { why: Why::Refused, since, .. }) => Some(News::Works(Some(now.since(since)))),
                    _ => is_first.then_some(News::Works(None)),
                }
            }
        }
    }

    /// A 401. After a good answer it is believed when the next poll sees it too. An answer to a poll that began before the
    /// last good answer's, or before the doubt, says nothing.
    fn refuse(
        &mut self,
        failure: &Failure,
        progress: &Progress,
        policy: &Policy,
        now: Moment,
    ) -> Option<News> {
        let polled_at = progress.polled_at();
        // A watch knows of the answers from before a restart.
        let has_worked = self.works_since.is_some() || progress.was_answered();
        let is_stale = self.works_since.is_some_and(|works_since| polled_at < works_since);
        if policy.refusal == Refusal::EndsWatch || is_stale {
            return None;
        }
        let before = self.block.as_ref().map(|block| (block.why, block.since));
        let (why, since) = match before {
            Some((Why::Doubted, since)) if polled_at < since => return None,
            Some((Why::Refused, since)) => (Why::Refused, since),
            Some((Why::Throttled, _)) | None if has_worked => (Why::Doubted, now),
            Some(_) | None => (Why::Refused, now),
        };
        let pause = match why {
            Why::Refused if policy.refusal == Refusal::EndsAccount => Duration::MAX,
            Why::Refused => TRY_AGAIN_EVERY,
            Why::Doubted | Why::Throttled => policy.retry.first(),
        };
        let until = now.plus(pause).max(self.until());
        self.block = Some(Block { why, since, until, failure: failure.clone() });
        let is_news = why == Why::Refused && before.is_none_or(|(before, _)| before != Why::Refused);
        is_news.then(|| News::Refused(failure.problem.clone()))
    }

    /// A 429 blocks the account for as long as the server says, or else for the next delay of the pace of 429s. Returns the
    /// end of the pause. Answers to polls that began before the first of several 429s add no delay of the pace.
    pub(crate) fn record_pace(
        &mut self,
        observation: &Observation,
        polled_at: Moment,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Option<Moment> {
        let is_news = self.block.as_ref().is_none_or(|block| polled_at >= block.since);
        let failure = match &observation.answer {
            Err(failure) if failure.kind == FailureKind::Throttled => failure,
            Ok(_) if is_news => {
                (self.throttle, self.outage) = (None, Outage::default());
                return None;
            }
            Ok(_) | Err(_) => return None,
        };
        let pause = match observation.pause() {
            // A hint of 0 is too short after a 429.
            Some(pause) => lengthen_hint(pause.max(policy.retry.first()), rng),
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

/// Whether a failure says nothing about the credential.
const fn proves_nothing(kind: FailureKind) -> bool {
    use FailureKind::{Gateway, Throttled, Transient, Unrecoverable};
    matches!(kind, Transient | Throttled | Unrecoverable | Gateway)
}

#[cfg(test)]
mod tests;
