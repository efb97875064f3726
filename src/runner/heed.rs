//! From a claimed watch to what its poll came to: for the watch, and for its account.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};

use super::accounts::Asks;
use super::poll::{self, Polled, Told};
use super::{Closing, Obligations, Refusal, Runner, named};
use crate::event::Ending;
use crate::moment::Moment;
use crate::store::{Claimed, Ended, Next, Note, Record, Store};
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller};
use crate::watch::{Decision, Watch};

impl<S, P, W> Runner<S, P, W>
where
    S: Store + Clone + 'static,
    P: Poller + Clone + 'static,
    W: Obligations,
{
    /// Polls what is ready, as far as there is room.
    pub(super) fn poll_ready(&mut self) {
        while self.under_way.len() < self.plan.concurrency.get() {
            let Some((account, claimed)) = self.next_ready() else { return };
            self.poll(account, claimed, self.clock.now());
        }
    }

    /// The next watch to poll: of the account that has the fewest polls under way. What is left of the room for polls is
    /// kept for accounts that have not had their share, so that servers that hang do not hold up others.
    fn next_ready(&mut self) -> Option<(usize, Claimed)> {
        let wanting = self.accounts.iter().enumerate().filter(|(_, state)| state.ready() > 0);
        let (next, polls) =
            wanting.map(|(next, state)| (next, state.under_way())).min_by_key(|(_, polls)| *polls)?;
        let concurrency = self.plan.concurrency.get();
        let is_crowded = self.under_way.len() >= concurrency - concurrency / 4;
        if self.accounts.len() > 1 && is_crowded && polls >= self.share() {
            return None;
        }
        self.accounts[next].next_ready().map(|claimed| (next, claimed))
    }

    /// Polls a claimed watch, or answers for a credential that was refused.
    fn poll(&mut self, account: usize, claimed: Claimed, now: Moment) {
        let Claimed { claim, mut watch, due_at } = claimed;
        let state = &mut self.accounts[account];
        match state.ask(&watch, now) {
            Asks::Now(poller) => {
                let limit = watch.progress.begin_poll(&state.policy, now);
                let lag = now.since(due_at);
                state.begin();
                self.under_way.push(poll::poll(poller, self.clock, claim, watch, lag, limit));
            }
            Asks::Never(failure) => {
                watch.progress.begin_poll(&state.policy, now);
                self.under_way.push(poll::refused(failure, claim, watch));
            }
            Asks::Later => {
                // Something has happened since this was claimed.
                state.may_be_due_at(due_at);
                self.records.push((Record { claim, watch, next: Next::Due(due_at) }, Told::Nothing));
            }
        }
    }

    /// Takes in all that is there: the more is kept in one pass, the less each costs.
    pub(super) fn take_in_all(&mut self, polled: Polled) {
        self.take_in(polled);
        while let Some(Some(polled)) = self.under_way.next().now_or_never() {
            self.take_in(polled);
        }
        self.poll_ready();
    }

    fn take_in(&mut self, polled: Polled) {
        let Polled { claim, mut watch, asked, observation } = polled;
        let now = self.clock.now();
        if let Some(state) = self.account(&watch.account) {
            state.end(asked.is_some());
        }
        self.heed(&watch, &observation, asked.is_some(), now);
        let from = watch.progress.status().cloned();
        let state = named(&mut self.accounts, &watch.account);
        let policy = state.map_or(&self.plan.policy, |state| &state.policy);
        let decision = watch.progress.record(&observation, policy, now, &mut self.rng);
        let asked_or_not = asked.unwrap_or_default();
        let (next, told) = match (decision, observation.answer) {
            (Decision::Finish(outcome), answer) => {
                let report = match answer {
                    Answer::Status(report) => Some(report),
                    Answer::Failure(_) => None,
                };
                let ending = Ending { watch: watch.clone(), outcome, report, at: now, asked };
                let Closing { document, deliveries } = self.obligations.close(&ending);
                (
                    Next::Ended(Ended { outcome, at: now, document, deliveries }),
                    Told::Finished(Box::new(ending)),
                )
            }
            (Decision::PollAfter(delay), Answer::Failure(failure)) => {
                let due_at = now.plus(delay);
                let told = Told::Retrying { watch: watch.clone(), failure, delay, asked: asked_or_not };
                (Next::Due(due_at), told)
            }
            (Decision::PollAfter(delay), Answer::Status(report)) => {
                let is_same = from.as_ref() == Some(&report.status);
                let told = match is_same {
                    true => Told::Polled { watch: watch.clone(), delay, asked: asked_or_not },
                    false => Told::StatusChanged { watch: watch.clone(), from, delay, asked: asked_or_not },
                };
                (Next::Due(now.plus(delay)), told)
            }
        };
        // After an end it is asked whether there is any other.
        let due_at = if let Next::Due(due_at) = next { due_at } else { now };
        if let Some(state) = self.account(&watch.account) {
            state.may_be_due_at(due_at);
        }
        self.records.push((Record { claim, watch, next }, told));
    }

    /// What an answer means for its whole account: it is asked to slow down, or its credential is refused, or works.
    fn heed(&mut self, watch: &Watch, observation: &Observation, was_asked: bool, now: Moment) {
        let (account, refusal) = (&watch.account, self.plan.refusal);
        let Some(state) = named(&mut self.accounts, account).filter(|_| was_asked) else { return };
        let polled_at = watch.progress.polled_at();
        state.heed_pace(observation, polled_at, now, &mut self.rng);
        match &observation.answer {
            Answer::Failure(Failure { kind: FailureKind::Unauthorized, problem }) => {
                let failure = Failure { kind: FailureKind::Unauthorized, problem: problem.clone() };
                if refusal != Refusal::EachForItself && state.refuse(failure, now, refusal) {
                    let owed = self.obligations.refuse(account, problem, now);
                    self.notes.extend(owed.into_iter().map(Note::Owe));
                    let (account, problem) = (Arc::clone(account), problem.clone());
                    self.announcements.push(Told::AccountPaused { account, problem });
                }
            }
            Answer::Failure(Failure { kind, .. }) if proves_nothing(*kind) => {}
            Answer::Status(_) | Answer::Failure(_) => {
                if let Some((paused, more)) = state.accept(polled_at, now) {
                    self.notes.push(Note::Downtime { account: Arc::clone(account), more });
                    self.announcements.push(Told::AccountResumed { account: Arc::clone(account), paused });
                }
            }
        }
    }
}

/// Whether a failure says nothing of the credential.
const fn proves_nothing(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Transient | FailureKind::Throttled | FailureKind::Unrecoverable)
}
