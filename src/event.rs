//! What happens to watches, as everything that reports it (log, progress, annotations) is told.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::export::Status;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::Watch;
use crate::watch::observation::{Failure, Problem, Report};
use crate::watch::outcome::Outcome;

/// How a poll went, beside what it saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// How late it started: the time since it was due.
    pub lag: Duration,
    /// How long it took.
    pub took: Duration,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A watch was taken on.
    Added {
        /// The watch.
        watch: Watch,
    },
    /// A watch of an earlier run goes on.
    Resumed {
        /// The watch.
        watch: Watch,
    },
    /// A poll found the same status as the one before.
    Polled {
        /// The watch.
        watch: Watch,
        /// The pause until the next poll.
        delay: Duration,
        /// How the poll went.
        asked: Asked,
    },
    /// A poll found another status, and the watch goes on.
    StatusChanged {
        /// The watch.
        watch: Watch,
        /// The status before, if there was one.
        from: Option<Status>,
        /// The pause until the next poll.
        delay: Duration,
        /// How the poll went.
        asked: Asked,
    },
    /// A poll failed in passing.
    Retrying {
        /// The watch.
        watch: Watch,
        /// What was wrong.
        failure: Failure,
        /// The pause until the next poll.
        delay: Duration,
        /// How the poll went.
        asked: Asked,
    },
    /// A watch has ended.
    Finished(Box<Ending>),
    /// A notification has reached its endpoint.
    DeliverySent(Attempted),
    /// A notification has not reached its endpoint, and is tried again.
    DeliveryRetrying {
        /// The attempt.
        attempted: Attempted,
        /// Why it failed.
        problem: Text,
        /// The pause until the next attempt.
        delay: Duration,
    },
    /// A notification will never reach its endpoint.
    DeliveryGivenUp {
        /// The last attempt.
        attempted: Attempted,
        /// Why it failed.
        problem: Text,
    },
    /// The credential of an account was refused: its polls pause.
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
        /// For how long it did not.
        paused: Duration,
    },
    /// The daemon follows its watches from now on.
    DaemonStarted(Box<Startup>),
    /// The daemon takes on nothing any more.
    DaemonStopping {
        /// Why.
        reason: String,
    },
    /// Somebody has asked the daemon's API for what its owner may want to know of.
    Api(Box<ApiEvent>),
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
    /// The names of the endpoints of notifications.
    pub endpoints: Vec<String>,
    /// How many watches have not ended.
    pub watches: u64,
}

/// What came to the daemon's API.
#[derive(Debug, Clone)]
pub struct ApiEvent {
    /// What came of it.
    pub what: ApiWhat,
    /// From which address.
    pub peer: String,
    /// What was asked; nothing where it did not come to that.
    pub request: Option<ApiRequest>,
    /// How many events of this kind have not been told of since the last that has.
    pub omitted: u64,
}

/// How a request to the daemon's API, or a connection, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiWhat {
    /// A watch was taken on or taken away.
    Changed,
    /// The client may not do this.
    Refused,
    /// There was no room for a connection, or another had to go.
    Crowded,
}

/// A request to the daemon's API, without anything secret.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// Its method.
    pub method: Text,
    /// The route that answered.
    pub route: String,
    /// The status code of the answer.
    pub code: u16,
    /// The watch that it was about, where it has changed one.
    pub watch: Option<Uuid>,
}

/// An attempt to deliver a notification.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// The delivery's stable id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The endpoint's kind: `webhook`, `slack`, `command`; nothing where there is no such endpoint any more.
    pub kind: Option<&'static str>,
    /// The watch that it tells of; none where it tells of an account.
    pub watch: Option<Uuid>,
    /// How often it was tried, this attempt included.
    pub attempts: u32,
}

/// The end of a watch.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The watch.
    pub watch: Watch,
    /// How it ended.
    pub outcome: Outcome,
    /// The last status document, where one ended the watch.
    pub report: Option<Report>,
    /// When the end was seen.
    pub at: Moment,
    /// How the last poll went; none where the end was none of a poll's.
    pub asked: Option<Asked>,
}

impl Ending {
    /// How long the watch lasted.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.at.since(self.watch.progress.started_at())
    }

    /// How many rows the export has, as Snyk says.
    #[must_use]
    pub fn row_count(&self) -> Option<u64> {
        self.watch.progress.row_count().or(self.report.as_ref().and_then(|report| report.row_count))
    }

    /// How late at most the end of the export was seen; only an end of the export itself can be late.
    #[must_use]
    pub fn late_at_most(&self) -> Option<Duration> {
        let is_its_own = matches!(self.outcome, Outcome::Finished | Outcome::Failed | Outcome::UnknownStatus);
        is_its_own.then(|| self.watch.progress.late_at_most(self.at)).flatten()
    }
}

impl Event {
    /// The stable names of events, as logs carry them in `event`.
    pub const NAMES: [&'static str; 14] = [
        "watch.added",
        "watch.resumed",
        "watch.polled",
        "watch.status_changed",
        "watch.retrying",
        "watch.finished",
        "delivery.sent",
        "delivery.retrying",
        "delivery.given_up",
        "daemon.started",
        "daemon.stopping",
        "api.changed",
        "api.refused",
        "api.crowded",
    ];

    /// The event's stable name. What happens to accounts is told without one.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        let [
            added,
            resumed,
            polled,
            status_changed,
            retrying,
            finished,
            sent,
            delivery_retrying,
            given_up,
            started,
            stopping,
            changed,
            refused,
            crowded,
        ] = Self::NAMES;
        Some(match self {
            Self::Added { .. } => added,
            Self::Resumed { .. } => resumed,
            Self::Polled { .. } => polled,
            Self::StatusChanged { .. } => status_changed,
            Self::Retrying { .. } => retrying,
            Self::Finished(_) => finished,
            Self::DeliverySent(_) => sent,
            Self::DeliveryRetrying { .. } => delivery_retrying,
            Self::DeliveryGivenUp { .. } => given_up,
            Self::DaemonStarted(_) => started,
            Self::DaemonStopping { .. } => stopping,
            Self::Api(event) => match event.what {
                ApiWhat::Changed => changed,
                ApiWhat::Refused => refused,
                ApiWhat::Crowded => crowded,
            },
            Self::AccountPaused { .. } | Self::AccountResumed { .. } => return None,
        })
    }
}
