//! What has the file: one connection, and what is remembered beside it. It works where it is asked to
//! ([`Keeping`]), one thing after the other.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::OpenError;
use super::file::{self, Files, Opened};
use super::schema::MIGRATIONS;
use super::state::State;
use super::trouble::Fault;
use crate::moment::Moment;
use crate::store::{Reply, StoreError};

/// How long to wait for another program that has the file locked while we have it open: `SQLite` counts milliseconds in an `i32`.
const FOR_EVER: Duration = Duration::from_millis(i32::MAX as u64);

/// How a keeper is reached, wherever it works.
pub(crate) trait Keeping: Clone + Send + Sync + 'static {
    /// Lets the keeper do `work`. A caller that stops waiting for the reply does not stop the work.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T>;
}

/// What has the file.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    conn: Connection,
    state: State,
    safety: Safety,
    /// Why nothing is kept any more: what was not synced when a write failed may never be, and all that comes behind it in the
    /// log would be lost with it. When the file is closed, all of the log is written to the file.
    failed: watch::Sender<Option<StoreError>>,
    files: Files,
    /// What keeps other daemons away. It goes last, when the file is closed.
    lock: File,
}

/// What a transaction survives once it is kept. All survive the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// A power cut may take it back: due times, which only means that a watch is polled, or a delivery sent, once more.
    Process,
    /// A power cut takes nothing back, neither of it nor of what was kept before it.
    PowerCut,
}

impl Keeper {
    /// Opens the file, with nothing claimed.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let Opened { path, conn, lock, files } = file::open(path, MIGRATIONS)?;
        let state = State::read(&conn).map_err(|fault| fault.of_store(&path))?;
        // The program that has it locked will let it go. Meanwhile nothing is lost, and `/readyz` says that it does not answer.
        conn.busy_timeout(FOR_EVER).map_err(|error| Fault::from(error).of_store(&path))?;
        Ok(Self {
            path,
            conn,
            state,
            safety: Safety::PowerCut,
            failed: watch::Sender::default(),
            files,
            lock,
        })
    }

    /// Writes the log back into the file, and gives the file free.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        let Self { path, conn, lock, files, .. } = self;
        if let Err(error) = files.check() {
            // The log beside the path may be another file's by now, and SQLite would remove it.
            let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Err(error);
        }
        // What is not written back now is at the next start.
        let _ = conn.busy_timeout(Duration::from_secs(1));
        let written = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        let closed = written.and(conn.close().map_err(|(_, error)| error));
        drop(lock);
        closed.map_err(|error| Fault::from(error).of_store(&path))
    }

    /// The latest moment that is written in the file.
    pub(crate) const fn last(&self) -> Option<Moment> {
        self.state.last
    }

    /// Whether a power cut takes back neither the last transaction nor any before it.
    #[cfg(test)]
    pub(crate) fn survives_power_cuts(&self) -> bool {
        self.safety == Safety::PowerCut
    }

    /// How many watches and how many deliveries are claimed.
    #[cfg(test)]
    pub(crate) fn claims(&self) -> (usize, usize) {
        (self.state.watches.count(), self.state.deliveries.count())
    }

    /// One transaction: all of it is kept when this returns, or none of it is, here and in memory.
    pub(super) fn write<T>(
        &mut self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check()?;
        let set = self.set(safety);
        let done = set.and_then(|()| self.transact(TransactionBehavior::Immediate, work));
        // After the write: what was removed before it ended is not acknowledged. An error may come of it, too.
        let done = self.files.check().and(done.map_err(|fault| fault.of_store(&self.path)));
        if let Err(error) = &done {
            self.failed.send_replace(Some(error.clone()));
        }
        done
    }

    /// The same, of one that changes nothing in the file.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check()?;
        self.transact(TransactionBehavior::Deferred, work).map_err(|fault| fault.of_store(&self.path))
    }

    /// Receives why nothing is kept any more, once a write has failed.
    pub(super) fn failed(&self) -> watch::Receiver<Option<StoreError>> {
        self.failed.subscribe()
    }

    /// Calls after a failed write fail with its reason.
    fn check(&self) -> Result<(), StoreError> {
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    fn transact<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut state = self.state.clone();
        let tx = self.conn.transaction_with_behavior(behavior)?;
        let done = work(&tx, &mut state)?;
        tx.commit()?;
        self.state = state;
        Ok(done)
    }

    /// The log is written through to the disk after each transaction, or when it is written back.
    fn set(&mut self, safety: Safety) -> Result<(), Fault> {
        if self.safety != safety {
            let word = match safety {
                Safety::Process => "normal",
                Safety::PowerCut => "full",
            };
            self.conn.pragma_update(None, "synchronous", word)?;
            self.safety = safety;
        }
        Ok(())
    }
}
