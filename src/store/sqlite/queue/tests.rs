use std::time::Duration;

use super::super::tests::{Bed, NOW, delivery, due, ending, export, new, records, wish, wishes};
use super::*;
use crate::store::{NewWatch, Store as _, StoreError};
use crate::watch::Progress;
use crate::watch::outcome::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn numbers(claimed: &[Claimed]) -> Vec<u128> {
    claimed.iter().map(|claimed| claimed.watch.export.export_id.as_u128()).collect()
}

#[tokio::test]
async fn every_field_comes_back() {
    let kept = r#"{"started_at":1700000000123,"polls":3,"polled_at":5,"answered_at":6,"downtime":7,"in_progress_at":8,
        "timeline":[["PENDING",9],["STARTED",10]],"created":"2024-11-25T10:13:42.470Z","row_count":11,
        "problem":{"http_status":409,"code":"SNYK-OPENAPI-0009","title":"Conflict","detail":"d","request_id":"r"},
        "refusal":"conflict","not_found_in_a_row":2,"pace":500000001,"retry":12,"throttle":13}"#;
    let bed = Bed::new();
    let mut store = bed.open().await;
    let added = bed.add(&store, "acme", 1).await;
    let mut claimed = bed.claim(&mut store, "acme", NOW).await.remove(0);
    assert_eq!((claimed.watch.id, &*claimed.watch.account, claimed.due_at), (added.id, "acme", NOW));
    assert_eq!((&claimed.watch.labels, claimed.watch.export), (&added.labels, added.export));
    assert_eq!(claimed.watch.progress.to_kept(), added.progress.to_kept());

    claimed.watch.progress = Progress::from_kept(kept).unwrap();
    let later = NOW.plus(SECOND);
    assert_eq!(store.pass(records([due(&claimed, later)])).await.unwrap().kept, [true]);
    store.close().await.unwrap();
    let mut store = bed.open().await;
    let again = bed.claim(&mut store, "acme", later).await.remove(0);
    assert_eq!(again.due_at, later);
    assert_eq!(again.watch.progress.to_kept(), claimed.watch.progress.to_kept());

    let document = r#"{"schema":1,"outcome":"finished"}"#;
    store.pass(records([ending(&again, Outcome::Finished, document, &["x"])])).await.unwrap();
    let listed = store.watch(added.id).await.unwrap().unwrap();
    assert_eq!(listed.end, Some(("finished".to_owned(), NOW, document.to_owned())));
    assert_eq!((listed.due_at, listed.watch.export), (None, export(1)));
    assert_eq!(listed.watch.progress.to_kept(), claimed.watch.progress.to_kept());
    assert_eq!(listed.deliveries.len(), 1);
}

#[tokio::test]
async fn a_claimed_row_cannot_be_claimed_again_until_it_is_given_back() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let first = bed.claim(&mut store, "a", NOW).await.remove(0);
    let passed = store.pass(wishes(NOW.plus(SECOND * 999_999), [wish("a", 1)])).await.unwrap();
    assert_eq!((passed.claimed.len(), passed.next_due["a"]), (0, None));

    assert_eq!(store.pass(records([due(&first, NOW)])).await.unwrap().kept, [true]);
    let second = bed.claim(&mut store, "a", NOW).await.remove(0);
    assert_eq!((second.claim.row, second.due_at), (first.claim.row, NOW));
    // Only the last claim counts, and only once.
    let later = NOW.plus(SECOND * 99);
    let back = [due(&first, NOW), due(&second, later), due(&second, NOW)];
    assert_eq!(store.pass(records(back)).await.unwrap().kept, [false, true, false]);
    let passed = store.pass(wishes(NOW.plus(SECOND * 60), [wish("a", 1)])).await.unwrap();
    assert_eq!((passed.claimed.len(), passed.next_due["a"]), (0, Some(later)));
}

#[tokio::test]
async fn what_came_of_a_row_that_is_gone_or_ended_is_not_kept() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    for number in [1, 2] {
        bed.add(&store, "a", number).await;
    }
    let claimed = bed.claim(&mut store, "a", NOW).await;
    assert!(store.remove(claimed[0].watch.id).await.unwrap());
    let row = claimed[0].claim.row;
    let is_claimed = store.read(move |_, state| Ok(state.watches.is_claimed(row)));
    assert!(!is_claimed.await.unwrap());
    store.pass(records([ending(&claimed[1], Outcome::Failed, "{}", &[])])).await.unwrap();
    let late = [
        ending(&claimed[0], Outcome::Finished, "{}", &["never"]),
        ending(&claimed[1], Outcome::Finished, "{}", &["never"]),
    ];
    assert_eq!(store.pass(records(late)).await.unwrap().kept, [false, false]);
    assert_eq!((store.counts().await.unwrap(), bed.counted().pending), (bed.counted(), 0));
    // A row that is taken on later is another one.
    bed.add(&store, "a", 3).await;
    let anew = bed.claim(&mut store, "a", NOW).await.remove(0);
    assert!(anew.claim.row > claimed[1].claim.row && anew.claim.fence > claimed[1].claim.fence);
}

#[tokio::test]
async fn the_longest_due_comes_first_account_by_account() {
    let bed = Bed::new();
    let store = bed.open().await;
    for (account, number) in [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5), ("c", 6)] {
        bed.add(&store, account, number).await;
    }
    let claimed = store.pass(wishes(NOW, ["a", "b", "c"].map(|name| wish(name, 9)))).await.unwrap().claimed;
    assert_eq!(numbers(&claimed), [1, 3, 4, 2, 5, 6]);
    let delays = [5, 3, 4, 2, 1, 60];
    let back = claimed.iter().zip(delays).map(|(claimed, delay)| due(claimed, NOW.plus(SECOND * delay)));
    store.pass(records(back)).await.unwrap();

    let wished = [wish("c", 5), wish("a", 2), wish("b", 2), wish("d", 1), wish("a", 0)];
    let passed = store.pass(wishes(NOW.plus(SECOND * 9), wished)).await.unwrap();
    assert_eq!(numbers(&passed.claimed), [3, 4, 5, 2]);
    // Who got all of it has no need to know more.
    let next: Vec<_> = passed.next_due.iter().map(|(name, at)| (&**name, *at)).collect();
    assert_eq!(next, [("c", Some(NOW.plus(SECOND * 60))), ("d", None)]);
}

#[tokio::test]
async fn a_row_is_not_due_before_its_time_however_fine_that_is() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    let at = NOW.plus(Duration::from_micros(1500));
    store.pass(records([due(&claimed, at)])).await.unwrap();
    let passed = store.pass(wishes(NOW.plus(Duration::from_micros(1999)), [wish("a", 1)])).await.unwrap();
    let next_due = passed.next_due["a"].unwrap();
    assert!(passed.claimed.is_empty() && next_due == NOW.plus(Duration::from_millis(2)), "{next_due}");
    assert_eq!(bed.claim(&mut store, "a", next_due).await.len(), 1);
}

#[tokio::test]
async fn those_that_have_no_time_left_are_claimed_whenever_they_are_due() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    for (number, later) in [(1, 2), (2, 0), (3, 1), (4, 3)] {
        let new: NewWatch = new("a", number);
        store.add(new, uuid::Uuid::now_v7(), NOW.plus(SECOND * later)).await.unwrap();
    }
    let now = NOW.plus(SECOND * 9);
    let claimed = bed.claim(&mut store, "a", now).await;
    let back = claimed.iter().map(|claimed| due(claimed, now.plus(SECOND * 60)));
    store.pass(records(back)).await.unwrap();

    let started_by =
        |later: u32, room| Wish { started_by: Some(NOW.plus(SECOND * later)), ..wish("a", room) };
    let passed = store.pass(wishes(now, [started_by(2, 2)])).await.unwrap();
    assert_eq!((numbers(&passed.claimed), passed.next_due.len()), (vec![2, 3], 0));
    // Neither those that are claimed, nor those that have time.
    let later = now.plus(SECOND * 60);
    let passed = store.pass(wishes(now, [started_by(2, 9)])).await.unwrap();
    assert_eq!((numbers(&passed.claimed), passed.next_due["a"]), (vec![1], Some(later)));
    let passed = store.pass(wishes(later, [started_by(2, 9)])).await.unwrap();
    assert_eq!((numbers(&passed.claimed), passed.next_due["a"]), (vec![], Some(later)));
    assert_eq!(numbers(&bed.claim(&mut store, "a", later).await), [4]);
}

#[tokio::test]
async fn what_is_given_back_may_be_claimed_in_the_same_pass() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    let pass = Pass { wishes: vec![wish("a", 1)], ..records([due(&claimed, NOW)]) };
    let passed = store.pass(pass).await.unwrap();
    assert_eq!(passed.kept, [true]);
    assert!(passed.claimed[0].claim.fence > claimed.claim.fence);
}

#[tokio::test]
async fn an_end_and_what_is_owed_for_it_are_kept_together_or_not_at_all() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    for number in [1, 2] {
        bed.add(&store, "a", number).await;
    }
    let claimed = bed.claim(&mut store, "a", NOW).await;
    let pass = |claimed: &[Claimed], owed: &[&str]| {
        let end = ending(&claimed[1], Outcome::Finished, "{}", owed);
        Pass { wishes: vec![wish("a", 9)], ..records([due(&claimed[0], NOW), end]) }
    };
    let refuse = "CREATE TRIGGER t BEFORE INSERT ON deliveries WHEN new.id = 'bad' \
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    bed.sql().execute_batch(refuse).unwrap();
    let error = store.pass(pass(&claimed, &["good", "bad"])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed(_, why) if why.as_str().starts_with("no")), "{error}");
    assert_eq!((bed.counted().active, bed.counted().pending), (2, 0));
    store.close().await.unwrap();
    let mut store = bed.open().await;
    assert_eq!(store.counts().await.unwrap(), bed.counted());
    let claimed = bed.claim(&mut store, "a", NOW).await;
    assert_eq!(store.pass(pass(&claimed, &["good"])).await.unwrap().kept, [true, true]);
    assert_eq!((bed.counted().active, bed.counted().pending), (1, 1));
    assert_eq!(store.counts().await.unwrap(), bed.counted());
}

#[tokio::test]
async fn a_delivery_is_owed_once_however_often_it_is_asked_for() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    store.owe(delivery("same", "other")).await.unwrap();
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    store.pass(records([ending(&claimed, Outcome::Finished, "{}", &["same", "new"])])).await.unwrap();
    assert_eq!((store.counts().await.unwrap(), bed.counted().pending), (bed.counted(), 2));
}

#[tokio::test]
async fn a_row_that_nobody_of_us_wrote_is_named() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let set = [
        ("progress = '{}'", "row 1 of watches: its progress cannot be read: what was kept of the watch"),
        ("labels = '[]'", "row 1 of watches: its labels cannot be read: "),
        ("scope = 'team'", "row 1 of watches: its scope cannot be read: team"),
        ("id = x'00'", "at index: 1"),
    ];
    bed.sql().execute_batch("CREATE TABLE was AS SELECT * FROM watches").unwrap();
    for (set, why) in set {
        bed.sql().execute_batch(&format!("UPDATE watches SET {set}")).unwrap();
        let error = store.pass(wishes(NOW, [wish("a", 1)])).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(..)) && error.to_string().contains(why), "{error}");
        let back = "UPDATE watches SET (progress, labels, scope, id) = (SELECT progress, labels, scope, id FROM was)";
        bed.sql().execute_batch(back).unwrap();
    }
    assert_eq!(bed.claim(&mut store, "a", NOW).await.len(), 1);
}
