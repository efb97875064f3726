//! The runner: claims watches that are due, polls each once, records what was seen, saves.
//!
//! It decides nothing itself: [`Progress::record`](crate::watch::Progress::record) holds the rules. `wait` runs it over
//! a store in memory until every watch has ended, the daemon over its own until it is asked to stop.
//!
//! While the store keeps one pass, polls go on, and what they come to is the next pass: the busier it gets, the more
//! is kept in one transaction. What happened is told once it is kept, and not before.

mod accounts;
mod block;
pub mod courier;
mod heed;
mod pass;
mod poll;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

pub use self::accounts::{Account, Refusal};
pub use self::poll::{poll_within, within};

use self::accounts::AccountState;
use self::poll::Asking;
use crate::clock::Clock;
use crate::event::{Ending, Event};
use crate::moment::Moment;
use crate::store::{NewDelivery, Passed, Record, Store, StoreError};
use crate::watch::Policy;
use crate::watch::observation::{Poller, Problem};

/// How long a claimed watch is hidden: until it is given back, or the store is opened again. A runner is the only one
/// that has its store, and it may stand still for any time while it holds claims.
const LEASE: Duration = Duration::MAX;

/// What an end comes with in a store that keeps it.
#[derive(Debug, Default)]
pub struct Closing {
    /// The document that tells of it: JSON.
    pub document: String,
    /// The notifications that are owed for it.
    pub deliveries: Vec<NewDelivery>,
}

/// What others have to say to a runner.
pub trait Obligations {
    /// What an end comes with.
    fn close(&self, ending: &Ending) -> Closing;

    /// The notifications that are owed because an account's credential is refused.
    fn refuse(&self, account: &str, problem: &Problem, now: Moment) -> Vec<NewDelivery>;

    /// The runner has made a pass.
    fn passed(&self, now: Moment);
}

/// Nothing is owed to anybody: whoever runs it is told.
impl Obligations for () {
    fn close(&self, _: &Ending) -> Closing {
        Closing::default()
    }

    fn refuse(&self, _: &str, _: &Problem, _: Moment) -> Vec<NewDelivery> {
        Vec::new()
    }

    fn passed(&self, _: Moment) {}
}

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the user wants of each watch.
    pub policy: Policy,
    /// How many polls may be under way at once.
    pub concurrency: NonZeroUsize,
    /// What a refused credential does to the watches of its account.
    pub refusal: Refusal,
    /// How long the store may hear nothing: a pass is made then even if nothing is due, which shows that both work.
    pub beat: Option<Duration>,
}

/// Why a run came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped<R> {
    /// Every watch has ended.
    Idle,
    /// Whoever is told has heard enough.
    BrokenOff,
    /// It was asked to.
    Asked(R),
}

type Passing = Pin<Box<dyn Future<Output = Result<Passed, StoreError>>>>;

/// Follows the watches of a store.
pub struct Runner<S, P, W> {
    store: S,
    accounts: Vec<AccountState<P>>,
    obligations: W,
    plan: Plan,
    clock: Clock,
    rng: fastrand::Rng,
    started_at: Moment,
    under_way: FuturesUnordered<Asking>,
    /// What polls have come to since the last pass began, and what is told of it once it is kept.
    records: Vec<(Record, Option<Event>)>,
    owed: Vec<NewDelivery>,
    /// The pass that the store is at, and what is told when it has kept it.
    passing: Option<(Passing, Vec<Option<Event>>)>,
    passed_at: Option<Moment>,
    /// Whether others have changed the store since the pass began that it is at.
    changed: bool,
    /// What is told, besides, when the next pass is kept.
    announcements: Vec<Event>,
}

impl<S, P, W> std::fmt::Debug for Runner<S, P, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<S, P, W> Runner<S, P, W>
where
    S: Store + Clone + 'static,
    P: Poller + Clone + 'static,
    W: Obligations,
{
    /// A runner over `store` that asks with `accounts`.
    #[must_use]
    pub fn new(store: S, accounts: Vec<Account<P>>, plan: Plan, obligations: W, clock: Clock) -> Self {
        let started_at = clock.now();
        let accounts = accounts.into_iter().map(|account| AccountState::new(account, started_at)).collect();
        Self {
            store,
            accounts,
            obligations,
            plan,
            clock,
            rng: fastrand::Rng::new(),
            started_at,
            under_way: FuturesUnordered::new(),
            records: Vec::new(),
            owed: Vec::new(),
            passing: None,
            passed_at: None,
            changed: false,
            announcements: Vec::new(),
        }
    }

    /// Draws jitter from this.
    #[must_use]
    pub fn with_rng(self, rng: fastrand::Rng) -> Self {
        Self { rng, ..self }
    }

    /// Goes on by another plan and with other accounts. One whose name stays keeps what it has learnt; polls that are
    /// under way end as they began, and what is claimed for one that goes is given back.
    pub fn change(&mut self, accounts: Vec<Account<P>>, plan: Plan, obligations: W) {
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.accounts);
        for account in accounts {
            let position = before.iter().position(|state| *state.name() == account.name);
            let state = AccountState::new(account, now);
            self.accounts.push(match position {
                Some(position) => state.after(before.swap_remove(position), now),
                None => state,
            });
        }
        for claimed in before.iter_mut().flat_map(AccountState::drain) {
            self.give_back(claimed);
        }
        (self.plan, self.obligations) = (plan, obligations);
    }

    /// Others have changed the store: there may be something to do at once.
    pub fn look_again(&mut self) {
        let now = self.clock.now();
        self.accounts.iter_mut().for_each(|account| account.may_be_due_at(now));
        self.changed = true;
    }

    /// Runs until every watch has ended, until `stop`, or until `tell`, which hears of every event, breaks off. It may
    /// be dropped at any await, and be called again.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn run<R>(
        &mut self,
        stop: impl Future<Output = R>,
        stop_when_idle: bool,
        tell: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Stopped<R>, StoreError> {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.begin_pass();
            if stop_when_idle && self.is_idle() {
                return Ok(Stopped::Idle);
            }
            let wake_at = self.wake_at();
            let flow = tokio::select! {
                biased;
                passed = passed(&mut self.passing) => {
                    let (passed, told) = passed?;
                    self.take_over(passed, told, tell)
                }
                asked = &mut stop => return Ok(Stopped::Asked(asked)),
                Some(polled) = self.under_way.next() => {
                    self.take_in_all(polled);
                    ControlFlow::Continue(())
                }
                () = sleep_until(self.clock, wake_at), if wake_at.is_some() => ControlFlow::Continue(()),
            };
            if flow.is_break() {
                return Ok(Stopped::BrokenOff);
            }
        }
    }

    /// Claims nothing any more, lets polls that are under way end within `grace`, and keeps what they came to. Rows
    /// whose polls did not end in time stay claimed until the store is opened again.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn wind_up(
        &mut self,
        grace: Duration,
        tell: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let until = self.clock.now().plus(grace);
        self.accounts.iter_mut().for_each(AccountState::close);
        while !(self.has_nothing_to_do() && self.owed.is_empty()) {
            self.begin_pass();
            let flow = tokio::select! {
                biased;
                passed = passed(&mut self.passing) => {
                    let (passed, told) = passed?;
                    // What the pass in flight has claimed stays due.
                    self.take_over(Passed { claimed: Vec::new(), ..passed }, told, tell)
                }
                Some(polled) = self.under_way.next() => {
                    self.take_in_all(polled);
                    ControlFlow::Continue(())
                }
                () = self.clock.sleep_until(until), if !self.under_way.is_empty() => {
                    self.under_way.clear();
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.has_nothing_to_do() && self.accounts.iter().all(AccountState::has_no_watch)
    }

    fn has_nothing_to_do(&self) -> bool {
        let has_ready = self.accounts.iter().any(|state| state.ready() > 0);
        let has_rest = has_ready || !self.records.is_empty();
        self.under_way.is_empty() && !has_rest && self.passing.is_none()
    }
}

/// The account of this name, while the rest of the runner is in use.
fn named<'a, P>(accounts: &'a mut [AccountState<P>], name: &str) -> Option<&'a mut AccountState<P>> {
    accounts.iter_mut().find(|state| state.is_named(name))
}

/// The store has kept the pass that it is at; never, if it is at none.
async fn passed(
    passing: &mut Option<(Passing, Vec<Option<Event>>)>,
) -> Result<(Passed, Vec<Option<Event>>), StoreError> {
    let Some((pass, _)) = passing else { return std::future::pending().await };
    let passed = pass.await;
    let told = passing.take().map(|(_, told)| told).unwrap_or_default();
    Ok((passed?, told))
}

async fn sleep_until(clock: Clock, wake_at: Option<Moment>) {
    if let Some(wake_at) = wake_at {
        clock.sleep_until(wake_at).await;
    }
}

#[cfg(test)]
mod tests;
