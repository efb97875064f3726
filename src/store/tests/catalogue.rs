//! Rules of the catalogue.

use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_hours(24);

async fn reconcile(bed: &impl Lasting, numbers: &[u128]) -> Reconciled {
    let listed = numbers.iter().map(|number| (Uuid::now_v7(), new("a", *number))).collect();
    bed.store().reconcile(listed, NOW).await.unwrap()
}

async fn add(bed: &impl Lasting, new: NewWatch, quota: Quota) -> Added {
    bed.store().add(new, Uuid::now_v7(), quota, NOW).await.unwrap()
}

fn numbers<'a>(watches: impl IntoIterator<Item = &'a Watch>) -> Vec<u128> {
    watches.into_iter().map(|watch| watch.export.export_id.as_u128()).collect()
}

async fn list(bed: &impl Lasting, filter: Filter) -> (Vec<u128>, bool) {
    let Listing { watches, has_more, .. } = bed.store().list(filter).await.unwrap().unwrap();
    assert!(watches.iter().all(|listed| listed.end.is_some() == listed.due_at.is_none()));
    (numbers(watches.iter().map(|listed| &listed.watch)), has_more)
}

async fn all(bed: &impl Lasting) -> Vec<u128> {
    list(bed, Filter::default()).await.0
}

fn two(number: u128) -> Vec<String> {
    vec![format!("{number}-1"), format!("{number}-2")]
}

/// Gives up up to `room` deliveries.
async fn give_up(bed: &impl Lasting, room: usize, at: Moment) {
    let Turn { claimed, pace, .. } = bed.store().claim("platform".to_owned(), room, at, false).await.unwrap();
    let next = NextDelivery::Undeliverable { problem: Text::new("gone") };
    let records =
        claimed.iter().map(|claimed| DeliveryRecord { claim: claimed.claim, at, next: next.clone(), pace });
    bed.store().record(records.collect()).await.unwrap();
}

pub(super) async fn an_account_has_one_watch_on_an_export_ended_or_not(bed: impl Lasting) {
    // Rounded as it is stored: to milliseconds.
    let watch = bed.add_at(new("a", 1), NOW.plus(Duration::from_micros(900))).await;
    assert_eq!(watch.progress.started_at(), NOW);
    for _ in 0..2 {
        let again = add(&bed, new("a", 1), Quota::default()).await;
        assert!(matches!(again, Added::Existing(id) if id == watch.id), "{again:?}");
        bed.end("a", &[1], two).await;
    }
    bed.add("b", 1).await;
    bed.add_at(NewWatch { export: ExportRef { scope: Scope::Org, ..export(1) }, ..new("a", 1) }, NOW).await;
    assert_eq!(bed.counts().await, Counts { active: 2, ended: 1, pending: 2, ..Counts::default() });
    let active = bed.store().active_accounts().await.unwrap();
    let expected =
        ["a", "b"].map(|account| ActiveAccount { account: account.to_owned(), watches: 1, due_at: NOW });
    assert_eq!(active, expected);
    // After a removal it can be added again.
    assert!(bed.store().remove(watch.id).await.unwrap());
    bed.add("a", 1).await;
}

pub(super) async fn a_removed_watch_leaves_its_pending_deliveries(bed: impl Lasting) {
    let watch = bed.add("a", 1).await;
    bed.end("a", &[1], two).await;
    give_up(&bed, 1, NOW).await;
    assert!(bed.store().remove(watch.id).await.unwrap());
    assert!(!bed.store().remove(watch.id).await.unwrap());
    assert!(bed.store().look(watch.id).await.unwrap().is_none());
    assert_eq!(bed.counts().await, Counts { pending: 1, ..Counts::default() });
    let owed = bed.store().claim("platform".to_owned(), 9, NOW, false).await.unwrap().claimed;
    assert_eq!((owed.len(), &*owed[0].delivery.id, owed[0].watch), (1, "1-2", Some(watch.id)));
}

pub(super) async fn reconciling_adds_and_removes_watches_of_the_settings(bed: impl Lasting) {
    bed.add("a", 1).await;
    let first = reconcile(&bed, &[2, 3, 4, 3]).await;
    assert_eq!((numbers(&first.added), first.removed.len()), (vec![2, 3, 4], 0));
    let unchanged = reconcile(&bed, &[2, 3, 4]).await;
    assert_eq!((unchanged.added.len(), unchanged.removed.len()), (0, 0));

    bed.end("a", &[3, 4], two).await;
    // 1 is now listed, 2 goes, 3 is no longer listed but has ended, 4 has ended and stays listed.
    let second = reconcile(&bed, &[1, 4, 5]).await;
    assert_eq!((numbers(&second.added), numbers(&second.removed)), (vec![5], vec![2]));
    assert_eq!(all(&bed).await, [1, 3, 4, 5]);
    // 4 is not added again. It is pruned once it is no longer listed.
    assert_eq!(bed.store().prune(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(all(&bed).await, [1, 4, 5]);
    let third = reconcile(&bed, &[]).await;
    assert_eq!((numbers(&third.removed), all(&bed).await), (vec![1, 5], vec![4]));
    assert_eq!(bed.store().prune(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(bed.counts().await, Counts { pending: 4, ..Counts::default() });
}

pub(super) async fn reconciling_replaces_labels(bed: impl Lasting) {
    let id = Uuid::now_v7();
    bed.store().reconcile(vec![(id, new("a", 1))], NOW).await.unwrap();
    let labels = crate::watch::Labels::from([("team".to_owned(), "other".to_owned())]);
    let relabelled = NewWatch { labels: labels.clone(), ..new("a", 1) };
    bed.store().reconcile(vec![(Uuid::now_v7(), relabelled)], NOW).await.unwrap();
    assert_eq!(bed.store().look(id).await.unwrap().unwrap().watch.labels, labels);
}

pub(super) async fn a_failed_reconciliation_changes_nothing(mut bed: impl Lasting) {
    reconcile(&bed, &[1]).await;
    let listed = [2, 3].map(|number| (Uuid::from_u128(5), new("a", number))).to_vec();
    bed.store().reconcile(listed, NOW).await.unwrap_err();
    bed.reopen().await;
    assert_eq!(all(&bed).await, [1]);
    assert_eq!(bed.counts().await, Counts { active: 1, ..Counts::default() });
}

pub(super) async fn old_ends_are_pruned_with_their_settled_deliveries(bed: impl Lasting) {
    // More than are pruned in one transaction.
    let numbers: Vec<u128> = (1..=600).collect();
    reconcile(&bed, &numbers).await;
    bed.end("a", &numbers[..590], two).await;
    give_up(&bed, 1, NOW).await;
    assert_eq!(bed.store().prune(NOW.plus(DAY)).await.unwrap(), 0);
    reconcile(&bed, &[]).await;
    assert_eq!(bed.store().prune(NOW).await.unwrap(), 0);
    assert_eq!(bed.store().prune(NOW.plus(DAY)).await.unwrap(), 590);
    assert_eq!(bed.counts().await, Counts { pending: 1179, ..Counts::default() });

    // Deliveries without a watch are pruned once they were settled long ago, also in several transactions.
    let later = NOW.plus(DAY);
    give_up(&bed, 600, later).await;
    assert_eq!(bed.store().prune(later).await.unwrap(), 0);
    assert_eq!(bed.counts().await, Counts { pending: 579, undeliverable: 600, ..Counts::default() });
    assert_eq!(bed.store().prune(NOW.plus(DAY * 2)).await.unwrap(), 0);
    assert_eq!(bed.counts().await, Counts { pending: 579, ..Counts::default() });
}

pub(super) async fn pages_follow_each_other(bed: impl Lasting) {
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(bed.add("a", number).await.id);
    }
    bed.end("a", &[2, 3, 5], two).await;
    let page = async |ended, after: Option<usize>, limit| {
        let after = after.map(|after| ids[after - 1]);
        list(&bed, Filter { ended, after, limit, ..Filter::default() }).await
    };
    assert_eq!(page(None, None, 4).await, (vec![1, 2, 3, 4], true));
    assert_eq!(page(None, Some(4), 2).await, (vec![5, 6], false));
    assert_eq!(page(None, Some(6), 4).await, (vec![], false));
    assert_eq!(page(Some(true), None, 2).await, (vec![2, 3], true));
    assert_eq!(page(Some(true), Some(3), 2).await, (vec![5], false));
    assert_eq!(page(Some(false), Some(1), 2).await, (vec![4, 6], false));
    let unknown = Filter { after: Some(Uuid::from_u128(1)), ..Filter::default() };
    assert!(bed.store().list(unknown).await.unwrap().is_none());
}

pub(super) async fn the_newest_may_come_first(bed: impl Lasting) {
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(bed.add("a", number).await.id);
    }
    bed.end("a", &[2, 3], two).await;
    let page = async |ended, after: Option<usize>, limit| {
        let after = after.map(|after| ids[after - 1]);
        list(&bed, Filter { ended, after, limit, newest_first: true, ..Filter::default() }).await
    };
    assert_eq!(page(None, None, 2).await, (vec![5, 4], true));
    assert_eq!(page(None, Some(4), 9).await, (vec![3, 2, 1], false));
    assert_eq!(page(None, Some(1), 9).await, (vec![], false));
    assert_eq!(page(Some(true), None, 9).await, (vec![3, 2], false));
    assert_eq!(page(Some(false), Some(4), 9).await, (vec![1], false));
}

pub(super) async fn a_list_has_what_is_wanted(bed: impl Lasting) {
    let labelled = |account: &str, number, key: &str, value: &str| {
        let labels = [(key.to_owned(), value.to_owned())].into();
        NewWatch { labels, ..new(account, number) }
    };
    for new in [
        labelled("a", 1, "team", "Payments"),
        labelled("a", 2, "team", "100% <b>'\\\""),
        labelled("b", 3, "stage", "payments"),
        labelled("b", 0xfeed, "team", "Zürich"),
    ] {
        bed.add_at(new, NOW).await;
    }
    bed.end("a", &[1], two).await;
    // One is polled in vain, another one is due later.
    let claimed = bed.claim("b", NOW).await;
    let mut failed = claimed[0].clone();
    failed.watch.progress.give_up(&crate::watch::observation::Failure::transient("down", ""));
    bed.pass(records([due(&failed, NOW), due(&claimed[1], NOW.plus(DAY))])).await;

    let text = |text: &str| Wanted { text: Some(text.to_owned()), ..Wanted::default() };
    let label = |key: &str, value: Option<&str>| {
        let label = Some((key.to_owned(), value.map(str::to_owned)));
        Wanted { label, ..Wanted::default() }
    };
    let none = Wanted::default;
    let rows: [(Wanted, &[u128]); 17] = [
        (none(), &[1, 2, 3, 0xfeed]),
        (Wanted { account: Some("b".to_owned()), ..none() }, &[3, 0xfeed]),
        (Wanted { account: Some("B".to_owned()), ..none() }, &[]),
        (label("team", None), &[1, 2, 0xfeed]),
        (label("team", Some("Payments")), &[1]),
        (label("team", Some("payments")), &[]),
        (text("PAYMENTS"), &[1, 3]),
        (text("zÜRICH"), &[0xfeed]),
        (text("stage"), &[3]),
        (text("00feed"), &[0xfeed]),
        (text("% <B>'\\\""), &[2]),
        (text("_"), &[]),
        (text("inished"), &[1]),
        (Wanted { finished: Some(true), ..none() }, &[1]),
        (Wanted { finished: Some(false), ..none() }, &[]),
        (Wanted { fails: true, ..none() }, &[3]),
        (Wanted { due_before: Some(NOW.plus(DAY)), ..none() }, &[2, 3]),
    ];
    for (wanted, expected) in rows {
        let filter = Filter { wanted: wanted.clone(), ..Filter::default() };
        assert_eq!(list(&bed, filter).await, (expected.to_vec(), false), "{wanted:?}");
    }
    let active = Filter { ended: Some(false), wanted: label("team", None), ..Filter::default() };
    assert_eq!(list(&bed, active).await.0, [2, 0xfeed]);
}

pub(super) async fn a_look_ends_after_so_many_watches_and_goes_on(bed: impl Lasting) {
    for number in 1..=7 {
        bed.add(if number == 6 { "b" } else { "a" }, number).await;
    }
    let wanted = Wanted { account: Some("b".to_owned()), ..Wanted::default() };
    for newest_first in [false, true] {
        let mut filter = Filter { wanted: wanted.clone(), looks: 2, newest_first, ..Filter::default() };
        let (mut looks, mut found) = (0, Vec::new());
        loop {
            let listing = bed.store().list(filter.clone()).await.unwrap().unwrap();
            looks += 1;
            found.extend(numbers(listing.watches.iter().map(|listed| &listed.watch)));
            if !listing.has_more {
                break;
            }
            filter.after = listing.last;
        }
        assert_eq!((looks, found), (4, vec![6]));
    }
}

pub(super) async fn a_page_stops_after_its_bytes_and_says_whether_there_is_more(bed: impl Lasting) {
    for number in 1..=5 {
        let labels = [("team".to_owned(), "x".repeat(200))].into();
        bed.add_at(NewWatch { labels, ..new("a", number) }, NOW).await;
    }
    let page = async |limit, bytes| {
        let (numbers, has_more) = list(&bed, Filter { limit, bytes, ..Filter::default() }).await;
        (numbers.len(), has_more)
    };
    assert_eq!(page(9, usize::MAX).await, (5, false));
    assert_eq!(page(5, usize::MAX).await, (5, false));
    assert_eq!(page(4, usize::MAX).await, (4, true));
    assert_eq!(page(9, 1).await, (1, true));
    assert_eq!(page(9, 500).await, (2, true));
    assert_eq!(page(1, 500).await, (1, true));
}

pub(super) async fn a_watch_that_exceeds_the_quota_is_not_added(mut bed: impl Lasting) {
    let labelled = |number: u128, length: usize| {
        let labels = [("team".to_owned(), "x".repeat(length))].into();
        NewWatch { labels, ..new("a", number) }
    };
    let text = |length: usize| (r#"{"team":""}"#.len() + length) as u64;
    let quota = Quota { watches: Some(3), labels: Some(text(100) + text(50)) };
    let refused = |added: Added| match added {
        Added::NoRoom(no_room) => no_room,
        Added::New(_) | Added::Existing(_) => panic!("there is room"),
    };
    let first = added(add(&bed, labelled(1, 100), quota).await);
    assert_eq!(refused(add(&bed, labelled(2, 51), quota).await), NoRoom::Labels(text(100) + text(50)));
    added(add(&bed, labelled(2, 50), quota).await);
    // An existing watch needs no more room, and a removal makes room.
    assert!(matches!(add(&bed, labelled(1, 500), quota).await, Added::Existing(_)));
    bed.store().remove(first.id).await.unwrap();
    added(add(&bed, labelled(3, 90), quota).await);
    added(add(&bed, new("a", 4), Quota::default()).await);
    assert_eq!(refused(add(&bed, labelled(5, 0), quota).await), NoRoom::Watches(3));
    // A new daemon counts what is there.
    bed.reopen().await;
    let quota = Quota { watches: None, labels: Some(10) };
    assert_eq!(refused(add(&bed, labelled(6, 0), quota).await), NoRoom::Labels(10));
}
