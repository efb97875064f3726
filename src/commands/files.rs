//! Downloads the files of an export into a directory and says so, for `download` and `run`.

mod lost;
mod place;

pub(super) use self::lost::{Lost, Prospect};
pub(super) use self::place::Place;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::wait::step;
use super::{Asking, CommandError, Session, aside};
use crate::cli::Output;
use crate::document::{Document, Downloaded};
use crate::download::{Folder, FolderError, Held, Left, Target};
use crate::event::{TaskEvent, TaskFailure};
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::http::Reach;
use crate::manifest::Manifest;
use crate::observe::{Transfer, log_event};
use crate::text::{Text, path_as_data};
use crate::watch::observation::Report;
use crate::watch::outcome::Outcome;
use crate::words::sized;

/// How a download ended.
pub(super) enum Fetched {
    /// The files are there.
    Whole(Manifest),
    /// They are not.
    Lost(Lost),
}

/// A download: the export, the place, and the form of the result.
pub(super) struct Download<'a> {
    pub(super) export: ExportRef,
    pub(super) place: Place,
    /// The lock on the place, once this download has it.
    pub(super) held: Option<Arc<Held>>,
    pub(super) output: Output,
    pub(super) session: &'a Session,
}

impl Download<'_> {
    /// Locks the place until this ends, so that no other download makes the work to come useless.
    pub(super) fn hold(&mut self) -> Result<(), FolderError> {
        if self.held.is_none() {
            self.held = Some(Arc::new(self.place.target().hold()?));
        }
        Ok(())
    }

    /// The manifest of an earlier call that was killed while it renamed complete files; with `or_done`, also of one
    /// that was done.
    pub(super) async fn left(&self, or_done: bool) -> Result<Option<Manifest>, CommandError> {
        let (export, place, held) = (self.export, self.place.clone(), self.held.clone());
        let look = move || Folder::settle(&Target { held: held.as_deref(), ..place.target() }, &export);
        match aside(&self.session.signals, look).await?? {
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

    /// Fetches the files. `report` is the last known status document; it is replaced by the list of files if it has
    /// none.
    pub(super) async fn fetch(
        &self,
        report: &mut Option<Report>,
        asking: &Asking,
        transfer: &Transfer,
    ) -> Result<Fetched, CommandError> {
        let Self { export, place, held, session, .. } = self;
        let target = Target { held: held.as_deref(), ..place.target() };
        let limits = session.settings.download_limits();
        let reach = Reach::from(asking.client.api().url(), session.settings.allows_http());
        let clock = session.clock;
        let (tasks, tell) = (asking.tasks(clock), |event: TaskEvent| transfer.event(&event.at(clock.now())));
        let fetching = transfer.ticking(tasks.fetch(export, report, &target, limits, reach, &tell));
        let fetched = session.signals.unless_interrupted(fetching).await;
        let (whole, files) = transfer.files();
        let head = format!("downloading {export}, after {whole} of {files} files");
        let lost = match fetched {
            Ok(Ok(manifest)) => return Ok(Fetched::Whole(manifest)),
            Ok(Err(error)) => Lost::of_download(error, export, &head, &asking.surroundings)?,
            Err(signal) if files == 0 => Lost::unlisted(signal, export),
            Err(signal) => Lost::of_signal(signal, export, format!("{head}: {} came", signal.name())),
        };
        Ok(Fetched::Lost(lost))
    }

    /// Writes that an earlier call downloaded the files.
    pub(super) fn tell_there(&self, manifest: &Manifest) -> Result<(), CommandError> {
        self.session.console.actions.hand_on_values(&[
            ("outcome", Outcome::Finished.to_string()),
            ("export-id", self.export.export_id.to_string()),
            ("row-count", manifest.row_count.map(|count| count.to_string()).unwrap_or_default()),
        ]);
        let document = Document { row_count: manifest.row_count, ..Document::of(&self.export) }.finished();
        self.tell_files(manifest, document.after(self.session.waited(), 0), None)
    }

    /// Writes that the files are there. `took` is `None` if an earlier call downloaded them.
    pub(super) fn tell_files(
        &self,
        manifest: &Manifest,
        document: Document,
        took: Option<Duration>,
    ) -> Result<(), CommandError> {
        let Self { place, session, .. } = self;
        let Manifest { files, merged, .. } = manifest;
        let downloaded =
            Downloaded { dir: path_as_data(&place.dir), files: files.clone(), merged: merged.clone() };
        let paths = files.iter().map(|entry| path_as_data(&place.dir.join(&entry.name)));
        let paths: Vec<String> = paths.chain(merged.iter().map(|merged| merged.path.clone())).collect();
        session.console.actions.hand_on_files(path_as_data(&place.dir), &paths);
        let document = document.with_download(Some(downloaded));
        // On a screen, the last line has the path of a single file.
        let is_said = session.console.says_it_in_words() && paths.len() == 1;
        session.console.result(
            self.output,
            &document,
            if is_said { String::new() } else { paths.join("\n") }.as_str(),
        )?;
        let dir = Text::of_file(&place.dir).to_string();
        let target = match (&paths[..], merged) {
            ([path], _) => shown(Path::new(path)),
            (_, None) => shown(&place.dir),
            (_, Some(merged)) => format!("{}, {}", shown(&place.dir), shown(Path::new(&merged.path))),
        };
        let before = if took.is_some() { "" } else { " (by an earlier call)" };
        let words = step("Saved", format!("{} → {target}{before}", size(manifest)));
        let downloaded = TaskEvent::Downloaded { manifest: Arc::new(manifest.clone()), dir, took };
        session.console.done(words, None, || log_event(&downloaded.at(session.clock.now())));
        Ok(())
    }

    /// Writes why the files are not there, with what else is known about the export. Returns the exit code.
    pub(super) fn tell_lost(
        &self,
        Lost { outcome, failure, .. }: Lost,
        document: Document,
    ) -> Result<ExitCode, CommandError> {
        let (console, now) = (&self.session.console, self.session.clock.now());
        let TaskFailure { word, exit_code, problem, hint, .. } = &failure;
        let document =
            document.failed(outcome, *exit_code, problem.clone(), hint.clone()).with_download(None);
        let text = match console.says_it_in_words() {
            true => String::new(),
            false => format!("{} {word}", self.export.export_id),
        };
        console.result(self.output, &document, &text)?;
        Ok(console.failed_task(failure, TaskEvent::NotDownloaded, now))
    }
}

/// A path as people read it: relative where it lies below the working directory.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let below = path.strip_prefix(here).ok().filter(|below| !below.as_os_str().is_empty());
    Text::of_file(below.unwrap_or(path)).to_string()
}

/// The size in words: `1,061 rows, 93 KiB`, and the number of files if there are several.
fn size(Manifest { files, rows, row_count, .. }: &Manifest) -> String {
    let rows = rows.or(*row_count).map(|rows| sized(rows, "row"));
    let count = (files.len() != 1).then(|| sized(files.len() as u64, "file"));
    let size = bytes(files.iter().map(|entry| entry.file_size).sum());
    rows.into_iter().chain([size]).chain(count).collect::<Vec<_>>().join(", ")
}

/// `93 KiB`.
fn bytes(count: u64) -> String {
    let (mut size, mut unit) = (count as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if size < 10.0 && unit != "B" { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}
