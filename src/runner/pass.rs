//! Passes: what the store is handed, and what it hands back.

use std::mem::take;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Obligations, Runner, Told, named};
use crate::event::{Event, What};
use crate::moment::Moment;
use crate::store::{Claimed, Pass, Passed, Queue};
use crate::watch::observation::Poller;

impl<S: Queue, P: Poller + Clone, W: Obligations> Runner<S, P, W> {
    /// Hands the store what there is to keep and what is wanted, unless it is still at the pass before, or there is
    /// nothing to say.
    pub(super) fn begin_pass(&mut self) {
        if self.passing.is_some() {
            return;
        }
        let now = self.clock.now();
        let wishes = self.wishes(now);
        if self.records.is_empty() && wishes.is_empty() && self.beat_at().is_none_or(|beat_at| now < beat_at)
        {
            return;
        }
        for wish in &wishes {
            if let Some(state) = named(&mut self.accounts, &wish.account) {
                // What happens until the store answers counts, what was known before does not.
                state.due_at = None;
            }
        }
        let (records, owed, told) = (take(&mut self.records), take(&mut self.owed), take(&mut self.told));
        let passed = self.store.pass(Pass { now, records, owed, wishes });
        self.passing = Some(Box::pin(async move { Ok((passed.await?, told)) }));
    }

    /// The store has kept a pass: tells what happened, and polls what was claimed.
    pub(super) fn take_over(
        &mut self,
        passed: Passed,
        told: Told,
        tell: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let now = self.clock.now();
        self.passed_at = now;
        self.obligations.passed(now);
        self.learn_due_times(&passed, now);
        let is_kept = |record: Option<usize>| record.is_none_or(|n| passed.kept.get(n) == Some(&true));
        // All of the pass is told: whether that is enough is asked afterwards.
        let mut flow = ControlFlow::Continue(());
        for (_, event) in told.into_iter().filter(|(record, _)| is_kept(*record)) {
            if tell(&event).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        // What is claimed too late to be polled stays due.
        if flow.is_break() || self.closing {
            return flow;
        }
        for claimed in passed.claimed {
            let progress = &claimed.watch.progress;
            if progress.polls() > 0 && progress.polled_at() < self.started_at {
                tell(&What::Resumed { watch: Arc::new(claimed.watch.clone()) }.at(now))?;
            }
            self.take(claimed, now);
        }
        self.poll_ready();
        ControlFlow::Continue(())
    }

    /// When watches are due that the store did not hand out. Where it handed out all that was wished for, there may be more.
    fn learn_due_times(&mut self, passed: &Passed, now: Moment) {
        for Claimed { watch, .. } in &passed.claimed {
            if let Some(state) = named(&mut self.accounts, &watch.account)
                && !passed.next_due.contains_key(&watch.account)
            {
                state.may_be_due_at(now);
            }
        }
        for (account, next_due) in &passed.next_due {
            if let Some(state) = named(&mut self.accounts, account) {
                state.had_no_more(*next_due, now);
            }
        }
    }
}
