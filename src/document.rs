//! The JSON document of an export: how it ended, or how far it has come (an interface: docs/reference/documents.md shows one).
//!
//! It is made once when a watch ends, and written into the store. The API, Slack messages and commands read it back.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Status};
use crate::manifest::{Entry, Merged};
use crate::moment::Moment;
use crate::secret::Link;
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;
use crate::watch::{Change, Watch};

/// The version of the document's form.
pub const SCHEMA: u8 = 1;

/// How an export ended, or how far it has come. Members are always there, null when unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// How it ended; null if it has not.
    #[serde(deserialize_with = "known_outcome")]
    pub outcome: Option<Outcome>,
    /// The exit code of `snyk-export wait` for this outcome; some outcomes have none.
    pub exit_code: Option<u8>,
    /// The export that is followed.
    pub export: Option<ExportRef>,
    /// The last status seen.
    pub status: Option<Status>,
    /// When the export was created, as Snyk says.
    pub created: Option<String>,
    /// How long it was followed, or has been until now.
    pub waited_seconds: f64,
    /// The number of polls.
    pub polls: u32,
    /// The statuses seen, in order.
    pub timeline: Vec<Change>,
    /// How many rows the export has, as Snyk says.
    pub row_count: Option<u64>,
    /// The files of the export's result, as far as Snyk has listed them.
    pub results: Option<Vec<Part>>,
    /// Why the last poll failed, or the export.
    pub error: Option<Problem>,
    /// What to do now, if there is a known cure.
    pub hint: Option<String>,
    /// When the first of the signed links stops working. Only a daemon says it: its watches are read long after they ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links_expire_at: Option<Option<Moment>>,
    /// The files that were downloaded, null if they were not; missing where nothing is downloaded.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub download: Option<Option<Downloaded>>,
}

/// The files of an export in their directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Downloaded {
    /// The directory.
    pub dir: String,
    /// The files in it, besides the manifest.
    pub files: Vec<Entry>,
    /// The file into which they were merged, if they were.
    pub merged: Option<Merged>,
}

/// One file of an export's result. Its link is secret: it lets anybody read the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its size in bytes.
    pub file_size: Option<u64>,
    /// Its number of rows.
    pub row_count: Option<u64>,
    /// Its signed link, null if that must not be shown; missing in what was read back.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub url: Option<Option<Link>>,
}

/// What is printed and kept.
#[derive(Serialize)]
struct Line<'a> {
    schema: u8,
    #[serde(flatten)]
    document: &'a Document,
}

impl Document {
    /// The document of an ending. Signed links are shown only with `show_urls`.
    #[must_use]
    pub fn of_ending(ending: &Ending, show_urls: bool) -> Self {
        let outcome = Some(ending.outcome);
        let exit_code = ExitCode::of(ending.outcome).map(ExitCode::code);
        let report = ending.report.as_ref();
        let results = report.and_then(|report| parts(report, show_urls));
        let row_count = ending.row_count();
        Self { outcome, exit_code, results, row_count, ..Self::under_way(&ending.watch, ending.at) }
    }

    /// The document of an export that is still in progress, as `status` finds it.
    #[must_use]
    pub fn in_progress(watch: &Watch, at: Moment) -> Self {
        Self { exit_code: Some(ExitCode::IN_PROGRESS.code()), ..Self::under_way(watch, at) }
    }

    /// The document of a watch that has not ended. It has no outcome, and so no exit code.
    #[must_use]
    pub fn under_way(watch: &Watch, at: Moment) -> Self {
        let progress = &watch.progress;
        Self {
            export: Some(watch.export),
            status: progress.status().cloned(),
            created: progress.created().map(str::to_owned),
            waited_seconds: seconds(at.since(progress.started_at())),
            polls: progress.polls(),
            timeline: progress.timeline().to_vec(),
            row_count: progress.row_count(),
            error: progress.problem().cloned(),
            ..Self::default()
        }
    }

    /// The document of an export that was started. `wait -` reads the export from it.
    #[must_use]
    pub fn of_start(export: &ExportRef, created: Option<String>) -> Self {
        Self { exit_code: Some(ExitCode::SUCCESS.code()), created, ..Self::of(export) }
    }

    /// The document of a start that created no export, as far as we know.
    #[must_use]
    pub fn of_no_start(outcome: Outcome, problem: Problem) -> Self {
        let exit_code = ExitCode::of(outcome).map(ExitCode::code);
        Self { outcome: Some(outcome), exit_code, error: Some(problem), ..Self::default() }
    }

    /// The document of an export about which nothing else is known.
    #[must_use]
    pub fn of(export: &ExportRef) -> Self {
        Self { export: Some(*export), ..Self::default() }
    }

    /// The document of an export whose status was requested once.
    #[must_use]
    pub fn of_report(export: &ExportRef, report: &Report) -> Self {
        Self {
            status: Some(report.status.clone()),
            created: report.created.clone(),
            row_count: report.row_count,
            results: parts(report, false),
            ..Self::of(export)
        }
    }

    /// The same export, whose files were downloaded.
    #[must_use]
    pub fn finished(self) -> Self {
        let exit_code = Some(ExitCode::SUCCESS.code());
        Self { outcome: Some(Outcome::Finished), exit_code, ..self }
    }

    /// The same export, with a failure and what to do now.
    #[must_use]
    pub fn failed(
        self,
        outcome: Option<Outcome>,
        code: ExitCode,
        problem: Problem,
        hint: Option<String>,
    ) -> Self {
        Self { outcome, exit_code: Some(code.code()), error: Some(problem), hint, ..self }
    }

    /// The same document, after this time and so many polls.
    #[must_use]
    pub fn after(self, waited: Duration, polls: u32) -> Self {
        Self { waited_seconds: seconds(waited), polls, ..self }
    }

    /// The same document, with the files that were downloaded, or without any.
    #[must_use]
    pub fn with_download(self, download: Option<Downloaded>) -> Self {
        Self { download: Some(download), ..self }
    }

    /// The same document, with what to do now.
    #[must_use]
    pub fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The document on one line, as it is printed and kept.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(&Line { schema: SCHEMA, document: self })
            .unwrap_or_else(|_| unreachable!("all members can be written as JSON"))
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

fn parts(report: &Report, show_urls: bool) -> Option<Vec<Part>> {
    let parts = report.results.as_ref()?.iter().map(|part| Part {
        file_size: part.file_size,
        row_count: part.row_count,
        url: Some(part.link.clone().filter(|_| show_urls)),
    });
    Some(parts.collect())
}

fn shown<S: Serializer>(url: &Option<Option<Link>>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_ref().and_then(Option::as_ref).map(Link::show).serialize(serializer)
}

/// An outcome that only a later version knows is read as `None`: the document is worth more than its word.
fn known_outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Outcome>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(word.as_deref().and_then(Outcome::from_word))
}
