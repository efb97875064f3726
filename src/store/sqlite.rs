//! Watches and deliveries in an `SQLite` file: what a daemon remembers.
//!
//! One [`keeper`] owns the file and works in its own [`thread`]. Each contract has a file: [`queue`], [`watches`] (the
//! catalogue), [`outbox`] and [`deliveries`] (what the API shows of it). What was acknowledged survives the end of the process, and a power cut, except due times: then
//! a watch is polled once more.

mod codes;
mod deliveries;
mod file;
mod keeper;
mod outbox;
mod patience;
mod queue;
mod rows;
mod schema;
mod state;
mod thread;
mod trouble;
mod watches;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use rusqlite::Connection;
use uuid::Uuid;

pub use self::file::Checked;
#[cfg(test)]
pub(crate) use self::keeper::Keeper;
pub(crate) use self::keeper::Keeping;

use self::keeper::Safety;
use self::state::State;
use self::thread::Thread;
use self::trouble::Fault;
use super::{
    ActiveAccount, Added, Backlog, Catalogue, Counts, DeliveryFilter, DeliveryRecord, Filter, GivenUp,
    Listed, ListedDelivery, Listing, Outbox, Pass, Passed, Queue, Quota, Reconciled, Redelivery, Reply,
    Store, StoreError, Turn,
};
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::NewWatch;

/// Why a store cannot be opened. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("the store {} is in use by another daemon: stop that one, or give this one a store of its own", Text::of_path(.0))]
    Locked(PathBuf),
    /// A newer release wrote it.
    #[error(
        "the store {} was written by a newer release (schema {found}; this one knows up to {known}): use that release, or a backup",
        Text::of_path(path)
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The file or its directory cannot be used.
    #[error("failed to open the store {}: {why}; {cure}", Text::of_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: Text,
        /// What to do.
        cure: &'static str,
    },
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many rows are pruned in one transaction. Other calls wait for no more than that.
const PRUNED_AT_ONCE: u16 = 256;

/// A handle to the keeper of a file. Clones share it. Its thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct SqliteStore<K = Thread> {
    keeper: K,
}

impl SqliteStore {
    /// Opens the file at `path`. Creates a missing file and its directory, but not the directory above that. Migrates a file
    /// of an older release.
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::over(Thread::open(path).await?))
    }

    /// Checks whether the file at `path` could be opened or created. Leaves no trace.
    pub(super) fn check(path: &Path) -> Result<Checked, OpenError> {
        file::check(path, schema::MIGRATIONS)
    }
}

impl<K: Keeping> SqliteStore<K> {
    /// A store over this keeper.
    pub(crate) const fn over(keeper: K) -> Self {
        Self { keeper }
    }

    /// A transaction of the keeper.
    fn write<T: Send + 'static>(
        &self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Reply<T> {
        self.keeper.call(move |keeper| keeper.write(safety, work))
    }

    /// Like `write`, but read-only.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Reply<T> {
        self.keeper.call(move |keeper| keeper.read(work))
    }
}

impl Store for SqliteStore {
    fn last_moment(&self) -> Reply<Option<Moment>> {
        self.read(|_, state| Ok(state.last))
    }

    fn beat(&self, now: Moment) -> Reply<()> {
        self.write(Safety::Process, move |conn, state| state.note(conn, now))
    }

    fn keep_codes(&self) -> Reply<()> {
        self.read(|_, state| {
            state.keeps_codes = true;
            Ok(())
        })
    }

    fn kept_codes(&self) -> Reply<BTreeSet<ExitCode>> {
        self.read(|conn, _| codes::kept(conn))
    }

    fn forget_codes(&self, reported: BTreeSet<ExitCode>) -> Reply<()> {
        self.write(Safety::PowerCut, move |conn, _| codes::forget(conn, &reported))
    }

    fn failure(&self) -> BoxFuture<'static, StoreError> {
        Box::pin(self.keeper.clone().failure())
    }

    /// If the log cannot be written back to the file, nothing is lost: the log stays.
    fn close(&self) -> Reply<()> {
        self.keeper.close()
    }
}

impl<K: Keeping> Queue for SqliteStore<K> {
    fn pass(&self, mut pass: Pass) -> Reply<Passed> {
        self.keeper.call(move |keeper| {
            // Each account proves once after a start that it works. That is rarely news, and then needs no sync.
            if !pass.news.iter().any(|news| keeper.is_news(news)) {
                pass.news.clear();
            }
            if queue::writes(&pass, keeper.last()) {
                return keeper.write(queue::safety(&pass), |conn, state| queue::pass(conn, state, pass));
            }
            keeper.read(|conn, state| queue::pass(conn, state, pass))
        })
    }
}

impl<K: Keeping> Catalogue for SqliteStore<K> {
    fn add(&self, new: NewWatch, id: Uuid, quota: Quota, now: Moment) -> Reply<Added> {
        self.write(Safety::PowerCut, move |conn, state| watches::add(conn, state, new, id, quota, now))
    }

    fn reconcile(&self, listed: Vec<(Uuid, NewWatch)>, now: Moment) -> Reply<Reconciled> {
        self.write(Safety::PowerCut, move |conn, state| watches::reconcile(conn, state, listed, now))
    }

    fn list(&self, filter: Filter) -> Reply<Option<Listing>> {
        self.read(move |conn, _| watches::list(conn, &filter))
    }

    fn look(&self, id: Uuid) -> Reply<Option<Listed>> {
        self.read(move |conn, _| watches::look(conn, id))
    }

    fn remove(&self, id: Uuid) -> Reply<bool> {
        self.write(Safety::PowerCut, move |conn, state| watches::remove(conn, state, id))
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Reply<Option<(Vec<ListedDelivery>, bool)>> {
        self.read(move |conn, _| deliveries::list(conn, &filter))
    }

    fn redeliver(
        &self,
        watch: Option<Uuid>,
        delivery: String,
        known: Vec<String>,
        now: Moment,
    ) -> Reply<Option<Redelivery>> {
        self.write(Safety::PowerCut, move |conn, state| {
            deliveries::redeliver(conn, state, watch, &delivery, &known, now)
        })
    }

    fn count(&self) -> Reply<Counts> {
        self.read(|_, state| Ok(state.counts))
    }

    fn active_accounts(&self) -> Reply<Vec<ActiveAccount>> {
        self.read(|conn, _| watches::active_accounts(conn))
    }

    fn backlog(&self) -> Reply<Vec<Backlog>> {
        self.read(|conn, _| deliveries::backlog(conn))
    }

    fn prune(&self, before: Moment) -> Reply<usize> {
        let store = self.clone();
        Box::pin(async move {
            let mut pruned = 0;
            loop {
                let step = store.write(Safety::Process, move |conn, state| {
                    let watches = watches::prune(conn, state, before, PRUNED_AT_ONCE)?;
                    Ok((watches, outbox::prune(conn, state, before, PRUNED_AT_ONCE)?))
                });
                let (watches, deliveries) = step.await?;
                pruned += watches;
                if watches.max(deliveries) < usize::from(PRUNED_AT_ONCE) {
                    return Ok(pruned);
                }
            }
        })
    }
}

impl<K: Keeping> Outbox for SqliteStore<K> {
    fn claim(&self, endpoint: String, room: usize, now: Moment, even_if_closed: bool) -> Reply<Turn> {
        self.read(move |conn, state| outbox::claim(conn, state, &endpoint, room, now, even_if_closed))
    }

    fn record(&self, records: Vec<DeliveryRecord>) -> Reply<()> {
        self.write(Safety::Process, move |conn, state| outbox::record(conn, state, &records))
    }

    fn owed_endpoints(&self) -> Reply<Vec<String>> {
        self.read(|conn, _| outbox::owed_endpoints(conn))
    }

    fn give_up(
        &self,
        endpoint: String,
        owed_before: Moment,
        problem: Text,
        now: Moment,
    ) -> Reply<Vec<GivenUp>> {
        self.write(Safety::Process, move |conn, state| {
            outbox::give_up(conn, state, &endpoint, owed_before, &problem, now)
        })
    }
}

#[cfg(test)]
mod tests;
