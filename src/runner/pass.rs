//! Passes: what the runner gives to the store, and what it gets back.

use std::mem::take;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{If, Obligations, Runner, Told, named};
use crate::event::{Event, What};
use crate::moment::Moment;
use crate::store::{Claimed, Pass, Passed, Queue};
use crate::watch::observation::Poller;

impl<S: Queue, P: Poller + Clone, W: Obligations> Runner<S, P, W> {
    /// Gives the store the results to save and the wishes for watches, unless it is still saving a pass or there is neither.
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
                // Only what is learnt from now on counts.
                state.due_at = None;
            }
        }
        let (records, news, told) = (take(&mut self.records), take(&mut self.news), take(&mut self.told));
        let passed = self.store.pass(Pass { now, records, news, wishes });
        self.passing = Some(Box::pin(async move { Ok((passed.await?, told)) }));
    }

    /// The store has saved a pass: reports the events, and polls the claimed watches.
    pub(super) fn take_over(
        &mut self,
        passed: Passed,
        told: Told,
        tell: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let now = self.clock.now();
        self.passed_at = now;
        self.obligations.passed(now);
        self.show_accounts(now);
        self.learn_due_times(&passed, now);
        let is_told = |when: If| match when {
            If::Kept(n) => passed.kept.get(n) == Some(&true),
            If::News(n) => passed.news.get(n) == Some(&true),
            If::Saved => true,
        };
        // Report the whole pass, even if one of its events is enough for the caller.
        let mut flow = ControlFlow::Continue(());
        for (_, event) in told.into_iter().filter(|(when, _)| is_told(*when)) {
            if tell(&event).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        // Watches that are claimed too late to be polled stay due.
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

    /// Shows the accounts, about once a second.
    fn show_accounts(&mut self, now: Moment) {
        const EVERY: Duration = Duration::from_secs(1);
        if now.since(self.shown_at) < EVERY {
            return;
        }
        self.shown_at = now;
        for state in &self.accounts {
            self.obligations.sees(&state.account.name, state.standing(now));
        }
    }

    /// Learns when unclaimed watches are due. If the store granted a whole wish, there may be more.
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
