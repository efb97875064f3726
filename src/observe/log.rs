//! Events as log lines: constant short sentences, with values in dotted fields that carry their units.

mod outage;
mod task;

use std::time::Duration;

use tracing::field::{DisplayValue, display};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::duration::in_ms;
use crate::event::{ApiEvent, ApiWhat, Attempted, Ending, Event, What};
use crate::exit::ExitCode;
use crate::export::Status;
use crate::text::Text;
use crate::watch::Watch;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;
use crate::words::{self, Surroundings};

pub(super) use self::outage::{noted, recovered};

/// How a line identifies its watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Not at all: there is only one.
    Nothing,
    /// By the export.
    Export,
    /// By the export, the watch and the account.
    Watch,
}

impl Named {
    fn export_id(self, watch: &Watch) -> Option<DisplayValue<Uuid>> {
        (self != Self::Nothing).then(|| display(watch.export.export_id))
    }

    fn watch_id(self, watch: &Watch) -> Option<DisplayValue<Uuid>> {
        (self == Self::Watch).then(|| display(watch.id))
    }

    fn account(self, watch: &Watch) -> Option<&str> {
        (self == Self::Watch).then_some(&*watch.account)
    }
}

/// A log line about a failure: the fields of the problem come between the others. The level and the message are part of
/// the static data of each call.
macro_rules! failure {
    ($level:ident, $problem:expr, [$($before:tt)*], [$($after:tt)*], $message:literal) => {{
        let problem: &Problem = $problem;
        $level!(
            $($before)*
            http.response.status_code = problem.http_status,
            error.code = text(&problem.code),
            error.title = text(&problem.title),
            error.detail = text(&problem.detail),
            snyk.request_id = text(&problem.request_id),
            $($after)*
            $message
        );
    }};
}
use failure;

/// A log line about an attempt to deliver. The level is part of the static data of each call.
macro_rules! delivery {
    ($level:ident, $name:expr, $attempted:expr, $problem:expr, $delay:expr, $message:literal) => {{
        let Attempted { id, endpoint, kind, watch, export, attempts } = $attempted;
        let (problem, delay): (Option<&Text>, Option<Duration>) = ($problem, $delay);
        $level!(
            event = $name,
            delivery.id = id,
            delivery.endpoint = endpoint,
            delivery.kind = kind,
            delivery.attempts = attempts,
            watch.id = watch.map(display),
            export.id = export.map(display),
            error.detail = problem.map(Text::as_str),
            delay_ms = delay.map(in_ms),
            $message
        );
    }};
}

/// Logs an event. An outcome that is not a success has `advice` on what to do.
pub(super) fn write(event: &Event, named: Named, advice: Option<&str>) {
    let name = event.name();
    match &event.what {
        What::Added { watch } => taken_on(name, watch, named, None, "following export"),
        What::Resumed { watch } => taken_on(name, watch, named, None, "following export again"),
        What::Polled { watch, delay, .. } => polled(name, watch, named, *delay),
        What::StatusChanged { watch, from, delay, .. } => {
            status_changed(name, watch, named, from.as_ref(), *delay);
        }
        What::Retrying { watch, failure, delay, .. } => {
            retrying(event, watch, named, &failure.problem, *delay, false);
        }
        What::Finished(ending) => write_ending(name, ending, named, advice),
        What::DeliverySent(attempted) => {
            delivery!(info, name, attempted, None, None, "notification delivered");
        }
        What::DeliveryRetrying { attempted, problem, delay } => {
            delivery!(warn, name, attempted, Some(problem), Some(*delay), "notification failed, retrying");
        }
        What::DeliveryGivenUp { attempted, problem } => {
            delivery!(error, name, attempted, Some(problem), None, "notification given up");
        }
        What::AccountPaused { account, problem } => failure!(
            error,
            problem,
            [event = name, account = &**account,],
            [hint = words::REFUSED_ACCOUNT,],
            "the credential is refused, the account's polls pause"
        ),
        What::AccountResumed { account, paused } => {
            info!(
                event = name,
                account = &**account,
                paused_ms = paused.map(in_ms),
                "the credential works again"
            );
        }
        What::DaemonStarted(started) => info!(
            event = name,
            server.address = started.address,
            server.metrics_address = started.metrics_address,
            store = started.store.as_str(),
            accounts = started.accounts.join(", "),
            endpoints = listed(started.endpoints.iter().map(|(name, _)| name.as_str())),
            endpoints.kinds = listed(started.endpoints.iter().map(|(_, kind)| *kind)),
            watches.active = started.watches,
            version = env!("CARGO_PKG_VERSION"),
            "daemon started"
        ),
        What::DaemonStopping { reason } => info!(event = name, reason, "daemon stopping"),
        What::Api(event) => api(name, event),
        What::Task(event) => task::write(name, event),
    }
}

/// Logs what a client of the API did.
fn api(name: &str, event: &ApiEvent) {
    let ApiEvent { what, peer, request, omitted } = event;
    let request = request.as_ref();
    let method = request.map(|request| request.method.as_str());
    let route = request.map(|request| request.route.as_str());
    let code = request.map(|request| request.code);
    let omitted = Some(*omitted).filter(|omitted| *omitted > 0);
    macro_rules! line {
        ($level:ident, $message:literal) => {
            $level!(
                event = name,
                client.address = peer,
                http.request.method = method,
                http.route = route,
                http.response.status_code = code,
                watch.id = request.and_then(|request| request.watch).map(display),
                events.omitted = omitted,
                $message
            )
        };
    }
    match what {
        ApiWhat::Changed => line!(info, "a watch was changed by the API"),
        ApiWhat::Refused => line!(warn, "a request to the API was refused"),
        ApiWhat::Crowded => line!(warn, "too many connections to the API: this one was closed"),
    }
}

/// Logs that an export is followed, and which API is asked with which credential.
pub(super) fn followed(event: &Event, watch: &Watch, surroundings: &Surroundings) {
    taken_on(event.name(), watch, Named::Export, Some(surroundings), "following export");
}

fn taken_on(
    name: &str,
    watch: &Watch,
    named: Named,
    surroundings: Option<&Surroundings>,
    message: &'static str,
) {
    info!(
        event = name,
        watch.id = named.watch_id(watch),
        account = named.account(watch),
        export.id = %watch.export.export_id,
        export.scope = watch.export.scope.as_str(),
        export.scope_id = %watch.export.scope_id,
        status = watch.progress.status().map(Status::as_str),
        snyk.api = surroundings.map(|surroundings| surroundings.api.as_str()),
        credential.source = surroundings.map(|surroundings| surroundings.credential.as_str()),
        "{message}"
    );
}

fn polled(name: &str, watch: &Watch, named: Named, delay: Duration) {
    debug!(
        event = name,
        watch.id = named.watch_id(watch),
        account = named.account(watch),
        export.id = named.export_id(watch),
        status = watch.progress.status().map(Status::as_str),
        poll.number = watch.progress.polls(),
        delay_ms = in_ms(delay),
        "polled"
    );
}

fn status_changed(name: &str, watch: &Watch, named: Named, from: Option<&Status>, delay: Duration) {
    info!(
        event = name,
        watch.id = named.watch_id(watch),
        account = named.account(watch),
        export.id = named.export_id(watch),
        status = watch.progress.status().map(Status::as_str),
        status.before = from.map(Status::as_str),
        poll.number = watch.progress.polls(),
        delay_ms = in_ms(delay),
        "status changed"
    );
}

/// Logs a failure that is retried: as a warning, or only for debugging if it is one of many like it.
fn retrying(
    event: &Event,
    watch: &Watch,
    named: Named,
    problem: &Problem,
    delay: Duration,
    is_repeated: bool,
) {
    macro_rules! line {
        ($level:ident) => {
            failure!(
                $level,
                problem,
                [
                    event = event.name(),
                    watch.id = named.watch_id(watch),
                    account = named.account(watch),
                    export.id = named.export_id(watch),
                    poll.number = watch.progress.polls(),
                ],
                [delay_ms = in_ms(delay),],
                "check failed, retrying"
            )
        };
    }
    match is_repeated {
        true => line!(debug),
        false => line!(warn),
    }
}

fn write_ending(name: &str, ending: &Ending, named: Named, advice: Option<&str>) {
    let watch = &*ending.watch;
    let progress = &watch.progress;
    let problem = progress.problem().cloned().unwrap_or_default();
    macro_rules! line {
        ($level:ident, $message:literal) => {
            failure!(
                $level,
                &problem,
                [
                    event = name,
                    watch.id = named.watch_id(watch),
                    account = named.account(watch),
                    export.id = %watch.export.export_id,
                    outcome = ending.outcome.as_str(),
                    exit_code = ExitCode::of(ending.outcome).map(ExitCode::code),
                    status = progress.status().map(|status| status.as_str()),
                    waited_ms = in_ms(ending.waited()),
                    polls = progress.polls(),
                    late_ms = ending.late_at_most().map(in_ms),
                    row_count = progress.row_count(),
                ],
                [hint = advice,],
                $message
            )
        };
    }
    match ending.outcome {
        Outcome::Finished => line!(info, "export finished"),
        Outcome::Interrupted(_) | Outcome::Abandoned => line!(warn, "stopped following the export"),
        Outcome::Failed
        | Outcome::Unauthorized
        | Outcome::Forbidden
        | Outcome::NotFound
        | Outcome::Conflict
        | Outcome::Rejected
        | Outcome::UnknownStatus
        | Outcome::Stalled
        | Outcome::Unavailable
        | Outcome::TimedOut => line!(error, "export did not finish"),
    }
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let words = words.collect::<Vec<_>>().join(", ");
    (!words.is_empty()).then_some(words)
}

fn text(text: &Option<Text>) -> Option<&str> {
    text.as_ref().map(Text::as_str)
}
