//! The catalogue: adds, lists, shows, removes, counts and prunes watches.

use uuid::Uuid;

use super::{DeliveryFilter, ListedDelivery, Redelivery, Reply};
use crate::moment::Moment;
use crate::watch::{NewWatch, Watch};

/// What the API, the settings and housekeeping need of a store.
pub trait Catalogue {
    /// Adds a watch that is due at once, unless the account already has a watch on this export, ended or not, or the quota
    /// is exceeded.
    fn add(&self, new: NewWatch, id: Uuid, quota: Quota, now: Moment) -> Reply<Added>;

    /// Makes this list the watches of the settings, in one transaction: adds missing watches under these ids, removes those
    /// that are no longer listed and have not ended, and keeps the rest.
    fn reconcile(&self, listed: Vec<(Uuid, NewWatch)>, now: Moment) -> Reply<Reconciled>;

    /// Lists watches in the order in which they were added, without their deliveries. `None` if the watch in
    /// [`Filter::after`] does not exist.
    fn list(&self, filter: Filter) -> Reply<Option<Listing>>;

    /// Shows a watch with its deliveries.
    fn look(&self, id: Uuid) -> Reply<Option<Listed>>;

    /// Removes a watch. Returns whether it existed. Its pending deliveries stay.
    fn remove(&self, id: Uuid) -> Reply<bool>;

    /// Lists deliveries in the order in which they were queued, and says whether there are more. `None` if the delivery in
    /// [`DeliveryFilter::after`] does not exist.
    fn deliveries(&self, filter: DeliveryFilter) -> Reply<Option<(Vec<ListedDelivery>, bool)>>;

    /// Makes a settled delivery pending again, under its id, if its endpoint is one of `known`. It is owed since `now`, and its
    /// attempts go on counting. `None` if it does not exist, or is not about `watch`, if there is one.
    fn redeliver(
        &self,
        watch: Option<Uuid>,
        delivery: String,
        known: Vec<String>,
        now: Moment,
    ) -> Reply<Option<Redelivery>>;

    /// Counts all rows. This is cheap.
    fn count(&self) -> Reply<Counts>;

    /// The accounts with watches that have not ended, and how many watches that are.
    fn active_accounts(&self) -> Reply<Vec<(String, u64)>>;

    /// The endpoints with pending deliveries.
    fn backlog(&self) -> Reply<Vec<Backlog>>;

    /// Removes watches that ended before `before`, with their settled deliveries, and returns how many. Watches that the
    /// settings list stay: otherwise they would be followed again. Works in small transactions, so that other calls need not
    /// wait.
    fn prune(&self, before: Moment) -> Reply<usize>;
}

/// What an endpoint is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The endpoint's name.
    pub endpoint: String,
    /// How many deliveries are pending.
    pub pending: u64,
    /// Since when the oldest one is owed.
    pub oldest: Moment,
}

/// How much clients of the API may store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// The most watches, ended or not. `None` means no limit.
    pub watches: Option<u64>,
    /// The most bytes of the labels of all watches together. `None` means no limit.
    pub labels: Option<u64>,
}

/// Which quota is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// There are as many watches as allowed: this many.
    Watches(u64),
    /// The labels would have more than this many bytes.
    Labels(u64),
}

/// Whether a watch was added.
#[derive(Debug, Clone)]
pub enum Added {
    /// It was added.
    New(Box<Watch>),
    /// The account already has this watch on the export.
    Existing(Uuid),
    /// It was not added: a quota is exceeded.
    NoRoom(NoRoom),
}

/// What a new list of watches in the settings changed.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// Watches that were added.
    pub added: Vec<Watch>,
    /// Watches that were removed, because they are no longer listed.
    pub removed: Vec<Watch>,
}

/// Which watches to list. The default is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Only those that have ended, or only those that have not.
    pub ended: Option<bool>,
    /// Only those after this one, in the order in which they were added.
    pub after: Option<Uuid>,
    /// The most watches.
    pub limit: usize,
    /// Stop after this many bytes, but not before the first watch.
    pub bytes: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { ended: None, after: None, limit: usize::MAX, bytes: usize::MAX }
    }
}

/// A list of watches.
#[derive(Debug)]
pub struct Listing {
    /// The watches.
    pub watches: Vec<Listed>,
    /// Whether there are more.
    pub has_more: bool,
}

/// A watch with what the store knows of it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The watch.
    pub watch: Watch,
    /// When it is due, if it has not ended.
    pub due_at: Option<Moment>,
    /// How it ended, and the document of the end: JSON.
    pub end: Option<(String, Moment, String)>,
    /// Its notifications. Empty in a [`Listing`].
    pub deliveries: Vec<ListedDelivery>,
}

/// The numbers of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Watches that have not ended.
    pub active: u64,
    /// Watches that have ended.
    pub ended: u64,
    /// Deliveries that are pending.
    pub pending: u64,
    /// Deliveries that were given up.
    pub undeliverable: u64,
}
