//! `download`: brings the files of an export home that has finished.

mod bring;
mod place;

use self::bring::{Endpoint, asked};
pub(super) use self::bring::{Lost, Prospect, bring, with_links};
pub(super) use self::place::Place;

use super::start::{now, policy_of_requests};
use super::{Asking, CommandError, Session, aside};
use crate::cli::{DownloadArgs, Output};
use crate::document::{Document, Downloaded};
use crate::download::{Folder, Left, Safety};
use crate::duration::rounded;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::manifest::Manifest;
use crate::observe::{Failed, GoOn, Transfer, log_downloaded_before};
use crate::text::{Text, path_as_data};
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: &DownloadArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let safety = if args.sync { Safety::PowerCut } else { Safety::Process };
    let place = Place::resolve(&args.place, safety, &args.zone.time_zone.date(now(session.clock)))?;
    let policy = policy_of_requests(session.settings.policy()?);
    let exports = std::slice::from_ref(&args.export);
    let found = super::asking::resolve(exports, args.scope.scope(), session).await?;
    let [export] = found.exports[..] else {
        let why = format!("standard input names {} exports: download one at a time", found.exports.len());
        return Err(CommandError::Usage(why));
    };
    if let Some(manifest) = left(&export, &place, false, session).await? {
        tell_there(&manifest, &export, &place, args.format.output, session)?;
        return Ok(ExitCode::SUCCESS);
    }
    place.target().check()?;
    let asking = Asking::connect(found.api, policy, true, session).await?;
    let transfer = Transfer::new(session.clock, session.console.line.clone());
    let output = args.format.output;
    let report = match asked(Endpoint::Status, &export, &asking, &transfer, session).await {
        Ok(report) => report,
        Err(lost) => {
            session.console.actions.hand_on_values(&[("outcome", lost.word.to_owned())]);
            let document = Document::of(&export).after(session.waited(), transfer.polled());
            return tell_lost(&lost, document, &export, output, session);
        }
    };
    let phase = asking.policy.vocabulary.phase(&report.status);
    let (report, brought) = if phase == Some(Phase::Finished) {
        fetch(report, &export, &place, &asking, &transfer, session).await?
    } else {
        let lost = unready(&export, &report, phase, &asking.surroundings.go_on);
        (report, Err(lost))
    };
    session.console.line.clear();
    let word = brought.as_ref().map_or_else(|lost| lost.word, |_| Outcome::Finished.as_str());
    session.console.actions.hand_on_report(word, &export, &report);
    let document = Document::of_report(&export, &report).after(session.waited(), transfer.polled());
    match brought {
        Ok(manifest) => {
            tell_brought(&manifest, document.finished(), &place, &transfer, output, session)?;
            Ok(ExitCode::SUCCESS)
        }
        // It says itself what to do where there is nothing to download.
        Err(lost) if phase != Some(Phase::Finished) => tell_lost(&lost, document, &export, output, session),
        Err(lost) => {
            let place = place.unless(lost.is_of_merge);
            let go_on = session.typed.go_on("download").with(place.options());
            tell_lost(&lost.with_go_on(&go_on, &export), document, &export, output, session)
        }
    }
}

/// The manifest of what an earlier call has come to, if there was nothing left to do but to give files their names; or, with
/// `or_done`, nothing at all.
pub(super) async fn left(
    export: &ExportRef,
    place: &Place,
    or_done: bool,
    session: &mut Session,
) -> Result<Option<Manifest>, CommandError> {
    let (export, place) = (*export, place.clone());
    let look = move || Folder::settle(&place.target(), &export);
    match aside(&session.signals, look).await?? {
        Left::Completed(manifest) => Ok(Some(manifest)),
        Left::Done(manifest) => Ok(or_done.then_some(manifest)),
        Left::Nothing => Ok(None),
        Left::Damaged(path) => {
            let path = Text::of_file(&path);
            tracing::warn!(%path, "a file is not what its manifest says, and so the files are fetched again");
            Ok(None)
        }
    }
}

/// Says that the files are there, as an earlier call has brought them.
pub(super) fn tell_there(
    manifest: &Manifest,
    export: &ExportRef,
    place: &Place,
    output: Output,
    session: &Session,
) -> Result<(), CommandError> {
    session.console.actions.hand_on_values(&[
        ("outcome", Outcome::Finished.to_string()),
        ("export-id", export.export_id.to_string()),
        ("row-count", manifest.row_count.map(|count| count.to_string()).unwrap_or_default()),
    ]);
    let document = Document::of_rows(export, manifest.row_count).after(session.waited(), 0).finished();
    print_files(manifest, document, place, output, session)?;
    let dir = Text::of_file(&place.dir);
    session.console.success(&format!("already there: {} in {dir}", size(manifest)), || {
        log_downloaded_before(manifest, dir.as_str());
    });
    Ok(())
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

/// Says that the files are there: on standard output, and in words.
pub(super) fn tell_brought(
    manifest: &Manifest,
    document: Document<'_>,
    place: &Place,
    transfer: &Transfer,
    output: Output,
    session: &Session,
) -> Result<(), CommandError> {
    print_files(manifest, document, place, output, session)?;
    let (took, dir) = (rounded(transfer.took()), Text::of_file(&place.dir));
    session.console.success(&format!("downloaded: {} in {took} to {dir}", size(manifest)), || {
        transfer.done(manifest, dir.as_str());
    });
    Ok(())
}

/// How much it is, in words.
fn size(Manifest { files, rows, row_count, .. }: &Manifest) -> String {
    let (count, bytes) = (files.len(), files.iter().map(|entry| entry.file_size).sum::<u64>());
    let rows = rows.or(*row_count).map(|rows| format!(", {rows} rows")).unwrap_or_default();
    let noun = if count == 1 { "file" } else { "files" };
    format!("{count} {noun}, {}{rows}", indicatif::BinaryBytes(bytes))
}

fn print_files(
    manifest: &Manifest,
    document: Document<'_>,
    place: &Place,
    output: Output,
    session: &Session,
) -> Result<(), CommandError> {
    let Manifest { files, merged, .. } = manifest;
    if output == Output::Json {
        let dir = path_as_data(&place.dir);
        let downloaded = Downloaded { dir, files: files.clone(), merged: merged.clone() };
        return session.console.data_line(&document.with_download(Some(&downloaded)).to_line());
    }
    let paths = files.iter().map(|entry| path_as_data(&place.dir.join(&entry.name)));
    let merged = merged.iter().map(|merged| merged.path.clone());
    paths.chain(merged).try_for_each(|path| session.console.data_line(&path))
}

/// Says why the files are not there, with a document of what is known of the export besides. Gives the exit code of it.
pub(super) fn tell_lost(
    lost: &Lost,
    document: Document<'_>,
    export: &ExportRef,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let Lost { outcome, code, problem, word, words, advice, .. } = lost;
    session.console.data_line(&match output {
        Output::Json => {
            document.failed(*outcome, *code, problem, advice.clone()).with_download(None).to_line()
        }
        Output::Text => format!("{} {word}", export.export_id),
    })?;
    let hint = advice.as_deref();
    let failed =
        Failed { export: Some(export), outcome: word, exit_code: *code, problem, reason: words, hint };
    session.console.failed(&format!("{word}: {words}"), hint, || failed.log_download());
    Ok(*code)
}

/// There are no files yet, or never will be.
fn unready(export: &ExportRef, report: &Report, phase: Option<Phase>, go_on: &GoOn) -> Lost {
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
            (None, "the export is not ready", format!("to wait for it: {}", go_on.command(export, None)))
        }
    };
    let detail = report.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let status = format!("status {}{detail}", report.status);
    Lost {
        outcome,
        code: outcome.map_or(ExitCode::IN_PROGRESS, ExitCode::of_end),
        problem: Problem::new("there are no files to download", &status),
        word: outcome.map_or("not-ready", Outcome::as_str),
        words: format!("downloading {export}: {words} ({status})"),
        advice: Some(advice),
        prospect: outcome.map_or(Prospect::Later, Prospect::of),
        is_of_merge: false,
    }
}
