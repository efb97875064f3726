//! One poll of one watch, and what is told of it.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Asked, Ending, Event};
use crate::export::{ExportRef, Status};
use crate::store::Claim;
use crate::text::Text;
use crate::watch::Watch;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem};

/// A poll that is under way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Polled>>>;

/// What a poll came to.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) claim: Claim,
    pub(super) watch: Watch,
    /// How it went; nothing where nobody was asked.
    pub(super) asked: Option<Asked>,
    pub(super) observation: Observation,
}

/// What is told of a poll once it is kept.
#[derive(Debug)]
pub(super) enum Told {
    Polled {
        watch: Watch,
        delay: Duration,
        asked: Asked,
    },
    StatusChanged {
        watch: Watch,
        from: Option<Status>,
        delay: Duration,
        asked: Asked,
    },
    Retrying {
        watch: Watch,
        failure: Failure,
        delay: Duration,
        asked: Asked,
    },
    Finished(Box<Ending>),
    AccountPaused {
        account: Arc<str>,
        problem: Problem,
    },
    AccountResumed {
        account: Arc<str>,
        paused: Duration,
    },
    /// Nobody was asked.
    Nothing,
}

impl Told {
    pub(super) fn tell(&self, tell: &mut impl FnMut(Event<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        tell(match self {
            Self::Polled { watch, delay, asked } => Event::Polled { watch, delay: *delay, asked: *asked },
            Self::StatusChanged { watch, from, delay, asked } => {
                Event::StatusChanged { watch, from: from.as_ref(), delay: *delay, asked: *asked }
            }
            Self::Retrying { watch, failure, delay, asked } => {
                Event::Retrying { watch, failure, delay: *delay, asked: *asked }
            }
            Self::Finished(ending) => Event::Finished(ending),
            Self::AccountPaused { account, problem } => Event::AccountPaused { account, problem },
            Self::AccountResumed { account, paused } => Event::AccountResumed { account, paused: *paused },
            Self::Nothing => return ControlFlow::Continue(()),
        })
    }
}

/// Polls a watch.
pub(super) fn poll<P: Poller + 'static>(
    poller: P,
    clock: Clock,
    claim: Claim,
    watch: Watch,
    lag: Duration,
    limit: Duration,
) -> Asking {
    let start = clock.now();
    Box::pin(async move {
        let observation = poll_within(&poller, &watch.export, limit).await;
        let asked = Some(Asked { lag, took: clock.now().since(start) });
        Polled { claim, watch, asked, observation }
    })
}

/// Answers for a credential that was refused, without asking.
pub(super) fn refused(failure: Failure, claim: Claim, watch: Watch) -> Asking {
    let observation = Observation { answer: Answer::Failure(failure), hint: None };
    Box::pin(std::future::ready(Polled { claim, watch, asked: None, observation }))
}

/// Asks once, for no longer than `limit`; what takes longer has failed in passing.
pub async fn poll_within<P: Poller>(poller: &P, export: &ExportRef, limit: Duration) -> Observation {
    let answer = tokio::time::timeout(limit, poller.poll(export)).await;
    answer.unwrap_or_else(|_| too_late(limit, poller.route()))
}

/// What a request sees that may take no longer than `limit`.
pub async fn within(limit: Duration, asking: impl Future<Output = Observation>) -> Observation {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| too_late(limit, None))
}

fn too_late(limit: Duration, cure: Option<Text>) -> Observation {
    let limit = Duration::from_millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let detail = format!("no complete answer within {}", humantime::format_duration(limit));
    let problem = Problem { cure, ..Problem::new("request timed out", &detail) };
    let failure = Failure { kind: FailureKind::Transient, problem };
    Observation { answer: Answer::Failure(failure), hint: None }
}
