//! Lists and fetches the files of an export that has finished.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::Tasks;
use crate::download::{DownloadError, Folder, Limits, Means, Storage, Target, Tell, Wanted, download_all};
use crate::event::{Task, TaskEvent};
use crate::export::{ExportRef, Phase};
use crate::http::Reach;
use crate::manifest::{Entry, Manifest};
use crate::runner::{poll_within, within};
use crate::watch::Policy;
use crate::watch::observation::{Failure, FailureKind, Part, Problem, Report};
use crate::watch::outcome::Outcome;
use crate::watch::tries::{Defeat, Tries};

/// The results endpoint's answer about a finished export.
enum Listing {
    /// The results.
    Ready(Report),
    /// They are not ready yet.
    NotYet(Failure),
}

impl Tasks<'_> {
    /// Requests the status of an export until Snyk answers. The answer lists the files of a finished export too, as Snyk's
    /// servers do.
    ///
    /// # Errors
    ///
    /// When the request is refused, or fails for longer than `max-outage`.
    pub async fn status(&self, export: &ExportRef, tell: Tell<'_>) -> Result<Report, Defeat> {
        let mut tries = Tries::new(self.clock.now());
        loop {
            tell(TaskEvent::StatusRequested);
            let seen = poll_within(self.client, export, self.policy.request_timeout).await;
            match seen.answer {
                Ok(report) => return Ok(report),
                Err(failure) => {
                    self.pause(&mut tries, failure, seen.hint, Task::Status, tell).await?;
                }
            }
        }
    }

    /// Requests the results of an export that has finished until Snyk lists them.
    ///
    /// # Errors
    ///
    /// When the request is refused, or fails for longer than `max-outage`, and when the export has failed after all.
    pub async fn results(&self, export: &ExportRef, tell: Tell<'_>) -> Result<Report, Defeat> {
        let mut tries = Tries::of_what_is_there(self.clock.now());
        loop {
            let seen = within(self.policy.request_timeout, self.client.results(export)).await;
            let failure = match seen.answer {
                Ok(report) => match listing(report, &self.policy)? {
                    Listing::Ready(report) => return Ok(report),
                    Listing::NotYet(failure) => failure,
                },
                Err(failure) => failure,
            };
            self.pause(&mut tries, failure, seen.hint, Task::Listing, tell).await?;
        }
    }

    /// Waits before a failed request is retried.
    async fn pause(
        &self,
        tries: &mut Tries,
        failure: Failure,
        hint: Option<Duration>,
        task: Task,
        tell: Tell<'_>,
    ) -> Result<(), Defeat> {
        let now = self.clock.now();
        let delay = tries.failed(&failure, hint, &self.policy, now, &mut fastrand::Rng::new())?;
        tell(TaskEvent::Retrying { task, file: None, problem: failure.problem, delay });
        self.clock.sleep_until(now.plus(delay)).await;
        Ok(())
    }

    /// Fetches the files of a finished export. If `report`, its last known status document, does not list all files
    /// with links, it is replaced by the results endpoint's answer. `reach` says where links may lead.
    ///
    /// # Errors
    ///
    /// When the files cannot be listed, fetched or written. What is complete is kept for the next call.
    pub async fn fetch(
        &self,
        export: &ExportRef,
        report: &mut Option<Report>,
        target: &Target<'_>,
        limits: Limits,
        reach: Reach,
        tell: Tell<'_>,
    ) -> Result<Manifest, DownloadError> {
        let is_linked = |parts: &Vec<Part>| !parts.is_empty() && parts.iter().all(|part| part.link.is_some());
        let is_enough =
            |report: &Report| report.results.as_ref().is_some_and(is_linked) || report.row_count == Some(0);
        let listed = match report.take_if(|report| is_enough(report)) {
            Some(report) => report,
            None => self.results(export, tell).await.map_err(DownloadError::Listing)?,
        };
        let (parts, row_count) = (parts(&listed), listed.row_count);
        *report = Some(listed);
        let mut folder = Tidied { folder: Arc::new(Folder::open(target, export)?), is_done: false };
        let parts = parts?;
        let bytes = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.file_size?));
        tell(TaskEvent::DownloadStarted { files: parts.len(), bytes });
        let wanted = Wanted { export: *export, parts, row_count, merge: target.merge.map(Path::to_owned) };
        let storage = Storage::new(self.client.network().clone(), self.policy.request_timeout, reach);
        let means = Means { storage, policy: &self.policy, limits, clock: self.clock };
        let relist = || async { self::parts(&self.results(export, tell).await?) }.boxed();
        let manifest = download_all(wanted, &folder.folder, &means, &relist, tell).await?;
        folder.is_done = true;
        let differs = |entry: &Entry| entry.row_count.is_some() && entry.rows != entry.row_count;
        // A warning about one file is not repeated for all of them.
        if let Some(row_count) = manifest.row_count.filter(|_| manifest.rows != manifest.row_count)
            && !manifest.files.iter().any(differs)
        {
            tell(TaskEvent::Miscounted { rows: manifest.rows, row_count });
        }
        Ok(manifest)
    }
}

/// A folder that is tidied if the download fails or is dropped.
struct Tidied {
    folder: Arc<Folder>,
    is_done: bool,
}

impl Drop for Tidied {
    fn drop(&mut self) {
        if !self.is_done {
            self.folder.tidy();
        }
    }
}

/// Classifies the results. The results endpoint may lag behind the status endpoint, and then lists no files and no
/// rows.
fn listing(report: Report, policy: &Policy) -> Result<Listing, Defeat> {
    let problem = |title: &str| Problem::new(title, &format!("status {}", report.status));
    match policy.vocabulary.phase(&report.status) {
        Some(Phase::Finished) => Ok(Listing::Ready(report)),
        Some(Phase::Failed) => {
            Err(Defeat { outcome: Outcome::Failed, problem: problem("the export has failed after all") })
        }
        Some(Phase::InProgress) | None => {
            let problem = problem("the results are not there though the export has finished");
            Ok(Listing::NotYet(Failure { kind: FailureKind::Transient, problem }))
        }
    }
}

/// The listed parts. An empty list is valid only if there are no rows.
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
