//! `download`: brings the files of an export home that has finished.

mod bring;
mod place;

use self::bring::{Endpoint, asked};
pub(super) use self::bring::{Lost, bring, with_links};
pub(super) use self::place::Place;

use super::start::policy_of_requests;
use super::{Asking, CommandError, Session};
use crate::cli::{DownloadArgs, Output};
use crate::document::{Document, Downloaded};
use crate::download::Folder;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::manifest::Manifest;
use crate::observe::Transfer;
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: &DownloadArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let place = Place::resolve(&args.place, &args.zone, session.clock)?;
    let policy = policy_of_requests(session.settings.policy()?);
    let exports = std::slice::from_ref(&args.export);
    let found = super::asking::resolve(exports, args.scope.scope(), session).await?;
    let [export] = found.exports[..] else {
        let why = format!("standard input names {} exports: download one at a time", found.exports.len());
        return Err(CommandError::Usage(why));
    };
    Folder::check(&place.dir, place.merge.as_deref(), &export, place.force)?;
    let asking = Asking::connect(found.api, policy, true, session).await?;
    let transfer = Transfer::new(session.clock, session.console.line.clone());
    let report = match asked(Endpoint::Status, &export, &asking, &transfer, session).await {
        Ok(report) => report,
        Err(lost) => return tell_lost(&lost, None, &export, args.format.output, session),
    };
    let phase = asking.policy.vocabulary.phase(&report.status);
    if phase != Some(Phase::Finished) {
        return tell_unready(&export, &report, phase, args.format.output, session);
    }
    let report = match with_links(Some(report.clone()), &export, &asking, &transfer, session).await {
        Ok(report) => report,
        Err(lost) => return tell_lost(&lost, Some(&report), &export, args.format.output, session),
    };
    let brought = bring(&export, &report, &place, &asking, &transfer, session).await;
    session.console.line.clear();
    match brought? {
        Ok(manifest) => {
            let document = Document::of_report(&export, &report, Some(Outcome::Finished), ExitCode::SUCCESS);
            tell_brought(manifest, document, &place, &transfer, args.format.output, session)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(lost) => {
            let go_on = format!("to go on: snyk-export download {export} {}", place.options());
            tell_lost(
                &Lost { advice: lost.advice.or(Some(go_on)), ..lost },
                Some(&report),
                &export,
                args.format.output,
                session,
            )
        }
    }
}

/// Says that the files are there: on standard output, and in words.
pub(super) fn tell_brought(
    manifest: Manifest,
    document: Document<'_>,
    place: &Place,
    transfer: &Transfer,
    output: Output,
    session: &Session,
) -> Result<(), CommandError> {
    let Manifest { files, merged, row_count, .. } = manifest;
    let (count, bytes) = (files.len(), files.iter().map(|entry| entry.file_size).sum::<u64>());
    let downloaded = Downloaded { dir: place.dir.display().to_string(), files, merged };
    match output {
        Output::Json => {
            session.console.data_line(&document.with_download(Some(&downloaded)).to_line())?;
        }
        Output::Text => {
            let names =
                downloaded.files.iter().map(|entry| place.dir.join(&entry.name).display().to_string());
            let merged = downloaded.merged.iter().map(|merged| merged.path.clone());
            for path in names.chain(merged) {
                session.console.data_line(&path)?;
            }
        }
    }
    let rows = row_count.map(|rows| format!(", {rows} rows")).unwrap_or_default();
    let (.., took) = transfer.so_far();
    session.console.success(&format!(
        "downloaded: {count} {}, {}{rows} in {} to {}",
        if count == 1 { "file" } else { "files" },
        indicatif::BinaryBytes(bytes),
        crate::observe::rounded(took),
        place.dir.display()
    ));
    Ok(())
}

/// Says why the files are not there.
pub(super) fn tell_lost(
    lost: &Lost,
    report: Option<&Report>,
    export: &ExportRef,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let document = match report {
        Some(report) => Document::of_report(export, report, None, ExitCode::UNFORESEEN),
        None => Document::of_failure(export, Outcome::Unavailable, &lost.problem),
    };
    let document = document.without_download(lost.outcome, lost.code, &lost.problem);
    tell_lost_as(lost, document, export, output, session)
}

/// The like, with a document that knows more.
pub(super) fn tell_lost_as(
    lost: &Lost,
    document: Document<'_>,
    export: &ExportRef,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let word = lost.outcome.map_or("error", Outcome::as_str);
    session.console.data_line(&match output {
        Output::Json => document.to_line(),
        Output::Text => format!("{} {word}", export.export_id),
    })?;
    session.console.failed(&format!("{word}: {}", lost.words), lost.advice.as_deref());
    Ok(lost.code)
}

/// Says that there are no files yet, or never will be.
fn tell_unready(
    export: &ExportRef,
    report: &Report,
    phase: Option<Phase>,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let status = &report.status;
    let (outcome, code, words, advice) = match phase {
        Some(Phase::Failed) => {
            let advice = "this export will never be ready: start a new one".to_owned();
            (
                Some(Outcome::Failed),
                ExitCode::of(Outcome::Failed),
                "Snyk says that the export has failed",
                advice,
            )
        }
        None => {
            let advice = "say what it means with --in-progress-status, --finished-status or --failed-status"
                .to_owned();
            (
                Some(Outcome::UnknownStatus),
                ExitCode::of(Outcome::UnknownStatus),
                "its status is not known here",
                advice,
            )
        }
        Some(Phase::InProgress | Phase::Finished) => {
            let advice = format!("to wait for it: snyk-export wait {export}");
            (None, Some(ExitCode::IN_PROGRESS), "the export is not ready", advice)
        }
    };
    let code = code.unwrap_or(ExitCode::UNFORESEEN);
    let detail = report.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let words = format!("downloading {export}: {words} (status {status}){detail}");
    let problem = Problem::new("there are no files to download", &format!("status {status}{detail}"));
    let word = outcome.map_or("not-ready", Outcome::as_str);
    let document = Document::of_report(export, report, outcome, code);
    session.console.data_line(&match output {
        Output::Json => document.without_download(outcome, code, &problem).to_line(),
        Output::Text => format!("{} {status}", export.export_id),
    })?;
    session.console.failed(&format!("{word}: {words}"), Some(&advice));
    Ok(code)
}
