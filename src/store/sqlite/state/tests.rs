use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::rows::at;
use super::super::tests::{Bed, NOW, delivery, due, ending, new, records};
use crate::moment::Moment;
use crate::store::{DeliveryRecord, Filter, NextDelivery, Outbox as _, SqliteStore, Store as _};
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Step {
    Add(u128),
    List(Vec<u128>),
    Remove(usize),
    /// Ends those of the watches whose bits are set, with as many deliveries each.
    Poll(u32, usize),
    Owe(u32),
    /// Settles as many deliveries: sends, keeps or gives up one after the other.
    Deliver(usize),
    Prune(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..12_u128).prop_map(Step::Add),
        2 => proptest::collection::vec(1..12_u128, 0..6).prop_map(Step::List),
        1 => (0..12_usize).prop_map(Step::Remove),
        4 => (any::<u32>(), 0..3_usize).prop_map(|(bits, owed)| Step::Poll(bits, owed)),
        1 => (0..9_u32).prop_map(Step::Owe),
        3 => (1..9_usize).prop_map(Step::Deliver),
        1 => (0..40_u64).prop_map(Step::Prune),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn counts_are_exact(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bed = Bed::new();
            let mut store = bed.open().await;
            for (turn, step) in steps.iter().enumerate() {
                let now = NOW.plus(Duration::from_secs(turn as u64));
                take(&bed, &mut store, step, now).await;
                assert_eq!(store.counts().await.unwrap(), bed.counted(), "after step {turn} of {steps:?}");
            }
            let last = "SELECT max(value) FROM meta";
            let last: Option<i64> = bed.sql().query_row(last, (), |row| row.get(0)).unwrap();
            assert_eq!(store.last_moment().await.unwrap(), last.map(at));
        });
    }
}

async fn take(bed: &Bed, store: &mut SqliteStore, step: &Step, now: Moment) {
    match step {
        Step::Add(number) => drop(store.add(new("a", *number), Uuid::now_v7(), now).await.unwrap()),
        Step::List(numbers) => {
            let listed = numbers.iter().map(|number| new("a", *number)).collect();
            store.reconcile(listed, Uuid::now_v7, now).await.unwrap();
        }
        Step::Remove(which) => {
            let listed = store.list(Filter { limit: 100, ..Filter::default() }).await.unwrap().unwrap();
            if let Some(listed) = listed.get(*which) {
                assert!(store.remove(listed.watch.id).await.unwrap());
            }
        }
        Step::Poll(bits, owed) => poll(bed, store, *bits, *owed, now).await,
        Step::Owe(id) => store.owe(delivery(&format!("owed-{id}"), "platform")).await.unwrap(),
        Step::Deliver(count) => deliver(store, *count, now).await,
        Step::Prune(seconds) => {
            store.prune(NOW.plus(Duration::from_secs(*seconds))).await.unwrap();
        }
        Step::Reopen => {
            store.clone().close().await.unwrap();
            *store = bed.open().await;
        }
    }
}

async fn poll(bed: &Bed, store: &mut SqliteStore, bits: u32, owed: usize, now: Moment) {
    let claimed = bed.claim(store, "a", now).await;
    let polled = claimed.iter().enumerate().map(|(at, claimed)| {
        if bits >> (at % 32) & 1 == 0 {
            return due(claimed, now);
        }
        let ids: Vec<String> = (0..owed).map(|owed| format!("{}-{owed}", claimed.watch.id)).collect();
        ending(claimed, Outcome::Failed, "{}", &ids.iter().map(String::as_str).collect::<Vec<_>>())
    });
    // Whatever comes twice is kept once.
    let mut polled: Vec<_> = polled.collect();
    polled.extend(polled.first().cloned());
    store.pass(records(polled)).await.unwrap();
}

async fn deliver(store: &SqliteStore, count: usize, now: Moment) {
    let room = count;
    let claimed = store.claim_deliveries("platform".to_owned(), room, now).await.unwrap().0;
    let nexts = [
        NextDelivery::Sent,
        NextDelivery::Due { at: now, pace: None, problem: Text::new("later") },
        NextDelivery::Undeliverable { problem: Text::new("never") },
    ];
    let records = claimed.iter().zip(nexts.iter().cycle());
    let record = |(claimed, next): (&crate::store::ClaimedDelivery, &NextDelivery)| DeliveryRecord {
        claim: claimed.claim,
        at: now,
        next: next.clone(),
    };
    store.record_deliveries(records.map(record).collect()).await.unwrap();
}
