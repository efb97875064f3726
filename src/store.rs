//! Where watches are kept: the row is the machine, the table is the queue.
//!
//! A watch is a row with a due time. A claimed row is hidden until it was polled, and then saved with its new due time or
//! its end; an end and the notifications that it owes are one transaction. A crash needs no recovery: what was claimed
//! is due again when the store is opened.
//!
//! A store is three contracts, and callers take the one that they need: [`Queue`] hands out watches that are due,
//! [`Catalogue`] adds, shows and removes watches, [`Outbox`] hands out notifications that are due. [`open`] decides which
//! database is behind them. [`MemoryStore`] is a queue for one command.

mod catalogue;
mod memory;
mod outbox;
mod queue;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use self::catalogue::{Added, Catalogue, Counts, Filter, Listed, Listing, NoRoom, Quota, Reconciled};
pub use self::memory::MemoryStore;
pub use self::outbox::{
    ClaimedDelivery, DeliveryRecord, DeliveryState, GivenUp, ListedDelivery, NewDelivery, NextDelivery,
    Outbox,
};
pub use self::queue::{Claimed, Ended, Next, Pass, Passed, Queue, Record, Wish};
pub(crate) use self::sqlite::SqliteStore;
pub use self::sqlite::{Checked, OpenError};
#[cfg(test)]
pub(crate) use self::sqlite::{Keeper, Keeping};

use crate::moment::Moment;
use crate::text::Text;

/// What a store answers, or why it cannot. After an error nothing of what was asked is kept.
pub type Reply<T> = BoxFuture<'static, Result<T, StoreError>>;

/// A store that outlives the process.
pub trait Store: Queue + Catalogue + Outbox + Send + Sync {
    /// The latest moment that is written in it; a clock must start no earlier.
    fn last_moment(&self) -> Reply<Option<Moment>>;

    /// Notes that the daemon is alive at `now`.
    fn beat(&self, now: Moment) -> Reply<()>;

    /// Waits until a write has failed, whoever asked for it, and says why. Then nothing can be asked of the store any
    /// more but to close it.
    fn failure(&self) -> BoxFuture<'static, StoreError>;

    /// Writes everything out and lets others open it. Later calls fail.
    fn close(&self) -> Reply<()>;
}

/// Opens the store at `path`. A file is created if it is missing, migrated if an older release wrote it, and locked.
///
/// # Errors
///
/// When it is in use, of a newer release, damaged, or out of reach.
pub async fn open(path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::open(path).await?))
}

/// Whether the store at `path` could be opened. Nothing is left of the attempt.
///
/// # Errors
///
/// As [`open`], but that a daemon has it is not an error.
pub fn check(path: &Path) -> Result<Checked, OpenError> {
    SqliteStore::check(path)
}

/// The key with which a claimed row is given back. It no longer holds once the row is gone or was claimed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The row.
    pub row: i64,
    /// How often the row had been claimed.
    pub fence: i64,
}

/// A store that no longer works. The message names what to do.
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
