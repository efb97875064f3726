//! Metrics for Prometheus. The values of each label are a small fixed set (for accounts, those of the settings). Every
//! series exists from the start with a zero, so that an alert on its growth sees the first event.

mod api;
mod parties;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::api::Api;
use self::parties::Parties;
use crate::event::{Attempted, Ending, Event, Timing, What};
use crate::watch::outcome::Outcome;

/// From a healthy poll to the time limit of a request.
const POLL_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a runner that keeps up to a start after a long stop.
const LAG_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// The result of a poll: the meaning of the status, or the kind of failure.
const RESULTS: [&str; 13] = [
    "in-progress",
    "finished",
    "failed",
    "unknown-status",
    "unauthorized",
    "forbidden",
    "not-found",
    "conflict",
    "rejected",
    "gateway",
    "unrecoverable",
    "throttled",
    "transient",
];

const KINDS: [&str; 4] = ["webhook", "slack", "command", NO_KIND];

/// The kind of an endpoint that is no longer in the settings.
const NO_KIND: &str = "none";

const DELIVERY_RESULTS: [&str; 3] = ["sent", "retrying", "given_up"];

/// What the daemon has counted and measured since it started.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    polls: IntCounterVec,
    poll_duration: Histogram,
    watches: IntGaugeVec,
    finished: IntCounterVec,
    deliveries: IntCounterVec,
    deliveries_kept: IntGaugeVec,
    lag: Histogram,
    api_deprecated: IntGauge,
    api: Api,
    parties: Parties,
}

impl Metrics {
    /// The names of all metrics: an interface, listed in the operations guide.
    pub const NAMES: [&'static str; 18] = [
        "snyk_export_polls_total",
        "snyk_export_poll_duration_seconds",
        "snyk_export_watches",
        "snyk_export_watches_finished_total",
        "snyk_export_deliveries_total",
        "snyk_export_deliveries",
        "snyk_export_schedule_lag_seconds",
        "snyk_export_account_unauthorized",
        "snyk_export_api_deprecated",
        "snyk_export_build_info",
        "snyk_export_api_requests_total",
        "snyk_export_api_connections_total",
        "snyk_export_deliveries_pending",
        "snyk_export_deliveries_oldest_pending_seconds",
        "snyk_export_delivery_attempts_total",
        "snyk_export_account_blocked",
        "snyk_export_account_budget",
        "snyk_export_account_watches",
    ];

    /// Metrics of a daemon that has just started.
    #[must_use]
    pub fn new() -> Self {
        let [polls, poll_duration, watches, finished, sent, rest @ ..] = Self::NAMES;
        let [kept, lag, unauthorized, deprecated, build, requests, connections, parties @ ..] = rest;
        let registry = Registry::new();
        let metrics = Self {
            polls: counters(
                &registry,
                polls,
                "Requests for the status of an export, by what they came to.",
                &["result"],
            ),
            poll_duration: histogram(
                &registry,
                poll_duration,
                "How long such a request took.",
                &POLL_SECONDS,
            ),
            watches: gauges(&registry, watches, "Watches in the store.", &["state"]),
            finished: counters(&registry, finished, "Watches that have ended, by how.", &["outcome"]),
            deliveries: counters(
                &registry,
                sent,
                "Attempts to deliver a notification, by what followed.",
                &["kind", "result"],
            ),
            deliveries_kept: gauges(
                &registry,
                kept,
                "Notifications in the store that have not arrived.",
                &["state"],
            ),
            lag: histogram(
                &registry,
                lag,
                "How late a poll started: the time since it was due.",
                &LAG_SECONDS,
            ),
            api_deprecated: of_parts(IntGauge::new(
                deprecated,
                "Whether Snyk has announced the end of the API version in use.",
            )),
            api: Api::new(&registry, [requests, connections]),
            parties: Parties::new(&registry, unauthorized, parties),
            registry,
        };
        register(&metrics.registry, &metrics.api_deprecated);
        let build = gauges(&metrics.registry, build, "The version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.begin_with_zeros();
        metrics
    }

    fn begin_with_zeros(&self) {
        for result in RESULTS {
            let _ = self.polls.with_label_values(&[result]);
        }
        for outcome in Outcome::ALL {
            let _ = self.finished.with_label_values(&[outcome.as_str()]);
        }
        for (kind, result) in KINDS.iter().flat_map(|kind| DELIVERY_RESULTS.map(|result| (kind, result))) {
            let _ = self.deliveries.with_label_values(&[kind, &result]);
        }
        self.set_counts(0, 0, 0, 0);
    }

    /// Counts an event.
    pub fn event(&self, event: &Event) {
        match &event.what {
            What::Polled { timing, .. } | What::StatusChanged { timing, .. } => {
                self.polled("in-progress", *timing)
            }
            What::Retrying { failure, timing, .. } => self.polled(failure.kind.as_str(), *timing),
            What::Finished(ending) => {
                self.finished.with_label_values(&[ending.outcome.as_str()]).inc();
                if let Some(timing) = ending.timing {
                    self.polled(last_result(ending), timing);
                }
            }
            What::DeliverySent(attempted) => self.attempted(attempted, "sent"),
            What::DeliveryRetrying { attempted, .. } => self.attempted(attempted, "retrying"),
            What::DeliveryGivenUp { attempted, .. } => self.attempted(attempted, "given_up"),
            What::AccountPaused { account, .. } => self.parties.set_unauthorized(account, true),
            What::AccountResumed { account, .. } => self.parties.set_unauthorized(account, false),
            // The store knows how many watches there are.
            What::Added { .. }
            | What::Resumed { .. }
            | What::DaemonStarted(_)
            | What::DaemonStopping { .. }
            | What::Api(_)
            | What::Task(_) => {}
        }
    }

    fn polled(&self, result: &str, timing: Timing) {
        self.polls.with_label_values(&[result]).inc();
        self.poll_duration.observe(seconds(timing.took));
        self.lag.observe(seconds(timing.lag));
    }

    fn attempted(&self, attempted: &Attempted, result: &str) {
        let kind = attempted.kind.unwrap_or(NO_KIND);
        self.deliveries.with_label_values(&[kind, result]).inc();
        if attempted.kind.is_some() {
            self.parties.attempted(&attempted.endpoint, result);
        }
    }

    /// A request to the API was answered.
    pub fn api_request(&self, route: &str, code: u16) {
        self.api.answered(route, code);
    }

    /// A connection to the API was `accepted`, `closed` to make room for another, or `refused` because there is no room.
    pub fn api_connection(&self, result: &str) {
        self.api.connected(result);
    }

    /// Sets how many rows the store has: watches that have not ended and that have, deliveries that are owed and that
    /// were given up.
    pub fn set_counts(&self, active: u64, ended: u64, pending: u64, undeliverable: u64) {
        let set = |gauges: &IntGaugeVec, state, count| {
            gauges.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.watches, "active", active);
        set(&self.watches, "ended", ended);
        set(&self.deliveries_kept, "pending", pending);
        set(&self.deliveries_kept, "undeliverable", undeliverable);
    }

    /// Sets which accounts there are: at the start, and when the settings are read again. An account that stays keeps
    /// its values.
    pub fn set_accounts(&self, accounts: &BTreeSet<Arc<str>>) {
        self.parties.set_accounts(accounts);
    }

    /// Sets which endpoints there are, in the same way.
    pub fn set_endpoints(&self, endpoints: BTreeSet<String>) {
        self.parties.set_endpoints(endpoints);
    }

    /// Sets what the store has for each endpoint (how many pending deliveries, and for how long the oldest is owed) and for
    /// each account (how many watches that have not ended).
    pub fn set_parties(&self, backlog: &[(String, u64, Duration)], active: &[(String, u64)]) {
        self.parties.set_backlog(backlog);
        self.parties.set_active(active);
    }

    /// Sets whether an account's polls pause, and how many requests it may send at once, if it has a budget.
    pub fn set_account(&self, account: &str, is_blocked: bool, left: Option<usize>) {
        self.parties.set_account(account, is_blocked, left);
    }

    /// Sets whether Snyk has announced the end of the API version in use.
    pub fn set_api_deprecated(&self, deprecated: bool) {
        self.api_deprecated.set(deprecated.into());
    }

    /// All of it in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .unwrap_or_else(|error| unreachable!("our metrics can be written into memory: {error}"));
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The result of the poll that ended a watch.
fn last_result(ending: &Ending) -> &'static str {
    match (ending.outcome, ending.watch.progress.failure()) {
        (Outcome::Finished | Outcome::Failed | Outcome::UnknownStatus, _) => ending.outcome.as_str(),
        (_, Some(kind)) => kind.as_str(),
        (_, None) => "in-progress",
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = of_parts(IntCounterVec::new(Opts::new(name, help), labels));
    register(registry, &counters);
    counters
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let gauges = of_parts(IntGaugeVec::new(Opts::new(name, help), labels));
    register(registry, &gauges);
    gauges
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let histogram = of_parts(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())));
    register(registry, &histogram);
    histogram
}

fn register(registry: &Registry, collector: &(impl Collector + Clone + 'static)) {
    of_parts(registry.register(Box::new(collector.clone())));
}

/// Names, labels and buckets are written above; a mistake in them shows in every test.
fn of_parts<T>(made: prometheus::Result<T>) -> T {
    made.unwrap_or_else(|error| unreachable!("our metrics have good names of their own: {error}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::export::{ExportRef, Scope};
    use crate::moment::Moment;
    use crate::text::Text;
    use crate::watch::Watch;
    use crate::watch::observation::Failure;
    use crate::watch::observation::{FailureKind, Problem};

    const AT: Moment = Moment::from_unix_ms(0);

    const TIMING: Timing = Timing { lag: Duration::from_millis(3), took: Duration::from_millis(120) };

    #[test]
    fn all_are_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.set_accounts(&BTreeSet::from([Arc::from("acme")]));
        metrics.set_endpoints(BTreeSet::from(["platform".to_owned()]));
        let text = metrics.render();
        let named: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(named, BTreeSet::from(Metrics::NAMES));
        for line in [
            "snyk_export_polls_total{result=\"throttled\"} 0",
            "snyk_export_watches{state=\"ended\"} 0",
            "snyk_export_watches_finished_total{outcome=\"timed-out\"} 0",
            "snyk_export_deliveries_total{kind=\"slack\",result=\"given_up\"} 0",
            "snyk_export_deliveries{state=\"undeliverable\"} 0",
            "snyk_export_account_unauthorized{account=\"acme\"} 0",
            "snyk_export_api_deprecated 0",
            concat!("snyk_export_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("snyk_export_polls_total{"), RESULTS.len());
        assert_eq!(series("snyk_export_watches_finished_total{"), Outcome::ALL.len());
        assert_eq!(series("snyk_export_deliveries_total{"), KINDS.len() * DELIVERY_RESULTS.len());
    }

    #[test]
    fn every_event_is_counted_where_it_belongs() {
        let watch = Arc::new(watch());
        let failure = |kind| Failure { kind, problem: Problem::new("x", "") };
        let [throttled, certificate] = [FailureKind::Throttled, FailureKind::Unrecoverable].map(failure);
        let delay = Duration::ZERO;
        let attempted = Attempted {
            id: "1".to_owned(),
            endpoint: "e".to_owned(),
            kind: Some("slack"),
            watch: Some(Uuid::nil()),
            export: None,
            attempts: 1,
        };
        let orphan = Attempted { kind: None, ..attempted.clone() };
        let problem = Text::new("refused");
        let retrying = |failure| What::Retrying { watch: watch.clone(), failure, delay, timing: TIMING };
        let rows = [
            (
                What::Polled { watch: watch.clone(), delay, timing: TIMING },
                "snyk_export_polls_total{result=\"in-progress\"} 1",
            ),
            (
                What::StatusChanged { watch: watch.clone(), from: None, delay, timing: TIMING },
                "snyk_export_polls_total{result=\"in-progress\"} 2",
            ),
            (retrying(throttled.clone()), "snyk_export_polls_total{result=\"throttled\"} 1"),
            (retrying(certificate.clone()), "snyk_export_polls_total{result=\"unrecoverable\"} 1"),
            (
                What::DeliverySent(attempted.clone()),
                "snyk_export_deliveries_total{kind=\"slack\",result=\"sent\"} 1",
            ),
            (
                What::DeliveryRetrying { attempted: attempted.clone(), problem: problem.clone(), delay },
                "snyk_export_deliveries_total{kind=\"slack\",result=\"retrying\"} 1",
            ),
            (
                What::DeliveryGivenUp { attempted: orphan, problem: problem.clone() },
                "snyk_export_deliveries_total{kind=\"none\",result=\"given_up\"} 1",
            ),
            (
                What::AccountPaused { account: "acme".into(), problem: throttled.problem.clone() },
                "snyk_export_account_unauthorized{account=\"acme\"} 1",
            ),
            (
                What::AccountResumed { account: "acme".into(), paused: Some(delay) },
                "snyk_export_account_unauthorized{account=\"acme\"} 0",
            ),
        ];
        let metrics = Metrics::new();
        for (event, line) in rows {
            metrics.event(&event.at(AT));
            let text = metrics.render();
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let text = metrics.render();
        assert!(text.contains("snyk_export_poll_duration_seconds_count 4\n"), "{text}");
        assert!(text.contains("snyk_export_poll_duration_seconds_bucket{le=\"0.1\"} 0\n"), "{text}");
        assert!(text.contains("snyk_export_schedule_lag_seconds_bucket{le=\"0.005\"} 4\n"), "{text}");
    }

    #[test]
    fn an_end_tells_what_the_last_poll_saw() {
        let rows = [
            (Outcome::Finished, None, Some("finished")),
            (Outcome::TimedOut, None, Some("in-progress")),
            (Outcome::TimedOut, Some(FailureKind::Throttled), Some("throttled")),
            (Outcome::Unavailable, Some(FailureKind::Unrecoverable), Some("unrecoverable")),
            (Outcome::Rejected, Some(FailureKind::Gateway), Some("gateway")),
            (Outcome::Abandoned, None, None),
        ];
        for (outcome, kind, result) in rows {
            let mut watch = watch();
            if let Some(kind) = kind {
                fail(&mut watch, kind);
            }
            let (watch, timing) = (Arc::new(watch), result.map(|_| TIMING));
            let metrics = Metrics::new();
            let ending = Ending { watch, outcome, report: None, at: AT, timing };
            metrics.event(&What::Finished(Arc::new(ending)).at(AT));
            let text = metrics.render();
            let polls: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("snyk_export_polls_total") && line.ends_with(" 1"))
                .collect();
            let expected = result.map(|result| format!("snyk_export_polls_total{{result=\"{result}\"}} 1"));
            assert_eq!(polls, expected.iter().map(String::as_str).collect::<Vec<_>>(), "{outcome}");
            let finished = format!("snyk_export_watches_finished_total{{outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&finished), "{outcome}");
        }
    }

    #[test]
    fn accounts_come_and_go() {
        let metrics = Metrics::new();
        let accounts = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<BTreeSet<_>>();
        metrics.set_accounts(&accounts(&["a", "b"]));
        metrics.event(&What::AccountPaused { account: "b".into(), problem: Problem::new("x", "") }.at(AT));
        metrics.set_accounts(&accounts(&["b", "c"]));
        let text = metrics.render();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("snyk_export_account_unauthorized{")).collect();
        let line =
            |account, value| format!("snyk_export_account_unauthorized{{account=\"{account}\"}} {value}");
        assert_eq!(lines, [line("b", 1), line("c", 0)]);
    }

    fn watch() -> Watch {
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::nil() };
        Watch::unnamed(export, AT)
    }

    /// Makes the last poll of `watch` one that failed; code 0 stands for no answer.
    fn fail(watch: &mut Watch, kind: FailureKind) {
        watch.progress.give_up(&Failure { kind, problem: Problem::default() });
    }
}
