//! Rules of the queue.

use std::time::Duration;

use super::*;
use crate::watch::Progress;

const SECOND: Duration = Duration::from_secs(1);

fn numbers(claimed: &[Claimed]) -> Vec<u128> {
    claimed.iter().map(|claimed| claimed.watch.export.export_id.as_u128()).collect()
}

fn next_due(passed: &Passed) -> Vec<(&str, Option<Moment>)> {
    passed.next_due.iter().map(|(name, at)| (&**name, *at)).collect()
}

pub(super) async fn a_claimed_watch_is_hidden_until_it_is_given_back(bed: impl Subject) {
    let added = bed.add("a", 1).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    assert_eq!((claimed.watch.id, &*claimed.watch.account, claimed.due_at), (added.id, "a", NOW));
    assert_eq!((claimed.watch.labels.clone(), claimed.watch.export), (added.labels, export(1)));
    let years_later = NOW.plus(SECOND * 1_000_000_000);
    let passed = bed.pass(wishes(years_later, [wish("a", 1)])).await;
    assert_eq!((numbers(&passed.claimed), next_due(&passed)), (vec![], vec![("a", Some(Moment::NEVER))]));
    let later = NOW.plus(SECOND * 5);
    assert_eq!(bed.pass(records([due(&claimed, later)])).await.kept, [true]);
    let passed = bed.pass(wishes(NOW, [wish("a", 1)])).await;
    assert_eq!((numbers(&passed.claimed), next_due(&passed)), (vec![], vec![("a", Some(later))]));
    let again = bed.claim("a", later).await.remove(0);
    assert_eq!(again.due_at, later);
    assert_eq!(bed.pass(records([ending(&again, NOW, [""; 0])])).await.kept, [true]);
    let passed = bed.pass(wishes(years_later, [wish("a", 1)])).await;
    assert_eq!((numbers(&passed.claimed), next_due(&passed)), (vec![], vec![("a", None)]));
}

pub(super) async fn the_longest_due_comes_first_account_by_account(bed: impl Subject) {
    for (account, number) in [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5), ("c", 6)] {
        bed.add(account, number).await;
    }
    let claimed = bed.pass(wishes(NOW, ["a", "b", "c"].map(|name| wish(name, 9)))).await.claimed;
    assert_eq!(numbers(&claimed), [1, 3, 4, 2, 5, 6]);
    let delays = [5, 3, 4, 2, 1, 60];
    let back = claimed.iter().zip(delays).map(|(claimed, delay)| due(claimed, NOW.plus(SECOND * delay)));
    bed.pass(records(back)).await;
    let wished = [wish("c", 5), wish("a", 2), wish("b", 2), wish("d", 1), wish("a", 0)];
    let passed = bed.pass(wishes(NOW.plus(SECOND * 9), wished)).await;
    assert_eq!(numbers(&passed.claimed), [3, 4, 5, 2]);
    // An account that got all it wished for gets no next due time.
    assert_eq!(next_due(&passed), [("c", Some(NOW.plus(SECOND * 60))), ("d", None)]);
}

pub(super) async fn a_watch_is_not_due_before_its_time_however_fine_that_is(bed: impl Subject) {
    bed.add("a", 1).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([due(&claimed, NOW.plus(Duration::from_micros(1500)))])).await;
    let passed = bed.pass(wishes(NOW.plus(Duration::from_micros(1499)), [wish("a", 1)])).await;
    let next_due = passed.next_due["a"].unwrap();
    assert!(passed.claimed.is_empty() && next_due.since(NOW) <= Duration::from_millis(2), "{next_due}");
    assert_eq!(bed.claim("a", next_due).await.len(), 1);
}

pub(super) async fn watches_whose_time_is_over_are_claimed_before_they_are_due(bed: impl Subject) {
    for (number, later) in [(1, 2), (2, 0), (3, 1), (4, 3)] {
        bed.add_at(new("a", number), NOW.plus(SECOND * later)).await;
    }
    let (now, later) = (NOW.plus(SECOND * 9), NOW.plus(SECOND * 60));
    let claimed = bed.claim("a", now).await;
    let back = claimed.iter().map(|claimed| {
        let started_at = claimed.watch.progress.started_at();
        due(claimed, later.plus(started_at.since(NOW)))
    });
    bed.pass(records(back)).await;
    let started_by =
        |later: u32, room| Wish { started_by: Some(NOW.plus(SECOND * later)), ..wish("a", room) };
    let passed = bed.pass(wishes(now, [started_by(2, 2)])).await;
    assert_eq!((numbers(&passed.claimed), passed.next_due.len()), (vec![2, 3], 0));
    // Neither claimed watches nor those with time left, due or not.
    let due_at = later.plus(SECOND * 3);
    for (now, numbers_) in [(now, vec![1]), (due_at, vec![])] {
        let passed = bed.pass(wishes(now, [started_by(2, 9)])).await;
        assert_eq!((numbers(&passed.claimed), passed.next_due["a"]), (numbers_, Some(due_at)));
    }
    assert_eq!(numbers(&bed.claim("a", due_at).await), [4]);
}

pub(super) async fn a_watch_that_is_given_back_can_be_claimed_in_the_same_pass(bed: impl Subject) {
    bed.add("a", 1).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    let passed = bed.pass(Pass { wishes: vec![wish("a", 1)], ..records([due(&claimed, NOW)]) }).await;
    assert_eq!((passed.kept, numbers(&passed.claimed)), (vec![true], vec![1]));
}

pub(super) async fn every_field_is_there_after_a_restart(mut bed: impl Lasting) {
    let kept = r#"{"started_at":1700000000123,"polls":3,"polled_at":5,"answered_at":6,"downtime":7,"in_progress_at":8,
        "timeline":[["PENDING",9],["STARTED",10]],"created":"2024-11-25T10:13:42.470Z","row_count":11,
        "problem":{"http_status":409,"code":"SNYK-OPENAPI-0009","title":"Conflict","detail":"d","request_id":"r"},
        "refusal":"conflict","not_found_in_a_row":2,"pace":500000001,"retry":12,"throttle":13}"#;
    let added = bed.add("acme", 1).await;
    let mut claimed = bed.claim("acme", NOW).await.remove(0);
    assert_eq!(claimed.watch.progress.to_kept(), added.progress.to_kept());
    claimed.watch.progress = Progress::from_kept(kept).unwrap();
    let later = NOW.plus(SECOND);
    bed.pass(records([due(&claimed, later)])).await;
    bed.reopen().await;
    let again = bed.claim("acme", later).await.remove(0);
    assert_eq!((again.watch.id, &*again.watch.account, again.due_at), (added.id, "acme", later));
    assert_eq!((&again.watch.labels, again.watch.export), (&added.labels, added.export));
    assert_eq!(again.watch.progress.to_kept(), claimed.watch.progress.to_kept());
    bed.pass(records([ending(&again, NOW, ["x"])])).await;
    bed.reopen().await;
    let listed = bed.store().look(added.id).await.unwrap().unwrap();
    assert_eq!(listed.end, Some(("finished".to_owned(), NOW, "{}".to_owned())));
    assert_eq!((listed.due_at, listed.watch.export), (None, export(1)));
    assert_eq!(listed.watch.progress.to_kept(), claimed.watch.progress.to_kept());
    assert_eq!(listed.deliveries.len(), 1);
}

pub(super) async fn what_is_shown_is_what_the_wall_clock_said(mut bed: impl Lasting) {
    let shown = |ms: u64| Moment::from_unix_ms(ms).to_string();
    let set = |ms: u64| NOW.with_wall_ms(ms);
    let added = bed.add_at(new("acme", 1), set(1_000)).await;
    assert_eq!(added.progress.started_at().to_string(), shown(1_000));
    bed.reopen().await;
    let mut claimed = bed.claim("acme", set(2_000)).await.remove(0);
    let observation = crate::fixtures::status("PENDING");
    let mut rng = fastrand::Rng::with_seed(1);
    claimed.watch.progress.record(&observation, &crate::fixtures::policy(), set(2_000), &mut rng);
    bed.pass(records([due(&claimed, NOW)])).await;
    bed.reopen().await;
    let claimed = bed.claim("acme", NOW).await.remove(0);
    bed.pass(records([ending(&claimed, set(3_000), [""; 0])])).await;
    bed.store().beat(NOW.plus(SECOND).with_wall_ms(4_000)).await.unwrap();
    bed.reopen().await;
    let listed = bed.store().look(added.id).await.unwrap().unwrap();
    let progress = &listed.watch.progress;
    let moments = [progress.started_at(), progress.timeline()[0].at, listed.end.unwrap().1];
    assert_eq!(moments.map(|moment| moment.to_string()), [1_000, 2_000, 3_000].map(shown));
    let last = bed.store().last_moment().await.unwrap().unwrap();
    assert_eq!((last, last.wall_ms()), (NOW.plus(SECOND), 4_000));
}

pub(super) async fn a_record_of_a_removed_or_ended_watch_is_not_kept(bed: impl Lasting) {
    for number in [1, 2] {
        bed.add("a", number).await;
    }
    let claimed = bed.claim("a", NOW).await;
    assert!(bed.store().remove(claimed[0].watch.id).await.unwrap());
    bed.pass(records([ending(&claimed[1], NOW, [""; 0])])).await;
    let late = claimed.iter().map(|claimed| ending(claimed, NOW, ["never"]));
    assert_eq!(bed.pass(records(late)).await.kept, [false, false]);
    assert_eq!(bed.counts().await, Counts { ended: 1, ..Counts::default() });
    // A watch that is added later is another one.
    bed.add("a", 3).await;
    let late = records([due(&claimed[0], NOW), due(&claimed[1], NOW)]);
    assert_eq!(bed.pass(Pass { wishes: vec![wish("a", 1)], ..late }).await.kept, [false, false]);
}

pub(super) async fn a_delivery_with_the_same_id_is_added_once(bed: impl Lasting) {
    bed.add("a", 1).await;
    bed.pass(owes([delivery("same", "other")])).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([ending(&claimed, NOW, ["same", "new"])])).await;
    assert_eq!(bed.counts().await, Counts { ended: 1, pending: 2, ..Counts::default() });
}

pub(super) async fn the_latest_moment_never_goes_back(mut bed: impl Lasting) {
    assert_eq!(bed.store().last_moment().await.unwrap(), None);
    let later = NOW.plus(SECOND * 9);
    bed.store().beat(later).await.unwrap();
    bed.store().beat(NOW).await.unwrap();
    bed.reopen().await;
    assert_eq!(bed.store().last_moment().await.unwrap(), Some(later));
}
