//! What must be in the store.

use super::*;

/// What the store must contain.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: Moment,
    /// In the order in which they were added.
    pub(super) watches: Vec<Row>,
    /// In the order in which they were added.
    pub(super) deliveries: Vec<Owed>,
    /// The claims of the current daemon.
    pub(super) claimed: Vec<Claimed>,
    pub(super) claimed_deliveries: Vec<ClaimedDelivery>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) watch: Watch,
    pub(super) is_of_settings: bool,
    pub(super) due_at: Moment,
    pub(super) ended_at: Option<Moment>,
}

#[derive(Debug)]
pub(super) struct Owed {
    pub(super) delivery: NewDelivery,
    pub(super) watch: Option<Uuid>,
    pub(super) due_at: Moment,
    pub(super) attempts: u32,
    pub(super) state: DeliveryState,
    pub(super) settled_at: Moment,
}

impl Model {
    pub(super) fn is_free(&self, row: &Row) -> bool {
        row.ended_at.is_none() && !self.claimed.iter().any(|claimed| claimed.watch.id == row.watch.id)
    }

    pub(super) fn position(&self, account: &str, number: u128) -> Option<usize> {
        let is_it = |row: &Row| &*row.watch.account == account && row.watch.export == export(number);
        self.watches.iter().position(is_it)
    }

    pub(super) fn added(&mut self, watch: Watch, is_of_settings: bool) {
        assert_eq!(watch.progress.started_at(), self.now);
        self.watches.push(Row { watch, is_of_settings, due_at: self.now, ended_at: None });
    }

    /// Removes a row with its settled deliveries.
    pub(super) fn remove(&mut self, position: usize) {
        let id = self.watches.remove(position).watch.id;
        self.deliveries.retain(|owed| owed.watch != Some(id) || owed.state == DeliveryState::Pending);
    }

    /// Applies a record. Returns whether the store must have kept it.
    pub(super) fn keep(&mut self, record: &Record) -> bool {
        let Some(row) = self.watches.iter_mut().find(|row| row.watch.id == record.watch.id) else {
            return false;
        };
        match &record.next {
            Next::Due(at) => row.due_at = *at,
            Next::Ended(ended) => {
                row.ended_at = Some(ended.at);
                let (id, now) = (row.watch.id, self.now);
                ended.deliveries.iter().for_each(|delivery| self.owe(delivery.clone(), Some(id), now));
            }
        }
        true
    }

    pub(super) fn owe(&mut self, delivery: NewDelivery, watch: Option<Uuid>, now: Moment) {
        let (state, settled_at) = (DeliveryState::Pending, now);
        self.deliveries.push(Owed { delivery, watch, due_at: IN_TURN, attempts: 0, state, settled_at });
    }

    /// Checks the claims for a wish: as many watches as possible, the longest due first.
    pub(super) fn claim(&mut self, wish: &Wish, claimed: Vec<Claimed>, next_due: Option<Option<Moment>>) {
        let is_eligible = |row: &&Row| {
            let is_due = match wish.started_by {
                None => row.due_at <= self.now,
                Some(by) => row.watch.progress.started_at() <= by,
            };
            row.watch.account == wish.account && is_due && self.is_free(row)
        };
        let mut eligible: Vec<&Row> = self.watches.iter().filter(is_eligible).collect();
        assert_eq!(claimed.len(), eligible.len().min(wish.room));
        if wish.started_by.is_none() {
            let due: Vec<Moment> = claimed.iter().map(|claimed| claimed.due_at).collect();
            eligible.sort_by_key(|row| row.due_at);
            assert!(
                due.iter().eq(eligible.iter().take(wish.room).map(|row| &row.due_at)),
                "the longest due first"
            );
        }
        for claimed in &claimed {
            let row =
                eligible.iter().find(|row| row.watch.id == claimed.watch.id).expect("it may be claimed");
            assert_eq!((claimed.due_at, claimed.watch.export), (row.due_at, row.watch.export));
        }
        let is_all = claimed.len() < wish.room;
        self.claimed.extend(claimed);
        let own =
            || self.watches.iter().filter(|row| row.watch.account == wish.account && row.ended_at.is_none());
        let free = own().filter(|row| self.is_free(row)).map(|row| row.due_at).min();
        let expected = free.or_else(|| own().next().map(|_| Moment::NEVER));
        assert_eq!(next_due, is_all.then_some(expected), "{wish:?}");
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |state| self.deliveries.iter().filter(|owed| owed.state == state).count() as u64;
        let ended = self.watches.iter().filter(|row| row.ended_at.is_some()).count();
        Counts {
            active: (self.watches.len() - ended) as u64,
            ended: ended as u64,
            pending: of(DeliveryState::Pending),
            undeliverable: of(DeliveryState::Undeliverable),
        }
    }
}
