//! Where watches are kept: the row is the machine, the table is the queue.
//!
//! A watch is a row that says when it is due. Whoever claims a due row takes it out of the queue, polls once, and puts
//! it back with its new due time, or ends it. This store keeps its rows in memory, for as long as one command waits,
//! and has one owner: nobody else can claim what is claimed, so that no lease is needed here.

use std::collections::{BTreeMap, BTreeSet};

use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::{Progress, Watch};

/// The key of a row; rows that were added earlier have lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(usize);

/// Watches in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// The watches that have not ended, claimed or not.
    watches: BTreeMap<WatchId, Watch>,
    /// Those that are not claimed, by when they are due.
    due: BTreeSet<(Moment, WatchId)>,
    added: usize,
}

impl MemoryStore {
    /// Adds a watch on `export` that is due at once. An export that is already watched is not watched twice.
    pub fn add(&mut self, export: ExportRef, now: Moment) -> Option<&Watch> {
        if self.watches.values().any(|watch| watch.export == export) {
            return None;
        }
        let id = WatchId(self.added);
        self.added += 1;
        self.due.insert((now, id));
        Some(self.watches.entry(id).or_insert(Watch { export, progress: Progress::new(now) }))
    }

    /// The longest-due watch, claimed until it is saved or finished; nothing if none is due.
    pub fn claim_due(&mut self, now: Moment) -> Option<(WatchId, Watch)> {
        let (due_at, id) = self.due.first().copied().filter(|(due_at, _)| *due_at <= now)?;
        self.due.remove(&(due_at, id));
        self.watches.get(&id).map(|watch| (id, watch.clone()))
    }

    /// When the next watch is due; nothing when all are claimed or have ended.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// Saves a claimed watch that goes on at `due_at`.
    pub fn save(&mut self, id: WatchId, watch: Watch, due_at: Moment) {
        self.due.insert((due_at, id));
        self.watches.insert(id, watch);
    }

    /// Ends a claimed watch. It is never due again.
    pub fn finish(&mut self, id: WatchId) {
        self.watches.remove(&id);
    }

    /// The watches that have not ended, in the order in which they were added.
    pub fn unfinished(&self) -> impl Iterator<Item = &Watch> {
        self.watches.values()
    }
}
