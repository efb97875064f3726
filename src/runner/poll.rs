//! One poll of one watch, and what is told of it.

use std::pin::Pin;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::Asked;
use crate::export::ExportRef;
use crate::store::Claimed;
use crate::text::Text;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem};

/// What a poll came to: the watch, how the poll went, and what it saw.
pub(super) type Polled = (Claimed, Asked, Observation);

/// A poll that is under way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Polled>>>;

/// Polls a watch.
pub(super) fn poll<P: Poller + 'static>(
    poller: P,
    clock: Clock,
    claimed: Claimed,
    limit: Duration,
) -> Asking {
    let start = clock.now();
    Box::pin(async move {
        let observation = poll_within(&poller, &claimed.watch.export, limit).await;
        let asked = Asked { lag: start.since(claimed.due_at), took: clock.now().since(start) };
        (claimed, asked, observation)
    })
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
