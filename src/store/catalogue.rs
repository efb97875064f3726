//! The catalogue: adds, lists, shows, removes, counts and prunes watches.

use uuid::Uuid;

use super::{DeliveryFilter, ListedDelivery, Redelivery, Reply};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::outcome::Outcome;
use crate::watch::{NewWatch, Watch};

/// What the API, the settings and housekeeping need of a store.
pub trait Catalogue {
    /// Adds a watch that is due at once, unless the account already has a watch on this export, ended or not, or the quota
    /// is exceeded.
    fn add(&self, new: NewWatch, id: Uuid, quota: Quota, now: Moment) -> Reply<Added>;

    /// Makes this list the watches of the settings, in one transaction: adds missing watches under these ids, removes those
    /// that are no longer listed and have not ended, and keeps the rest.
    fn reconcile(&self, listed: Vec<(Uuid, NewWatch)>, now: Moment) -> Reply<Reconciled>;

    /// Lists watches in the order in which they were added, or in the reverse order, without their deliveries. `None` if the
    /// watch in [`Filter::after`] does not exist. Every store applies [`Wanted::admits`], or what means the same.
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

    /// The accounts with watches that have not ended, by their names. This reads an index only.
    fn active_accounts(&self) -> Reply<Vec<ActiveAccount>>;

    /// The endpoints with pending deliveries.
    fn backlog(&self) -> Reply<Vec<Backlog>>;

    /// Removes watches that ended before `before`, with their settled deliveries, and returns how many. Watches that the
    /// settings list stay: otherwise they would be followed again. Works in small transactions, so that other calls need not
    /// wait.
    fn prune(&self, before: Moment) -> Reply<usize>;
}

/// The watches of an account that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveAccount {
    /// The account's name.
    pub account: String,
    /// How many watches have not ended.
    pub watches: u64,
    /// When the first of them is or was due. A watch that is being polled counts as due since its poll was.
    pub due_at: Moment,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only those that have ended, or only those that have not.
    pub ended: Option<bool>,
    /// Only those that this admits.
    pub wanted: Wanted,
    /// Whether the watch that was added last comes first.
    pub newest_first: bool,
    /// Only those after this one, in the order of the list.
    pub after: Option<Uuid>,
    /// The most watches.
    pub limit: usize,
    /// Stop after this many bytes, but not before the first watch.
    pub bytes: usize,
    /// Stop after this many watches that are admitted or not, so that a search does not keep the store busy.
    pub looks: usize,
}

impl Default for Filter {
    fn default() -> Self {
        let (ended, wanted, newest_first, after) = (None, Wanted::default(), false, None);
        let (limit, bytes, looks) = (usize::MAX, usize::MAX, usize::MAX);
        Self { ended, wanted, newest_first, after, limit, bytes, looks }
    }
}

/// What a watch must be like. The default admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// It belongs to this account.
    pub account: Option<String>,
    /// It has this label, with this value if there is one.
    pub label: Option<(String, Option<String>)>,
    /// One of its ids, its account, its status, its outcome, or a key or a value of its labels contains this, in any letter
    /// case.
    pub text: Option<String>,
    /// It has ended as `finished`, or otherwise.
    pub finished: Option<bool>,
    /// It has not ended, and its last poll failed.
    pub fails: bool,
    /// It has not ended, and was due before this.
    pub due_before: Option<Moment>,
}

impl Wanted {
    /// Whether a watch is like this.
    #[must_use]
    pub fn admits(&self, listed: &Listed) -> bool {
        let Listed { watch, due_at, end, .. } = listed;
        let has_label = |(key, value): &(String, Option<String>)| {
            watch.labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let outcome = end.as_ref().map(|(outcome, ..)| outcome.as_str());
        let is_finished =
            |finished| outcome.is_some_and(|word| (word == Outcome::Finished.as_str()) == finished);
        self.account.as_ref().is_none_or(|account| **account == *watch.account)
            && self.label.as_ref().is_none_or(has_label)
            && self.finished.is_none_or(is_finished)
            && (!self.fails || (end.is_none() && watch.progress.failure().is_some()))
            && self.due_before.is_none_or(|before| due_at.is_some_and(|due_at| due_at < before))
            && self.text.as_ref().is_none_or(|text| says(watch, outcome, &text.to_lowercase()))
    }
}

/// Whether something of a watch contains a text in small letters.
fn says(watch: &Watch, outcome: Option<&str>, text: &str) -> bool {
    let ExportRef { scope_id, export_id, .. } = &watch.export;
    let has = |said: &str| said.to_lowercase().contains(text);
    [&watch.id, scope_id, export_id].into_iter().any(|id| has(&id.to_string()))
        || has(&watch.account)
        || watch.progress.status().is_some_and(|status| has(status.as_str()))
        || outcome.is_some_and(has)
        || watch.labels.iter().any(|(key, value)| has(key) || has(value))
}

/// A list of watches.
#[derive(Debug)]
pub struct Listing {
    /// The watches.
    pub watches: Vec<Listed>,
    /// Whether there may be more. Without [`Filter::wanted`] there are.
    pub has_more: bool,
    /// The last watch that was looked at, admitted or not: the list goes on after it.
    pub last: Option<Uuid>,
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
