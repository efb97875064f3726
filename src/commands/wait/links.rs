//! Results that a status document did not list, requested from the results endpoint.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};

use crate::clock::Clock;
use crate::event::Ending;
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::runner::within;
use crate::snyk::Client;
use crate::watch::observation::{Answer, Observation, Report};
use crate::watch::outcome::Outcome;
use crate::watch::{LAST_POLL, Policy};

/// Whether an export has finished without a word on its files.
pub(in crate::commands) fn lacks_results(ending: &Ending) -> bool {
    ending.outcome == Outcome::Finished
        && ending.report.as_ref().is_some_and(|report| report.results.is_none())
}

/// How many requests may be under way at once, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Allowance {
    concurrency: NonZeroUsize,
    /// The longest that one request may take.
    each: Duration,
    /// When all of them have to be over.
    until: Option<Moment>,
    clock: Clock,
}

impl Allowance {
    /// What is left of a wait until `deadline`: at least the second that a last poll gets.
    pub(in crate::commands) fn of(
        policy: &Policy,
        deadline: Option<Moment>,
        concurrency: NonZeroUsize,
        clock: Clock,
    ) -> Self {
        let until = deadline.map(|deadline| deadline.max(clock.now().plus(LAST_POLL)));
        Self { concurrency, each: policy.request_timeout, until, clock }
    }

    /// How long a request may take that starts now.
    fn left(&self) -> Duration {
        self.until.map_or(self.each, |until| until.since(self.clock.now()).min(self.each))
    }
}

/// Requests the results of exports that have finished, side by side; each answer comes with the key of its export, as soon
/// as it is there. Each is requested once: a failure changes nothing about how the export ended, and the next call requests
/// it again.
pub(in crate::commands) fn list_results<K>(
    exports: Vec<(K, ExportRef)>,
    client: &Client,
    allowance: Allowance,
) -> impl Stream<Item = (K, Option<Report>)> {
    let asks = exports.into_iter().map(move |(key, export)| {
        let asking = async move { client.results(&export).await };
        (key, export, asking)
    });
    side_by_side(asks.collect(), allowance)
}

fn side_by_side<K>(
    asks: Vec<(K, ExportRef, impl Future<Output = Observation>)>,
    allowance: Allowance,
) -> impl Stream<Item = (K, Option<Report>)> {
    let asks = asks.into_iter().map(move |(key, export, asking)| async move {
        let failure = match within(allowance.left(), asking).await.answer {
            Answer::Status(report) => return (key, Some(report)),
            Answer::Failure(failure) => failure,
        };
        tracing::warn!(export.id = %export.export_id, error.title = %failure.problem, "the results could not be listed");
        (key, None)
    });
    stream::iter(asks).buffer_unordered(allowance.concurrency.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CommandLine, Environment, Settings};

    /// How long it takes to list the results of six exports at a server that never answers, and how many were listed.
    async fn listing(concurrency: usize, max_wait: Option<u64>, waited: u64) -> (u64, usize) {
        let clock = Clock::start();
        let policy =
            Settings::load(CommandLine::default(), Environment::default()).unwrap().policy().unwrap();
        let policy = Policy { request_timeout: Duration::from_secs(4), ..policy };
        let deadline = max_wait.map(|seconds| clock.now().plus(Duration::from_secs(seconds)));
        clock.sleep_until(clock.now().plus(Duration::from_secs(waited))).await;
        let before = clock.now();
        let allowance = Allowance::of(&policy, deadline, NonZeroUsize::new(concurrency).unwrap(), clock);
        let path = "/groups/11111111-2222-4333-8444-555555555555/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        let Ok(crate::export::ExportArg::Located { export, .. }) = path.parse() else { panic!() };
        let asks = (0..6).map(|key| (key, export, std::future::pending())).collect();
        let listed: Vec<(usize, Option<Report>)> = side_by_side(asks, allowance).collect().await;
        assert!(listed.iter().all(|(_, report)| report.is_none()));
        (clock.now().since(before).as_millis().try_into().unwrap(), listed.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_costs_no_more_than_is_left() {
        let rows = [
            // One after the other they would take 24 s.
            ((6, Some(3), 0), 3_000),
            ((1, Some(3), 0), 3_000),
            ((64, Some(60), 0), 4_000),
            ((2, Some(60), 0), 12_000),
            ((64, Some(3), 3), 1_000),
            ((64, Some(3), 100), 1_000),
            ((64, None, 0), 4_000),
        ];
        for ((concurrency, max_wait, waited), expected) in rows {
            let (took, listed) = listing(concurrency, max_wait, waited).await;
            assert!((expected..expected + 20).contains(&took), "{concurrency} {max_wait:?} {waited}: {took}");
            assert_eq!(listed, 6);
        }
    }
}
