//! Watches in memory, for one command that waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Claim, Claimed, Next, Pass, Passed, Queue, Record, Reply, Wish};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::Watch;

/// Watches in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    /// The watches that have not ended, claimed or not.
    watches: BTreeMap<i64, Arc<Watch>>,
    /// The unclaimed ones, by account and due time.
    due: BTreeSet<(Arc<str>, Moment, i64)>,
    added: i64,
}

impl MemoryStore {
    /// Adds a watch on `export` that is due at once, unless there is one.
    #[must_use]
    pub fn add(&self, export: ExportRef, now: Moment) -> Option<Arc<Watch>> {
        self.take_on(Watch::unnamed(export, now), now)
    }

    /// Adds a watch that is due at once, unless its account has one on the same export.
    #[must_use]
    pub fn take_on(&self, watch: Watch, now: Moment) -> Option<Arc<Watch>> {
        let mut rows = self.rows();
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

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watches that have not ended, in the order in which they were added.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Arc<Watch>> {
        self.rows().watches.values().cloned().collect()
    }
}

impl Rows {
    /// Records the result of a poll.
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

    /// The unclaimed watches of an account, the longest due first.
    fn queue(&self, account: &Arc<str>) -> impl Iterator<Item = &(Arc<str>, Moment, i64)> {
        let first = (Arc::clone(account), Moment::default(), i64::MIN);
        self.due.range(first..).take_while(move |(of, ..)| of == account)
    }

    /// Claims the watches of a wish.
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

impl Queue for MemoryStore {
    /// Never fails. Ignores deliveries: the command that waits reports the ends itself.
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        let mut rows = self.rows();
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
        Box::pin(std::future::ready(Ok(passed)))
    }
}
