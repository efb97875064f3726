use std::time::Duration;

use super::super::tests::{Bed, NOW, delivery, ending, records};
use super::*;
use crate::store::{Claim, Outbox as _, SqliteStore, Store as _};
use crate::watch::outcome::Outcome;

const SECOND: Duration = Duration::from_secs(1);

async fn claim(store: &SqliteStore, now: Moment) -> (Vec<ClaimedDelivery>, Option<Moment>) {
    store.claim_deliveries("platform".to_owned(), 9, now).await.unwrap()
}

fn ids(claimed: &[ClaimedDelivery]) -> Vec<&str> {
    claimed.iter().map(|claimed| &*claimed.delivery.id).collect()
}

fn came(claim: Claim, next: NextDelivery) -> Vec<DeliveryRecord> {
    vec![DeliveryRecord { claim, at: NOW.plus(SECOND), next }]
}

fn again(after: Duration) -> NextDelivery {
    let (pace, problem) = (Some(Duration::from_nanos(1_500_000_001)), Text::new("HTTP 503"));
    NextDelivery::Due { at: NOW.plus(after), pace, problem }
}

#[tokio::test]
async fn a_delivery_is_tried_until_its_endpoint_has_it() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    let watch = bed.add(&store, "a", 1).await;
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    store.pass(records([ending(&claimed, Outcome::Finished, "{}", &["x"])])).await.unwrap();

    let first = claim(&store, NOW).await.0.remove(0);
    assert_eq!((&first.delivery, first.watch), (&delivery("x", "platform"), Some(watch.id)));
    assert_eq!((first.attempts, first.pace), (0, None));
    store.record_deliveries(came(first.claim, again(SECOND * 5))).await.unwrap();
    let (none, next) = claim(&store, NOW.plus(SECOND * 4)).await;
    assert_eq!((none.len(), next), (0, Some(NOW.plus(SECOND * 5))));
    let listed = store.watch(watch.id).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((listed.state, listed.attempts, listed.due_at), (DeliveryState::Pending, 1, next));
    assert_eq!((listed.problem.unwrap().as_str(), &*listed.endpoint), ("HTTP 503", "platform"));

    store.close().await.unwrap();
    let store = bed.open().await;
    let second = claim(&store, NOW.plus(SECOND * 5)).await.0.remove(0);
    assert_eq!((second.attempts, second.pace), (1, Some(Duration::from_nanos(1_500_000_001))));
    store.record_deliveries(came(second.claim, NextDelivery::Sent)).await.unwrap();
    assert_eq!(claim(&store, NOW.plus(SECOND * 999)).await.1, None);
    let listed = store.watch(watch.id).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((listed.state, listed.attempts), (DeliveryState::Sent, 2));
    assert_eq!((listed.problem, listed.due_at), (None, None));
    assert_eq!((store.counts().await.unwrap(), bed.counted().pending), (bed.counted(), 0));
}

#[tokio::test]
async fn one_that_is_given_up_stays_to_be_seen() {
    let bed = Bed::new();
    let store = bed.open().await;
    store.owe(delivery("x", "platform")).await.unwrap();
    let claimed = claim(&store, NOW).await.0.remove(0);
    assert_eq!(claimed.watch, None);
    let problem = Text::new("HTTP 410");
    store.record_deliveries(came(claimed.claim, NextDelivery::Undeliverable { problem })).await.unwrap();
    assert_eq!(claim(&store, NOW.plus(SECOND * 999)).await.1, None);
    assert_eq!(store.counts().await.unwrap(), bed.counted());
    assert_eq!((bed.counted().pending, bed.counted().undeliverable), (0, 1));
    let problem: String =
        bed.sql().query_row("SELECT problem FROM deliveries", (), |row| row.get(0)).unwrap();
    assert_eq!(problem, "HTTP 410");
}

#[tokio::test]
async fn a_claimed_delivery_cannot_be_claimed_again_until_it_is_given_back() {
    let bed = Bed::new();
    let store = bed.open().await;
    store.owe(delivery("x", "platform")).await.unwrap();
    let first = claim(&store, NOW).await.0.remove(0);
    let (none, next) = claim(&store, NOW.plus(SECOND * 999)).await;
    assert_eq!((none.len(), next), (0, None));
    store.record_deliveries(came(first.claim, again(SECOND))).await.unwrap();
    let second = claim(&store, NOW.plus(SECOND)).await.0.remove(0);
    // A claim that was given back counts no more.
    store.record_deliveries(came(first.claim, NextDelivery::Sent)).await.unwrap();
    assert_eq!(bed.counted().pending, 1);
    store.record_deliveries(came(second.claim, NextDelivery::Sent)).await.unwrap();
    store.record_deliveries(came(second.claim, again(SECOND))).await.unwrap();
    assert_eq!((store.counts().await.unwrap(), bed.counted().pending), (bed.counted(), 0));
}

#[tokio::test]
async fn the_longest_due_come_first_endpoint_by_endpoint() {
    let bed = Bed::new();
    let store = bed.open().await;
    for (id, endpoint, after) in
        [("a", "platform", 3), ("b", "other", 1), ("c", "platform", 2), ("d", "other", 0)]
    {
        let at = NOW.plus(SECOND * after);
        store.owe(NewDelivery { at, ..delivery(id, endpoint) }).await.unwrap();
    }
    assert_eq!(store.owed_endpoints().await.unwrap(), ["other", "platform"]);
    let (claimed, next) = claim(&store, NOW.plus(SECOND * 2)).await;
    assert_eq!((ids(&claimed), next), (vec!["c"], Some(NOW.plus(SECOND * 3))));
    let (claimed, next) = store.claim_deliveries("other".to_owned(), 1, NOW.plus(SECOND * 2)).await.unwrap();
    assert_eq!((ids(&claimed), next), (vec!["d"], Some(NOW.plus(SECOND))));
    store.record_deliveries(came(claimed[0].claim, NextDelivery::Sent)).await.unwrap();
    assert_eq!(store.owed_endpoints().await.unwrap(), ["other", "platform"]);
    let (claimed, _) = store.claim_deliveries("other".to_owned(), 1, NOW.plus(SECOND * 2)).await.unwrap();
    store.record_deliveries(came(claimed[0].claim, NextDelivery::Sent)).await.unwrap();
    assert_eq!(store.owed_endpoints().await.unwrap(), ["platform"]);
}
