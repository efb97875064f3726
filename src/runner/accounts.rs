//! What a runner knows of its accounts: who asks for their watches, how often they may, and what keeps them from it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::block::{Blocking, News};
use super::{Plan, Runner};
use crate::moment::Moment;
use crate::store::{Claimed, Wish};
use crate::watch::Progress;
use crate::watch::budget::Budget;
use crate::watch::observation::{Failure, Observation};
use crate::watch::outcome::Outcome;

/// How many watches of an account are claimed ahead, however many accounts there are.
const AHEAD_AT_LEAST: usize = 4;

/// How soon a server answers that is not taken for one that hangs; where that is less, half of what a request may take.
const PROMPT: Duration = Duration::from_secs(1);

/// What a refused credential does to the watches of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing: each watch asks for itself.
    EachForItself,
    /// They wait until the credential works again, or until their own time is over.
    PausesAccount,
    /// They end.
    EndsAccount,
}

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
    account: Account<P>,
    budget: Option<Budget>,
    /// When the next of its watches is due that is not claimed; too early rather than too late.
    due_at: Option<Moment>,
    /// Its watches that are claimed and polled next, as soon as there is room: the store need not be waited for then.
    ready: VecDeque<Claimed>,
    /// How many of its watches are being polled.
    under_way: usize,
    /// Whether its server answered the last poll soon.
    is_prompt: bool,
    blocking: Blocking,
    /// When the next look for watches is due whose time is over, while the account is blocked.
    sweep_at: Moment,
    closed: bool,
}

/// What an account wants of the store.
struct Want {
    /// From when on.
    at: Moment,
    room: usize,
    started_by: Option<Moment>,
}

impl<P> AccountState<P> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        *self.account.name == *name
    }
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
            closed: false,
        }
    }

    /// This account in the place of an older one of its name. What that has spent and learnt still counts, but a refused
    /// credential is tried at once: it may be another.
    pub(super) fn after(self, before: Self, now: Moment) -> Self {
        let rate = self.account.requests_per_minute;
        let budget = before.budget.zip(rate).map(|(budget, rate)| budget.at_rate(rate, now)).or(self.budget);
        Self {
            account: self.account,
            budget,
            due_at: self.due_at,
            blocking: before.blocking.tried_now(),
            ..before
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.account.name
    }

    /// Asks for nothing any more. What is claimed and not polled stays due.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.ready.clear();
    }

    /// What is claimed and not polled.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Claimed> {
        self.ready.drain(..)
    }

    /// A watch is due then.
    pub(super) fn may_be_due_at(&mut self, due_at: Moment) {
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// The store had less than was wished for.
    pub(super) const fn is_next_due_at(&mut self, due_at: Option<Moment>, now: Moment) {
        const SWEEP_EVERY: Duration = Duration::from_secs(1);
        (self.due_at, self.sweep_at) = (due_at, now.plus(SWEEP_EVERY));
    }

    /// A watch is claimed: it is polled when its turn comes.
    pub(super) fn take(&mut self, claimed: Claimed) {
        self.ready.push_back(claimed);
    }

    /// Why and how a watch ends without a poll: the account is blocked, and the watch's time is over.
    pub(super) fn end_of(&self, progress: &Progress, plan: &Plan, now: Moment) -> Option<(Failure, Outcome)> {
        self.blocking.end_of(progress, plan, now).filter(|_| self.blocking.is_blocked(now))
    }

    /// The next of its watches that are claimed.
    pub(super) fn next_ready(&mut self) -> Option<Claimed> {
        self.ready.pop_front()
    }

    /// Since when the next of its watches that are claimed is due.
    fn longest_due(&self) -> Option<Moment> {
        self.ready.front().map(|claimed| claimed.due_at)
    }

    /// A poll begins: a request is taken out of the budget for it.
    pub(super) fn begin(&mut self, now: Moment) {
        self.under_way += 1;
        if let Some(budget) = &mut self.budget {
            budget.take(1, now);
        }
    }

    /// A poll has ended.
    pub(super) fn end(&mut self, took: Duration, plan: &Plan) {
        self.under_way = self.under_way.saturating_sub(1);
        self.is_prompt = took < PROMPT.min(plan.policy.request_timeout / 2);
    }

    /// How many of its watches are claimed and wait to be polled.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether it has no watch that has not ended, as far as the store has said.
    pub(super) const fn has_no_watch(&self) -> bool {
        self.due_at.is_none()
    }

    /// What polls a watch that was claimed; nothing if the account has been blocked since.
    pub(super) fn ask(&mut self, now: Moment) -> Option<P> {
        let may_ask = !self.blocking.is_blocked(now) || self.blocking.may_try(now);
        may_ask.then(|| self.account.poller.clone())
    }

    /// What an answer means for the account: it is blocked, or no longer is.
    pub(super) fn heed(
        &mut self,
        observation: &Observation,
        progress: &Progress,
        plan: &Plan,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Option<News> {
        let polled_at = progress.polled_at();
        let was_blocked = self.blocking.is_blocked(now);
        let news = self.blocking.heed_credential(observation, progress, plan, now);
        if let Some(budget) = &mut self.budget
            && let Some(until) = self.blocking.heed_pace(observation, polled_at, &plan.policy, now, rng)
        {
            budget.drain_until(until);
        }
        if was_blocked && !self.blocking.is_blocked(now) {
            self.due_at = Some(now);
        }
        news
    }

    /// What the account wants of the store, for at most so many watches.
    ///
    /// This is the one place that says so: what lies ahead of `now` is a time to wake at, all else is wished for now.
    fn wants(&self, room: usize, plan: &Plan, now: Moment) -> impl Iterator<Item = Want> {
        let room = if self.closed { 0 } else { room };
        let due_at = self.due_at.filter(|_| room > 0);
        let (next, sweep) = if self.blocking.is_blocked(now) {
            // A try takes a request out of the budget as any poll does, and waits for it.
            let ready_at = self.budget.as_ref().map_or(now, |budget| budget.ready_at(now));
            let at = |due_at: Moment| due_at.max(self.blocking.until()).max(ready_at);
            let over = self.blocking.over(plan, now).filter(|_| room > 0);
            (
                due_at.map(|due_at| Want { at: at(due_at), room: 1, started_by: None }),
                over.map(|by| Want { at: self.sweep_at, room, started_by: Some(by) }),
            )
        } else {
            let (ready_at, affordable) = match &self.budget {
                // What is claimed has its request coming.
                Some(budget) => (budget.ready_at(now), budget.available(now).saturating_sub(self.ready())),
                None => (now, room),
            };
            // Without a request to spare, the polls that are ready come first, and their ends wake the runner.
            let due_at = due_at.filter(|_| affordable > 0 || self.ready.is_empty());
            let at = |due_at: Moment| due_at.max(ready_at);
            (due_at.map(|due_at| Want { at: at(due_at), room: room.min(affordable), started_by: None }), None)
        };
        next.into_iter().chain(sweep)
    }
}

impl<S, P: Clone, W> Runner<S, P, W> {
    /// What all accounts want now.
    pub(super) fn wishes(&self, now: Moment) -> Vec<Wish> {
        let due = self.wants(now).filter(|(_, want)| want.at <= now);
        due.map(|(account, Want { room, started_by, .. })| Wish {
            account: Arc::clone(account),
            room,
            started_by,
        })
        .collect()
    }

    /// When to wish again; never while the store is at a pass, whose end comes first.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.passing.is_some() {
            return None;
        }
        let beat = self.plan.beat.zip(self.passed_at).map(|(beat, passed_at)| passed_at.plus(beat));
        self.wants(self.clock.now()).map(|(_, want)| want.at).chain(beat).min()
    }

    fn wants(&self, now: Moment) -> impl Iterator<Item = (&Arc<str>, Want)> {
        // So many watches of each account are claimed ahead: what is polled next is there when a poll ends, and no
        // server that hangs can take another's part.
        let ahead = self.share().max(AHEAD_AT_LEAST);
        self.accounts.iter().flat_map(move |state| {
            let wants = state.wants(ahead.saturating_sub(state.ready()), &self.plan, now);
            wants.map(|want| (state.name(), want))
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
        let ready = accounts.filter_map(|(n, state)| Some((state.under_way, state.longest_due()?, n)));
        ready.min().map(|(_, _, n)| n)
    }
}
