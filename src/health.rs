//! The daemon's health: when its runner made its last pass, and which credentials are refused. The daemon writes it, the
//! server reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::moment::Moment;

/// The daemon's health.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passed_at: Option<Moment>,
    stopping: bool,
    refused: BTreeMap<Arc<str>, Moment>,
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
    }

    /// The credential of an account was refused.
    pub fn refuse(&self, account: &Arc<str>, now: Moment) {
        self.state().refused.entry(Arc::clone(account)).or_insert(now);
    }

    /// The credential of an account works, or the account is gone.
    pub fn accept(&self, account: &str) {
        self.state().refused.remove(account);
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
