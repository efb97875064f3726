//! The daemon's health: when its runner made its last pass, which credentials are refused, and how each account stands. The
//! daemon writes it, the server reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::moment::Moment;
use crate::watch::observation::Problem;

/// The daemon's health.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    /// Counts what a person who looks at the daemon would want to see.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    passed_at: Option<Moment>,
    stopping: bool,
    refused: BTreeMap<Arc<str>, Moment>,
    accounts: BTreeMap<Arc<str>, Standing>,
}

/// How an account stands, as its runner sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why its polls pause, if they do.
    pub paused: Option<Paused>,
    /// Whether Snyk has answered a poll of it well since the daemon started.
    pub has_answered: bool,
    /// Since when no poll was answered, and why the last one failed; `None` if the last one was answered.
    pub unanswered: Option<(Moment, Problem)>,
    /// How many requests it may send at once now, if it has a budget.
    pub left: Option<usize>,
    /// How many requests a minute its budget allows.
    pub per_minute: Option<u32>,
    /// How many polls are under way.
    pub under_way: usize,
}

/// A pause of an account's polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Whether a 429 is the reason. Otherwise it is the credential.
    pub throttled: bool,
    /// Since when.
    pub since: Moment,
    /// Until when no poll begins.
    pub until: Moment,
    /// What Snyk answered.
    pub problem: Problem,
}

/// How long the runner may go without a pass. It makes one every few seconds even if nothing is due.
pub const PASS_AT_LEAST_EVERY: Duration = Duration::from_secs(30);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runner has made a pass.
    pub fn pass(&self, now: Moment) {
        self.state().passed_at = Some(now);
    }

    /// The daemon stops.
    pub fn stop(&self) {
        self.state().stopping = true;
        self.tell_news();
    }

    /// The credential of an account was refused.
    pub fn refuse(&self, account: &Arc<str>, now: Moment) {
        self.state().refused.entry(Arc::clone(account)).or_insert(now);
    }

    /// The credential of an account works, or the account is gone.
    pub fn accept(&self, account: &str) {
        self.state().refused.remove(account);
    }

    /// How an account stands now.
    pub fn see(&self, account: &Arc<str>, standing: Standing) {
        let before = self.state().accounts.insert(Arc::clone(account), standing.clone());
        let differs = |before: Standing| {
            before.paused.is_some() != standing.paused.is_some()
                || before.has_answered != standing.has_answered
                || before.unanswered.is_some() != standing.unanswered.is_some()
        };
        if before.is_none_or(differs) {
            self.tell_news();
        }
    }

    /// Forgets the accounts that `known` does not have.
    pub fn keep_accounts(&self, known: &BTreeSet<Arc<str>>) {
        let state = &mut *self.state();
        state.refused.retain(|account, _| known.contains(account));
        state.accounts.retain(|account, _| known.contains(account));
    }

    /// How each account stands that a runner has seen.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<Arc<str>, Standing> {
        self.state().accounts.clone()
    }

    /// Since when the credential of an account is refused, if it is.
    #[must_use]
    pub fn refused_since(&self, account: &str) -> Option<Moment> {
        self.state().refused.get(account).copied()
    }

    /// Whether the daemon stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// There is something new to look at.
    pub fn tell_news(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Sees when there is something new to look at.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The accounts whose credentials are refused.
    #[must_use]
    pub fn refused(&self) -> Vec<Arc<str>> {
        self.state().refused.keys().map(Arc::clone).collect()
    }

    /// Whether the runner has made a pass recently.
    #[must_use]
    pub fn is_alive(&self, now: Moment) -> bool {
        self.state().passed_at.is_some_and(|at| now.since(at) < PASS_AT_LEAST_EVERY)
    }

    /// Why the daemon is not ready; empty if it is.
    #[must_use]
    pub fn troubles(&self, now: Moment) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.state().stopping {
            troubles.push("the daemon is stopping".to_owned());
        }
        if !self.is_alive(now) {
            troubles.push("the runner has made no pass recently".to_owned());
        }
        troubles.extend(
            self.refused().iter().map(|account| format!("the credential of account {account} is refused")),
        );
        troubles
    }
}
