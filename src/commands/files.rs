//! Downloads the files of an export into a directory and says so, for `download` and `run`.

mod lost;
mod place;

pub(super) use self::lost::{Lost, Prospect};
pub(super) use self::place::Place;

use std::sync::Arc;
use std::time::Duration;

use super::{Asking, CommandError, Session, aside};
use crate::cli::Output;
use crate::document::{Document, Downloaded};
use crate::download::{Folder, Left};
use crate::event::{TaskEvent, TaskFailure};
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::http::Reach;
use crate::manifest::Manifest;
use crate::observe::{Transfer, log_event, rounded};
use crate::watch::observation::Report;
use crate::watch::outcome::Outcome;

/// How a download ended.
pub(super) enum Fetched {
    /// The files are there.
    Whole(Manifest),
    /// They are not.
    Lost(Lost),
}

/// The manifest of what an earlier call has come to, if there was nothing left to do but to give files their names; or, with
/// `or_done`, nothing at all.
pub(super) async fn left(
    export: &ExportRef,
    place: &Place,
    or_done: bool,
    session: &Session,
) -> Result<Option<Manifest>, CommandError> {
    let (export, place) = (*export, place.clone());
    let look = move || Folder::settle(&place.target(), &export);
    match aside(&session.signals, look).await?? {
        Left::Completed(manifest) => Ok(Some(manifest)),
        Left::Done(manifest) => Ok(or_done.then_some(manifest)),
        Left::Nothing => Ok(None),
        Left::Damaged(path) => {
            let path = path.display();
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
    let dir = place.dir.display().to_string();
    let words = format!("already there: {} in {dir}", size(manifest));
    tell_downloaded(&words, manifest, dir, None, session);
    Ok(())
}

/// Fetches the files of an export that has finished. `report` is what is known of it, and then what its list of files says.
pub(super) async fn fetch(
    export: &ExportRef,
    report: &mut Option<Report>,
    place: &Place,
    asking: &Asking,
    transfer: &Transfer,
    session: &Session,
) -> Result<Fetched, CommandError> {
    let (target, limits) = (place.target(), session.settings.download_limits());
    let reach = Reach::from(asking.client.api().url(), session.settings.allows_http());
    let tell = |event: TaskEvent| transfer.event(&event.at(session.clock.now()));
    let tasks = asking.tasks(session.clock);
    let fetching = transfer.ticking(tasks.fetch(export, report, &target, limits, reach, &tell));
    let fetched = session.signals.unless_interrupted(fetching).await;
    let (whole, files) = (transfer.files_whole(), transfer.files());
    let head = format!("downloading {export}, after {whole} of {files} files");
    let lost = match fetched {
        Ok(Ok(manifest)) => return Ok(Fetched::Whole(manifest)),
        Ok(Err(error)) => Lost::of_download(error, export, &head, &asking.surroundings)?,
        Err(signal) if files == 0 => {
            let words = format!("{} came before the files of {export} were listed", signal.name());
            Lost::of_signal(signal, export, words)
        }
        Err(signal) => Lost::of_signal(signal, export, format!("{head}: {} came", signal.name())),
    };
    Ok(Fetched::Lost(lost))
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
    let (took, dir) = (transfer.took(), place.dir.display().to_string());
    let words = format!("downloaded: {} in {} to {dir}", size(manifest), rounded(took));
    tell_downloaded(&words, manifest, dir, Some(took), session);
    Ok(())
}

fn tell_downloaded(words: &str, manifest: &Manifest, dir: String, took: Option<Duration>, session: &Session) {
    let downloaded = TaskEvent::Downloaded { manifest: Arc::new(manifest.clone()), dir, took };
    session.console.success(words, || log_event(&downloaded.at(session.clock.now())));
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
    let downloaded =
        Downloaded { dir: place.dir.display().to_string(), files: files.clone(), merged: merged.clone() };
    let paths = files.iter().map(|entry| place.dir.join(&entry.name).display().to_string());
    let paths: Vec<String> = paths.chain(merged.iter().map(|merged| merged.path.clone())).collect();
    session.console.result(output, &document.with_download(Some(&downloaded)), &paths.join("\n"))
}

/// Says why the files are not there, with a document of what is known of the export besides. Returns the exit code.
pub(super) fn tell_lost(
    Lost { outcome, failure, .. }: &Lost,
    document: Document<'_>,
    export: &ExportRef,
    output: Output,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let TaskFailure { word, exit_code, problem, hint, .. } = failure;
    let document = document.failed(*outcome, *exit_code, problem, hint.clone()).with_download(None);
    session.console.result(output, &document, &format!("{} {word}", export.export_id))?;
    Ok(session.console.failed_task(failure.clone(), TaskEvent::NotDownloaded, session.clock.now()))
}
