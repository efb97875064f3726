//! Passes: what the store is handed, and what it hands back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{LEASE, Obligations, Runner, named};
use crate::event::Event;
use crate::moment::Moment;
use crate::store::{Next, Pass, Passed, Record, Store};
use crate::watch::observation::Poller;

impl<S, P, W> Runner<S, P, W>
where
    S: Store + Clone + 'static,
    P: Poller + Clone + 'static,
    W: Obligations,
{
    /// Hands the store what there is to keep and what is wanted, unless it is still at the pass before, or there is
    /// nothing to say.
    pub(super) fn begin_pass(&mut self) {
        if self.passing.is_some() {
            return;
        }
        let now = self.clock.now();
        let wishes = self.wishes(now);
        let beat =
            self.plan.beat.filter(|beat| self.passed_at.is_none_or(|passed_at| now >= passed_at.plus(*beat)));
        if self.records.is_empty() && wishes.is_empty() && self.owed.is_empty() && beat.is_none() {
            return;
        }
        // What is announced of an account comes before what follows from it.
        let mut told: Vec<_> = std::mem::take(&mut self.announcements).into_iter().map(Some).collect();
        let (records, of_records): (Vec<Record>, Vec<Option<Event>>) = self.records.drain(..).unzip();
        told.extend(of_records);
        self.changed = false;
        let pass = Pass { now, lease: LEASE, records, owed: std::mem::take(&mut self.owed), wishes };
        let store = self.store.clone();
        self.passing = Some((Box::pin(async move { store.pass(pass).await }), told));
    }

    /// The store has kept a pass: tells what happened, and polls what was claimed.
    pub(super) fn take_over(
        &mut self,
        passed: Passed,
        told: Vec<Option<Event>>,
        tell: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let now = self.clock.now();
        self.passed_at = Some(now);
        self.obligations.passed(now);
        self.learn_due_times(passed.next_due, now);
        // What is announced besides has no record that might not have been kept.
        let announced = told.len().saturating_sub(passed.kept.len());
        let kept = std::iter::repeat_n(true, announced).chain(passed.kept);
        let kept = told.into_iter().zip(kept).filter(|(_, kept)| *kept);
        // All of the pass is told: whether that is enough is asked afterwards.
        let mut flow = ControlFlow::Continue(());
        for event in kept.filter_map(|(event, _)| event) {
            if tell(&event).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        if flow.is_break() {
            return flow;
        }
        for claimed in passed.claimed {
            let progress = &claimed.watch.progress;
            if progress.polls() > 0 && progress.polled_at() < self.started_at {
                tell(&Event::Resumed { watch: claimed.watch.clone() })?;
            }
            self.take(claimed, now);
        }
        self.poll_ready();
        ControlFlow::Continue(())
    }

    /// When watches are due, as the store sees it: it does not know yet of the polls that ended since the pass began,
    /// nor of what others have changed since.
    fn learn_due_times(&mut self, next_due: BTreeMap<Arc<str>, Option<Moment>>, now: Moment) {
        let is_stale = std::mem::take(&mut self.changed);
        for (account, due_at) in next_due {
            match (named(&mut self.accounts, &account), is_stale, due_at) {
                (Some(state), false, due_at) => state.is_next_due_at(due_at, now),
                (Some(state), true, Some(due_at)) => state.may_be_due_at(due_at),
                (Some(_), true, None) | (None, ..) => {}
            }
        }
        for (record, _) in &self.records {
            let due_at = match record.next {
                Next::Due(due_at) => due_at,
                Next::Ended(_) => now,
            };
            if let Some(state) = named(&mut self.accounts, &record.watch.account) {
                state.may_be_due_at(due_at);
            }
        }
    }
}
