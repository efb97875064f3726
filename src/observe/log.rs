//! Events as log lines: constant short sentences, with values in dotted fields that carry their units.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::event::{Ending, Event};
use crate::exit::ExitCode;
use crate::text::Text;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;

/// Writes an event to the log. People who wait for one export know its id, and are not told each time; what ended
/// badly comes with `advice` on what to do.
pub(super) fn write(event: &Event<'_>, names_export: bool, advice: Option<&str>) {
    let name = event.name();
    let watch = event.watch();
    let id = names_export.then(|| tracing::field::display(watch.export.export_id));
    let poll = watch.progress.polls();
    let status = watch.progress.status().map(|status| status.as_str());
    match event {
        Event::Added { .. } => {
            let scope_id = tracing::field::display(watch.export.scope_id);
            let scope = watch.export.scope.as_str();
            info!(
                event = name,
                export.id = id,
                export.scope = scope,
                export.scope_id = scope_id,
                "following export"
            );
        }
        Event::Polled { delay, .. } => {
            debug!(event = name, export.id = id, status, poll.number = poll, delay_ms = ms(*delay), "polled");
        }
        Event::StatusChanged { from, delay, .. } => {
            let before = from.map(|status| status.as_str());
            info!(
                event = name,
                export.id = id,
                status,
                status.before = before,
                poll.number = poll,
                delay_ms = ms(*delay),
                "status changed"
            );
        }
        Event::Retrying { failure, delay, .. } => {
            let Problem { http_status, code, title, detail, request_id } = &failure.problem;
            warn!(
                event = name,
                export.id = id,
                poll.number = poll,
                http.response.status_code = http_status,
                error.code = text(code),
                error.title = text(title),
                error.detail = text(detail),
                snyk.request_id = text(request_id),
                delay_ms = ms(*delay),
                "poll failed, retrying"
            );
        }
        Event::Finished(ending) => write_ending(name, ending, advice),
    }
}

fn write_ending(name: &str, ending: &Ending, advice: Option<&str>) {
    /// The level is part of the call's static data, so that each needs a call of its own.
    macro_rules! line {
        ($level:ident, $message:literal) => {{
            let progress = &ending.watch.progress;
            let problem = progress.problem().cloned().unwrap_or_default();
            $level!(
                event = name,
                export.id = %ending.watch.export.export_id,
                outcome = ending.outcome.as_str(),
                exit_code = ExitCode::of(ending.outcome).map(ExitCode::code),
                status = progress.status().map(|status| status.as_str()),
                waited_ms = ms(ending.waited()),
                polls = progress.polls(),
                late_ms = ending.late_at_most().map(ms),
                row_count = progress.row_count(),
                http.response.status_code = problem.http_status,
                error.code = text(&problem.code),
                error.title = text(&problem.title),
                error.detail = text(&problem.detail),
                snyk.request_id = text(&problem.request_id),
                hint = advice,
                $message
            );
        }};
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

fn text(text: &Option<Text>) -> Option<&str> {
    text.as_ref().map(Text::as_str)
}

/// Whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
