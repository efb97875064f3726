//! Asking for the list of an export's files, and fetching them.

use std::sync::Arc;

use super::Place;
use crate::clock::Clock;
use crate::commands::console::chain;
use crate::commands::{Asking, CommandError, Session};
use crate::download::{
    DiskError, DownloadError, Folder, FolderError, Means, Step, Storage, Wanted, bring_home,
};
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::manifest::{Entry, Manifest};
use crate::observe::{GoOn, Surroundings, Transfer, Trying, cure, words_on_request};
use crate::runner::{poll_within, within};
use crate::snyk::Client;
use crate::watch::Policy;
use crate::watch::observation::{Answer, Failure, FailureKind, Part, Problem, Report};
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::{Defeat, Tries};

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

/// Where an export's status and files are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Endpoint {
    /// The status endpoint, which lists the files of a finished export too, as Snyk's servers do.
    Status,
    /// The results endpoint.
    Results,
}

/// What Snyk says of an export, asked until it answers.
pub(in crate::commands) async fn asked(
    endpoint: Endpoint,
    export: &ExportRef,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> Result<Report, Lost> {
    let Asking { client, policy, surroundings, .. } = asking;
    let asking = transfer.ticking(ask(endpoint, export, client, policy, session.clock, transfer));
    match session.signals.unless_interrupted(asking).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(defeat)) => Err(unlisted(defeat, endpoint, export, surroundings)),
        Err(signal) => {
            let words = format!("{} came before the files of {export} were listed", signal.name());
            Err(Lost::of_signal(signal, words))
        }
    }
}

/// Snyk could not be asked.
fn unlisted(defeat: Defeat, endpoint: Endpoint, export: &ExportRef, surroundings: &Surroundings) -> Lost {
    let (words, advice) = words_on_request(defeat.outcome, &defeat.problem, export.scope_ref(), surroundings);
    let what = if endpoint == Endpoint::Status { "status" } else { "files" };
    let words = format!("asking for the {what} of {export} failed: {words}");
    let prospect = Prospect::of(defeat.outcome);
    Lost::of(defeat, words, advice, prospect)
}

/// The report with links to all files: the one that there is, if it has them, or else what the results endpoint says.
pub(in crate::commands) async fn with_links(
    report: Option<Report>,
    export: &ExportRef,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> Result<Report, Lost> {
    let is_linked = |parts: &Vec<Part>| !parts.is_empty() && parts.iter().all(|part| part.link.is_some());
    let is_enough =
        |report: &Report| report.results.as_ref().is_some_and(is_linked) || report.row_count == Some(0);
    if let Some(report) = report.filter(is_enough) {
        return Ok(report);
    }
    asked(Endpoint::Results, export, asking, transfer, session).await
}

async fn ask(
    endpoint: Endpoint,
    export: &ExportRef,
    client: &Client,
    policy: &Policy,
    clock: Clock,
    transfer: &Transfer,
) -> Result<Report, Defeat> {
    let mut tries = match endpoint {
        Endpoint::Status => Tries::new(clock.now()),
        Endpoint::Results => Tries::of_what_is_there(clock.now()),
    };
    loop {
        if endpoint == Endpoint::Status {
            transfer.polls();
        }
        let observation = match endpoint {
            Endpoint::Status => poll_within(client, export, policy.request_timeout).await,
            Endpoint::Results => within(policy.request_timeout, client.results(export)).await,
        };
        let failure = match observation.answer {
            Answer::Status(report) if endpoint == Endpoint::Status => return Ok(report),
            Answer::Status(report) => match unready(&report, policy) {
                Some(failure) => failure?,
                None => return Ok(report),
            },
            Answer::Failure(failure) => failure,
        };
        let now = clock.now();
        let delay = tries.failed(&failure, observation.hint, policy, now, &mut fastrand::Rng::new())?;
        let trying = if endpoint == Endpoint::Status { Trying::Poll } else { Trying::Listing };
        transfer.retrying(trying, None, &failure.problem, delay);
        clock.sleep_until(now.plus(delay)).await;
    }
}

/// What is wrong with the results of an export that has finished, if they do not say so themselves. The results endpoint may
/// be behind the status endpoint, and what it says then (no files, no rows) is not what there is.
fn unready(report: &Report, policy: &Policy) -> Option<Result<Failure, Defeat>> {
    let detail = format!("status {}", report.status);
    let problem = |title: &str| Problem::new(title, &detail);
    match policy.vocabulary.phase(&report.status) {
        Some(Phase::Finished) => None,
        Some(Phase::Failed) => Some(Err(Defeat {
            outcome: Outcome::Failed,
            problem: problem("the export has failed after all"),
        })),
        Some(Phase::InProgress) | None => {
            let problem = problem("the results are not there though the export has finished");
            Some(Ok(Failure { kind: FailureKind::Transient, problem }))
        }
    }
}

/// The parts that a report lists. None at all is right only where there are no rows.
fn parts(report: &Report) -> Result<Vec<Part>, Defeat> {
    match (&report.results, report.row_count) {
        (Some(parts), _) if !parts.is_empty() => Ok(parts.clone()),
        (Some(_), None | Some(0)) | (None, Some(0)) => Ok(Vec::new()),
        (_, rows) => {
            let rows = rows.map_or_else(
                || "and do not say how many rows there are".to_owned(),
                |rows| format!("though there are {rows} rows"),
            );
            let problem = Problem::new("the results list no files", &rows);
            Err(Defeat { outcome: Outcome::Unavailable, problem })
        }
    }
}

/// Fetches the files of an export that has finished as `report` says.
pub(in crate::commands) async fn bring(
    export: &ExportRef,
    report: &Report,
    place: &Place,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> Result<Result<Manifest, Lost>, CommandError> {
    let folder = Folder::open(&place.target(), export)?;
    let clock = session.clock;
    let silence = asking.policy.request_timeout;
    let storage = Storage::new(asking.network.clone(), silence, asking.reach);
    let folder = Arc::new(folder);
    let limits = session.settings.download_limits();
    let means = Means { storage, policy: &asking.policy, limits, clock };
    let fetching = async {
        let parts = parts(report)?;
        let sizes = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.file_size?));
        transfer.expect(parts.len(), sizes);
        let wanted =
            Wanted { export: *export, parts, row_count: report.row_count, merge: place.merge.clone() };
        let relist = async || {
            let report =
                ask(Endpoint::Results, export, &asking.client, &asking.policy, clock, transfer).await?;
            self::parts(&report)
        };
        bring_home(wanted, &folder, &means, relist, |step| tell(transfer, step)).await
    };
    let fetched = session.signals.unless_interrupted(transfer.ticking(fetching)).await;
    let (whole, files) = (transfer.files_whole(), transfer.files());
    let head = format!("downloading {export}, after {whole} of {files} files");
    let lost = match fetched {
        Ok(Ok(manifest)) => {
            let differs = |entry: &Entry| entry.row_count.is_some() && entry.rows != entry.row_count;
            // What was said of a file is not said of all of them, too.
            if !manifest.files.iter().any(differs) {
                transfer.counted(None, manifest.rows, manifest.row_count);
            }
            return Ok(Ok(manifest));
        }
        Ok(Err(error)) => lost(error, export, &head, &asking.surroundings),
        Err(signal) => Ok(Lost::of_signal(signal, format!("{head}: {} came", signal.name()))),
    };
    folder.tidy();
    Ok(Err(lost?))
}

fn of_disk(error: &DiskError, head: &str) -> Lost {
    Lost::of_ours("the files cannot be written", &chain(error), head, Prospect::Later)
}

fn lost(
    error: DownloadError,
    export: &ExportRef,
    head: &str,
    surroundings: &Surroundings,
) -> Result<Lost, FolderError> {
    Ok(match error {
        DownloadError::Defeat(defeat) => {
            let words = format!("{head}: {}", defeat.problem);
            let advice = cure(&defeat.problem);
            Lost::of(defeat, words, advice, Prospect::Doubtful)
        }
        DownloadError::Listing(defeat) => unlisted(defeat, Endpoint::Results, export, surroundings),
        // What would go on would fail again.
        DownloadError::Taken(path) => return Err(FolderError::Taken(path)),
        DownloadError::Disk(error) => of_disk(&error, head),
        DownloadError::TooLarge(why) => {
            let lost = Lost::of_ours("the files are too large", &why, head, Prospect::Doubtful);
            let advice = "allow more with --max-size, if the disk has room for it".to_owned();
            Lost { advice: Some(advice), ..lost }
        }
        DownloadError::Merge(why) => {
            let lost = Lost::of_ours("the parts cannot be merged", &why, head, Prospect::Doubtful);
            let advice = "the parts can be had without --merge".to_owned();
            Lost { advice: Some(advice), is_of_merge: true, ..lost }
        }
    })
}

fn tell(transfer: &Transfer, step: Step<'_>) {
    match step {
        Step::Came(bytes) => transfer.came(bytes),
        Step::Lost(bytes) => transfer.lost(bytes),
        Step::Whole(entry) => {
            transfer.whole(&entry.name, entry.file_size);
            transfer.counted(Some(&entry.name), entry.rows, entry.row_count);
        }
        Step::Unchecked(name) => transfer.unchecked(name),
        Step::Setback { name, problem, delay } => {
            transfer.retrying(Trying::Download, Some(name), problem, delay);
        }
        Step::Renewing { problem } => transfer.renewing(problem),
    }
}
