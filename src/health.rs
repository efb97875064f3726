//! How the daemon is: what its runner last did, and which accounts cannot ask. Written by those who work, read by
//! those who are asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::moment::Moment;

/// How the daemon is.
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

/// How long the runner may go without a pass, which it makes every few seconds even if nothing is due.
pub const PASS_AT_LEAST_EVERY: Duration = Duration::from_secs(30);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runner has made a pass.
    pub fn pass(&self, now: Moment) {
        self.state().passed_at = Some(now);
    }

    /// The daemon takes on nothing any more.
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

    /// Whether the runner has made a pass lately.
    #[must_use]
    pub fn is_alive(&self, now: Moment) -> bool {
        self.state().passed_at.is_some_and(|at| now.since(at) < PASS_AT_LEAST_EVERY)
    }

    /// Why the daemon is not ready, as far as is known here; empty if it is.
    #[must_use]
    pub fn troubles(&self, now: Moment) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.state().stopping {
            troubles.push("the daemon is stopping".to_owned());
        }
        if !self.is_alive(now) {
            troubles.push("the runner has made no pass lately".to_owned());
        }
        troubles.extend(
            self.refused().iter().map(|account| format!("the credential of account {account} is refused")),
        );
        troubles
    }
}
