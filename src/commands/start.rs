//! `start`: starts an export, and prints its id.

mod request;

pub(super) use self::request::{now, requested};

use std::time::Duration;

use super::{Asking, CommandError, Session};
use crate::cli::{Output, StartArgs};
use crate::document::Document;
use crate::exit::ExitCode;
use crate::observe::{Failed, Transfer, words_on_request};
use crate::request::StartRequest;
use crate::snyk::Started;
use crate::tasks::start::{Begun, Sent, Unstarted};
use crate::watch::Policy;
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: &StartArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let request = requested(&args.wanted, now(session.clock), session).await?;
    let policy = policy_of_start(session.settings.policy()?);
    let asking = Asking::connect(None, policy, false, session).await?;
    match begin(&request, &asking, |_| Ok(()), session).await? {
        Begun::Started { started, signal } => {
            let wait = asking.surroundings.go_on.command(started.export, None);
            tell_start(&started, &request, Some(&format!("to wait for it: {wait}")), session);
            let document = Document::of_start(&started.export, started.created.as_deref());
            let document = document.after(session.waited(), 0);
            let id = started.export.export_id.to_string();
            session.console.result(args.format.output, &document, &id)?;
            session.console.actions.hand_on_values(&[("export-id", id)]);
            Ok(signal.map_or(ExitCode::SUCCESS, ExitCode::of_signal))
        }
        Begun::NotStarted(unstarted) => {
            let advice =
                "Snyk lists no exports: whoever starts it again may have two of them, of the 20 of an hour";
            let document = Document::of_no_start(unstarted.outcome, &unstarted.problem);
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
    let (task, stop) = (asking.task(session.clock), session.signals.ended());
    let begun = transfer.ticking(task.start(request, keep, stop, |step| transfer.tell(step))).await;
    line.clear();
    begun
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
    session.console.success(&format!("started: {request} as {export}{and_now}"), || {
        tracing::info!(
            export.id = %export.export_id,
            export.scope = export.scope.as_str(),
            export.scope_id = %export.scope_id,
            hint,
            "export started"
        );
    });
}

/// Says that no export was started as far as we know, on standard output and in words, with `advice` where there may be one
/// all the same. Gives the exit code of it.
pub(super) fn tell_no_start(
    unstarted: &Unstarted,
    advice: &str,
    request: &StartRequest,
    asking: &Asking,
    (output, document): (Output, Document<'_>),
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
        (Outcome::Interrupted(_), None) => (format!("the start of {request} was given up: {problem}"), None),
        (_, None) => {
            let (words, advice) = words_on_request(*outcome, problem, request.scope, &asking.surroundings);
            (format!("starting an export failed ({request}): {words}"), advice)
        }
    };
    // In text there is nothing to print: a script that reads an id must not get a word.
    let document = document.after(session.waited(), 0).with_hint(advice.clone());
    session.console.result(output, &document, "")?;
    let (word, exit_code, hint) = (outcome.as_str(), ExitCode::of_end(*outcome), advice.as_deref());
    let failed = Failed { export: None, outcome: word, exit_code, problem, reason: &words, hint };
    session.console.failed(&format!("{outcome}: {words}"), hint, || failed.log_start());
    Ok(exit_code)
}
