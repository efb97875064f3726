//! Events: what happens to watches, accounts, notifications, starts and downloads, and in the daemon.
//!
//! Log lines, metrics, progress, annotations and the daemon's ledger are renderings of this one type.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::exit::ExitCode;
use crate::export::{ExportRef, Status};
use crate::manifest::{Entry, Manifest};
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::Watch;
use crate::watch::observation::{Failure, Problem, Report};
use crate::watch::outcome::Outcome;

/// Something that happened, and when. It borrows nothing, so that it can be kept and sent to other threads.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// When a poll started, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// How late it started: the time since it was due.
    pub lag: Duration,
    /// How long it took.
    pub took: Duration,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A watch was added.
    Added {
        /// The watch.
        watch: Arc<Watch>,
    },
    /// A watch of an earlier run goes on.
    Resumed {
        /// The watch.
        watch: Arc<Watch>,
    },
    /// A poll found the same status as the one before.
    Polled {
        /// The watch.
        watch: Arc<Watch>,
        /// The pause until the next poll.
        delay: Duration,
        /// When the poll started, and how long it took.
        timing: Timing,
    },
    /// A poll found another status, and the watch goes on.
    StatusChanged {
        /// The watch.
        watch: Arc<Watch>,
        /// The status before, if there was one.
        from: Option<Status>,
        /// The pause until the next poll.
        delay: Duration,
        /// When the poll started, and how long it took.
        timing: Timing,
    },
    /// A poll failed, and the watch goes on.
    Retrying {
        /// The watch.
        watch: Arc<Watch>,
        /// What failed.
        failure: Failure,
        /// The pause until the next poll.
        delay: Duration,
        /// When the poll started, and how long it took.
        timing: Timing,
    },
    /// A watch has ended.
    Finished(Arc<Ending>),
    /// A notification was delivered.
    DeliverySent(Attempted),
    /// A notification was not delivered, and is tried again.
    DeliveryRetrying {
        /// The attempt.
        attempted: Attempted,
        /// Why it failed.
        problem: Text,
        /// The pause until the next attempt.
        delay: Duration,
    },
    /// A notification was not delivered, and is not tried again.
    DeliveryGivenUp {
        /// The last attempt.
        attempted: Attempted,
        /// Why it failed.
        problem: Text,
    },
    /// Snyk refused the credential of an account: its polls pause.
    AccountPaused {
        /// The account's name.
        account: Arc<str>,
        /// What Snyk said.
        problem: Problem,
    },
    /// The credential of an account works again.
    AccountResumed {
        /// The account's name.
        account: Arc<str>,
        /// For how long it did not; `None` if it was refused before this process started.
        paused: Option<Duration>,
    },
    /// The daemon has started.
    DaemonStarted(Box<Startup>),
    /// The daemon stops.
    DaemonStopping {
        /// Why.
        reason: String,
    },
    /// A client of the daemon's API changed something or was refused.
    Api(ApiEvent),
    /// A start or a download goes on, or has ended.
    Task(TaskEvent),
}

/// What a daemon has started with. Nothing of it is secret.
#[derive(Debug, Clone)]
pub struct Startup {
    /// The address of its API.
    pub address: String,
    /// The address of metrics and health, if they have another.
    pub metrics_address: Option<String>,
    /// Where its store is.
    pub store: Text,
    /// The names of its accounts.
    pub accounts: Vec<Arc<str>>,
    /// The names and kinds of the endpoints of notifications.
    pub endpoints: Vec<(String, &'static str)>,
    /// How many watches have not ended.
    pub watches: u64,
}

/// What happens while an export is started, and while its files are listed and downloaded.
#[derive(Debug, Clone)]
pub enum TaskEvent {
    /// A request failed, and is tried again.
    Retrying {
        /// What failed.
        task: Task,
        /// The file that it is about, if it is about one.
        file: Option<String>,
        /// Why it failed.
        problem: Problem,
        /// The pause until the next try.
        delay: Duration,
    },
    /// An export was started.
    Started {
        /// The export.
        export: ExportRef,
        /// What to do now.
        hint: Option<String>,
    },
    /// No export was started.
    NotStarted(Box<TaskFailure>),
    /// The status of the export is requested, once more.
    StatusRequested,
    /// The download of so many files begins.
    DownloadStarted {
        /// How many files there are.
        files: usize,
        /// How many bytes they have together, if the size of each is known.
        bytes: Option<u64>,
    },
    /// So many bytes have arrived.
    Received(u64),
    /// So many bytes that had arrived cannot be used: their file is downloaded again.
    Discarded(u64),
    /// A file is complete.
    FileDownloaded(Box<Entry>),
    /// The checksum of this file cannot be checked: storage computed it in another encoding than it sends.
    Unchecked {
        /// The file's name.
        file: String,
    },
    /// A link no longer works, and new links are requested.
    LinksExpired {
        /// What storage said.
        problem: Problem,
    },
    /// The rows of all files were counted, and their number is not the one that Snyk announced.
    Miscounted {
        /// How many rows were counted; `None` if a file is not CSV.
        rows: Option<u64>,
        /// How many Snyk announced.
        row_count: u64,
    },
    /// All files are in their directory.
    Downloaded {
        /// The files.
        manifest: Arc<Manifest>,
        /// The directory.
        dir: String,
        /// How long it took; `None` if an earlier call downloaded them.
        took: Option<Duration>,
    },
    /// The files were not downloaded.
    NotDownloaded(Box<TaskFailure>),
}

/// What is tried, besides polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Starting an export.
    Start,
    /// Asking for the status of an export, to download it.
    Status,
    /// Asking for the list of its files.
    Listing,
    /// Downloading a file.
    Download,
}

/// Why a start or a download failed for good.
#[derive(Debug, Clone)]
pub struct TaskFailure {
    /// The export, if there is one.
    pub export: Option<ExportRef>,
    /// A word for it: that of the outcome, if it counts as one.
    pub word: &'static str,
    /// The exit code.
    pub exit_code: ExitCode,
    /// What failed.
    pub problem: Problem,
    /// A sentence for people.
    pub reason: String,
    /// What to do now.
    pub hint: Option<String>,
}

/// A client of the daemon's API, and what it did.
#[derive(Debug, Clone)]
pub struct ApiEvent {
    /// What happened to it.
    pub what: ApiWhat,
    /// The client's address.
    pub peer: String,
    /// The request, if there was one.
    pub request: Option<ApiRequest>,
    /// How many events of this kind were left out since the last one.
    pub omitted: u64,
}

/// What happened to a request to the daemon's API, or to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiWhat {
    /// A watch was added or deleted.
    Changed,
    /// The request was refused.
    Refused,
    /// A connection was closed because there were too many.
    Crowded,
}

/// A request to the daemon's API, without secrets.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// Its method.
    pub method: Text,
    /// The route that answered.
    pub route: String,
    /// The status code of the answer.
    pub code: u16,
    /// The watch that was changed, if one was.
    pub watch: Option<Uuid>,
}

/// An attempt to deliver a notification.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// The delivery's stable id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The endpoint's kind: `webhook`, `slack`, `command`; `None` if the settings no longer have the endpoint.
    pub kind: Option<&'static str>,
    /// The watch that the notification is about; `None` if it is about an account.
    pub watch: Option<Uuid>,
    /// The export of that watch; `None` if it is not known.
    pub export: Option<Uuid>,
    /// The number of attempts, including this one.
    pub attempts: u32,
}

/// The end of a watch.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The watch.
    pub watch: Arc<Watch>,
    /// How it ended.
    pub outcome: Outcome,
    /// The last status document, if one ended the watch.
    pub report: Option<Report>,
    /// When it ended.
    pub at: Moment,
    /// The last poll; `None` if no poll ended the watch.
    pub timing: Option<Timing>,
}

impl Ending {
    /// How long the watch lasted.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.at.since(self.watch.progress.started_at())
    }

    /// How many rows the export has, according to Snyk.
    #[must_use]
    pub fn row_count(&self) -> Option<u64> {
        self.watch.progress.row_count().or(self.report.as_ref().and_then(|report| report.row_count))
    }

    /// How long the export had ended, at most, when we saw it. `None` if it is not the export that ended.
    #[must_use]
    pub fn late_at_most(&self) -> Option<Duration> {
        let is_its_own = matches!(self.outcome, Outcome::Finished | Outcome::Failed | Outcome::UnknownStatus);
        is_its_own.then(|| self.watch.progress.late_at_most(self.at)).flatten()
    }
}

impl What {
    /// The event that this happened `now`.
    #[must_use]
    pub const fn at(self, now: Moment) -> Event {
        Event { at: now, what: self }
    }
}

impl TaskEvent {
    /// The event that this happened `now`.
    #[must_use]
    pub const fn at(self, now: Moment) -> Event {
        What::Task(self).at(now)
    }
}

/// Gives each event its name.
macro_rules! names {
    ($($name:literal => $what:pat,)+) => {
        impl Event {
            /// The names of all events: a stable interface, in the field `event` of log lines.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The event's name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match &self.what {
                    $($what => $name,)+
                }
            }
        }
    };
}

names! {
    "watch.added" => What::Added { .. },
    "watch.resumed" => What::Resumed { .. },
    "watch.polled" => What::Polled { .. },
    "watch.status_changed" => What::StatusChanged { .. },
    "watch.retrying" => What::Retrying { .. },
    "watch.finished" => What::Finished(_),
    "delivery.sent" => What::DeliverySent(_),
    "delivery.retrying" => What::DeliveryRetrying { .. },
    "delivery.given_up" => What::DeliveryGivenUp { .. },
    "account.paused" => What::AccountPaused { .. },
    "account.resumed" => What::AccountResumed { .. },
    "daemon.started" => What::DaemonStarted { .. },
    "daemon.stopping" => What::DaemonStopping { .. },
    "api.changed" => What::Api(ApiEvent { what: ApiWhat::Changed, .. }),
    "api.refused" => What::Api(ApiEvent { what: ApiWhat::Refused, .. }),
    "api.crowded" => What::Api(ApiEvent { what: ApiWhat::Crowded, .. }),
    "start.retrying" => What::Task(TaskEvent::Retrying { task: Task::Start, .. }),
    "start.finished" => What::Task(TaskEvent::Started { .. }),
    "start.failed" => What::Task(TaskEvent::NotStarted(_)),
    "status.requested" => What::Task(TaskEvent::StatusRequested),
    "status.retrying" => What::Task(TaskEvent::Retrying { task: Task::Status, .. }),
    "listing.retrying" => What::Task(TaskEvent::Retrying { task: Task::Listing, .. }),
    "download.started" => What::Task(TaskEvent::DownloadStarted { .. }),
    "download.received" => What::Task(TaskEvent::Received(_)),
    "download.discarded" => What::Task(TaskEvent::Discarded(_)),
    "download.retrying" => What::Task(TaskEvent::Retrying { task: Task::Download, .. }),
    "download.links_expired" => What::Task(TaskEvent::LinksExpired { .. }),
    "download.unchecked" => What::Task(TaskEvent::Unchecked { .. }),
    "download.file_finished" => What::Task(TaskEvent::FileDownloaded(_)),
    "download.miscounted" => What::Task(TaskEvent::Miscounted { .. }),
    "download.finished" => What::Task(TaskEvent::Downloaded { .. }),
    "download.failed" => What::Task(TaskEvent::NotDownloaded(_)),
}
