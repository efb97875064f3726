//! `start`: starts an export, and prints its id.

mod request;

pub(super) use self::request::{now, requested};

use super::wait::step;
use super::{Asking, CommandError, Session, missing};
use crate::cli::{Output, StartArgs};
use crate::document::Document;
use crate::event::{TaskEvent, TaskFailure};
use crate::exit::ExitCode;
use crate::observe::{Transfer, log_event};
use crate::request::StartRequest;
use crate::snyk::Started;
use crate::tasks::start::{Begun, Sent, Unstarted};
use crate::watch::outcome::Outcome;
use crate::words::Words;

pub(super) async fn run(args: &StartArgs, session: &Session) -> Result<ExitCode, CommandError> {
    missing::of_start(&args.wanted, None, session)?;
    let request = requested(&args.wanted, now(session.clock), session).await?;
    let asking = Asking::connect(None, session.settings.policy()?, false, session).await?;
    match begin(&request, &asking, |_| Ok(()), session).await? {
        Begun::Started { started, signal } => {
            let wait = asking.surroundings.go_on.command(started.export, None);
            tell_start(&started, &request, Some(&format!("to wait for it: {wait}")), session);
            let document = Document::of_start(&started.export, started.created.clone());
            let document = document.after(session.waited(), 0);
            let id = started.export.export_id.to_string();
            session.console.result(args.format.output, &document, &id)?;
            session.console.actions.hand_on_values(&[("export-id", id)]);
            Ok(signal.map_or(ExitCode::SUCCESS, ExitCode::of_signal))
        }
        Begun::NotStarted(unstarted) => {
            let advice =
                "Snyk has no list of exports: starting it again may create a second one, of 20 per hour";
            let document = Document::of_no_start(unstarted.outcome, unstarted.problem.clone());
            tell_no_start(&unstarted, advice, &request, &asking, (args.format.output, document), session)
        }
    }
}

/// Starts an export; `keep` writes down what becomes of each request.
pub(super) async fn begin(
    request: &StartRequest,
    asking: &Asking,
    keep: impl FnMut(Sent<'_>) -> Result<(), CommandError>,
    session: &Session,
) -> Result<Begun, CommandError> {
    let line = session.console.line.clone();
    let transfer = Transfer::new(session.clock, line.clone());
    let clock = session.clock;
    let tell = |event: TaskEvent| transfer.event(&event.at(clock.now()));
    let (tasks, stop) = (asking.tasks(clock), session.signals.ended());
    let begun = transfer.ticking(tasks.start(request, keep, stop, &tell)).await;
    line.clear();
    begun
}

/// Writes that an export was started, and what to do now.
pub(super) fn tell_start(started: &Started, request: &StartRequest, hint: Option<&str>, session: &Session) {
    let (export, hint) = (started.export, hint.map(str::to_owned));
    let started = TaskEvent::Started { export, hint: hint.clone() }.at(session.clock.now());
    session.console.done(step("Started", request.summary()), hint, || log_event(&started));
}

/// Writes that no export was started as far as is known; `advice` is for the case that there may be one. Returns the
/// exit code.
pub(super) fn tell_no_start(
    unstarted: &Unstarted,
    advice: &str,
    request: &StartRequest,
    asking: &Asking,
    (output, document): (Output, Document),
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let Unstarted { outcome, problem, unsure } = unstarted;
    session.console.actions.hand_on_values(&[("outcome", outcome.to_string())]);
    let (words, advice) = match (outcome, unsure) {
        (_, Some(known)) => {
            let words =
                format!("the start of {request} may or may not have created an export, and is not repeated");
            (format!("{words}: {known}"), Some(advice.to_owned()))
        }
        (Outcome::Interrupted(_), None) => (format!("the start of {request} was stopped: {problem}"), None),
        (_, None) => {
            let words = Words::of_request(*outcome, problem, request.scope, None, &asking.surroundings);
            (format!("starting an export failed ({request}): {words}"), words.cure)
        }
    };
    // As text nothing is printed: a script that reads an id must not get anything else.
    let document = document.after(session.waited(), 0).with_hint(advice.clone());
    session.console.result(output, &document, "")?;
    let failure = TaskFailure {
        export: None,
        word: outcome.as_str(),
        exit_code: ExitCode::of_end(*outcome),
        problem: problem.clone(),
        reason: words,
        hint: advice,
    };
    Ok(session.console.failed_task(failure, TaskEvent::NotStarted, session.clock.now()))
}
