//! What a runner knows of its accounts: who asks for their watches, how often they may, and what keeps them from it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::Runner;
use crate::moment::Moment;
use crate::store::{Claimed, Wish};
use crate::watch::block::{Blocking, News};
use crate::watch::budget::Budget;
use crate::watch::observation::Observation;
use crate::watch::{Policy, Progress};

/// How many watches of an account are claimed ahead, however many accounts there are.
const AHEAD_AT_LEAST: usize = 4;

/// How soon a server answers that is not taken for one that hangs; where that is less, half of what a request may take.
const PROMPT: Duration = Duration::from_secs(1);

/// An account: a credential with a name.
#[derive(Debug, Clone)]
pub struct Account<P> {
    /// Its name.
    pub name: Arc<str>,
    /// What asks for it. Clones share what they learn.
    pub poller: P,
    /// How many requests it may send in a minute; without a limit each watch heeds its own 429s.
    pub requests_per_minute: Option<NonZeroU32>,
}

/// An account while it is in use.
pub(super) struct AccountState<P> {
    pub(super) account: Account<P>,
    budget: Option<Budget>,
    /// When the next of its watches is due that is not claimed, too early rather than too late; nothing if, as far as the
    /// store has said, there is none.
    pub(super) due_at: Option<Moment>,
    /// Its watches that are claimed and polled next, as soon as there is room: the store need not be waited for then.
    pub(super) ready: VecDeque<Claimed>,
    /// How many of its watches are being polled.
    under_way: usize,
    /// Whether its server answered the last poll soon.
    pub(super) is_prompt: bool,
    pub(super) blocking: Blocking,
    /// When the next look for watches is due whose time is over, while the account is blocked.
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
            sweep_at: Moment::default(),
        }
    }

    /// This account in the place of an older one of its name. What that has spent and learnt still counts, but a refused
    /// credential is tried at once: it may be another.
    pub(super) fn after(self, before: Self, now: Moment) -> Self {
        let rate = self.account.requests_per_minute;
        let budget = before.budget.zip(rate).map(|(budget, rate)| budget.at_rate(rate, now)).or(self.budget);
        Self { account: self.account, budget, blocking: before.blocking.tried_now(), ..before }
    }

    /// A watch is due then.
    pub(super) fn may_be_due_at(&mut self, due_at: Moment) {
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// The store had less than was wished for, and knows when the next watch is due, if there is one.
    pub(super) fn had_no_more(&mut self, next_due: Option<Moment>, now: Moment) {
        const SWEEP_EVERY: Duration = Duration::from_secs(1);
        self.sweep_at = now.plus(SWEEP_EVERY);
        if let Some(due_at) = next_due {
            self.may_be_due_at(due_at);
        }
    }

    /// A poll begins: a request is taken out of the budget for it.
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

    /// What the account wants of the store, and from when on, for at most so many watches.
    ///
    /// This is the one place that says so: what lies ahead of `now` is a time to wake at, all else is wished for now.
    fn wants(&self, room: usize, policy: &Policy, now: Moment) -> impl Iterator<Item = (Moment, Wish)> {
        let is_blocked = self.blocking.is_blocked(now);
        // A try takes a request out of the budget as any poll does, and waits for it.
        let ready_at = self.budget.as_ref().map_or(now, |budget| budget.ready_at(now));
        let (ready_at, affordable) = match &self.budget {
            _ if is_blocked => (ready_at.max(self.blocking.until()), 1),
            // What is claimed has its request coming.
            Some(budget) => (ready_at, budget.available(now).saturating_sub(self.ready.len())),
            None => (ready_at, room),
        };
        let wish = |room, started_by| Wish { account: Arc::clone(&self.account.name), room, started_by };
        // Without a request to spare, the polls that are ready come first, and their ends wake the runner.
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

    /// When to make a pass though nothing is wanted.
    pub(super) fn beat_at(&self) -> Option<Moment> {
        self.plan.beat.map(|beat| self.passed_at.plus(beat))
    }

    /// When to wish again; never while the store is at a pass, whose end comes first.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.passing.is_some() {
            return None;
        }
        self.wants(self.clock.now()).map(|(at, _)| at).chain(self.beat_at()).min()
    }

    fn wants(&self, now: Moment) -> impl Iterator<Item = (Moment, Wish)> {
        // So many watches of each account are claimed ahead: what is polled next is there when a poll ends, and no
        // server that hangs can take another's part.
        let ahead = if self.closing { 0 } else { self.share().max(AHEAD_AT_LEAST) };
        let accounts = self.accounts.iter();
        accounts.flat_map(move |state| {
            state.wants(ahead.saturating_sub(state.ready.len()), &self.plan.policy, now)
        })
    }

    /// How many polls of each account may be under way, whatever the others do.
    fn share(&self) -> usize {
        (self.plan.concurrency.get() / self.accounts.len().max(1)).max(1)
    }

    /// The account whose watch is polled next: of those that have the fewest polls under way, the one whose watch is
    /// due for longest. A quarter of the room is kept for accounts that have not had their share, and from servers that
    /// do not answer soon, so that those that hang do not hold up others.
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
