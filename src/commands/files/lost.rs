//! Why an export's files are not there, and what to do.

use crate::commands::console::chain;
use crate::download::{DiskError, DownloadError, FolderError};
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::observe::{GoOn, Surroundings, cure, words_on_request};
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::Defeat;

/// What there is to hope for where an export's files are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Prospect {
    /// They will never be there.
    Over,
    /// A signal has come.
    Stopped,
    /// What was in the way may pass, and may be in the way of any other export too: the credential, Snyk out of reach, this
    /// machine's disk.
    Later,
    /// It is the export's own trouble, and may stay so.
    Doubtful,
}

impl Prospect {
    /// What an outcome leaves to hope for that is the API's word.
    pub(in crate::commands) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed | Outcome::NotFound => Self::Over,
            Outcome::Interrupted(_) => Self::Stopped,
            Outcome::Unauthorized | Outcome::Forbidden | Outcome::Unavailable => Self::Later,
            Outcome::Finished
            | Outcome::Conflict
            | Outcome::Rejected
            | Outcome::UnknownStatus
            | Outcome::Stalled
            | Outcome::TimedOut
            | Outcome::Abandoned => Self::Doubtful,
        }
    }
}

/// Why an export's files are not there.
#[derive(Debug)]
pub(in crate::commands) struct Lost {
    /// How that counts, where it is none of our own failures.
    pub(in crate::commands) outcome: Option<Outcome>,
    pub(in crate::commands) code: ExitCode,
    pub(in crate::commands) problem: Problem,
    /// What is said of it, in a word and in more.
    pub(in crate::commands) word: &'static str,
    pub(in crate::commands) words: String,
    pub(in crate::commands) advice: Option<String>,
    pub(in crate::commands) prospect: Prospect,
    /// Whether it is the merging that cannot be done: the parts can be had.
    pub(in crate::commands) is_of_merge: bool,
}

impl Lost {
    /// Something that counts as if it had ended the watch.
    fn of(defeat: Defeat, words: String, advice: Option<String>, prospect: Prospect) -> Self {
        let Defeat { outcome, problem } = defeat;
        let (code, word) = (ExitCode::of_end(outcome), outcome.as_str());
        Self { outcome: Some(outcome), code, problem, word, words, advice, prospect, is_of_merge: false }
    }

    /// A request about the status or the list of files was not answered, or refused. `what` names what was requested.
    pub(in crate::commands) fn of_request(
        defeat: Defeat,
        what: &str,
        export: &ExportRef,
        surroundings: &Surroundings,
    ) -> Self {
        let scope = export.scope_ref();
        let (words, advice) = words_on_request(defeat.outcome, &defeat.problem, scope, surroundings);
        let words = format!("asking for the {what} of {export} failed: {words}");
        let prospect = Prospect::of(defeat.outcome);
        Self::of(defeat, words, advice, prospect)
    }

    /// A download failed; `head` says how far it had come.
    pub(super) fn of_download(
        error: DownloadError,
        export: &ExportRef,
        head: &str,
        surroundings: &Surroundings,
    ) -> Result<Self, FolderError> {
        Ok(match error {
            DownloadError::Defeat(defeat) => {
                let words = format!("{head}: {}", defeat.problem);
                let advice = cure(&defeat.problem);
                Self::of(defeat, words, advice, Prospect::Doubtful)
            }
            DownloadError::Listing(defeat) => Self::of_request(defeat, "files", export, surroundings),
            // The command that goes on would fail again.
            DownloadError::Folder(error) => return Err(error),
            DownloadError::Disk(error) => Self::of_disk(&error, head),
            DownloadError::TooLarge(why) => {
                let lost = Self::of_ours("the files are too large", &why, head, Prospect::Doubtful);
                let advice = "allow more with --max-size, if the disk has room for it".to_owned();
                Self { advice: Some(advice), ..lost }
            }
            DownloadError::Merge(why) => {
                let lost = Self::of_ours("the parts cannot be merged", &why, head, Prospect::Doubtful);
                let advice = "the parts can be had without --merge".to_owned();
                Self { advice: Some(advice), is_of_merge: true, ..lost }
            }
        })
    }

    fn of_disk(error: &DiskError, head: &str) -> Self {
        Self::of_ours("the files cannot be written", &chain(error), head, Prospect::Later)
    }

    /// There are no files yet, or never will be.
    pub(in crate::commands) fn unready(
        export: &ExportRef,
        report: &Report,
        phase: Option<Phase>,
        go_on: &GoOn,
    ) -> Self {
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
        Self {
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

    pub(in crate::commands) fn of_signal(signal: Signal, words: String) -> Self {
        let problem = Problem::new(&format!("{} came before the files were there", signal.name()), "");
        let defeat = Defeat { outcome: Outcome::Interrupted(signal), problem };
        Self::of(defeat, words, None, Prospect::Stopped)
    }

    /// A failure of ours.
    fn of_ours(title: &str, detail: &str, head: &str, prospect: Prospect) -> Self {
        let problem = Problem::new(title, detail);
        let (code, words) = (ExitCode::UNFORESEEN, format!("{head}: {problem}"));
        let (word, is_of_merge) = ("not-downloaded", false);
        Self { outcome: None, code, problem, word, words, advice: None, prospect, is_of_merge }
    }

    /// The same, with the command that goes on with the export.
    pub(in crate::commands) fn with_go_on(self, go_on: &GoOn, export: &ExportRef) -> Self {
        let go_on = go_on.hint(export, self.outcome);
        let advice = self.advice.map_or_else(|| go_on.clone(), |advice| format!("{advice}; {go_on}"));
        Self { advice: Some(advice), ..self }
    }
}
