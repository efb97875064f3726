//! From a claimed watch to its poll, and from the observation to the watch's and the account's next state.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};

use super::{Closing, If, Obligations, Runner, named};
use crate::clock::Clock;
use crate::duration::to_the_ms;
use crate::event::{Ending, Timing, What};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::store::{AccountNews, Claim, Claimed, Ended, Next, Queue, Record};
use crate::text::Text;
use crate::watch::block::News;
use crate::watch::observation::{Failure, Observation, Poller};
use crate::watch::{Decision, Watch};

/// A poll that has ended: the watch, when the poll started and how long it took, and what it saw.
pub(super) type Polled = (Claimed, Timing, Observation);

/// A poll that is under way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Polled> + Send>>;

impl<S: Queue, P: Poller + Clone, W: Obligations> Runner<S, P, W> {
    /// Polls the ready watches, as many as `concurrency` allows.
    pub(super) fn poll_ready(&mut self) {
        let now = self.clock.now();
        while self.under_way.len() < self.plan.concurrency.get()
            && let Some(state) = self.next_account().map(|n| &mut self.accounts[n])
            && let Some(mut claimed) = state.ready.pop_front()
        {
            if state.blocking.may_ask(now) {
                let poller = state.account.poller.clone();
                let limit = claimed.watch.progress.begin_poll(&self.plan.policy, now);
                state.begin(now);
                self.under_way.push(poll(poller, self.clock, claimed, limit));
            } else {
                // The account was blocked after the watch was claimed.
                state.may_be_due_at(claimed.due_at);
                self.give_back(claimed);
            }
        }
    }

    /// Gives a claimed watch back without a poll: it stays due.
    pub(super) fn give_back(&mut self, Claimed { claim, watch, due_at }: Claimed) {
        self.records.push(Record { claim, watch: Arc::new(watch), next: Next::Due(due_at) });
    }

    /// A claimed watch waits for its poll. If its account is blocked and its time is over, it ends instead.
    pub(super) fn take(&mut self, claimed: Claimed, now: Moment) {
        let Some(state) = named(&mut self.accounts, &claimed.watch.account) else {
            // The account was removed from the settings. It claims its watches again when it returns.
            return self.give_back(claimed);
        };
        let Some((failure, outcome)) = state.blocking.end_of(&claimed.watch.progress, &self.plan.policy, now)
        else {
            return state.ready.push_back(claimed);
        };
        // After an end, ask the store whether there is another watch.
        state.may_be_due_at(now);
        let Claimed { claim, mut watch, .. } = claimed;
        watch.progress.give_up(&failure);
        let watch = Arc::new(watch);
        self.end(claim, Ending { watch, outcome, report: None, at: now, timing: None });
    }

    /// Records all results that are there: saving them in one pass is cheaper.
    pub(super) fn take_in_all(&mut self, polled: Polled) {
        self.take_in(polled);
        while let Some(Some(polled)) = self.under_way.next().now_or_never() {
            self.take_in(polled);
        }
        self.poll_ready();
    }

    fn take_in(&mut self, polled: Polled) {
        let (Claimed { claim, mut watch, .. }, timing, observation) = polled;
        let now = self.clock.now();
        self.record_for_account(&watch, timing, &observation, now);
        let from = watch.progress.status().cloned();
        let decision = watch.progress.record(&observation, &self.plan.policy, now, &mut self.rng);
        let due_at = match decision {
            Decision::PollAfter(delay) => now.plus(delay),
            // After an end, ask the store whether there is another watch.
            Decision::Finish(_) => now,
        };
        if let Some(state) = named(&mut self.accounts, &watch.account) {
            state.may_be_due_at(due_at);
        }
        let watch = Arc::new(watch);
        let of = Arc::clone(&watch);
        let what = match (decision, observation.answer) {
            (Decision::Finish(outcome), answer) => {
                let (report, timing) = (answer.ok(), Some(timing));
                return self.end(claim, Ending { watch, outcome, report, at: now, timing });
            }
            (Decision::PollAfter(delay), Err(failure)) => {
                What::Retrying { watch: of, failure, delay, timing }
            }
            (Decision::PollAfter(delay), Ok(report)) if from.as_ref() == Some(&report.status) => {
                What::Polled { watch: of, delay, timing }
            }
            (Decision::PollAfter(delay), Ok(_)) => What::StatusChanged { watch: of, from, delay, timing },
        };
        self.keep(Record { claim, watch, next: Next::Due(due_at) }, what, now);
    }

    /// Notes what happened to a watch. It is reported once it is saved.
    fn keep(&mut self, record: Record, what: What, now: Moment) {
        self.told.push((If::Kept(self.records.len()), what.at(now)));
        self.records.push(record);
    }

    /// A watch has ended: its end is saved together with its deliveries.
    fn end(&mut self, claim: Claim, ending: Ending) {
        let Closing { document, deliveries } = self.obligations.close(&ending);
        let Ending { outcome, at, .. } = ending;
        let next = Next::Ended(Ended { outcome, at, document, deliveries });
        let watch = Arc::clone(&ending.watch);
        self.keep(Record { claim, watch, next }, What::Finished(Arc::new(ending)), at);
    }

    /// Records what an answer means for its whole account.
    fn record_for_account(&mut self, watch: &Watch, timing: Timing, observation: &Observation, now: Moment) {
        let Some(state) = named(&mut self.accounts, &watch.account) else { return };
        state.end(timing.took, &self.plan.policy);
        let account = Arc::clone(&watch.account);
        let news = state.record(observation, &watch.progress, &self.plan.policy, now, &mut self.rng);
        let named = Arc::clone(&account);
        let is_refused = matches!(news, Some(News::Refused(_)));
        let (deliveries, when, what) = match news {
            Some(News::Refused(problem)) => (
                self.obligations.refuse(&account, &problem, now),
                If::Saved,
                What::AccountPaused { account: named, problem },
            ),
            Some(News::Works(paused)) => (
                self.obligations.accept(&account, now),
                // It may have been refused before a restart: the store knows.
                paused.map_or(If::News(self.news.len()), |_| If::Saved),
                What::AccountResumed { account: named, paused },
            ),
            None => return,
        };
        self.news.push(AccountNews { account, is_refused, deliveries });
        self.told.push((when, what.at(now)));
    }
}

/// Polls a watch.
fn poll<P: Poller>(poller: P, clock: Clock, claimed: Claimed, limit: Duration) -> Asking {
    let start = clock.now();
    Box::pin(async move {
        let observation = poll_within(&poller, &claimed.watch.export, limit).await;
        let timing = Timing { lag: start.since(claimed.due_at), took: clock.now().since(start) };
        (claimed, timing, observation)
    })
}

/// Polls once, for at most `limit`. A poll that takes longer is a transient failure.
pub async fn poll_within<P: Poller>(poller: &P, export: &ExportRef, limit: Duration) -> Observation {
    let answer = tokio::time::timeout(limit, poller.poll(export)).await;
    answer.unwrap_or_else(|_| too_late(limit, poller.route()))
}

/// The result of a request that may take at most `limit`.
pub async fn within(limit: Duration, asking: impl Future<Output = Observation>) -> Observation {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| too_late(limit, None))
}

fn too_late(limit: Duration, cure: Option<Text>) -> Observation {
    let detail = format!("no complete answer within {}", to_the_ms(limit));
    let mut failure = Failure::transient("request timed out", &detail);
    failure.problem.cure = cure;
    Observation { answer: Err(failure), hint: None }
}
