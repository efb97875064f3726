//! The catalogue: watches are added, listed, looked at, removed, counted and pruned.

use uuid::Uuid;

use super::{ListedDelivery, Reply};
use crate::moment::Moment;
use crate::watch::{NewWatch, Watch};

/// What the API, the settings and housekeeping ask of a store.
pub trait Catalogue {
    /// Adds a watch that is due at once, unless its account has one on the same export, ended or not, or it exceeds the
    /// quota.
    fn add(&self, new: NewWatch, id: Uuid, quota: Quota, now: Moment) -> Reply<Added>;

    /// Makes the watches of the settings those of this list, in one transaction: adds the missing ones under
    /// these ids, gives up those that are no longer listed and have not ended, and leaves the rest alone.
    fn reconcile(&self, listed: Vec<(Uuid, NewWatch)>, now: Moment) -> Reply<Reconciled>;

    /// Watches in the order in which they were added, without their deliveries. `None` if there is no watch with the id
    /// in [`Filter::after`].
    fn list(&self, filter: Filter) -> Reply<Option<Listing>>;

    /// A watch with its deliveries.
    fn look(&self, id: Uuid) -> Reply<Option<Listed>>;

    /// Removes a watch, and says whether there was one. Deliveries that are owed for it stay owed.
    fn remove(&self, id: Uuid) -> Reply<bool>;

    /// How many rows there are. This is cheap.
    fn count(&self) -> Reply<Counts>;

    /// The accounts with watches that have not ended, and how many each has.
    fn active_accounts(&self) -> Reply<Vec<(String, u64)>>;

    /// Removes watches that ended before `before`, with their settled deliveries, and says how many. Those that the
    /// settings list stay, or they would be followed anew. It works in small steps, so that nobody waits for it.
    fn prune(&self, before: Moment) -> Reply<usize>;
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

/// What a new list of watches in the settings came to.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// Taken on.
    pub added: Vec<Watch>,
    /// No longer in the settings, and given up.
    pub removed: Vec<Watch>,
}

/// Which watches are listed; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Only those that have ended, or only those that have not.
    pub ended: Option<bool>,
    /// Only those after this one, in the order in which they were added.
    pub after: Option<Uuid>,
    /// How many at most.
    pub limit: usize,
    /// How many bytes they may have in the store, but for the last one.
    pub bytes: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { ended: None, after: None, limit: usize::MAX, bytes: usize::MAX }
    }
}

/// Watches that were listed.
#[derive(Debug)]
pub struct Listing {
    /// The watches.
    pub watches: Vec<Listed>,
    /// Whether there are more.
    pub has_more: bool,
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
