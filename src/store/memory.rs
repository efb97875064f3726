//! Watches in memory, for as long as one command waits.
//!
//! The store has one owner: nobody else can claim what is claimed, so that a claimed row is out of the queue until it
//! is given back, however long that takes, and no lease is needed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::{Claim, Claimed, Next, Pass, Passed, Record, Store, StoreError, Wish};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::Watch;

/// Watches in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Rc<RefCell<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    /// The watches that have not ended, claimed or not.
    watches: BTreeMap<i64, Arc<Watch>>,
    /// Those that are not claimed, by account and by when they are due.
    due: BTreeSet<(Arc<str>, Moment, i64)>,
    added: i64,
}

impl MemoryStore {
    /// Adds a watch on `export` that is due at once. An export that is already watched is not watched twice.
    #[must_use]
    pub fn add(&self, export: ExportRef, now: Moment) -> Option<Arc<Watch>> {
        self.take_on(Watch::unnamed(export, now), now)
    }

    /// Adds a watch that is due at once, unless its account has one on the same export.
    #[must_use]
    pub fn take_on(&self, watch: Watch, now: Moment) -> Option<Arc<Watch>> {
        let mut rows = self.0.borrow_mut();
        let is_same = |other: &Arc<Watch>| (&other.account, other.export) == (&watch.account, watch.export);
        if rows.watches.values().any(is_same) {
            return None;
        }
        let row = rows.added;
        rows.added += 1;
        rows.due.insert((Arc::clone(&watch.account), now, row));
        let watch = Arc::new(watch);
        rows.watches.insert(row, Arc::clone(&watch));
        Some(watch)
    }

    /// The watches that have not ended, in the order in which they were added.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Arc<Watch>> {
        self.0.borrow().watches.values().cloned().collect()
    }
}

impl Rows {
    /// Takes in what became of a claimed watch.
    fn keep(&mut self, record: Record) {
        let Record { claim: Claim { row, .. }, watch, next } = record;
        match next {
            Next::Due(due_at) => {
                self.due.insert((Arc::clone(&watch.account), due_at, row));
                self.watches.insert(row, watch);
            }
            Next::Ended(_) => {
                self.watches.remove(&row);
            }
        }
    }

    /// The watches of an account that are not claimed, the longest-due first.
    fn queue(&self, account: &Arc<str>) -> impl Iterator<Item = &(Arc<str>, Moment, i64)> {
        let first = (Arc::clone(account), Moment::default(), i64::MIN);
        self.due.range(first..).take_while(move |(of, ..)| of == account)
    }

    /// Claims what is wished for.
    fn claim(&mut self, wish: &Wish, now: Moment) -> Vec<Claimed> {
        let is_wanted = |(_, due_at, row): &&(Arc<str>, Moment, i64)| match wish.started_by {
            None => *due_at <= now,
            Some(by) => self.watches.get(row).is_some_and(|watch| watch.progress.started_at() <= by),
        };
        let keys: Vec<_> = self.queue(&wish.account).filter(is_wanted).take(wish.room).cloned().collect();
        let mut claimed = Vec::new();
        for key in keys {
            self.due.remove(&key);
            let (_, due_at, row) = key;
            let watch = self.watches.get(&row).map(|watch| Watch::clone(watch));
            claimed.extend(watch.map(|watch| Claimed { claim: Claim { row, fence: 0 }, watch, due_at }));
        }
        claimed
    }
}

impl Store for MemoryStore {
    /// Never fails. What is owed is not kept: whoever waits is told.
    async fn pass(&self, pass: Pass) -> Result<Passed, StoreError> {
        let mut rows = self.0.borrow_mut();
        let mut passed = Passed { kept: vec![true; pass.records.len()], ..Passed::default() };
        pass.records.into_iter().for_each(|record| rows.keep(record));
        for wish in pass.wishes {
            let claimed = rows.claim(&wish, pass.now);
            if claimed.len() < wish.room {
                let next_due = rows.queue(&wish.account).next().map(|(_, due_at, _)| *due_at);
                let is_claimed = || rows.watches.values().any(|watch| watch.account == wish.account);
                let next_due = next_due.or_else(|| is_claimed().then_some(Moment::NEVER));
                passed.next_due.insert(wish.account, next_due);
            }
            passed.claimed.extend(claimed);
        }
        Ok(passed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::export::Scope;
    use crate::store::Ended;
    use crate::watch::outcome::Outcome;

    async fn pass(store: &MemoryStore, now: Moment, record: Option<Record>) -> Passed {
        let wish = Wish { account: Arc::from("default"), room: 10, started_by: None };
        let records = record.into_iter().collect();
        store
            .pass(Pass { now, lease: Duration::ZERO, records, owed: Vec::new(), wishes: vec![wish] })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_watch_is_claimed_once_until_it_is_given_back() {
        let store = MemoryStore::default();
        let (now, id) = (Moment::from_unix(Duration::ZERO), Uuid::from_u128(1));
        let export = ExportRef { scope: Scope::Group, scope_id: id, export_id: id };
        assert!(store.add(export, now).is_some());
        assert!(store.add(export, now).is_none(), "an export is watched once");
        let Claimed { claim, watch, .. } = pass(&store, now, None).await.claimed.remove(0);
        let nothing = pass(&store, now.plus(Duration::from_secs(3600)), None).await;
        assert!(nothing.claimed.is_empty(), "a claimed watch is nobody else's");
        assert_eq!(nothing.next_due["default"], Some(Moment::NEVER), "but it is there");

        let later = now.plus(Duration::from_secs(5));
        let watch = Arc::new(watch);
        let record = Record { claim, watch: Arc::clone(&watch), next: Next::Due(later) };
        let waiting = pass(&store, now, Some(record)).await;
        assert_eq!((waiting.next_due["default"], waiting.claimed.len()), (Some(later), 0));
        assert_eq!(pass(&store, later, None).await.claimed[0].claim, claim);

        let ended =
            Ended { outcome: Outcome::Finished, at: later, document: String::new(), deliveries: Vec::new() };
        let record = Record { claim, watch, next: Next::Ended(ended) };
        let passed = pass(&store, later, Some(record)).await;
        assert_eq!((passed.next_due["default"], passed.kept), (None, vec![true]));
        assert_eq!(store.unfinished().len(), 0);
    }

    #[tokio::test]
    async fn what_is_wished_for_is_claimed_and_no_more() {
        let (store, now) = (MemoryStore::default(), Moment::from_unix(Duration::from_secs(100)));
        let exports = [1, 2, 3].map(Uuid::from_u128);
        for (export_id, started_at) in exports.into_iter().zip([100, 50, 40]) {
            let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id };
            assert!(store.add(export, Moment::from_unix(Duration::from_secs(started_at))).is_some());
        }
        let ids = |watches: Vec<Arc<Watch>>| {
            watches.into_iter().map(|watch| watch.export.export_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(store.unfinished()), exports, "in the order in which they were added");
        let claim = async |room, started_by: Option<u64>| {
            let started_by = started_by.map(|seconds| Moment::from_unix(Duration::from_secs(seconds)));
            let wishes = vec![Wish { account: Arc::from("default"), room, started_by }];
            let records = Vec::new();
            let pass = Pass { now, lease: Duration::ZERO, records, owed: Vec::new(), wishes };
            let passed = store.pass(pass).await.unwrap();
            (
                ids(passed.claimed.into_iter().map(|claimed| Arc::new(claimed.watch)).collect()),
                passed.next_due.len(),
            )
        };
        assert_eq!(
            claim(1, Some(50)).await,
            (vec![exports[2]], 0),
            "the longest due of those that are old enough"
        );
        assert_eq!(claim(2, Some(50)).await, (vec![exports[1]], 1), "there is no other");
        assert_eq!(claim(1, None).await, (vec![exports[0]], 0), "whether there is more was not asked");
    }
}
