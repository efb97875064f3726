//! Where watches are kept: the row is the machine, the table is the queue.
//!
//! A watch is a row that says when it is due. Whoever claims a due row hides it for the length of a lease, polls
//! once, and saves. This store keeps its rows in memory, for as long as one command waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::outcome::Outcome;
use crate::watch::{Progress, Watch};

/// The key of a row; rows that were added earlier have lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(usize);

#[derive(Debug)]
struct Row {
    watch: Watch,
    due_at: Moment,
    outcome: Option<Outcome>,
}

/// Watches in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: BTreeMap<WatchId, Row>,
    due: BTreeSet<(Moment, WatchId)>,
}

impl MemoryStore {
    /// Adds a watch on `export` that is due at once. An export that is already watched is not watched twice.
    pub fn add(&mut self, export: ExportRef, now: Moment) -> Option<&Watch> {
        if self.rows.values().any(|row| row.watch.export == export) {
            return None;
        }
        let id = WatchId(self.rows.len());
        let watch = Watch { export, progress: Progress::new(now) };
        self.due.insert((now, id));
        Some(&self.rows.entry(id).or_insert(Row { watch, due_at: now, outcome: None }).watch)
    }

    /// The longest-due watch, hidden from other claims until its lease runs out; nothing if none is due.
    pub fn claim_due(&mut self, now: Moment, lease: Duration) -> Option<(WatchId, Watch)> {
        let (_, id) = self.due.first().copied().filter(|(due_at, _)| *due_at <= now)?;
        self.reschedule(id, now.plus(lease));
        self.rows.get(&id).map(|row| (id, row.watch.clone()))
    }

    /// When the next watch is due; nothing when all have ended.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// Saves a watch that goes on at `due_at`.
    pub fn save(&mut self, id: WatchId, watch: Watch, due_at: Moment) {
        self.reschedule(id, due_at);
        if let Some(row) = self.rows.get_mut(&id) {
            row.watch = watch;
        }
    }

    /// Saves a watch that has ended. It is never due again.
    pub fn finish(&mut self, id: WatchId, watch: Watch, outcome: Outcome) {
        if let Some(row) = self.rows.get_mut(&id) {
            self.due.remove(&(row.due_at, id));
            row.watch = watch;
            row.outcome = Some(outcome);
        }
    }

    /// The watches that have not ended, in the order in which they were added.
    pub fn unfinished(&self) -> impl Iterator<Item = &Watch> {
        self.rows.values().filter(|row| row.outcome.is_none()).map(|row| &row.watch)
    }

    fn reschedule(&mut self, id: WatchId, due_at: Moment) {
        if let Some(row) = self.rows.get_mut(&id) {
            self.due.remove(&(row.due_at, id));
            self.due.insert((due_at, id));
            row.due_at = due_at;
        }
    }
}
