//! What every store must do: one test for each rule, and random interleavings compared with a model.
//!
//! For another store, implement [`Subject`] and [`Lasting`], and add a line at the end of this file.

mod catalogue;
mod interleavings;
mod outbox;
mod queue;

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::export::{ExportRef, Scope};
use crate::watch::outcome::Outcome;
use crate::watch::{NewWatch, Watch};

pub(super) const NOW: Moment = Moment::from_unix_ms(1_700_000_000_123);

/// A store under test that is at least a queue.
pub(super) trait Subject: Sized {
    /// An empty store.
    async fn empty() -> Self;

    fn queue(&self) -> &dyn Queue;

    /// Adds a watch that is due at `now`.
    async fn add_at(&self, new: NewWatch, now: Moment) -> Watch;

    /// All contracts, if the store has them.
    fn lasting(&mut self) -> Option<&mut impl Lasting>;

    async fn add(&self, account: &str, number: u128) -> Watch {
        self.add_at(new(account, number), NOW).await
    }

    async fn pass(&self, pass: Pass) -> Passed {
        self.queue().pass(pass).await.unwrap()
    }

    /// Claims all due watches of an account.
    async fn claim(&self, account: &str, now: Moment) -> Vec<Claimed> {
        self.pass(wishes(now, [wish(account, 1000)])).await.claimed
    }
}

/// A store under test that has all contracts.
pub(super) trait Lasting: Subject {
    fn store(&self) -> &dyn Store;

    /// Closes the store and opens it again, like the next daemon.
    async fn reopen(&mut self);

    async fn counts(&self) -> Counts {
        self.store().count().await.unwrap()
    }

    /// Ends the watches on these exports, each with these deliveries to `platform`. The others are due again.
    async fn end(&self, account: &str, numbers: &[u128], owed: impl Fn(u128) -> Vec<String>) {
        let claimed = self.claim(account, NOW).await;
        let polled = claimed.iter().map(|claimed| {
            let number = claimed.watch.export.export_id.as_u128();
            match numbers.contains(&number) {
                true => ending(claimed, NOW, owed(number)),
                false => due(claimed, NOW),
            }
        });
        self.pass(records(polled)).await;
    }
}

/// A directory for a file.
pub(super) struct Place {
    pub(super) dir: TempDir,
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/watches.db");
        Self { dir, path }
    }

    pub(super) async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path).await.unwrap()
    }

    /// Another connection, like an operator's.
    pub(super) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }
}

/// A store in a file.
pub(super) struct Sqlite {
    pub(super) place: Place,
    pub(super) store: SqliteStore,
}

impl Subject for Sqlite {
    async fn empty() -> Self {
        let place = Place::new();
        let store = place.open().await;
        Self { place, store }
    }

    fn queue(&self) -> &dyn Queue {
        &self.store
    }

    async fn add_at(&self, new: NewWatch, now: Moment) -> Watch {
        added(self.store.add(new, Uuid::now_v7(), Quota::default(), now).await.unwrap())
    }

    fn lasting(&mut self) -> Option<&mut impl Lasting> {
        Some(self)
    }
}

impl Lasting for Sqlite {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = self.place.open().await;
    }
}

impl Subject for MemoryStore {
    async fn empty() -> Self {
        Self::default()
    }

    fn queue(&self) -> &dyn Queue {
        self
    }

    async fn add_at(&self, NewWatch { account, export, labels }: NewWatch, now: Moment) -> Watch {
        let id = Uuid::now_v7();
        self.take_on(Watch { id, account, labels, ..Watch::unnamed(export, now) }, now)
            .unwrap()
            .as_ref()
            .clone()
    }

    fn lasting(&mut self) -> Option<&mut impl Lasting> {
        None::<&mut Sqlite>
    }
}

pub(super) fn added(added: Added) -> Watch {
    match added {
        Added::New(watch) => *watch,
        Added::Existing(id) => panic!("{id} is there already"),
        Added::NoRoom(no_room) => panic!("there is no room: {no_room:?}"),
    }
}

pub(super) fn export(number: u128) -> ExportRef {
    ExportRef { scope: Scope::Group, scope_id: Uuid::from_u128(7), export_id: Uuid::from_u128(number) }
}

pub(super) fn new(account: &str, number: u128) -> NewWatch {
    let labels = [("team".to_owned(), format!("team \"{number}\""))].into();
    NewWatch { account: Arc::from(account), export: export(number), labels }
}

pub(super) fn wish(account: &str, room: usize) -> Wish {
    Wish { account: Arc::from(account), room, started_by: None }
}

pub(super) fn wishes(now: Moment, wishes: impl IntoIterator<Item = Wish>) -> Pass {
    Pass { now, records: Vec::new(), news: Vec::new(), wishes: wishes.into_iter().collect() }
}

pub(super) fn records(records: impl IntoIterator<Item = Record>) -> Pass {
    Pass { records: records.into_iter().collect(), ..wishes(NOW, []) }
}

/// Owes deliveries that are not about a watch. Each call is about another account.
pub(super) fn owes(deliveries: impl IntoIterator<Item = NewDelivery>) -> Pass {
    let account: Arc<str> = Uuid::new_v4().to_string().into();
    news(&account, true, deliveries)
}

/// What was learnt about an account.
pub(super) fn news(
    account: &str,
    is_refused: bool,
    deliveries: impl IntoIterator<Item = NewDelivery>,
) -> Pass {
    let news =
        AccountNews { account: account.into(), is_refused, deliveries: deliveries.into_iter().collect() };
    Pass { news: vec![news], ..wishes(NOW, []) }
}

pub(super) fn due(claimed: &Claimed, at: Moment) -> Record {
    Record { claim: claimed.claim, watch: claimed.watch.clone().into(), next: Next::Due(at) }
}

pub(super) fn ending<T: AsRef<str>>(
    claimed: &Claimed,
    at: Moment,
    owed: impl IntoIterator<Item = T>,
) -> Record {
    let deliveries =
        owed.into_iter().map(|id| NewDelivery { at, ..delivery(id.as_ref(), "platform") }).collect();
    let ended = Ended { outcome: Outcome::Finished, at, document: "{}".to_owned(), deliveries };
    Record { claim: claimed.claim, watch: claimed.watch.clone().into(), next: Next::Ended(ended) }
}

pub(super) fn delivery(id: &str, endpoint: &str) -> NewDelivery {
    let event = format!(r#"{{"id":"{id}"}}"#);
    NewDelivery { id: id.to_owned(), endpoint: endpoint.to_owned(), event, at: NOW }
}

/// The tests of these contracts over one kind of store, and random interleavings.
macro_rules! conforms {
    ($store:ident: $subject:ty, $cases:literal, $($contract:ident::{$($test:ident),* $(,)?}),* $(,)?) => {
        mod $store {
            use super::*;

            $(mod $contract {
                use super::*;

                $(#[tokio::test]
                async fn $test() {
                    super::super::$contract::$test(<$subject>::empty().await).await;
                })*
            })*

            #[test]
            fn random_interleavings_match_the_model() {
                super::interleavings::hold::<$subject>($cases);
            }
        }
    };
}

/// All tests of all contracts.
macro_rules! conforms_in_all {
    ($store:ident: $subject:ty) => {
        conforms!($store: $subject, 24,
            queue::{
                a_claimed_watch_is_hidden_until_it_is_given_back,
                the_longest_due_comes_first_account_by_account,
                a_watch_is_not_due_before_its_time_however_fine_that_is,
                watches_whose_time_is_over_are_claimed_before_they_are_due,
                a_watch_that_is_given_back_can_be_claimed_in_the_same_pass,
                every_field_is_there_after_a_restart,
                what_is_shown_is_what_the_wall_clock_said,
                a_record_of_a_removed_or_ended_watch_is_not_kept,
                a_delivery_with_the_same_id_is_added_once,
                the_latest_moment_never_goes_back,
            },
            catalogue::{
                an_account_has_one_watch_on_an_export_ended_or_not,
                a_removed_watch_leaves_its_pending_deliveries,
                reconciling_adds_and_removes_watches_of_the_settings,
                reconciling_replaces_labels,
                a_failed_reconciliation_changes_nothing,
                old_ends_are_pruned_with_their_settled_deliveries,
                pages_follow_each_other,
                the_newest_may_come_first,
                a_list_has_what_is_wanted,
                a_look_ends_after_so_many_watches_and_goes_on,
                a_page_stops_after_its_bytes_and_says_whether_there_is_more,
                a_watch_that_exceeds_the_quota_is_not_added,
            },
            outbox::{
                a_delivery_is_due_again_until_it_is_sent,
                an_undeliverable_delivery_stays_visible,
                a_credential_is_notified_when_it_changes_however_often_the_daemon_starts,
                exit_codes_are_kept_if_that_is_asked_for_until_they_are_reported,
                a_claimed_delivery_is_hidden_and_recorded_once,
                the_first_queued_comes_first_endpoint_by_endpoint,
                an_endpoint_keeps_its_pace_and_wakes_all_when_it_is_back,
                a_new_delivery_ends_a_pause_and_those_that_wait_go_first,
                old_deliveries_are_given_up_unless_they_are_claimed,
                a_settled_delivery_is_pending_again,
            },
        );
    };
}

conforms_in_all!(sqlite: Sqlite);
conforms!(memory: MemoryStore, 64,
    queue::{
        a_claimed_watch_is_hidden_until_it_is_given_back,
        the_longest_due_comes_first_account_by_account,
        a_watch_is_not_due_before_its_time_however_fine_that_is,
        watches_whose_time_is_over_are_claimed_before_they_are_due,
        a_watch_that_is_given_back_can_be_claimed_in_the_same_pass,
    },
);
