//! `status`: asks once.

use futures_util::future::join_all;

use super::console::Console;
use super::wait::{ask_for_results, lacks_results};
use super::{Asking, CommandError, Session};
use crate::cli::{Output, StatusArgs};
use crate::document::Document;
use crate::event::{Ending, Event};
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::observe::Observer;
use crate::runner::poll_within;
use crate::watch::observation::{Answer, Observation};
use crate::watch::outcome::Outcome;
use crate::watch::{Decision, Policy, Progress, Watch};

/// What one poll found.
enum Found {
    InProgress(Watch),
    Ended(Ending),
}

pub(super) async fn run(args: StatusArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let asking = Asking::prepare(&args.exports, args.output, session).await?;
    let Session { clock, console, signals, .. } = session;
    // One poll decides: there is nothing to wait for.
    let policy = Policy { max_wait: None, max_outage: None, ..asking.policy };
    let started_at = clock.now();
    let polls =
        asking.exports.iter().map(|export| poll_within(&asking.client, export, policy.request_timeout));
    let observations =
        signals.unless_interrupted(join_all(polls)).await.map_err(CommandError::Interrupted)?;
    let now = clock.now();
    let mut observer = Observer::new(*clock, asking.surroundings, console.line.clone(), console.is_json());
    let mut codes = Vec::new();
    for (export, observation) in asking.exports.into_iter().zip(observations) {
        let watch = Watch { export, progress: Progress::new(started_at) };
        let mut found = judge(watch, observation, &policy, now);
        if let Found::Ended(ending) = &mut found
            && args.output.show_urls
            && lacks_results(ending)
        {
            let listing = ask_for_results(&asking.client, &export, policy.request_timeout);
            let listed = signals.unless_interrupted(listing).await.map_err(CommandError::Interrupted)?;
            ending.report = listed.or(ending.report.take());
        }
        let (code, document, text) = match &found {
            Found::InProgress(watch) => {
                let status = watch.progress.status().map(ToString::to_string).unwrap_or_default();
                (ExitCode::IN_PROGRESS, Document::in_progress(watch, now), status)
            }
            Found::Ended(ending) => {
                let code = ExitCode::of(ending.outcome).unwrap_or(ExitCode::UNFORESEEN);
                let document = Document::of_ending(ending, args.output.show_urls);
                (
                    code,
                    document,
                    ending.watch.progress.status().map_or(ending.outcome.to_string(), ToString::to_string),
                )
            }
        };
        match args.output.output {
            Output::Json => console.data_line(&document.to_line())?,
            Output::Text => console.data_line(&format!("{} {text}", export.export_id))?,
        }
        if let Found::Ended(ending) = &found {
            tell_failure(ending, &mut observer, console);
        }
        codes.push(code);
    }
    Ok(ExitCode::deciding(codes))
}

fn judge(mut watch: Watch, observation: Observation, policy: &Policy, now: Moment) -> Found {
    let mut rng = fastrand::Rng::new();
    let decision = watch.progress.record(&observation, policy, now, &mut rng);
    let (outcome, report) = match (decision, observation.answer) {
        (Decision::PollAfter(_), Answer::Status(_)) => return Found::InProgress(watch),
        (Decision::PollAfter(_), Answer::Failure(_)) => (Outcome::Unavailable, None),
        (Decision::Finish(outcome), Answer::Status(report)) => (outcome, Some(report)),
        (Decision::Finish(outcome), Answer::Failure(_)) => (outcome, None),
    };
    Found::Ended(Ending { watch, outcome, report, at: now })
}

/// The end of an export that has finished is said on standard output; one that went wrong needs more words.
fn tell_failure(ending: &Ending, observer: &mut Observer, console: &Console) {
    if ending.outcome == Outcome::Finished {
        return;
    }
    observer.event(&Event::Finished(ending));
    let (sentence, advice) = observer.closing(ending);
    if !console.is_json() {
        console.failure(&sentence, advice.as_deref());
    }
    console.annotate(&sentence);
}
