//! The accounts of a runner: their pollers, their budgets, and what blocks them.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::Runner;
use crate::health::{Paused, Standing};
use crate::moment::Moment;
use crate::store::{Claimed, Wish};
use crate::watch::block::{Blocking, News};
use crate::watch::budget::Budget;
use crate::watch::observation::FailureKind::{Gateway, Transient, Unrecoverable};
use crate::watch::observation::{Failure, Observation, Problem};
use crate::watch::{Policy, Progress};

/// How many watches of each account are claimed ahead at least.
const AHEAD_AT_LEAST: usize = 4;

/// A server that answers within this time, or within half of `request-timeout` if that is less, counts as prompt.
const PROMPT: Duration = Duration::from_secs(1);

/// An account: a credential with a name.
#[derive(Debug, Clone)]
pub struct Account<P> {
    /// Its name.
    pub name: Arc<str>,
    /// What polls for it. Clones share their state.
    pub poller: P,
    /// How many requests it may send per minute. Without a limit, a 429 slows only the watch that got it.
    pub requests_per_minute: Option<NonZeroU32>,
}

/// An account while it is in use.
pub(super) struct AccountState<P> {
    pub(super) account: Account<P>,
    budget: Option<Budget>,
    /// When its next unclaimed watch is due: too early rather than too late. `None` if the store has none.
    pub(super) due_at: Option<Moment>,
    /// Its claimed watches that wait for a poll.
    pub(super) ready: VecDeque<Claimed>,
    /// How many of its polls are under way.
    under_way: usize,
    /// Whether its server answered the last poll promptly.
    pub(super) is_prompt: bool,
    pub(super) blocking: Blocking,
    /// Whether a poll was answered well since the start.
    has_answered: bool,
    /// Since when no poll was answered, and why the last one failed.
    unanswered: Option<(Moment, Problem)>,
    /// When the store is asked next for watches whose time is over, while the account is blocked.
    sweep_at: Moment,
}

impl<P: Clone> AccountState<P> {
    pub(super) fn new(account: Account<P>, now: Moment) -> Self {
        let budget = account.requests_per_minute.map(|rate| Budget::per_minute(rate, now));
        Self {
            account,
            budget,
            due_at: Some(Moment::default()),
            ready: VecDeque::new(),
            under_way: 0,
            is_prompt: true,
            blocking: Blocking::default(),
            has_answered: false,
            unanswered: None,
            sweep_at: Moment::default(),
        }
    }

    /// Replaces an older account of the same name and keeps its state. A refused credential is tried at once, since it may
    /// be a new one.
    pub(super) fn after(self, before: Self, now: Moment) -> Self {
        let rate = self.account.requests_per_minute;
        let budget = before.budget.zip(rate).map(|(budget, rate)| budget.at_rate(rate, now)).or(self.budget);
        Self { account: self.account, budget, blocking: before.blocking.tried_now(), ..before }
    }

    /// A watch may be due at this moment.
    pub(super) fn may_be_due_at(&mut self, due_at: Moment) {
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// The store granted less than the wish, and knows when the next watch is due, if there is one.
    pub(super) fn had_no_more(&mut self, next_due: Option<Moment>, now: Moment) {
        const SWEEP_EVERY: Duration = Duration::from_secs(1);
        self.sweep_at = now.plus(SWEEP_EVERY);
        if let Some(due_at) = next_due {
            self.may_be_due_at(due_at);
        }
    }

    /// How it stands now.
    pub(super) fn standing(&self, now: Moment) -> Standing {
        Standing {
            paused: self.blocking.pause(now).map(|(throttled, since, until, problem)| Paused {
                throttled,
                since,
                until,
                problem: problem.clone(),
            }),
            has_answered: self.has_answered,
            unanswered: self.unanswered.clone(),
            left: self.budget.as_ref().map(|budget| budget.available(now)),
            per_minute: self.account.requests_per_minute.map(NonZeroU32::get),
            under_way: self.under_way,
        }
    }

    /// A poll begins, and takes one request out of the budget.
    pub(super) fn begin(&mut self, now: Moment) {
        self.under_way += 1;
        if let Some(budget) = &mut self.budget {
            budget.take(1, now);
        }
    }

    /// A poll has ended.
    pub(super) fn end(&mut self, took: Duration, policy: &Policy) {
        self.under_way = self.under_way.saturating_sub(1);
        self.is_prompt = took < PROMPT.min(policy.request_timeout / 2);
    }

    /// Records what an answer means for the account: it is blocked, or it is free again.
    pub(super) fn record(
        &mut self,
        observation: &Observation,
        progress: &Progress,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Option<News> {
        self.has_answered |= observation.answer.is_ok();
        self.unanswered = match &observation.answer {
            // A 429 is an answer, and so is a refusal.
            Err(Failure { kind: Gateway | Transient | Unrecoverable, problem }) => {
                // Until there is an answer, the watch knows since when there is none, also from before the start.
                let before =
                    progress.failing().last().filter(|run| run.until.is_none() && !self.has_answered);
                let first = before.map_or(now, |run| run.since);
                let since = self.unanswered.take().map_or(first, |(since, _)| since);
                Some((since, problem.clone()))
            }
            Ok(_) | Err(_) => None,
        };
        let was_blocked = self.blocking.is_blocked(now);
        let news = self.blocking.record_credential(observation, progress, policy, now);
        if let Some(budget) = &mut self.budget
            && let Some(until) =
                self.blocking.record_pace(observation, progress.polled_at(), policy, now, rng)
        {
            budget.drain_until(until);
        }
        if was_blocked && !self.blocking.is_blocked(now) {
            self.due_at = Some(now);
        }
        news
    }

    /// What the account wants from the store and from when on, for at most `room` watches.
    ///
    /// This is the only place that decides it: what lies after `now` is a time to wake, everything else is wished for now.
    fn wants(&self, room: usize, policy: &Policy, now: Moment) -> impl Iterator<Item = (Moment, Wish)> {
        let is_blocked = self.blocking.is_blocked(now);
        // A try needs a request of the budget, like any poll.
        let ready_at = self.budget.as_ref().map_or(now, |budget| budget.ready_at(now));
        let (ready_at, affordable) = match &self.budget {
            _ if is_blocked => (ready_at.max(self.blocking.until()), 1),
            // Each ready watch will use one request.
            Some(budget) => (ready_at, budget.available(now).saturating_sub(self.ready.len())),
            None => (ready_at, room),
        };
        let wish = |room, started_by| Wish { account: Arc::clone(&self.account.name), room, started_by };
        // Without a spare request, the ready watches come first, and the ends of their polls wake the runner.
        let due_at = self.due_at.filter(|_| affordable > 0 || self.ready.is_empty());
        let next = due_at.map(|due_at| (due_at.max(ready_at), wish(room.min(affordable), None)));
        let sweep =
            self.blocking.over(policy, now).map(|started_by| (self.sweep_at, wish(room, Some(started_by))));
        next.into_iter().chain(sweep).filter(move |_| room > 0)
    }
}

impl<S, P: Clone, W> Runner<S, P, W> {
    /// What all accounts want now.
    pub(super) fn wishes(&self, now: Moment) -> Vec<Wish> {
        self.wants(now).filter(|(at, _)| *at <= now).map(|(_, wish)| wish).collect()
    }

    /// When to make a pass although nothing is wanted.
    pub(super) fn beat_at(&self) -> Option<Moment> {
        self.plan.beat.map(|beat| self.passed_at.plus(beat))
    }

    /// When to wake for the next wish; `None` while the store is saving a pass, since its end wakes the runner.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.passing.is_some() {
            return None;
        }
        self.wants(self.clock.now()).map(|(at, _)| at).chain(self.beat_at()).min()
    }

    fn wants(&self, now: Moment) -> impl Iterator<Item = (Moment, Wish)> {
        // Claim ahead for each account: then the next watch is there when a poll ends, and a server that hangs cannot take
        // the share of another.
        let ahead = if self.closing { 0 } else { self.share().max(AHEAD_AT_LEAST) };
        let accounts = self.accounts.iter();
        accounts.flat_map(move |state| {
            state.wants(ahead.saturating_sub(state.ready.len()), &self.plan.policy, now)
        })
    }

    /// The share of each account in `concurrency`.
    fn share(&self) -> usize {
        (self.plan.concurrency.get() / self.accounts.len().max(1)).max(1)
    }

    /// The account to poll next: among those with the fewest polls under way, the one with the longest due watch. A
    /// quarter of the places is reserved for accounts below their share, and closed to slow servers, so that servers that
    /// hang do not hold up others.
    pub(super) fn next_account(&self) -> Option<usize> {
        let (under_way, concurrency) = (self.under_way.len(), self.plan.concurrency.get());
        let (is_alone, share) = (self.accounts.len() == 1, self.share());
        let open = concurrency - (concurrency / 4).max(1).min(concurrency - 1);
        let slow = self.accounts.iter().filter(|state| !state.is_prompt).map(|state| state.under_way);
        let slow: usize = slow.sum();
        let may_poll = |state: &AccountState<P>| {
            let has_place = state.is_prompt || slow < open;
            is_alone || (has_place && (under_way < open || state.under_way < share))
        };
        let accounts = self.accounts.iter().enumerate().filter(|(_, state)| may_poll(state));
        let ready = accounts.filter_map(|(n, state)| Some((state.under_way, state.ready.front()?.due_at, n)));
        ready.min().map(|(_, _, n)| n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{export, hinted, http, policy, status};
    use crate::watch::{Refusal, Watch};

    const START: Moment = Moment::from_unix_ms(1_732_529_622_000);

    #[test]
    fn it_shows_why_polls_pause_and_since_when_nothing_is_answered() {
        let policy = Policy { refusal: Refusal::PausesAccount, ..policy() };
        let rate = NonZeroU32::new(600);
        let mut state =
            AccountState::new(Account { name: "a".into(), poller: (), requests_per_minute: rate }, START);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut seen = |seconds: u64, answer: &Observation| {
            let now = START.plus(Duration::from_secs(seconds));
            let mut progress = Watch::unnamed(export(1), now).progress;
            progress.begin_poll(&policy, now);
            state.record(answer, &progress, &policy, now, &mut rng);
            let Standing { paused, unanswered, per_minute, .. } = state.standing(now);
            assert_eq!(per_minute, Some(600));
            let since = |at: Moment| at.since(START).as_secs();
            (paused.map(|it| (it.throttled, since(it.since))), unanswered.map(|(at, _)| since(at)))
        };
        assert_eq!(seen(1, &status("PENDING")), (None, None));
        assert_eq!(seen(2, &http(503)), (None, Some(2)));
        assert_eq!(seen(9, &http(502)), (None, Some(2)), "since the first");
        assert_eq!(seen(10, &hinted(http(429), 60)), (Some((true, 10)), None), "this is an answer");
        assert_eq!(seen(99, &status("PENDING")), (None, None));
        assert_eq!(seen(100, &http(401)), (Some((false, 100)), None), "it may be refused");
        assert_eq!(seen(200, &http(401)), (Some((false, 200)), None), "it is");
        assert_eq!(seen(300, &status("PENDING")), (None, None));
    }

    #[test]
    fn an_account_has_answered_once_a_poll_is_answered_well_and_an_outage_began_before_the_start() {
        let policy = policy();
        let account = Account { name: "a".into(), poller: (), requests_per_minute: None };
        let mut state = AccountState::new(account, START);
        let mut rng = fastrand::Rng::with_seed(7);
        let began = START.before(Duration::from_secs(600)).unwrap();
        let mut progress = Watch::unnamed(export(1), began).progress;
        progress.begin_poll(&policy, began);
        progress.record(&http(503), &policy, began, &mut rng);
        let mut seen = |seconds, answer: &Observation| {
            let now = START.plus(Duration::from_secs(seconds));
            state.record(answer, &progress, &policy, now, &mut rng);
            let Standing { has_answered, unanswered, .. } = state.standing(now);
            (has_answered, unanswered.map(|(since, _)| since))
        };
        assert_eq!(seen(1, &http(503)), (false, Some(began)));
        assert_eq!(seen(2, &status("PENDING")), (true, None));
        assert_eq!(seen(3, &http(503)), (true, Some(START.plus(Duration::from_secs(3)))), "of the account");
    }
}
