//! Where watches are kept: the row is the machine, the table is the queue.
//!
//! A watch is a row with a due time. A claimed row is hidden until its poll is recorded, with a new due time or with its
//! end. An end and the notifications for it are written in one transaction. A crash needs no recovery: rows that were
//! claimed are due again when the store is opened.
//!
//! A store is three contracts, and callers take the one that they need: [`Queue`] hands out due watches, [`Catalogue`]
//! adds, lists and removes watches, [`Outbox`] hands out due notifications. [`open`] decides which database is behind them. [`MemoryStore`] is a queue for one command.

mod catalogue;
mod memory;
mod outbox;
mod queue;
mod sqlite;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use self::catalogue::{
    ActiveAccount, Added, Backlog, Catalogue, Counts, Filter, Listed, Listing, NoRoom, Quota, Reconciled,
    Wanted,
};
pub use self::memory::MemoryStore;
pub use self::outbox::{
    ClaimedDelivery, DeliveryFilter, DeliveryRecord, DeliveryState, EndpointPace, GivenUp, IN_TURN,
    ListedDelivery, NewDelivery, NextDelivery, Outbox, Redelivery, Turn,
};
pub use self::queue::{AccountNews, Claimed, Ended, Next, Pass, Passed, Queue, Record, Wish};
pub(crate) use self::sqlite::SqliteStore;
pub use self::sqlite::{Checked, OpenError};
#[cfg(test)]
pub(crate) use self::sqlite::{Keeper, Keeping};

use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::text::Text;

/// The future result of a call. After an error the call has changed nothing.
pub type Reply<T> = BoxFuture<'static, Result<T, StoreError>>;

/// A store that outlives the process.
pub trait Store: Queue + Catalogue + Outbox + Send + Sync {
    /// The latest moment that was recorded. A clock must not start earlier.
    fn last_moment(&self) -> Reply<Option<Moment>>;

    /// Records that the daemon is alive at `now`.
    fn beat(&self, now: Moment) -> Reply<()>;

    /// From now on, keeps the exit code of each end, and of each delivery that is given up, until a run has reported it.
    fn keep_codes(&self) -> Reply<()>;

    /// The exit codes that no run has reported yet.
    fn kept_codes(&self) -> Reply<BTreeSet<ExitCode>>;

    /// A run reports these codes.
    fn forget_codes(&self, reported: BTreeSet<ExitCode>) -> Reply<()>;

    /// Waits until any write has failed, and returns its error. After that every call fails except [`Store::close`].
    fn failure(&self) -> BoxFuture<'static, StoreError>;

    /// Writes everything out, so that another process can open the store. Later calls fail.
    fn close(&self) -> Reply<()>;
}

/// Opens the store at `path`. A file is created if it is missing, migrated if an older release wrote it, and locked.
///
/// # Errors
///
/// If it is in use, damaged, out of reach, or of a newer release.
pub async fn open(path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::open(path).await?))
}

/// Checks whether the store at `path` could be opened. Leaves no trace.
///
/// # Errors
///
/// Those of [`open`], except that a store in use is not an error.
pub fn check(path: &Path) -> Result<Checked, OpenError> {
    SqliteStore::check(path)
}

/// Identifies a claim. It ends when the row is given back or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The row.
    pub row: i64,
    /// Tells claims on the same row apart.
    pub fence: i64,
}

/// Why a store no longer works. The message says what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no room left: the disk is full, or a file has reached the limit on its size. `SQLite` does not tell which.
    #[error(
        "the store {0} cannot grow: the disk is full, or no file may get larger (ulimit -f); make room and start again, \
         nothing that was kept is lost"
    )]
    Full(String),
    /// The file cannot be written to.
    #[error(
        "the store {0} cannot be written to: {1}; give this user write access to it and to its directory"
    )]
    ReadOnly(String, Text),
    /// The file is damaged.
    #[error(
        "the store {0} is damaged ({1}); put a backup in its place, or move it away to begin with an empty one"
    )]
    Corrupt(String, Text),
    /// Anything else.
    #[error("the store {0} failed: {1}")]
    Failed(String, Text),
}

#[cfg(test)]
mod tests;
