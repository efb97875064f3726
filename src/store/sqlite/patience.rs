//! What happens while another program locks the file: the store waits, and says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::clock::Clock;
use crate::text::Text;

/// How long a start waits for another program, before it gives up.
pub(super) const START: Duration = Duration::from_secs(60);

/// How long the file may be locked before a log line says so.
const SAID_AFTER: Duration = Duration::from_secs(2);

/// The pause between two attempts to lock the file.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a connection waits while another program locks its file. Clones share this.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// The name of the file.
    store: Text,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The longest time; `None` means for ever.
    limit: Option<Duration>,
    /// Runs since the file was found locked.
    waiting: Option<Clock>,
    is_said: bool,
}

impl Patience {
    /// Waits this long for the file of this name.
    pub(super) fn of(store: Text, limit: Duration) -> Self {
        let patience = Self { store, state: Arc::default() };
        patience.limit(Some(limit));
        patience
    }

    /// Makes a connection wait.
    pub(super) fn teach(&self, conn: &mut Connection) -> rusqlite::Result<()> {
        let patience = self.clone();
        conn.busy_handler(Some(move |_| patience.wait()))
    }

    /// Waits this long from now on; `None` means for ever.
    pub(super) fn limit(&self, limit: Option<Duration>) {
        self.state().limit = limit;
    }

    /// `SQLite` found the file locked. Returns whether it tries again.
    fn wait(&self) -> bool {
        let mut state = self.state();
        let waited = state.waiting.get_or_insert_with(Clock::start).elapsed();
        if waited >= SAID_AFTER && !state.is_said {
            state.is_said = true;
            tracing::warn!(store = %self.store, hint = "wait for that program, or end it", "another program keeps the store locked");
        }
        if state.limit.is_some_and(|limit| waited >= limit) {
            return false;
        }
        drop(state);
        std::thread::sleep(PAUSE);
        true
    }

    /// A call has ended: the file is not locked any more, or the call has failed.
    pub(super) fn over(&self) {
        let mut state = self.state();
        let Some(waiting) = state.waiting.take() else { return };
        if std::mem::take(&mut state.is_said) {
            let ms = u64::try_from(waiting.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(store = %self.store, store.waited_ms = ms, "the store is no longer locked");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_for_a_locked_file_no_longer_than_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Connection::open(dir.path().join("watches.db")).unwrap();
        let (other, mut own) = (open(), open());
        let patience = Patience::of(Text::new("watches.db"), Duration::from_millis(100));
        patience.teach(&mut own).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let clock = Clock::start();
        let error = own.execute_batch("BEGIN IMMEDIATE").unwrap_err();
        assert!(error.to_string().contains("database is locked"), "{error}");
        assert!(clock.elapsed() >= Duration::from_millis(100));
        patience.over();
        // Without a limit it waits until the other one is done.
        patience.limit(None);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(move || own.execute_batch("BEGIN IMMEDIATE; COMMIT"));
            while patience.state().waiting.is_none() {
                std::thread::yield_now();
            }
            other.execute_batch("COMMIT").unwrap();
            waiting.join().unwrap().unwrap();
        });
    }
}
