//! `download`: brings the files of an export home that has finished.

mod bring;
mod place;

use self::bring::{Endpoint, asked};
pub(super) use self::bring::{Lost, bring, sync, with_links};
pub(super) use self::place::Place;

use super::start::{now, policy_of_requests};
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
    let place = Place::resolve(&args.place, &args.zone.time_zone.date(now(session.clock)))?;
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
    let output = args.format.output;
    let report = match asked(Endpoint::Status, &export, &asking, &transfer, session).await {
        Ok(report) => report,
        Err(lost) => return tell_lost(&lost, Document::of(&export), &export, output, session),
    };
    let phase = asking.policy.vocabulary.phase(&report.status);
    let (report, brought) = if phase == Some(Phase::Finished) {
        fetch(report, &export, &place, &asking, &transfer, session).await?
    } else {
        let lost = unready(&export, &report, phase);
        (report, Err(lost))
    };
    session.console.line.clear();
    hand_on(brought.as_ref().map_or_else(|lost| lost.word, |_| "finished"), &export, &report, session);
    let document = Document::of_report(&export, &report);
    match brought {
        Ok(manifest) => {
            tell_brought(manifest, document.finished(), &place, &transfer, output, session)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(lost) => {
            let global = session.global_options();
            let go_on = format!("to go on: snyk-export download {export} {}{global}", place.options());
            let lost = Lost { advice: lost.advice.or(Some(go_on)), ..lost };
            tell_lost(&lost, document, &export, output, session)
        }
    }
}

/// Fetches the files of an export that has finished, with what is known of it then.
async fn fetch(
    report: Report,
    export: &ExportRef,
    place: &Place,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> Result<(Report, Result<Manifest, Lost>), CommandError> {
    match with_links(Some(report.clone()), export, asking, transfer, session).await {
        Ok(linked) => {
            let brought = bring(export, &linked, place, asking, transfer, session).await?;
            Ok((linked, brought))
        }
        Err(lost) => Ok((report, Err(lost))),
    }
}

/// Tells the CI system how it went.
fn hand_on(word: &str, export: &ExportRef, report: &Report, session: &Session) {
    session.console.actions.hand_on_values(&[
        ("outcome", word.to_owned()),
        ("status", report.status.to_string()),
        ("export-id", export.export_id.to_string()),
        ("row-count", report.row_count.map(|count| count.to_string()).unwrap_or_default()),
    ]);
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

/// Says why the files are not there, with a document of what is known of the export besides. Gives the exit code of it.
pub(super) fn tell_lost(
    lost: &Lost,
    document: Document<'_>,
    export: &ExportRef,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let Lost { outcome, code, problem, word, words, advice } = lost;
    session.console.data_line(&match output {
        Output::Json => document.failed(*outcome, *code, problem).with_download(None).to_line(),
        Output::Text => format!("{} {word}", export.export_id),
    })?;
    session.console.failed(&format!("{word}: {words}"), advice.as_deref());
    Ok(*code)
}

/// There are no files yet, or never will be.
fn unready(export: &ExportRef, report: &Report, phase: Option<Phase>) -> Lost {
    let (outcome, words, advice) = match phase {
        Some(Phase::Failed) => {
            let advice = "this export will never be ready: start a new one".to_owned();
            (Some(Outcome::Failed), "Snyk says that the export has failed", advice)
        }
        None => {
            let advice = "say what it means with --in-progress-status, --finished-status or --failed-status";
            (Some(Outcome::UnknownStatus), "its status is not known here", advice.to_owned())
        }
        Some(Phase::InProgress | Phase::Finished) => {
            (None, "the export is not ready", format!("to wait for it: snyk-export wait {export}"))
        }
    };
    let detail = report.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let status = format!("status {}{detail}", report.status);
    Lost {
        outcome,
        code: outcome.map_or(Some(ExitCode::IN_PROGRESS), ExitCode::of).unwrap_or(ExitCode::UNFORESEEN),
        problem: Problem::new("there are no files to download", &status),
        word: outcome.map_or("not-ready", Outcome::as_str),
        words: format!("downloading {export}: {words} ({status})"),
        advice: Some(advice),
    }
}
