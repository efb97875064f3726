//! What a runner knows of its accounts: who asks for their watches, how often they may, and whether they can.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::Runner;
use crate::moment::Moment;
use crate::store::{Claimed, Note, Wish};
use crate::watch::budget::Budget;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation};
use crate::watch::{Policy, Watch};

/// How often a credential that was refused is tried again. The client looks at its file when it does.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(30);

/// How often it is looked, while a credential is refused, for watches whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many watches of an account are claimed ahead, however many accounts there are.
pub(super) const AHEAD_AT_LEAST: usize = 4;

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
    /// How many requests it may send in a minute; without a limit a 429 is the matter of the watch that met it.
    pub requests_per_minute: Option<NonZeroU32>,
    /// For how long it could not ask, so far.
    pub downtime: Duration,
}

/// An account while it is in use.
pub(super) struct AccountState<P> {
    account: Account<P>,
    budget: Option<Budget>,
    /// What the user wants of its watches.
    pub(super) policy: Policy,
    /// When the next of its watches is due that is not claimed; too early rather than too late.
    due_at: Option<Moment>,
    /// Its watches that are claimed and polled next, as soon as there is room: the store need not be waited for then.
    ready: VecDeque<Claimed>,
    /// How many of its watches are being polled.
    under_way: usize,
    refused: Option<Refused>,
    closed: bool,
}

/// Whether a watch that was claimed is polled.
pub(super) enum Asks<P> {
    /// It is, by this one.
    Now(P),
    /// It is not: all of the account has to stay away for a while.
    Later,
    /// It is not, and has no time left: the credential was refused.
    Never(Failure),
}

/// A credential that was refused.
struct Refused {
    since: Moment,
    /// Until when the store knows of it.
    noted_at: Moment,
    failure: Failure,
    /// When one watch tries it again; never, if its watches end.
    try_at: Option<Moment>,
    /// When those are looked for next whose time is over without another poll.
    sweep_at: Moment,
}

impl<P> AccountState<P> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        *self.account.name == *name
    }
}

impl<P: Clone> AccountState<P> {
    pub(super) fn new(account: Account<P>, policy: &Policy) -> Self {
        let policy = Policy { downtime: account.downtime, ..policy.clone() };
        let rate = account.requests_per_minute;
        let budget = rate.map(|rate| Budget::per_minute(rate, Moment::default()));
        Self {
            account,
            budget,
            policy,
            due_at: Some(Moment::default()),
            ready: VecDeque::new(),
            under_way: 0,
            refused: None,
            closed: false,
        }
    }

    /// This account in the place of an older one of its name: what that has taken and heard still counts, but for a
    /// refusal: the credential may be another.
    pub(super) fn after(self, before: Self) -> Self {
        let rate = self.account.requests_per_minute;
        let budget = before.budget.zip(rate).map(|(budget, rate)| budget.at_rate(rate)).or(self.budget);
        let policy = Policy { downtime: before.policy.downtime, ..self.policy };
        let try_now = |refused: Refused| Refused { try_at: Some(Moment::default()), ..refused };
        let (ready, under_way, refused) = (before.ready, before.under_way, before.refused.map(try_now));
        Self { budget, policy, ready, under_way, refused, ..self }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.account.name
    }

    /// Asks for nothing any more. What is claimed and not polled stays due.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.ready.clear();
    }

    /// A watch is due then.
    pub(super) fn may_be_due_at(&mut self, due_at: Moment) {
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// The store had less than was wished for.
    pub(super) fn is_next_due_at(&mut self, due_at: Option<Moment>, now: Moment) {
        self.due_at = due_at;
        if let Some(refused) = &mut self.refused {
            refused.sweep_at = now.plus(SWEEP_EVERY);
        }
    }

    /// A watch is claimed: a request is taken out of the budget for it.
    pub(super) fn take(&mut self, claimed: Claimed, now: Moment) {
        self.ready.push_back(claimed);
        if let Some(budget) = &mut self.budget {
            budget.take(1, now);
        }
    }

    /// The next of its watches that are claimed.
    pub(super) fn next_ready(&mut self) -> Option<Claimed> {
        self.ready.pop_front()
    }

    /// A poll begins.
    pub(super) const fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A poll has ended, if it was one.
    pub(super) const fn end(&mut self, was_asked: bool) {
        if was_asked {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    pub(super) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many of its watches are claimed and wait to be polled.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether it has no watch that has not ended, as far as the store has said.
    pub(super) const fn has_no_watch(&self) -> bool {
        self.due_at.is_none()
    }

    /// Whether a watch that was claimed is polled.
    pub(super) fn ask(&mut self, watch: &Watch, now: Moment) -> Asks<P> {
        if let Some(refused) = &mut self.refused {
            match refused.try_at {
                None => return Asks::Never(refused.failure.clone()),
                Some(try_at) if now < try_at => {
                    let deadline = watch.progress.deadline(&self.policy);
                    let is_over = deadline.is_some_and(|deadline| deadline <= now);
                    return if is_over { Asks::Never(refused.failure.clone()) } else { Asks::Later };
                }
                Some(_) => refused.try_at = Some(now.plus(TRY_AGAIN_EVERY)),
            }
        }
        match &self.budget {
            Some(budget) if budget.is_held(now) => Asks::Later,
            _ => Asks::Now(self.account.poller.clone()),
        }
    }

    /// Slows down as the server asks.
    pub(super) fn heed_pace(
        &mut self,
        observation: &Observation,
        polled_at: Moment,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) {
        let Some(budget) = &mut self.budget else { return };
        match &observation.answer {
            Answer::Failure(Failure { kind: FailureKind::Throttled, .. }) => {
                budget.hold(observation.hint, &self.policy.throttle, now, rng);
            }
            Answer::Status(_) => budget.relax(polled_at),
            Answer::Failure(_) => {}
        }
    }

    /// The credential is refused. Says whether that is news.
    pub(super) fn refuse(&mut self, failure: Failure, now: Moment, refusal: Refusal) -> bool {
        let is_news = self.refused.is_none();
        let since = self.refused.as_ref().map_or(now, |refused| refused.since);
        let noted_at = self.refused.as_ref().map_or(now, |refused| refused.noted_at);
        let try_at = (refusal == Refusal::PausesAccount).then(|| now.plus(TRY_AGAIN_EVERY));
        let sweep_at = self.refused.as_ref().map_or(now, |refused| refused.sweep_at);
        self.refused = Some(Refused { since, noted_at, failure, try_at, sweep_at });
        is_news
    }

    /// The credential works, if the poll that says so began after it was refused. Says for how long it did not, and
    /// how much of that the store does not know yet, if that is news.
    pub(super) fn accept(&mut self, polled_at: Moment, now: Moment) -> Option<(Duration, Duration)> {
        let Refused { since, noted_at, .. } = self.refused.take_if(|refused| polled_at >= refused.since)?;
        let paused = now.since(since);
        self.policy.downtime = self.policy.downtime.saturating_add(paused);
        self.due_at = Some(now);
        Some((paused, now.since(noted_at)))
    }

    /// What the store does not know yet of a pause that goes on.
    pub(super) fn note_downtime(&mut self, now: Moment) -> Option<Note> {
        let account = Arc::clone(self.name());
        let refused = self.refused.as_mut()?;
        let more = now.since(refused.noted_at);
        refused.noted_at = now;
        Some(Note::Downtime { account, more })
    }

    /// What the account wants of the store, for at most so many watches.
    fn wishes(&self, room: usize, now: Moment) -> Vec<Wish> {
        if room == 0 {
            return Vec::new();
        }
        let wish = |room, started_by| Wish { account: Arc::clone(self.name()), room, started_by };
        let is_due = self.due_at.is_some_and(|due_at| due_at <= now);
        match &self.refused {
            _ if self.closed => Vec::new(),
            None => {
                let affordable = self.budget.as_ref().map_or(room, |budget| budget.available(now).min(room));
                Vec::from_iter((is_due && affordable > 0).then(|| wish(affordable, None)))
            }
            Some(refused) => {
                let tries = is_due && refused.try_at.is_some_and(|try_at| try_at <= now);
                let started_by = match refused.try_at {
                    None => Some(now),
                    Some(_) => self.policy.max_wait.and_then(|max_wait| now.before(max_wait)),
                };
                let sweeps = started_by.filter(|_| refused.sweep_at <= now);
                let tried = tries.then(|| wish(1, None));
                tried.into_iter().chain(sweeps.map(|by| wish(room, Some(by)))).collect()
            }
        }
    }

    /// When there is something to wish for again.
    fn wakes_at(&self, now: Moment) -> Option<Moment> {
        match &self.refused {
            _ if self.closed => None,
            None => {
                let ready_at = self.budget.as_ref().map_or(now, |budget| budget.ready_at(now));
                self.due_at.map(|due_at| due_at.max(ready_at))
            }
            Some(refused) => {
                let tries = refused.try_at.zip(self.due_at).map(|(try_at, due_at)| try_at.max(due_at));
                let can_sweep = refused.try_at.is_none() || self.policy.max_wait.is_some();
                tries.into_iter().chain(can_sweep.then_some(refused.sweep_at)).min()
            }
        }
    }
}

impl<S, P: Clone, W> Runner<S, P, W> {
    /// What all accounts want.
    pub(super) fn wishes(&self, now: Moment) -> Vec<Wish> {
        let ahead = self.ahead();
        self.accounts
            .iter()
            .flat_map(|state| state.wishes(ahead.saturating_sub(state.ready()), now))
            .collect()
    }

    /// How many watches of each account are claimed ahead, so that what is polled next is there when a poll ends. Each
    /// has a part of its own, which no server that hangs can take from it.
    fn ahead(&self) -> usize {
        self.share().max(AHEAD_AT_LEAST)
    }

    /// How many polls of each account may be under way, whatever the others do.
    pub(super) fn share(&self) -> usize {
        (self.plan.concurrency.get() / self.accounts.len().max(1)).max(1)
    }

    /// When to wish again; never while the store is at a pass, whose end comes first.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.passing.is_some() {
            return None;
        }
        let now = self.clock.now();
        let ahead = self.ahead();
        let accounts = self.accounts.iter().filter(|state| state.ready() < ahead);
        let accounts = accounts.filter_map(|state| state.wakes_at(now));
        let beat = self.plan.beat.zip(self.passed_at).map(|(beat, passed_at)| passed_at.plus(beat));
        accounts.chain(beat).min()
    }
}
