//! `start`: starts an export, and prints its id.

mod begin;
mod request;

use self::begin::Unrecorded;
pub(super) use self::begin::{Began, Keep, Unstarted, begin};
pub(super) use self::request::{now, requested};

use std::time::Duration;

use super::{Asking, CommandError, Session};
use crate::cli::{Output, StartArgs};
use crate::document::Document;
use crate::event::{TaskEvent, TaskFailure};
use crate::exit::ExitCode;
use crate::observe::{Transfer, log_event, words_on_request};
use crate::request::StartRequest;
use crate::snyk::Started;
use crate::watch::Policy;
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: &StartArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let request = requested(&args.wanted, now(session.clock), session).await?;
    let policy = policy_of_start(session.settings.policy()?);
    let asking = Asking::connect(None, policy, false, session).await?;
    let line = session.console.line.clone();
    let transfer = Transfer::new(session.clock, line.clone());
    let began = begin(&request, &asking, &transfer, &mut Unrecorded, session).await;
    line.clear();
    match began? {
        Ok(Began { started, signal }) => {
            let wait = asking.surroundings.go_on.command(started.export, None);
            tell_start(&started, &request, Some(&format!("to wait for it: {wait}")), session);
            session.console.data_line(&match args.format.output {
                Output::Json => {
                    let document = Document::of_start(&started.export, started.created.as_deref());
                    document.after(session.waited(), 0).to_line()
                }
                Output::Text => started.export.export_id.to_string(),
            })?;
            session.console.actions.hand_on_values(&[("export-id", started.export.export_id.to_string())]);
            Ok(signal.map_or(ExitCode::SUCCESS, ExitCode::of_signal))
        }
        Err(unstarted) => {
            let advice =
                "Snyk lists no exports: whoever starts it again may have two of them, of the 20 of an hour";
            let document = Document::of_no_start(unstarted.outcome, &unstarted.problem);
            let document = (args.format.output == Output::Json).then_some(document);
            tell_no_start(&unstarted, Some(advice.to_owned()), &request, &asking, document, session)
        }
    }
}

/// The policy for a start: an outage is its only limit, and what is refused is refused.
pub(super) fn policy_of_start(policy: Policy) -> Policy {
    Policy { retry_conflict: false, ..policy_of_requests(policy) }
}

/// The policy for requests that are no polls: an outage is their only limit.
pub(super) fn policy_of_requests(policy: Policy) -> Policy {
    Policy { max_wait: None, not_found_grace: Duration::ZERO, ..policy }
}

/// Says that an export was started, and what to do now: to people in words, to machines in a line of the log.
pub(super) fn tell_start(started: &Started, request: &StartRequest, hint: Option<&str>, session: &Session) {
    let export = started.export;
    let and_now = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let started = TaskEvent::Started { export, hint: hint.map(str::to_owned) }.at(session.clock.now());
    session.console.success(&format!("started: {request} as {export}{and_now}"), || log_event(&started));
}

/// Says that no export was started as far as we know, on standard output and in words, with `advice` where there may be one
/// all the same. Gives the exit code of it.
pub(super) fn tell_no_start(
    unstarted: &Unstarted,
    advice: Option<String>,
    request: &StartRequest,
    asking: &Asking,
    document: Option<Document<'_>>,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let Unstarted { outcome, problem, unsure } = unstarted;
    session.console.actions.hand_on_values(&[("outcome", outcome.to_string())]);
    let (words, advice) = match (outcome, unsure) {
        (_, Some(known)) => {
            let words =
                format!("the start of {request} may or may not have created an export, and is not repeated");
            (format!("{words}: {known}"), advice)
        }
        (Outcome::Interrupted(_), None) => (format!("the start of {request} was given up: {problem}"), None),
        (_, None) => {
            let (words, advice) = words_on_request(*outcome, problem, request.scope, &asking.surroundings);
            (format!("starting an export failed ({request}): {words}"), advice)
        }
    };
    // In text there is nothing to print: a script that reads an id must not get a word.
    if let Some(document) = document {
        let document = document.after(session.waited(), 0).with_hint(advice.clone());
        session.console.data_line(&document.to_line())?;
    }
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
