//! Results that a status document did not list, requested from the results endpoint.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use crate::clock::Clock;
use crate::event::Ending;
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::runner::within;
use crate::snyk::Client;
use crate::watch::observation::Observation;
use crate::watch::outcome::Outcome;
use crate::watch::{LAST_POLL, Policy};

/// Whether an export has finished and its document lists no files.
pub(in crate::commands) fn lacks_results(ending: &Ending) -> bool {
    ending.outcome == Outcome::Finished
        && ending.report.as_ref().is_some_and(|report| report.results.is_none())
}

/// How many requests may run at once, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Allowance {
    concurrency: NonZeroUsize,
    /// The limit for one request.
    each: Duration,
    /// The limit for all of them.
    until: Option<Moment>,
    clock: Clock,
}

impl Allowance {
    /// The rest of a wait until `deadline`: at least one second, like a last poll.
    pub(in crate::commands) fn of(
        policy: &Policy,
        deadline: Option<Moment>,
        concurrency: NonZeroUsize,
        clock: Clock,
    ) -> Self {
        let until = deadline.map(|deadline| deadline.max(clock.now().plus(LAST_POLL)));
        Self { concurrency, each: policy.request_timeout, until, clock }
    }

    /// The limit for a request that starts now.
    fn left(&self) -> Duration {
        self.until.map_or(self.each, |until| until.since(self.clock.now()).min(self.each))
    }
}

/// Requests the results of the endings whose documents listed none, in parallel. Each is requested once: a failure does
/// not change how the export ended.
pub(in crate::commands) async fn add_results(
    endings: impl IntoIterator<Item = &mut Ending>,
    client: &Client,
    allowance: Allowance,
) {
    add(endings, async |export| client.results(&export).await, allowance).await;
}

async fn add(
    endings: impl IntoIterator<Item = &mut Ending>,
    ask: impl AsyncFn(ExportRef) -> Observation,
    allowance: Allowance,
) {
    let lacking = endings.into_iter().filter(|ending| lacks_results(ending));
    let adding = stream::iter(lacking).for_each_concurrent(allowance.concurrency.get(), async |ending| {
        let export = ending.watch.export;
        match within(allowance.left(), ask(export)).await.answer {
            Ok(report) => ending.report = Some(report),
            Err(failure) => tracing::warn!(
                export.id = %export.export_id,
                error.title = %failure.problem,
                "the results could not be listed"
            ),
        }
    });
    adding.await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::export::Scope;
    use crate::settings::{CommandLine, Environment, Settings};
    use crate::snyk::wire;
    use crate::watch::Watch;

    /// How long requests for the results of six exports take if the server never answers, and how many were sent.
    async fn listing(concurrency: usize, max_wait: Option<u64>, waited: u64) -> (u64, usize) {
        let clock = Clock::start();
        let policy =
            Settings::load(CommandLine::default(), Environment::default()).unwrap().policy().unwrap();
        let policy = Policy { request_timeout: Duration::from_secs(4), ..policy };
        let deadline = max_wait.map(|seconds| clock.now().plus(Duration::from_secs(seconds)));
        clock.sleep_until(clock.now().plus(Duration::from_secs(waited))).await;
        let before = clock.now();
        let allowance = Allowance::of(&policy, deadline, NonZeroUsize::new(concurrency).unwrap(), clock);
        let mut endings: Vec<Ending> = (0..6).map(finished).collect();
        let asked = Cell::new(0);
        let ask = async |_| {
            asked.set(asked.get() + 1);
            std::future::pending().await
        };
        add(&mut endings, ask, allowance).await;
        assert!(endings.iter().all(lacks_results), "nothing was listed");
        (clock.now().since(before).as_millis().try_into().unwrap(), asked.get())
    }

    /// A finished export whose document lists no files.
    fn finished(id: u128) -> Ending {
        let id = Uuid::from_u128(id);
        let export = ExportRef { scope: Scope::Group, scope_id: id, export_id: id };
        let body = br#"{"data":{"attributes":{"status":"FINISHED"}}}"#;
        let report = wire::report(body, false);
        let watch = Arc::new(Watch::unnamed(export, Moment::default()));
        Ending { watch, outcome: Outcome::Finished, report, at: Moment::default(), timing: None }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_end_within_the_rest_of_the_wait() {
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
            let (took, asked) = listing(concurrency, max_wait, waited).await;
            assert!((expected..expected + 20).contains(&took), "{concurrency} {max_wait:?} {waited}: {took}");
            assert_eq!(asked, 6);
        }
    }
}
