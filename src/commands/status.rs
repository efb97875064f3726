//! `status`: polls each export once.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::console::Console;
use super::wait::{Allowance, add_results, text_line};
use super::{Asking, CommandError, Session};
use crate::cli::{OutputArgs, StatusArgs};
use crate::document::Document;
use crate::event::{Ending, What};
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::observe::Observer;
use crate::runner::poll_within;
use crate::watch::observation::Observation;
use crate::watch::outcome::Outcome;
use crate::watch::{Decision, Policy, Watch};

/// The result of one poll.
enum Found {
    InProgress(Arc<Watch>),
    Ended(Ending),
}

pub(super) async fn run(args: StatusArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let asking = Asking::prepare(&args.exports, args.output.show_urls, session).await?;
    let Session { settings, clock, console, signals, .. } = session;
    // One poll decides, so no limit on time applies.
    let policy = Policy { max_wait: None, max_outage: None, ..asking.policy };
    let started_at = clock.now();
    let polls =
        asking.exports.iter().map(|export| poll_within(&asking.client, export, policy.request_timeout));
    let polls = stream::iter(polls).buffered(settings.concurrency().get()).collect::<Vec<_>>();
    let observations = signals.unless_interrupted(polls).await.map_err(CommandError::Interrupted)?;
    let now = clock.now();
    let watches = asking.exports.into_iter().map(|export| Watch::unnamed(export, started_at));
    let judged =
        watches.zip(observations).map(|(watch, observation)| judge(watch, observation, &policy, now));
    let mut found: Vec<Found> = judged.collect();
    if args.output.show_urls {
        let allowance = Allowance::of(&policy, None, settings.concurrency(), *clock);
        let endings = found.iter_mut().filter_map(|found| match found {
            Found::Ended(ending) => Some(ending),
            Found::InProgress(_) => None,
        });
        let listing = add_results(endings, &asking.client, allowance);
        signals.unless_interrupted(listing).await.map_err(CommandError::Interrupted)?;
    }
    let mut observer = Observer::new(*clock, asking.surroundings, console.line.clone(), console.is_json());
    let mut codes = Vec::new();
    for found in &found {
        codes.push(tell(found, args.output, &mut observer, console, now)?);
    }
    Ok(ExitCode::deciding(codes))
}

fn judge(mut watch: Watch, observation: Observation, policy: &Policy, now: Moment) -> Found {
    let mut rng = fastrand::Rng::new();
    let decision = watch.progress.record(&observation, policy, now, &mut rng);
    let (outcome, report) = match (decision, observation.answer) {
        (Decision::PollAfter(_), Ok(_)) => return Found::InProgress(Arc::new(watch)),
        (Decision::PollAfter(_), Err(_)) => (Outcome::Unavailable, None),
        (Decision::Finish(outcome), Ok(report)) => (outcome, Some(report)),
        (Decision::Finish(outcome), Err(_)) => (outcome, None),
    };
    Found::Ended(Ending { watch: Arc::new(watch), outcome, report, at: now, timing: None })
}

/// Writes the result to standard output, and a failure in words too. Returns the exit code.
fn tell(
    found: &Found,
    OutputArgs { output, show_urls }: OutputArgs,
    observer: &mut Observer,
    console: &Console,
    now: Moment,
) -> Result<ExitCode, CommandError> {
    let (code, document, watch) = match found {
        Found::InProgress(watch) => (ExitCode::IN_PROGRESS, Document::in_progress(watch, now), &**watch),
        Found::Ended(ending) => {
            let code = ExitCode::of_end(ending.outcome);
            let hint = observer.closing(ending).next;
            if show_urls {
                console.mask_links(ending.report.as_ref());
            }
            (code, Document::of_ending(ending, show_urls).with_hint(hint), &*ending.watch)
        }
    };
    let text = match (found, watch.progress.status()) {
        (Found::Ended(ending), status) if show_urls || status.is_none() => text_line(ending, show_urls),
        (_, status) => {
            let status = status.map(ToString::to_string).unwrap_or_default();
            format!("{} {status}", watch.export.export_id)
        }
    };
    console.result(output, &document, &text)?;
    if let Found::Ended(ending) = found
        && ending.outcome != Outcome::Finished
    {
        tell_failure(ending, observer, console);
    }
    Ok(code)
}

/// Explains a failure; for a finished export, the line on standard output is enough.
fn tell_failure(ending: &Ending, observer: &mut Observer, console: &Console) {
    observer.event(&What::Finished(Arc::new(ending.clone())).at(ending.at));
    let closing = observer.closing(ending);
    console.close(&closing);
    console.annotate(&closing);
}
