use std::time::Duration;

use super::super::tests::{Bed, NOW, due, ending, export, new, records};
use super::*;
use crate::store::{DeliveryRecord, NextDelivery, Outbox as _, SqliteStore, Store as _};
use crate::text::Text;
use crate::watch::outcome::Outcome;

const DAY: Duration = Duration::from_hours(24);

async fn reconcile(store: &SqliteStore, numbers: &[u128]) -> Reconciled {
    let listed = numbers.iter().map(|number| new("a", *number)).collect();
    store.reconcile(listed, Uuid::now_v7, NOW).await.unwrap()
}

fn numbers<'a>(watches: impl IntoIterator<Item = &'a Watch>) -> Vec<u128> {
    watches.into_iter().map(|watch| watch.export.export_id.as_u128()).collect()
}

async fn all(store: &SqliteStore) -> Vec<u128> {
    let listed = store.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap().unwrap();
    numbers(listed.iter().map(|listed| &listed.watch))
}

/// Ends the watches on these exports, each with two deliveries owed.
async fn end(bed: &Bed, store: &mut SqliteStore, numbers: &[u128]) {
    let claimed = bed.claim(store, "a", NOW).await;
    let polled = claimed.iter().map(|claimed| {
        let number = claimed.watch.export.export_id.as_u128();
        let owed = [format!("{number}-1"), format!("{number}-2")];
        if numbers.contains(&number) {
            ending(claimed, Outcome::Finished, "{}", &owed.each_ref().map(String::as_str))
        } else {
            due(claimed, NOW)
        }
    });
    store.pass(records(polled)).await.unwrap();
}

/// Gives up the delivery with this id.
async fn give_up_delivery(store: &SqliteStore, id: &str, at: Moment) {
    let (claimed, _) = store.claim_deliveries("platform".to_owned(), 2000, at).await.unwrap();
    let records = claimed.iter().map(|claimed| {
        let problem = Text::new("gone");
        let next = match claimed.delivery.id == id {
            true => NextDelivery::Undeliverable { problem },
            false => NextDelivery::Due { at: NOW, pace: None, problem },
        };
        DeliveryRecord { claim: claimed.claim, at, next }
    });
    store.record_deliveries(records.collect()).await.unwrap();
}

#[tokio::test]
async fn an_account_follows_an_export_once_ended_or_not() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    // What is told of it is what is kept: whole milliseconds.
    let now = NOW.plus(Duration::from_micros(900));
    let Added::New(watch) = store.add(new("a", 1), Uuid::now_v7(), now).await.unwrap() else { panic!() };
    assert_eq!(watch.progress.started_at(), NOW);
    for _ in 0..2 {
        let again = store.add(new("a", 1), Uuid::now_v7(), NOW.plus(DAY)).await.unwrap();
        assert!(matches!(again, Added::Existing(id) if id == watch.id), "{again:?}");
        end(&bed, &mut store, &[1]).await;
    }
    bed.add(&store, "b", 1).await;
    let org = ExportRef { scope: crate::export::Scope::Org, ..export(1) };
    let added = store.add(NewWatch { export: org, ..new("a", 1) }, Uuid::now_v7(), NOW).await.unwrap();
    assert!(matches!(added, Added::New(_)));
    // To follow it anew, it is removed first.
    assert!(store.remove(watch.id).await.unwrap());
    bed.add(&store, "a", 1).await;
    assert_eq!(store.counts().await.unwrap(), bed.counted());
}

#[tokio::test]
async fn a_watch_that_is_removed_leaves_what_it_owes() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    let watch = bed.add(&store, "a", 1).await;
    end(&bed, &mut store, &[1]).await;
    give_up_delivery(&store, "1-1", NOW).await;
    assert!(store.remove(watch.id).await.unwrap());
    assert!(!store.remove(watch.id).await.unwrap());
    assert!(store.watch(watch.id).await.unwrap().is_none());
    assert_eq!((store.counts().await.unwrap(), bed.counted().undeliverable), (bed.counted(), 0));
    let (owed, _) = store.claim_deliveries("platform".to_owned(), 9, NOW).await.unwrap();
    assert_eq!((owed.len(), &*owed[0].delivery.id, owed[0].watch), (1, "1-2", Some(watch.id)));
}

#[tokio::test]
async fn the_settings_list_is_followed() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let first = reconcile(&store, &[2, 3, 4, 3]).await;
    assert_eq!((numbers(&first.added), first.removed.len()), (vec![2, 3, 4], 0));
    let unchanged = reconcile(&store, &[2, 3, 4]).await;
    assert_eq!((unchanged.added.len(), unchanged.removed.len()), (0, 0));

    end(&bed, &mut store, &[3, 4]).await;
    // 1 is now listed, 2 goes, 3 is no longer listed but has ended, 4 has ended and stays listed.
    let second = reconcile(&store, &[1, 4, 5]).await;
    assert_eq!((numbers(&second.added), numbers(&second.removed)), (vec![5], vec![2]));
    assert_eq!(all(&store).await, [1, 3, 4, 5]);
    assert_eq!(store.counts().await.unwrap(), bed.counted());
    // 4 is not followed anew, and goes only when it is no longer listed.
    assert_eq!(store.prune(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(all(&store).await, [1, 4, 5]);
    let third = reconcile(&store, &[]).await;
    assert_eq!((numbers(&third.removed), all(&store).await), (vec![1, 5], vec![4]));
    assert_eq!(store.prune(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(store.counts().await.unwrap(), bed.counted());
}

#[tokio::test]
async fn a_reconciliation_that_fails_changes_nothing() {
    let bed = Bed::new();
    let store = bed.open().await;
    reconcile(&store, &[1]).await;
    let listed = vec![new("a", 2), new("a", 3)];
    let error = store.reconcile(listed, || Uuid::from_u128(5), NOW).await.unwrap_err().to_string();
    assert!(error.contains("UNIQUE constraint failed: watches.id"), "{error}");
    store.close().await.unwrap();
    let store = bed.open().await;
    assert_eq!((all(&store).await, store.counts().await.unwrap()), (vec![1], bed.counted()));
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_with_what_was_settled_of_it() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    // More than are forgotten in one go.
    let numbers: Vec<u128> = (1..=600).collect();
    reconcile(&store, &numbers).await;
    end(&bed, &mut store, &numbers[..590]).await;
    give_up_delivery(&store, "1-1", NOW).await;
    assert_eq!(store.prune(NOW.plus(DAY)).await.unwrap(), 0);
    reconcile(&store, &[]).await;
    assert_eq!(store.prune(NOW).await.unwrap(), 0);
    assert_eq!(store.prune(NOW.plus(DAY)).await.unwrap(), 590);
    assert_eq!(store.counts().await.unwrap(), bed.counted());
    assert_eq!((bed.counted().active, bed.counted().pending, bed.counted().undeliverable), (0, 1179, 0));

    // What was still owed goes when it is settled, and that was long ago. There are several steps of these too.
    let later = NOW.plus(DAY);
    let (claimed, _) = store.claim_deliveries("platform".to_owned(), 600, later).await.unwrap();
    let next = NextDelivery::Undeliverable { problem: Text::new("gone") };
    let settled =
        claimed.iter().map(|claimed| DeliveryRecord { claim: claimed.claim, at: later, next: next.clone() });
    store.record_deliveries(settled.collect()).await.unwrap();
    assert_eq!(store.prune(later).await.unwrap(), 0);
    assert_eq!((bed.counted().pending, bed.counted().undeliverable), (579, 600));
    assert_eq!(store.prune(NOW.plus(DAY * 2)).await.unwrap(), 0);
    assert_eq!((bed.counted().pending, bed.counted().undeliverable), (579, 0));
    assert_eq!(store.counts().await.unwrap(), bed.counted());
}

#[tokio::test]
async fn pages_follow_each_other() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(bed.add(&store, "a", number).await.id);
    }
    end(&bed, &mut store, &[2, 3, 5]).await;
    let page = async |ended, after: Option<usize>, limit| {
        let filter = Filter { ended, after: after.map(|after| ids[after - 1]), limit };
        let listed = store.list(filter).await.unwrap().unwrap();
        assert!(listed.iter().all(|listed| listed.end.is_some() == listed.due_at.is_none()));
        numbers(listed.iter().map(|listed| &listed.watch))
    };
    assert_eq!(page(None, None, 4).await, [1, 2, 3, 4]);
    assert_eq!(page(None, Some(4), 4).await, [5, 6]);
    assert_eq!(page(None, Some(6), 4).await, []);
    assert_eq!(page(Some(true), None, 2).await, [2, 3]);
    assert_eq!(page(Some(true), Some(3), 2).await, [5]);
    assert_eq!(page(Some(false), Some(1), 2).await, [4, 6]);
    let unknown = Filter { after: Some(Uuid::from_u128(1)), limit: 9, ..Filter::default() };
    assert!(store.list(unknown).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_quota_has_no_room_for_is_not_taken_on() {
    let bed = Bed::new();
    let store = bed.open().await;
    let labelled = |number: u128, length: usize| {
        let labels = [("team".to_owned(), "x".repeat(length))].into();
        NewWatch { labels, ..new("a", number) }
    };
    let text = |length: usize| r#"{"team":""}"#.len() + length;
    let quota = Quota { watches: Some(3), labels: Some(text(100) as u64 + text(50) as u64) };
    let add = async |new: NewWatch| store.add_within(quota, new, Uuid::now_v7(), NOW).await.unwrap();
    let Added::New(first) = add(labelled(1, 100)).await else { panic!() };
    let no_room = Added::NoRoom(NoRoom::Labels(quota.labels.unwrap()));
    assert_eq!(format!("{:?}", add(labelled(2, 51)).await), format!("{no_room:?}"));
    assert!(matches!(add(labelled(2, 50)).await, Added::New(_)));
    // What is there already takes no more room, and what goes makes some.
    assert!(matches!(add(labelled(1, 500)).await, Added::Existing(_)));
    store.remove(first.id).await.unwrap();
    assert!(matches!(add(labelled(3, 90)).await, Added::New(_)));
    assert!(matches!(store.add(new("a", 4), Uuid::now_v7(), NOW).await.unwrap(), Added::New(_)));
    assert!(matches!(add(labelled(5, 0)).await, Added::NoRoom(NoRoom::Watches(3))));
    drop(store);
    // A new daemon counts what is there.
    let store = bed.open_once_free().await;
    let quota = Quota { watches: None, labels: Some(10) };
    let added = store.add_within(quota, labelled(6, 0), Uuid::now_v7(), NOW).await.unwrap();
    assert!(matches!(added, Added::NoRoom(NoRoom::Labels(10))));
}

#[tokio::test]
async fn a_page_has_so_many_bytes_and_says_whether_there_is_more() {
    let bed = Bed::new();
    let store = bed.open().await;
    for number in 1..=5 {
        let labels = [("team".to_owned(), "x".repeat(200))].into();
        let new = NewWatch { labels, ..new("a", number) };
        store.add(new, Uuid::now_v7(), NOW).await.unwrap();
    }
    let page = async |limit, bytes| {
        let page = store.page(Filter { limit, ..Filter::default() }, bytes).await.unwrap().unwrap();
        (page.0.len(), page.1)
    };
    assert_eq!(page(9, usize::MAX).await, (5, false));
    assert_eq!(page(5, usize::MAX).await, (5, false));
    assert_eq!(page(4, usize::MAX).await, (4, true));
    assert_eq!(page(9, 1).await, (1, true));
    assert_eq!(page(9, 500).await, (2, true));
    assert_eq!(page(1, 500).await, (1, true));
}
