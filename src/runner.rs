//! The runner claims watches that are due, polls each once, records the observation, and saves the watch.
//!
//! It decides nothing itself: [`Progress::record`](crate::watch::Progress::record) holds the rules. `wait` runs it over
//! a store in memory until every watch has ended. The daemon runs it over its own store until it is asked to stop.
//!
//! While the store saves one pass, polls go on, and their results are the next pass: under load, one transaction saves
//! more. An event is reported after it is saved, and not before.

mod accounts;
mod pass;
mod poll;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

pub use self::accounts::Account;
pub use self::poll::{poll_within, within};

use self::accounts::AccountState;
use self::poll::Asking;
use crate::clock::Clock;
use crate::event::{Ending, Event};
use crate::health::Standing;
use crate::moment::Moment;
use crate::store::{AccountNews, NewDelivery, Passed, Queue, Record, StoreError};
use crate::watch::Policy;
use crate::watch::observation::{Poller, Problem};

/// What a store keeps with an end.
#[derive(Debug, Default)]
pub struct Closing {
    /// Its JSON document.
    pub document: String,
    /// The notifications that are owed for it.
    pub deliveries: Vec<NewDelivery>,
}

/// What the caller adds to ends and refusals. By default it adds nothing.
pub trait Obligations {
    /// What is kept with an end.
    fn close(&self, _ending: &Ending) -> Closing {
        Closing::default()
    }

    /// The notifications that are owed because an account's credential is refused.
    fn refuse(&self, _account: &str, _problem: &Problem, _now: Moment) -> Vec<NewDelivery> {
        Vec::new()
    }

    /// The notifications that are owed if an account's credential works again.
    fn accept(&self, _account: &str, _now: Moment) -> Vec<NewDelivery> {
        Vec::new()
    }

    /// The runner has made a pass.
    fn passed(&self, _now: Moment) {}

    /// Is called about once a second for each account.
    fn sees(&self, _account: &Arc<str>, _standing: Standing) {}
}

/// Adds nothing.
impl Obligations for () {}

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The limits and schedules of each watch.
    pub policy: Policy,
    /// How many polls may be under way at once.
    pub concurrency: NonZeroUsize,
    /// The longest time between two passes. A pass is made then even if nothing is due, which proves that both the runner
    /// and the store work.
    pub beat: Option<Duration>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped<R> {
    /// Every watch has ended.
    Idle,
    /// `tell` asked to stop.
    BrokenOff,
    /// `stop` is ready.
    Asked(R),
}

/// The events to report once a pass is saved.
type Told = Vec<(If, Event)>;

/// When an event is reported.
#[derive(Debug, Clone, Copy)]
enum If {
    /// If the record with this number was kept.
    Kept(usize),
    /// If what has this number was news to the store.
    News(usize),
    /// Always.
    Saved,
}

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
    /// The results of polls since the last pass began.
    records: Vec<Record>,
    news: Vec<AccountNews>,
    told: Told,
    /// The pass that the store is saving.
    passing: Option<Passing>,
    /// When the last pass was saved.
    passed_at: Moment,
    /// When the accounts were last shown.
    shown_at: Moment,
    /// Whether claiming has stopped.
    closing: bool,
}

impl<S: Queue, P: Poller + Clone, W: Obligations> Runner<S, P, W> {
    /// A runner over `store` that polls with `accounts` and draws jitter from `rng`.
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
            news: Vec::new(),
            told: Vec::new(),
            passing: None,
            passed_at: Moment::default(),
            shown_at: Moment::default(),
            closing: false,
        }
    }

    /// Continues with another plan and other accounts. An account whose name stays keeps its state. Polls under way end as
    /// they began. The claims of an account that is removed are given back.
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

    /// The store was changed by others: a watch may be due now.
    pub fn look_again(&mut self) {
        let now = self.clock.now();
        self.accounts.iter_mut().for_each(|account| account.may_be_due_at(now));
    }

    /// Runs until every watch has ended (with `stop_when_idle`), until `stop` is ready, or until `tell`, which is called
    /// with every event, breaks. It may be dropped at any await, and called again.
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

    /// Stops claiming, lets polls under way end within `grace`, and saves their results. Rows whose polls do not end in
    /// time stay claimed until the store is opened again.
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

    /// Whether nothing is under way or unsaved, and no watch is left, unless claiming has stopped.
    fn is_idle(&self) -> bool {
        let has_none =
            |state: &AccountState<P>| state.ready.is_empty() && (self.closing || state.due_at.is_none());
        let is_kept = self.records.is_empty() && self.passing.is_none();
        is_kept && self.under_way.is_empty() && self.accounts.iter().all(has_none)
    }
}

/// The account of this name, without borrowing the rest of the runner.
fn named<'a, P>(accounts: &'a mut [AccountState<P>], name: &str) -> Option<&'a mut AccountState<P>> {
    accounts.iter_mut().find(|state| *state.account.name == *name)
}

/// Waits until the store has saved its pass; for ever if there is none.
async fn passed(passing: &mut Option<Passing>) -> Result<(Passed, Told), StoreError> {
    let Some(pass) = passing else { return std::future::pending().await };
    let passed = pass.await;
    *passing = None;
    passed
}

#[cfg(test)]
pub(crate) mod tests;
