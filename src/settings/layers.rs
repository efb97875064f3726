//! One struct a section: the list of its flags, of its variables, and of its keys in a file.
//!
//! Plain comments, not documentation, stand on the structs: clap would take them for the program's description.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use serde::Deserialize;

use super::daemon::sections::{AccountSection, NotifySection, WatchSection};
use super::daemon::values::{Name, StoreUrl};
use super::values::{Color, HumanDuration, LogFormat, Multiplier, Pause, Share, Size, StatusLimit, Version};
use crate::export::Status;
use crate::snyk::region::Api;

/// Defines a section whose members may all be missing, and `or`, which fills what is missing from another.
macro_rules! layer {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Clone, Default, clap::Args, Deserialize)]
        $(#[$meta])*
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: Option<$type>,)*
        }

        impl $name {
            pub(crate) fn or(self, lower: Self) -> Self {
                Self { $($field: self.$field.or(lower.$field),)* }
            }
        }
    };
}

layer! {
    #[command(next_help_heading = "Snyk")]
    SnykLayer {
        /// The API: a region (us, us2, eu, au, gov) or a URL; by default the region of the credential
        #[arg(long, global = true, value_name = "URL|REGION")]
        api: Api,
        /// The version of the API; one that you set is never replaced by another
        #[arg(long, global = true, value_name = "VERSION")]
        api_version: Version,
        /// A file that holds the token, read again after a 401
        #[arg(long, global = true, value_name = "FILE")]
        token_file: PathBuf,
        /// Certificate authorities (PEM) to trust besides those of the system
        #[arg(long, global = true, value_name = "FILE")]
        ca_cert: PathBuf,
        /// Let plain http leave this machine
        #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_parser = BoolishValueParser::new(), value_name = "BOOL")]
        allow_http: bool,
        #[arg(skip)]
        requests_per_minute: NonZeroU32,
        #[arg(skip)]
        accounts: BTreeMap<Name, AccountSection>,
    }
}

layer! {
    #[command(next_help_heading = "Pace")]
    PaceLayer {
        /// The pause after the first poll
        #[arg(long, value_name = "DURATION")]
        initial_interval: Pause,
        /// What each pause is multiplied by for the next one
        #[arg(long, value_name = "NUMBER")]
        multiplier: Multiplier,
        /// The longest pause
        #[arg(long, value_name = "DURATION")]
        max_interval: Pause,
        /// By which share of itself a pause is lengthened at random, at most (0 to 1)
        #[arg(long, value_name = "SHARE")]
        jitter: Share,
    }
}

layer! {
    RetryLayer {
        #[arg(skip)]
        initial_interval: Pause,
        #[arg(skip)]
        multiplier: Multiplier,
        #[arg(skip)]
        max_interval: Pause,
    }
}

layer! {
    #[command(next_help_heading = "Limits")]
    LimitsLayer {
        /// How long to wait in all; the last poll is made when this time is over. 0 for no limit
        #[arg(long, value_name = "DURATION")]
        max_wait: HumanDuration,
        /// How long to go on without any answer. 0 for no limit
        #[arg(long, value_name = "DURATION")]
        max_outage: HumanDuration,
        /// How long one poll may take
        #[arg(long, value_name = "DURATION")]
        request_timeout: Pause,
        /// How long after the start an export that is not found may still appear
        #[arg(long, value_name = "DURATION")]
        not_found_grace: HumanDuration,
        /// Wait a 409 out instead of ending with it
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_parser = BoolishValueParser::new(), value_name = "BOOL")]
        retry_conflict: bool,
        /// How long the export may stay in one status before it counts as stalled (repeatable)
        #[arg(long, value_name = "STATUS=DURATION", value_delimiter = ',')]
        max_in_progress: Vec<StatusLimit>,
        #[arg(skip)]
        concurrency: NonZeroUsize,
    }
}

layer! {
    DownloadLayer {
        /// How much all files together may be on the disk, unpacked, such as 500MB or 10GiB. 0 for no limit
        #[arg(long, value_name = "SIZE")]
        max_size: Size,
        #[arg(skip)]
        patience: Pause,
    }
}

layer! {
    #[command(next_help_heading = "Status words")]
    StatusesLayer {
        /// Another word for an export that is in progress (repeatable)
        #[arg(long, value_name = "WORD", value_delimiter = ',')]
        in_progress_status: Vec<Status>,
        /// Another word for an export that has finished (repeatable)
        #[arg(long, value_name = "WORD", value_delimiter = ',')]
        finished_status: Vec<Status>,
        /// Another word for an export that has failed (repeatable)
        #[arg(long, value_name = "WORD", value_delimiter = ',')]
        failed_status: Vec<Status>,
    }
}

layer! {
    #[command(next_help_heading = "Output")]
    LogLayer {
        /// How log lines are written, on standard error
        #[arg(long, global = true, value_name = "FORMAT", value_enum)]
        log_format: LogFormat,
        /// When text is colored
        #[arg(long, global = true, value_name = "WHEN", value_enum)]
        color: Color,
    }
}

layer! {
    StoreLayer {
        #[arg(skip)]
        url: StoreUrl,
        #[arg(skip)]
        keep_ended: Pause,
        #[arg(skip)]
        max_watches: u64,
        #[arg(skip)]
        max_labels: Size,
    }
}

layer! {
    ServerLayer {
        #[arg(skip)]
        listen: SocketAddr,
        #[arg(skip)]
        metrics_listen: SocketAddr,
        #[arg(skip)]
        token_file: PathBuf,
    }
}

// `[wait]` and `[run]`: the limits and the longest pause, which differ from command to command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct CommandSection {
    max_interval: Option<Pause>,
    max_wait: Option<HumanDuration>,
    max_outage: Option<HumanDuration>,
    request_timeout: Option<Pause>,
    not_found_grace: Option<HumanDuration>,
    retry_conflict: Option<bool>,
    max_in_progress: Option<Vec<StatusLimit>>,
    concurrency: Option<NonZeroUsize>,
}

// What the policy of a command is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Following {
    pub(crate) pace: PaceLayer,
    pub(crate) limits: LimitsLayer,
}

impl Following {
    pub(crate) fn or(self, lower: impl Into<Self>) -> Self {
        let lower = lower.into();
        Self { pace: self.pace.or(lower.pace), limits: self.limits.or(lower.limits) }
    }
}

impl From<CommandSection> for Following {
    fn from(section: CommandSection) -> Self {
        let limits = LimitsLayer {
            max_wait: section.max_wait,
            max_outage: section.max_outage,
            request_timeout: section.request_timeout,
            not_found_grace: section.not_found_grace,
            retry_conflict: section.retry_conflict,
            max_in_progress: section.max_in_progress,
            concurrency: section.concurrency,
        };
        Self { pace: PaceLayer { max_interval: section.max_interval, ..PaceLayer::default() }, limits }
    }
}

// What a settings file may hold. Commands that wait pass over what is the daemon's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) snyk: SnykLayer,
    pub(crate) pace: PaceLayer,
    pub(crate) retry: RetryLayer,
    pub(crate) limits: LimitsLayer,
    pub(crate) download: DownloadLayer,
    pub(crate) wait: CommandSection,
    pub(crate) run: CommandSection,
    pub(crate) statuses: StatusesLayer,
    pub(crate) log: LogLayer,
    pub(crate) store: StoreLayer,
    pub(crate) server: ServerLayer,
    pub(crate) watch: Vec<WatchSection>,
    pub(crate) notify: Vec<NotifySection>,
}

// The sections that have flags, as one command line or one environment gives them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) snyk: SnykLayer,
    #[command(flatten)]
    pub(crate) pace: PaceLayer,
    #[command(flatten)]
    pub(crate) limits: LimitsLayer,
    #[command(flatten)]
    pub(crate) download: DownloadLayer,
    #[command(flatten)]
    pub(crate) statuses: StatusesLayer,
    #[command(flatten)]
    pub(crate) log: LogLayer,
}
