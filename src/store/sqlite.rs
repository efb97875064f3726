//! Watches and deliveries in an `SQLite` file: what a daemon remembers.
//!
//! One [`keeper`] has the file, and works in a thread of its own ([`thread`]); what it is asked to do is in [`watches`] (taking on, showing, forgetting),
//! [`queue`] (passes of the runner) and [`outbox`] (deliveries). What was acknowledged survives the end of the process
//! and of the machine; only a due time may be taken back by a power cut, and then a watch is polled once more.

mod file;
mod keeper;
mod outbox;
mod queue;
mod rows;
mod schema;
mod state;
mod thread;
mod trouble;
mod watches;

use std::path::{Path, PathBuf};

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
    Added, ClaimedDelivery, Counts, DeliveryRecord, Filter, GivenUp, Listed, NewDelivery, NewWatch, Outbox,
    Pass, Passed, Quota, Reconciled, Store, StoreError,
};
use crate::moment::Moment;
use crate::text::Text;

/// A store that cannot be opened. The message names what to do.
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
    /// Its directory is not there or cannot be written to, or the like.
    #[error("failed to open the store {}: {why}; {cure}", Text::of_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: Text,
        /// What to do.
        cure: &'static str,
    },
    /// It does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many rows are forgotten in one go, so that pruning keeps nobody waiting.
const PRUNED_AT_ONCE: u16 = 256;

/// A handle to what has the file; clones share it. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct SqliteStore<K = Thread> {
    keeper: K,
}

impl SqliteStore {
    /// Opens the file at `path`, creates it if it is not there, and migrates it if an older release wrote it. Nothing is
    /// claimed then. Its directory is created too, but not the one above that.
    ///
    /// # Errors
    ///
    /// When it is in use, of a newer release, damaged, or out of reach.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::over(Thread::open(path).await?))
    }

    /// Whether the file at `path` could be opened or made; nothing is left of the attempt.
    ///
    /// # Errors
    ///
    /// When it could not be, for the same reasons as in [`SqliteStore::open`]; but that a daemon has it is no error.
    pub fn check(path: &Path) -> Result<Checked, OpenError> {
        file::check(path, schema::MIGRATIONS)
    }

    /// Waits until any caller's write has failed, and says why. Nothing can be asked of the store from then on; to
    /// close it is to write to the file what was kept before, and has to follow.
    pub async fn failure(&self) -> StoreError {
        self.keeper.failure().await
    }

    /// Writes everything out and gives the file free. Calls on other handles fail then: the store is closed.
    ///
    /// # Errors
    ///
    /// When what is in the log cannot be written to the file; nothing is lost then, since the log stays.
    pub async fn close(self) -> Result<(), StoreError> {
        self.keeper.close().await
    }
}

impl<K: Keeping> SqliteStore<K> {
    /// A store whose keeper is reached so.
    pub(crate) const fn over(keeper: K) -> Self {
        Self { keeper }
    }

    /// One transaction of the keeper.
    async fn write<T: Send + 'static>(
        &self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.keeper.call(move |keeper| keeper.write(safety, work)).await
    }

    /// The same, of one that changes nothing in the file.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.keeper.call(move |keeper| keeper.read(work)).await
    }

    /// The latest moment that is written in it; a clock must start no earlier.
    ///
    /// # Errors
    ///
    /// When the store does not work any more.
    pub async fn last_moment(&self) -> Result<Option<Moment>, StoreError> {
        self.read(|_, state| Ok(state.last)).await
    }

    /// Notes that the daemon is alive at `now`.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn beat(&self, now: Moment) -> Result<(), StoreError> {
        self.write(Safety::Process, move |conn, state| state.note(conn, now)).await
    }

    /// Takes on a watch that is due at once, unless its account has one on the same export already, ended or not.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn add(&self, new: NewWatch, id: Uuid, now: Moment) -> Result<Added, StoreError> {
        self.add_within(Quota::default(), new, id, now).await
    }

    /// The same, if there is room for it within a quota.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn add_within(
        &self,
        quota: Quota,
        new: NewWatch,
        id: Uuid,
        now: Moment,
    ) -> Result<Added, StoreError> {
        self.write(Safety::PowerCut, move |conn, state| watches::add(conn, state, new, id, quota, now)).await
    }

    /// Makes the watches of [`Origin::Settings`](super::Origin::Settings) those of this list: takes on what is not
    /// there, gives up what is no longer listed and has not ended, leaves the rest alone. `id` makes ids.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it; then nothing of it is kept.
    pub async fn reconcile(
        &self,
        listed: Vec<NewWatch>,
        id: impl FnMut() -> Uuid + Send + 'static,
        now: Moment,
    ) -> Result<Reconciled, StoreError> {
        self.write(Safety::PowerCut, move |conn, state| watches::reconcile(conn, state, listed, id, now))
            .await
    }

    /// The accounts that have watches that have not ended, and how many.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn active_accounts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(|conn, _| watches::active_accounts(conn)).await
    }

    /// A watch with its deliveries.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn watch(&self, id: Uuid) -> Result<Option<Listed>, StoreError> {
        self.read(move |conn, _| watches::watch(conn, id)).await
    }

    /// Watches in the order in which they were taken on, without their deliveries. Nothing if the one to begin after
    /// is not there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<Option<Vec<Listed>>, StoreError> {
        Ok(self.page(filter, usize::MAX).await?.map(|(listed, _)| listed))
    }

    /// The same, as many as have so many bytes in the store, and at least one if there is one; and whether there are more.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn page(
        &self,
        filter: Filter,
        bytes: usize,
    ) -> Result<Option<(Vec<Listed>, bool)>, StoreError> {
        self.read(move |conn, _| watches::list(conn, filter, bytes)).await
    }

    /// Forgets a watch, and says whether there was one. What is owed for it stays owed.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn remove(&self, id: Uuid) -> Result<bool, StoreError> {
        self.write(Safety::PowerCut, move |conn, state| watches::remove(conn, state, id)).await
    }

    /// How many rows there are; kept up to date, not counted each time.
    ///
    /// # Errors
    ///
    /// When the store does not work any more.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|_, state| Ok(state.counts)).await
    }

    /// Forgets watches that ended before `before`, with their settled deliveries, and says how many. Those that the
    /// settings list stay, lest they be followed anew. It goes on in small steps, between which others are served.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn prune(&self, before: Moment) -> Result<u64, StoreError> {
        let mut pruned = 0;
        loop {
            let limit = i64::from(PRUNED_AT_ONCE);
            let step = self.write(Safety::Process, move |conn, state| {
                let watches = watches::prune(conn, state, before, limit)?;
                Ok((watches, outbox::prune(conn, state, before, limit)?))
            });
            let (watches, deliveries) = step.await?;
            pruned += watches;
            if watches < u64::from(PRUNED_AT_ONCE) && deliveries < usize::from(PRUNED_AT_ONCE) {
                return Ok(pruned);
            }
        }
    }

    /// Owes a delivery that tells of no watch. One with the same id is owed, or settled, already.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn owe(&self, delivery: NewDelivery) -> Result<(), StoreError> {
        self.write(Safety::PowerCut, move |conn, state| {
            state.note(conn, delivery.at)?;
            outbox::owe(conn, state, &delivery, None)
        })
        .await
    }

    /// The endpoints to which deliveries are owed.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn owed_endpoints(&self) -> Result<Vec<String>, StoreError> {
        self.read(|conn, _| outbox::owed_endpoints(conn)).await
    }

    /// Gives up the deliveries that are owed to `endpoint` since before `owed_before`, but for those that are under way.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it.
    pub async fn give_up(
        &self,
        endpoint: String,
        owed_before: Moment,
        problem: Text,
        now: Moment,
    ) -> Result<Vec<GivenUp>, StoreError> {
        self.write(Safety::Process, move |conn, state| {
            outbox::give_up(conn, state, &endpoint, owed_before, &problem, now)
        })
        .await
    }
}

impl<K: Keeping> Outbox for SqliteStore<K> {
    async fn claim_deliveries(
        &self,
        endpoint: String,
        room: usize,
        now: Moment,
    ) -> Result<(Vec<ClaimedDelivery>, Option<Moment>), StoreError> {
        self.read(move |conn, state| outbox::claim(conn, state, &endpoint, room, now)).await
    }

    async fn record_deliveries(&self, records: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        self.write(Safety::Process, move |conn, state| outbox::record(conn, state, &records)).await
    }
}

impl<K: Keeping> Store for SqliteStore<K> {
    async fn pass(&self, pass: Pass) -> Result<Passed, StoreError> {
        self.keeper
            .call(move |keeper| {
                if queue::writes(&pass, keeper.last()) {
                    return keeper.write(queue::safety(&pass), |conn, state| queue::pass(conn, state, pass));
                }
                keeper.read(|conn, state| queue::pass(conn, state, pass))
            })
            .await
    }
}

#[cfg(test)]
mod tests;
