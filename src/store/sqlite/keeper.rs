//! The keeper: the one connection to the file, and the state beside it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::OpenError;
use super::file::{self, Files, Opened};
use super::patience::Patience;
use super::schema::MIGRATIONS;
use super::state::State;
use super::trouble::Fault;
use crate::moment::Moment;
use crate::store::{AccountNews, Reply, StoreError};

/// How a keeper is called: in its thread, or directly in the simulation.
pub(crate) trait Keeping: Clone + Send + Sync + 'static {
    /// Lets the keeper do `work`. A caller that stops waiting for the reply does not stop the work.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T>;
}

/// The owner of the file.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    conn: Connection,
    state: State,
    safety: Safety,
    /// The error of the first failed write, after which nothing more is written: unsynced pages of the log may be lost, and
    /// everything after them would be lost too. Closing the file writes the whole log back.
    failed: watch::Sender<Option<StoreError>>,
    files: Files,
    patience: Patience,
    /// Keeps other daemons away. Dropped last.
    lock: File,
}

/// What a transaction survives. Every transaction survives the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// A power cut may undo it. For due times: then a watch is polled, or a delivery sent, once more.
    Process,
    /// A power cut undoes neither it nor any transaction before it.
    PowerCut,
}

impl Keeper {
    /// Opens the file, with nothing claimed.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let Opened { path, conn, lock, files, patience } = file::open(path, MIGRATIONS)?;
        let state = State::read(&conn).map_err(|fault| fault.of_store(&path))?;
        // Another program will unlock the file. Until then nothing is lost, and `/readyz` says that the store does not answer.
        patience.limit(None);
        Ok(Self {
            path,
            conn,
            state,
            safety: Safety::PowerCut,
            failed: watch::Sender::default(),
            files,
            patience,
            lock,
        })
    }

    /// Writes the log back to the file, closes it and unlocks it.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        let Self { path, conn, lock, mut files, patience, .. } = self;
        if let Err(error) = files.check(&conn) {
            // The log at this path may belong to another file by now, and SQLite would remove it.
            let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Err(error);
        }
        // If another program locks the file, the next start writes the log back.
        patience.limit(Some(Duration::from_secs(1)));
        let written = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        let closed = written.and(conn.close().map_err(|(_, error)| error));
        drop(lock);
        closed.map_err(|error| Fault::from(error).of_store(&path))
    }

    /// The latest moment in the file.
    pub(crate) const fn last(&self) -> Option<Moment> {
        self.state.last
    }

    /// Whether endpoints have to be notified of this.
    pub(crate) fn is_news(&self, news: &AccountNews) -> bool {
        self.state.is_news(news)
    }

    /// Whether a power cut undoes neither the last transaction nor any before it.
    #[cfg(test)]
    pub(crate) fn survives_power_cuts(&self) -> bool {
        self.safety == Safety::PowerCut
    }

    /// How many watches and how many deliveries are claimed.
    #[cfg(test)]
    pub(crate) fn claims(&self) -> (usize, usize) {
        (self.state.watches.count(), self.state.deliveries.count())
    }

    /// One transaction: all of it is kept when this returns, or nothing, in the file and in memory.
    pub(super) fn write<T>(
        &mut self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check()?;
        // Before the write, because it makes a truncated file as long as it was.
        let done = self.files.check(&self.conn).and_then(|()| {
            let set = self.set(safety);
            let done = set.and_then(|()| self.transact(TransactionBehavior::Immediate, work));
            // And after it: if the file was removed before, the write must not be acknowledged.
            self.files.check(&self.conn).and(done.map_err(|fault| fault.of_store(&self.path)))
        });
        if let Err(error) = &done {
            self.failed.send_replace(Some(error.clone()));
        }
        done
    }

    /// Like `write`, but read-only.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check()?;
        self.transact(TransactionBehavior::Deferred, work).map_err(|fault| fault.of_store(&self.path))
    }

    /// Receives the error of the first failed write.
    pub(super) fn failed(&self) -> watch::Receiver<Option<StoreError>> {
        self.failed.subscribe()
    }

    /// After a failed write, every call fails with its error.
    fn check(&self) -> Result<(), StoreError> {
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    fn transact<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut state = self.state.clone();
        let tx = self.conn.transaction_with_behavior(behavior);
        self.patience.over();
        let tx = tx?;
        let done = work(&tx, &mut state)?;
        tx.commit()?;
        self.state = state;
        Ok(done)
    }

    /// Syncs the log after each transaction, or only when it is written back.
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
