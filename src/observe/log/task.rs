//! Log lines of starts and downloads.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{failure, text};
use crate::duration::in_ms;
use crate::event::{Task, TaskEvent, TaskFailure};
use crate::manifest::Manifest;
use crate::watch::observation::Problem;

/// Logs an event of a start or a download. Bytes that arrive are not logged.
pub(super) fn write(name: &str, event: &TaskEvent) {
    match event {
        TaskEvent::Retrying { task, file, problem, delay } => {
            let message = retrying(*task);
            failure!(
                warn,
                problem,
                [event = name, file.name = file.as_deref(),],
                [delay_ms = in_ms(*delay),],
                "{message}"
            );
        }
        TaskEvent::Started { export, hint } => info!(
            event = name,
            export.id = %export.export_id,
            export.scope = export.scope.as_str(),
            export.scope_id = %export.scope_id,
            hint,
            "export started"
        ),
        TaskEvent::NotStarted(failure) => failed(name, failure, "the export was not started"),
        TaskEvent::DownloadStarted { files, bytes } => {
            info!(event = name, download.files = files, download.bytes = bytes, "downloading");
        }
        TaskEvent::FileDownloaded(entry) => {
            debug!(event = name, file.name = entry.name, file.bytes = entry.file_size, "file downloaded");
            if let Some(announced) = entry.row_count.filter(|_| entry.rows != entry.row_count) {
                miscounted("download.miscounted", Some(&entry.name), entry.rows, announced);
            }
        }
        TaskEvent::Miscounted { rows, row_count } => miscounted(name, None, *rows, *row_count),
        TaskEvent::Unchecked { file } => info!(
            event = name,
            file.name = file,
            "the checksum was not checked: it is of the file as storage keeps it, in another encoding than it is sent in"
        ),
        TaskEvent::LinksExpired { problem } => info!(
            event = name,
            http.response.status_code = problem.http_status,
            error.code = text(&problem.code),
            "a link does not work any more, asking for new ones"
        ),
        TaskEvent::Downloaded { manifest, dir, took } => downloaded(name, manifest, dir, *took),
        TaskEvent::NotDownloaded(failure) => failed(name, failure, "the files were not downloaded"),
        TaskEvent::StatusRequested | TaskEvent::Received(_) | TaskEvent::Discarded(_) => {}
    }
}

/// The constant sentence of a log line.
const fn retrying(task: Task) -> &'static str {
    match task {
        Task::Start => "start failed, retrying",
        Task::Status => "check failed, retrying",
        Task::Listing => "listing the results failed, retrying",
        Task::Download => "download failed, retrying",
    }
}

fn failed(name: &str, failed: &TaskFailure, message: &str) {
    let TaskFailure { export, word, exit_code, problem, reason, hint } = failed;
    failure!(
        error,
        problem,
        [
            event = name,
            export.id = export.map(|export| display(export.export_id)),
            outcome = word,
            exit_code = exit_code.code(),
        ],
        [reason, hint,],
        "{message}"
    );
}

fn downloaded(name: &str, manifest: &Manifest, dir: &str, took: Option<Duration>) {
    let Manifest { export, files, row_count, merged, .. } = manifest;
    let message = if took.is_some() { "downloaded" } else { "downloaded before" };
    info!(
        event = name,
        export.id = %export.export_id,
        download.dir = dir,
        download.files = files.len(),
        download.bytes = files.iter().map(|entry| entry.file_size).sum::<u64>(),
        download.merged = merged.as_ref().map(|merged| merged.path.as_str()),
        row_count,
        waited_ms = took.map(in_ms),
        "{message}"
    );
}

fn miscounted(name: &str, file: Option<&str>, rows: Option<u64>, announced: u64) {
    match rows {
        Some(rows) => warn!(
            event = name,
            file.name = file,
            rows,
            row_count = announced,
            "the rows that were counted are not as many as Snyk announced"
        ),
        None => warn!(
            event = name,
            file.name = file,
            row_count = announced,
            "rows were not counted: this is not CSV"
        ),
    }
}
