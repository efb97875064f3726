//! Why an export's files are not there, and what to do.

use crate::commands::console::chain;
use crate::download::{DownloadError, FolderError};
use crate::event::TaskFailure;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::Defeat;
use crate::words::{GoOn, Surroundings, Words, cure};

/// Whether a later call may get the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Prospect {
    /// Nothing is left to do: they are there, or never will be.
    Over,
    /// A signal stopped this call.
    Stopped,
    /// Yes: the cause may pass, and it affects other exports too (the credential, an unreachable API, this machine's
    /// disk).
    Later,
    /// Perhaps not: the cause lies in this export.
    Doubtful,
}

impl Prospect {
    /// Whether a later call may get the files after this outcome.
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
    /// The outcome that this counts as; `None` if it is our own failure, or if the export is not ready.
    pub(in crate::commands) outcome: Option<Outcome>,
    pub(in crate::commands) failure: TaskFailure,
    pub(in crate::commands) prospect: Prospect,
    /// Whether only merging failed.
    pub(in crate::commands) is_of_merge: bool,
}

impl Lost {
    /// A failure that counts as an outcome.
    fn of(defeat: Defeat, export: &ExportRef, reason: String, hint: Option<String>) -> Self {
        let Defeat { outcome, problem } = defeat;
        let (exit_code, word) = (ExitCode::of_end(outcome), outcome.as_str());
        let failure = TaskFailure { export: Some(*export), word, exit_code, problem, reason, hint };
        let (outcome, prospect) = (Some(outcome), Prospect::of(outcome));
        Self { outcome, failure, prospect, is_of_merge: false }
    }

    pub(in crate::commands) fn of_signal(signal: Signal, export: &ExportRef, reason: String) -> Self {
        let problem = Problem::new(&format!("{} came before the files were there", signal.name()), "");
        let defeat = Defeat { outcome: Outcome::Interrupted(signal), problem };
        Self::of(defeat, export, reason, None)
    }

    /// A signal arrived before the files were listed.
    pub(in crate::commands) fn unlisted(signal: Signal, export: &ExportRef) -> Self {
        let words = format!("{} came before the files of {export} were listed", signal.name());
        Self::of_signal(signal, export, words)
    }

    /// The same, with a hint: the command that continues.
    pub(in crate::commands) fn with_go_on(mut self, go_on: &GoOn, export: &ExportRef) -> Self {
        let go_on = go_on.hint(export, self.outcome);
        let hint = self.failure.hint.map_or_else(|| go_on.clone(), |hint| format!("{hint}; {go_on}"));
        self.failure.hint = Some(hint);
        self
    }

    /// A request for the status or the list of files failed. `what` names what was requested.
    pub(in crate::commands) fn of_request(
        defeat: Defeat,
        what: &str,
        export: &ExportRef,
        surroundings: &Surroundings,
    ) -> Self {
        let Defeat { outcome, problem } = &defeat;
        let words = Words::of_request(*outcome, problem, export.scope_ref(), Some(export), surroundings);
        let reason = format!("asking for the {what} of {export} failed: {words}");
        Self::of(defeat, export, reason, words.cure)
    }

    /// A download failed. `head` says how far it got.
    pub(super) fn of_download(
        error: DownloadError,
        export: &ExportRef,
        head: &str,
        surroundings: &Surroundings,
    ) -> Result<Self, FolderError> {
        let of_ours = |title, detail: &str, hint: Option<&str>| {
            let problem = Problem::new(title, detail);
            let (reason, hint) = (format!("{head}: {problem}"), hint.map(str::to_owned));
            let (word, exit_code) = ("not-downloaded", ExitCode::UNFORESEEN);
            let failure = TaskFailure { export: Some(*export), word, exit_code, problem, reason, hint };
            Self { outcome: None, failure, prospect: Prospect::Doubtful, is_of_merge: false }
        };
        Ok(match error {
            DownloadError::Defeat(defeat) => {
                let (reason, hint) = (format!("{head}: {}", defeat.problem), cure(&defeat.problem));
                Self { prospect: Prospect::Doubtful, ..Self::of(defeat, export, reason, hint) }
            }
            DownloadError::Listing(defeat) => Self::of_request(defeat, "files", export, surroundings),
            // Calling it again would fail again.
            DownloadError::Folder(error) => return Err(error),
            DownloadError::Disk(error) => {
                let lost = of_ours("the files cannot be written", &chain(&error), None);
                Self { prospect: Prospect::Later, ..lost }
            }
            DownloadError::TooLarge(why) => {
                let hint = "allow more with --max-size, if the disk has room for it";
                of_ours("the files are too large", &why, Some(hint))
            }
            DownloadError::Merge(why) => {
                let hint = "download the parts without --merge";
                Self { is_of_merge: true, ..of_ours("the parts cannot be merged", &why, Some(hint)) }
            }
        })
    }

    /// There are no files yet, or there never will be.
    pub(in crate::commands) fn unready(
        export: &ExportRef,
        report: &Report,
        phase: Option<Phase>,
        go_on: &GoOn,
    ) -> Self {
        let (outcome, words) = Words::of_unready(export, report, phase, go_on);
        let detail = report.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let status = format!("status {}{detail}", report.status);
        let failure = TaskFailure {
            export: Some(*export),
            word: outcome.map_or("not-ready", Outcome::as_str),
            exit_code: outcome.map_or(ExitCode::IN_PROGRESS, ExitCode::of_end),
            problem: Problem::new("there are no files to download", &status),
            reason: format!("downloading {export}: {words}"),
            hint: words.cure,
        };
        let prospect = outcome.map_or(Prospect::Later, Prospect::of);
        Self { outcome, failure, prospect, is_of_merge: false }
    }
}
