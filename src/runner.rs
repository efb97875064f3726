//! The runner: claims watches that are due, polls each once, records what was seen, saves.
//!
//! It decides nothing itself: [`Progress::record`](crate::watch::Progress::record) holds the rules. `wait` runs it
//! over a store in memory until every watch has ended.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::clock::Clock;
use crate::event::{Ending, Event};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::store::{MemoryStore, WatchId};
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem};
use crate::watch::{Decision, Policy, Watch};

/// Follows the watches of a store.
#[derive(Debug)]
pub struct Runner<'a, P> {
    /// Where the watches are.
    pub store: &'a mut MemoryStore,
    /// What is asked.
    pub poller: &'a P,
    /// What the user wants.
    pub policy: &'a Policy,
    /// What time it is.
    pub clock: Clock,
    /// How many polls may be under way at once.
    pub concurrency: NonZeroUsize,
    /// Where jitter comes from.
    pub rng: fastrand::Rng,
}

struct Polled {
    id: WatchId,
    watch: Watch,
    observation: Observation,
}

impl<P: Poller> Runner<'_, P> {
    /// Runs until every watch has ended, or until `tell`, which hears of every event, breaks off. It may be
    /// dropped at any await: what is under way then has not ended.
    pub async fn run_until_idle(&mut self, mut tell: impl FnMut(Event<'_>) -> ControlFlow<()>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.concurrency.get() {
                let now = self.clock.now();
                let Some((id, mut watch)) = self.store.claim_due(now) else { break };
                let limit = watch.progress.begin_poll(self.policy, now);
                under_way.push(poll(self.poller, id, watch, limit));
            }
            let due_at = self.store.next_due();
            let has_room = under_way.len() < self.concurrency.get();
            let flow = tokio::select! {
                Some(polled) = under_way.next() => self.take_in(polled, &mut tell),
                () = sleep_until_due(self.clock, due_at), if due_at.is_some() && has_room => {
                    ControlFlow::Continue(())
                }
                else => return,
            };
            if flow.is_break() {
                return;
            }
        }
    }

    fn take_in(
        &mut self,
        polled: Polled,
        mut tell: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Polled { id, mut watch, observation } = polled;
        let now = self.clock.now();
        let from = watch.progress.status().cloned();
        let decision = watch.progress.record(&observation, self.policy, now, &mut self.rng);
        match (decision, observation.answer) {
            (Decision::Finish(outcome), answer) => {
                self.store.finish(id);
                let report = match answer {
                    Answer::Status(report) => Some(report),
                    Answer::Failure(_) => None,
                };
                tell(Event::Finished(&Ending { watch, outcome, report, at: now }))
            }
            (Decision::PollAfter(delay), answer) => {
                self.store.save(id, watch.clone(), now.plus(delay));
                let watch = &watch;
                tell(match &answer {
                    Answer::Failure(failure) => Event::Retrying { watch, failure, delay },
                    Answer::Status(report) if from.as_ref() == Some(&report.status) => {
                        Event::Polled { watch, delay }
                    }
                    Answer::Status(_) => Event::StatusChanged { watch, from: from.as_ref(), delay },
                })
            }
        }
    }
}

async fn sleep_until_due(clock: Clock, due_at: Option<Moment>) {
    if let Some(due_at) = due_at {
        clock.sleep_until(due_at).await;
    }
}

async fn poll<P: Poller>(poller: &P, id: WatchId, watch: Watch, limit: Duration) -> Polled {
    let observation = poll_within(poller, &watch.export, limit).await;
    Polled { id, watch, observation }
}

/// Asks once, for no longer than `limit`; what takes longer has failed in passing.
pub async fn poll_within<P: Poller>(poller: &P, export: &ExportRef, limit: Duration) -> Observation {
    match tokio::time::timeout(limit, poller.poll(export)).await {
        Ok(observation) => observation,
        Err(_) => too_late(limit),
    }
}

fn too_late(limit: Duration) -> Observation {
    let limit = Duration::from_millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let detail = format!("no complete answer within {}", humantime::format_duration(limit));
    let failure =
        Failure { kind: FailureKind::Transient, problem: Problem::new("request timed out", &detail) };
    Observation { answer: Answer::Failure(failure), hint: None }
}

#[cfg(test)]
mod tests;
