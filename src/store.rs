//! Where watches are kept: the row is the machine, the table is the queue.
//!
//! A watch is a row that says when it is due. Whoever claims a due row hides it under a lease, polls once, and saves it
//! with its new due time, or ends it; the end and the deliveries that it owes are one transaction (an outbox). A crash
//! needs no recovery: when the store is opened again, the row is due again.
//!
//! [`MemoryStore`] serves one command for as long as it waits, [`SqliteStore`] a daemon for months.

mod memory;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use self::memory::MemoryStore;
pub use self::sqlite::{Checked, OpenError, SqliteStore};
#[cfg(test)]
pub(crate) use self::sqlite::{Keeper, Keeping};

use crate::export::ExportRef;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::outcome::Outcome;
use crate::watch::{Labels, Watch};

/// The key under which a claimed row is given back. A row that was claimed anew since, or is gone, no longer has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The row.
    pub row: i64,
    /// How often the row had been claimed.
    pub fence: i64,
}

/// A due watch, hidden from everybody else for the time of its lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The key to give it back.
    pub claim: Claim,
    /// The watch.
    pub watch: Watch,
    /// Since when it is due.
    pub due_at: Moment,
}

/// What became of a claimed watch.
#[derive(Debug, Clone)]
pub struct Record {
    /// The key under which it was claimed.
    pub claim: Claim,
    /// The watch as it is now.
    pub watch: Arc<Watch>,
    /// What follows.
    pub next: Next,
}

/// What follows for a claimed watch.
#[derive(Debug, Clone)]
pub enum Next {
    /// It is due again.
    Due(Moment),
    /// It has ended.
    Ended(Ended),
}

/// The end of a watch, as it is kept.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Moment,
    /// The document that tells of it: JSON.
    pub document: String,
    /// The notifications that are owed for it.
    pub deliveries: Vec<NewDelivery>,
}

/// How many watches of an account are wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The account's name.
    pub account: Arc<str>,
    /// How many at most.
    pub room: usize,
    /// Only those that started at this moment or before, whenever they are due: they have no time left.
    pub started_by: Option<Moment>,
}

/// One pass of the runner: what polls have come to, and what it could poll now.
#[derive(Debug)]
pub struct Pass {
    /// The time.
    pub now: Moment,
    /// How long claimed rows stay hidden.
    pub lease: Duration,
    /// What became of rows that were claimed before.
    pub records: Vec<Record>,
    /// Deliveries that are owed and tell of no watch.
    pub owed: Vec<NewDelivery>,
    /// What is wanted, account by account.
    pub wishes: Vec<Wish>,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// For each record, in their order, whether it was kept: one whose row is gone or was claimed anew is not.
    pub kept: Vec<bool>,
    /// What was claimed, by account in the order of the wishes, the longest due first.
    pub claimed: Vec<Claimed>,
    /// For each account that got less than it wished for, when its next watch is due, or is no longer
    /// hidden; nothing if it has none.
    pub next_due: BTreeMap<Arc<str>, Option<Moment>>,
}

/// What the runner asks of a store.
pub trait Store {
    /// Takes in what polls have come to, and claims due watches: one transaction, kept when this returns.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it; then nothing of it is kept.
    fn pass(&self, pass: Pass) -> impl Future<Output = Result<Passed, StoreError>>;
}

/// What a courier asks of a store: what is owed to an endpoint, and what becomes of it.
pub trait Outbox {
    /// Claims up to `room` due deliveries to `endpoint`, and says when the next one is due that was not claimed, or
    /// free again if it was claimed before.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn claim_deliveries(
        &self,
        endpoint: String,
        room: usize,
        lease: Duration,
        now: Moment,
    ) -> impl Future<Output = Result<(Vec<ClaimedDelivery>, Option<Moment>), StoreError>>;

    /// Keeps what became of claimed deliveries, but for those that were claimed anew since.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it; then nothing of it is kept.
    fn record_deliveries(&self, records: Vec<DeliveryRecord>)
    -> impl Future<Output = Result<(), StoreError>>;
}

/// A store that no longer works. The message names what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no room for what must be kept: on the disk, or below the limit on the size of files, which `SQLite` does
    /// not tell apart.
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

/// Who asked for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The API. It goes when it is pruned or deleted.
    Api,
    /// The settings file. It is cancelled when it is no longer there.
    Settings,
}

/// A watch to take on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWatch {
    /// The account that asks.
    pub account: Arc<str>,
    /// The export to follow.
    pub export: ExportRef,
    /// What its owner notes on it.
    pub labels: Labels,
}

/// A watch as it is shown.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The watch.
    pub watch: Watch,
    /// When it is due, if it has not ended.
    pub due_at: Option<Moment>,
    /// How it ended, and the document of the end: JSON.
    pub end: Option<(String, Moment, String)>,
    /// Its notifications. Empty where it is one of many.
    pub deliveries: Vec<ListedDelivery>,
}

/// A delivery as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// Its stable id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, if it is pending.
    pub due_at: Option<Moment>,
    /// Why the last attempt failed.
    pub problem: Option<Text>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// It is owed.
    Pending,
    /// The endpoint has it.
    Sent,
    /// It was given up.
    Undeliverable,
}

impl DeliveryState {
    /// One of each.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Sent, Self::Undeliverable];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// Whether a watch was taken on.
#[derive(Debug, Clone)]
pub enum Added {
    /// It was.
    New(Box<Watch>),
    /// The account follows, or followed, that export already.
    Existing(Uuid),
    /// It was not: there is no room for it.
    NoRoom(NoRoom),
}

/// How much is kept for the clients of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many watches, ended or not; any number where it is not said.
    pub watches: Option<u64>,
    /// How many bytes the labels of all watches may have together.
    pub labels: Option<u64>,
}

/// What there is no more room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// As many watches as these may be kept, and are.
    Watches(u64),
    /// The labels of all watches would have more bytes than this.
    Labels(u64),
}

/// What a new list of watches in the settings came to.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// Taken on.
    pub added: Vec<Watch>,
    /// No longer in the settings, and given up.
    pub removed: Vec<Watch>,
}

/// Which watches are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that have ended, or only those that have not.
    pub ended: Option<bool>,
    /// Only those after this one, in the order in which they were taken on.
    pub after: Option<Uuid>,
    /// How many at most.
    pub limit: usize,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Watches that have not ended.
    pub active: u64,
    /// Watches that have ended.
    pub ended: u64,
    /// Deliveries that are owed.
    pub pending: u64,
    /// Deliveries that were given up.
    pub undeliverable: u64,
}

/// A notification that is owed to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its stable id, the same in each attempt.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// What is told: a `CloudEvents` document, JSON.
    pub event: String,
    /// Since when it is owed.
    pub at: Moment,
}

/// A delivery that is due, hidden under a lease.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The key to give it back.
    pub claim: Claim,
    /// What is owed.
    pub delivery: NewDelivery,
    /// The watch that it tells of; none where it tells of an account.
    pub watch: Option<Uuid>,
    /// How often it was tried.
    pub attempts: u32,
    /// Where its pace stands.
    pub pace: crate::watch::pace::Position,
}

/// A delivery that was given up without another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its stable id.
    pub id: String,
    /// The watch that it tells of; none where it tells of an account.
    pub watch: Option<Uuid>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What became of a claimed delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// The key under which it was claimed.
    pub claim: Claim,
    /// When the attempt ended.
    pub at: Moment,
    /// What follows.
    pub next: NextDelivery,
}

/// What follows for a claimed delivery.
#[derive(Debug, Clone)]
pub enum NextDelivery {
    /// The endpoint has it.
    Sent,
    /// It is tried again.
    Due {
        /// When.
        at: Moment,
        /// Where its pace stands.
        pace: crate::watch::pace::Position,
        /// Why the attempt failed.
        problem: Text,
    },
    /// It is given up.
    Undeliverable {
        /// Why the last attempt failed.
        problem: Text,
    },
}
