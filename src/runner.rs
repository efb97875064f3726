//! The runner: claims watches that are due, polls each once, records what was seen, saves.
//!
//! It decides nothing itself: [`Progress::record`](crate::watch::Progress::record) holds the rules. `wait` runs it over
//! a store in memory until every watch has ended, the daemon over its own until it is asked to stop.
//!
//! While the store keeps one pass, polls go on, and what they come to is the next pass: the busier it gets, the more
//! is kept in one transaction. What happened is told once it is kept, and not before.

mod accounts;
mod pass;
mod poll;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

pub use self::accounts::Account;
pub use self::poll::{poll_within, within};

use self::accounts::AccountState;
use self::poll::Asking;
use crate::clock::Clock;
use crate::event::{Ending, Event};
use crate::moment::Moment;
use crate::store::{NewDelivery, Passed, Queue, Record, StoreError};
use crate::watch::Policy;
use crate::watch::observation::{Poller, Problem};

/// What an end comes with in a store that keeps it.
#[derive(Debug, Default)]
pub struct Closing {
    /// The document that tells of it: JSON.
    pub document: String,
    /// The notifications that are owed for it.
    pub deliveries: Vec<NewDelivery>,
}

/// What others have to say to a runner: nothing, unless they say so.
pub trait Obligations {
    /// What an end comes with.
    fn close(&self, _ending: &Ending) -> Closing {
        Closing::default()
    }

    /// The notifications that are owed because an account's credential is refused.
    fn refuse(&self, _account: &str, _problem: &Problem, _now: Moment) -> Vec<NewDelivery> {
        Vec::new()
    }

    /// The runner has made a pass.
    fn passed(&self, _now: Moment) {}
}

/// Nothing is owed to anybody.
impl Obligations for () {}

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the user wants of each watch.
    pub policy: Policy,
    /// How many polls may be under way at once.
    pub concurrency: NonZeroUsize,
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

/// What is told of a pass once it is kept: each event with the number of the record that it tells of, if it tells of one.
type Told = Vec<(Option<usize>, Event)>;

type Passing = Pin<Box<dyn Future<Output = Result<(Passed, Told), StoreError>> + Send>>;

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
    /// What polls have come to since the last pass began.
    records: Vec<Record>,
    owed: Vec<NewDelivery>,
    told: Told,
    /// The pass that the store is at.
    passing: Option<Passing>,
    /// When the last pass was kept.
    passed_at: Moment,
    /// Whether nothing is claimed any more.
    closing: bool,
}

impl<S: Queue, P: Poller + Clone, W: Obligations> Runner<S, P, W> {
    /// A runner over `store` that asks with `accounts` and draws jitter from `rng`.
    #[must_use]
    pub fn new(
        store: S,
        accounts: Vec<Account<P>>,
        plan: Plan,
        obligations: W,
        clock: Clock,
        rng: fastrand::Rng,
    ) -> Self {
        let started_at = clock.now();
        let accounts = accounts.into_iter().map(|account| AccountState::new(account, started_at)).collect();
        Self {
            store,
            accounts,
            obligations,
            plan,
            clock,
            rng,
            started_at,
            under_way: FuturesUnordered::new(),
            records: Vec::new(),
            owed: Vec::new(),
            told: Vec::new(),
            passing: None,
            passed_at: Moment::default(),
            closing: false,
        }
    }

    /// Goes on by another plan and with other accounts. One whose name stays keeps what it has learnt; polls that are
    /// under way end as they began, and what is claimed for one that goes is given back.
    pub fn change(&mut self, accounts: Vec<Account<P>>, plan: Plan, obligations: W) {
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.accounts);
        for account in accounts {
            let position = before.iter().position(|state| state.account.name == account.name);
            let state = AccountState::new(account, now);
            self.accounts.push(match position {
                Some(position) => state.after(before.swap_remove(position), now),
                None => state,
            });
        }
        for claimed in before.into_iter().flat_map(|state| state.ready) {
            self.give_back(claimed);
        }
        (self.plan, self.obligations) = (plan, obligations);
    }

    /// Others have changed the store: there may be something to do at once.
    pub fn look_again(&mut self) {
        let now = self.clock.now();
        self.accounts.iter_mut().for_each(|account| account.may_be_due_at(now));
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
                () = self.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => ControlFlow::Continue(()),
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
        self.closing = true;
        self.accounts.iter_mut().for_each(|state| state.ready.clear());
        let clock = self.clock;
        if let Stopped::Asked(()) = self.run(clock.sleep_until(clock.now().plus(grace)), true, tell).await? {
            self.under_way.clear();
            self.run(std::future::pending::<()>(), true, tell).await?;
        }
        Ok(())
    }

    /// Whether all is done and kept, and, as long as watches are claimed, there is no other.
    fn is_idle(&self) -> bool {
        let has_none =
            |state: &AccountState<P>| state.ready.is_empty() && (self.closing || state.due_at.is_none());
        let is_kept = self.records.is_empty() && self.passing.is_none();
        is_kept && self.under_way.is_empty() && self.accounts.iter().all(has_none)
    }
}

/// The account of this name, while the rest of the runner is in use.
fn named<'a, P>(accounts: &'a mut [AccountState<P>], name: &str) -> Option<&'a mut AccountState<P>> {
    accounts.iter_mut().find(|state| *state.account.name == *name)
}

/// The store has kept the pass that it is at; never, if it is at none.
async fn passed(passing: &mut Option<Passing>) -> Result<(Passed, Told), StoreError> {
    let Some(pass) = passing else { return std::future::pending().await };
    let passed = pass.await;
    *passing = None;
    passed
}

#[cfg(test)]
pub(crate) mod tests;
