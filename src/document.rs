//! The JSON document that tells how one export ended (an interface: the README shows one).

use serde::Serialize;

use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Status};
use crate::moment::Moment;
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;
use crate::watch::{Change, Watch};

/// One line of `--output json`. Its members are always there, null when unknown.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: u8,
    outcome: Option<Outcome>,
    exit_code: Option<u8>,
    export: ExportRef,
    status: Option<&'a Status>,
    created: Option<&'a str>,
    waited_seconds: f64,
    polls: u32,
    timeline: &'a [Change],
    row_count: Option<u64>,
    results: Option<Vec<Part<'a>>>,
    error: Option<&'a Problem>,
}

#[derive(Debug, Serialize)]
struct Part<'a> {
    file_size: Option<u64>,
    row_count: Option<u64>,
    url: Option<&'a str>,
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

    fn new(
        watch: &'a Watch,
        outcome: Option<Outcome>,
        exit_code: Option<ExitCode>,
        report: Option<&'a Report>,
        at: Moment,
        show_urls: bool,
    ) -> Self {
        let progress = &watch.progress;
        let part = |part: &'a crate::watch::observation::Part| Part {
            file_size: part.file_size,
            row_count: part.row_count,
            url: part.url.as_ref().filter(|_| show_urls).map(|url| url.expose()),
        };
        let results = report.and_then(|report| report.results.as_ref());
        Self {
            schema: 1,
            outcome,
            exit_code: exit_code.map(ExitCode::code),
            export: watch.export,
            status: progress.status(),
            created: progress.created(),
            waited_seconds: at.since(progress.started_at()).as_millis() as f64 / 1000.0,
            polls: progress.polls(),
            timeline: progress.timeline(),
            row_count: progress.row_count().or(report.and_then(|report| report.row_count)),
            results: results.map(|parts| parts.iter().map(part).collect()),
            error: progress.problem(),
        }
    }

    /// The document on one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("all members can be written as JSON"))
    }
}
