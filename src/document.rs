//! The JSON document that tells how one export ended (an interface: the README shows one).

use std::time::Duration;

use serde::Serialize;

use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Status};
use crate::manifest::{Entry, Merged};
use crate::moment::Moment;
use crate::secret::Link;
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;
use crate::watch::{Change, Watch};

/// One line of `--output json`. Its members are always there, null when unknown.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: u8,
    outcome: Option<Outcome>,
    exit_code: Option<u8>,
    export: Option<ExportRef>,
    status: Option<&'a Status>,
    created: Option<&'a str>,
    waited_seconds: f64,
    polls: u32,
    timeline: &'a [Change],
    row_count: Option<u64>,
    results: Option<Vec<Part>>,
    error: Option<&'a Problem>,
    /// What to do now, as people are told.
    hint: Option<String>,
    /// The files; there only where a command brings them, and null where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<Option<&'a Downloaded>>,
}

/// The files of an export, as they lie in a directory.
#[derive(Debug, Serialize)]
pub struct Downloaded {
    /// The directory.
    pub dir: String,
    /// The files in it, besides the manifest.
    pub files: Vec<Entry>,
    /// The file into which they were merged, if they were.
    pub merged: Option<Merged>,
}

#[derive(Debug, Serialize)]
struct Part {
    file_size: Option<u64>,
    row_count: Option<u64>,
    url: Option<String>,
}

impl<'a> Document<'a> {
    /// The document of an ending. Signed links are shown only with `show_urls`.
    #[must_use]
    pub fn of_ending(ending: &'a Ending, show_urls: bool) -> Self {
        let outcome = Some(ending.outcome);
        let exit_code = ExitCode::of(ending.outcome);
        Self::new(&ending.watch, outcome, exit_code, ending.report.as_ref(), ending.at, show_urls)
    }

    /// The document of an export that is still in progress, as `status` finds it.
    #[must_use]
    pub fn in_progress(watch: &'a Watch, at: Moment) -> Self {
        Self::new(watch, None, Some(ExitCode::IN_PROGRESS), None, at, false)
    }

    /// The document of a watch that goes on, as far as it has come: without an outcome, and so without an exit code.
    #[must_use]
    pub fn under_way(watch: &'a Watch, at: Moment) -> Self {
        Self::new(watch, None, None, None, at, false)
    }

    /// The document of an export that was started. It names the export as `wait -` takes it.
    #[must_use]
    pub fn of_start(export: &ExportRef, created: Option<&'a str>) -> Self {
        let exit_code = Some(ExitCode::SUCCESS.code());
        Self { exit_code, export: Some(*export), created, ..Self::empty() }
    }

    /// The document of a start that came to no export, as far as is known.
    #[must_use]
    pub fn of_no_start(outcome: Outcome, problem: &'a Problem) -> Self {
        let exit_code = ExitCode::of(outcome).map(ExitCode::code);
        Self { outcome: Some(outcome), exit_code, error: Some(problem), ..Self::empty() }
    }

    /// The document of an export of which nothing else is known.
    #[must_use]
    pub fn of(export: &ExportRef) -> Self {
        Self { export: Some(*export), ..Self::empty() }
    }

    /// The document of an export of which only the number of rows is known.
    #[must_use]
    pub fn of_rows(export: &ExportRef, row_count: Option<u64>) -> Self {
        Self { row_count, ..Self::of(export) }
    }

    /// The document of an export that was asked for without a wait.
    #[must_use]
    pub fn of_report(export: &ExportRef, report: &'a Report) -> Self {
        Self {
            status: Some(&report.status),
            created: report.created.as_deref(),
            row_count: report.row_count,
            results: parts(Some(report), false),
            ..Self::of(export)
        }
    }

    /// The same export, of which all is there.
    #[must_use]
    pub fn finished(self) -> Self {
        let exit_code = Some(ExitCode::SUCCESS.code());
        Self { outcome: Some(Outcome::Finished), exit_code, ..self }
    }

    /// The same export, with which something went wrong, and what to do now.
    #[must_use]
    pub fn failed(
        self,
        outcome: Option<Outcome>,
        code: ExitCode,
        problem: &'a Problem,
        hint: Option<String>,
    ) -> Self {
        Self { outcome, exit_code: Some(code.code()), error: Some(problem), hint, ..self }
    }

    /// The same document, after so long and so many polls.
    #[must_use]
    pub fn after(self, waited: Duration, polls: u32) -> Self {
        Self { waited_seconds: seconds(waited), polls, ..self }
    }

    /// The same export, whose files are there, or (with nothing) are not.
    #[must_use]
    pub fn with_download(self, download: Option<&'a Downloaded>) -> Self {
        Self { download: Some(download), ..self }
    }

    /// The same document, which says what to do now.
    #[must_use]
    pub fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    const fn empty() -> Self {
        Self {
            schema: 1,
            outcome: None,
            exit_code: None,
            export: None,
            status: None,
            created: None,
            waited_seconds: 0.0,
            polls: 0,
            timeline: &[],
            row_count: None,
            results: None,
            error: None,
            hint: None,
            download: None,
        }
    }

    fn new(
        watch: &'a Watch,
        outcome: Option<Outcome>,
        exit_code: Option<ExitCode>,
        report: Option<&'a Report>,
        at: Moment,
        show_urls: bool,
    ) -> Self {
        let progress = &watch.progress;
        Self {
            outcome,
            exit_code: exit_code.map(ExitCode::code),
            export: Some(watch.export),
            status: progress.status(),
            created: progress.created(),
            waited_seconds: seconds(at.since(progress.started_at())),
            polls: progress.polls(),
            timeline: progress.timeline(),
            row_count: progress.row_count().or(report.and_then(|report| report.row_count)),
            results: parts(report, show_urls),
            error: progress.problem(),
            ..Self::empty()
        }
    }

    /// The document on one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("all members can be written as JSON"))
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

fn parts(report: Option<&Report>, show_urls: bool) -> Option<Vec<Part>> {
    let parts = report?.results.as_ref()?.iter().map(|part| Part {
        file_size: part.file_size,
        row_count: part.row_count,
        url: part.link.as_ref().filter(|_| show_urls).map(Link::show),
    });
    Some(parts.collect())
}
