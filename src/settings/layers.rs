//! One struct for each section: its flags, its variables, and its keys in a file.
//!
//! The structs have plain comments because clap would use documentation as the description of the program.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use serde::Deserialize;

use super::daemon::sections::{AccountSection, NotifySection, WatchSection};
use super::daemon::values::{Name, StoreUrl};
use super::values::{
    Color, HumanDuration, Listen, LogFormat, Multiplier, Pause, Share, Size, StatusLimit, Version,
};
use crate::export::Status;
use crate::notify::PingUrl;
use crate::snyk::region::Api;

/// A section in one layer: every member may be missing.
pub(super) trait Section: Sized {
    /// The section with the values from all layers.
    type Values;

    /// Fills what is missing from a weaker layer.
    fn or(self, weaker: Self) -> Self;

    /// The values, or `None` if a required member is missing.
    fn complete(self) -> Option<Self::Values>;
}

/// Merges a section of several layers, the strongest first. The last layer is `config/default.toml`, which has every key.
pub(super) fn resolve<S: Section>(layers: impl IntoIterator<Item = S>) -> S::Values {
    let complete = layers.into_iter().reduce(S::or).and_then(S::complete);
    complete.unwrap_or_else(|| unreachable!("config/default.toml has every key: the tests read it"))
}

/// Defines a section and its values. Members in brackets have no default, and are optional in the values too.
macro_rules! section {
    ($(#[$meta:meta])* $section:ident => $values:ident {
        $([$(#[$maybe_meta:meta])* $maybe:ident: $maybe_type:ty])*
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    }) => {
        #[derive(Debug, Clone, Default, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        $(#[$meta])*
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub(crate) struct $section {
            $($(#[$maybe_meta])* pub(crate) $maybe: Option<$maybe_type>,)*
            $($(#[$field_meta])* pub(crate) $field: Option<$type>,)*
        }

        #[derive(Debug)]
        pub(super) struct $values {
            $(pub(super) $maybe: Option<$maybe_type>,)*
            $(pub(super) $field: $type,)*
        }

        impl Section for $section {
            type Values = $values;

            fn or(self, weaker: Self) -> Self {
                Self {
                    $($maybe: self.$maybe.or(weaker.$maybe),)*
                    $($field: self.$field.or(weaker.$field),)*
                }
            }

            fn complete(self) -> Option<$values> {
                Some($values { $($maybe: self.$maybe,)* $($field: self.$field?,)* })
            }
        }
    };
}

section! {
    #[derive(clap::Args)]
    #[command(next_help_heading = "Snyk")]
    SnykSection => SnykValues {
        [/// The API: a region (us, us2, eu, au, gov) or a URL
         ///
         /// By default it is the region that the credential names, else us.
         #[arg(long, global = true, value_name = "URL|REGION")]
         api: Api]
        [/// The version of the API; one that you set is never replaced by another
         #[arg(long, global = true, value_name = "VERSION")]
         api_version: Version]
        [/// A file that holds the token, read again after a 401
         #[arg(long, global = true, value_name = "FILE")]
         token_file: PathBuf]
        [/// Certificate authorities (PEM) to trust besides those of the system
         #[arg(long, global = true, value_name = "FILE")]
         ca_cert: PathBuf]
        [#[arg(skip)]
         accounts: BTreeMap<Name, AccountSection>]
        /// Let plain http leave this machine
        #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_parser = BoolishValueParser::new(), value_name = "BOOL")]
        allow_http: bool,
        #[arg(skip)]
        requests_per_minute: NonZeroU32,
    }
}

section! {
    #[derive(clap::Args)]
    #[command(next_help_heading = "Pace")]
    PaceSection => PaceValues {
        /// The pause after the first poll
        #[arg(long, value_name = "DURATION")]
        initial_interval: Pause,
        /// The factor from each pause to the next one
        #[arg(long, value_name = "NUMBER")]
        multiplier: Multiplier,
        /// The longest pause
        #[arg(long, value_name = "DURATION")]
        max_interval: Pause,
        /// The largest random share by which a pause is lengthened (0 to 1)
        #[arg(long, value_name = "SHARE")]
        jitter: Share,
    }
}

section! {
    RetrySection => RetryValues {
        initial_interval: Pause,
        multiplier: Multiplier,
        max_interval: Pause,
    }
}

section! {
    #[derive(clap::Args)]
    #[command(next_help_heading = "Limits")]
    LimitsSection => LimitsValues {
        /// How long to wait in total
        ///
        /// The last poll starts at the end of this time. 0 for no limit.
        #[arg(long, value_name = "DURATION")]
        max_wait: HumanDuration,
        /// How long to go without an answer
        ///
        /// Polls are retried for so long. 0 for no limit.
        #[arg(long, value_name = "DURATION")]
        max_outage: HumanDuration,
        /// How long one request may take, and how long a download may receive nothing
        #[arg(long, value_name = "DURATION")]
        request_timeout: Pause,
        /// How long after the start an export that is not found may still appear
        #[arg(long, value_name = "DURATION")]
        not_found_grace: HumanDuration,
        /// Keep retrying on 409
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

section! {
    #[derive(clap::Args)]
    DownloadSection => DownloadValues {
        /// The largest total size of all files on the disk, unpacked, such as 500MB or 10GiB. 0 for no limit
        #[arg(long, value_name = "SIZE")]
        max_size: Size,
        #[arg(skip)]
        patience: Pause,
    }
}

section! {
    #[derive(clap::Args)]
    #[command(next_help_heading = "Status words")]
    StatusesSection => StatusesValues {
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

section! {
    #[derive(clap::Args)]
    #[command(next_help_heading = "Output")]
    LogSection => LogValues {
        /// The format of log lines on standard error
        #[arg(long, global = true, value_name = "FORMAT", value_enum)]
        log_format: LogFormat,
        /// When to color text
        #[arg(long, global = true, value_name = "WHEN", value_enum)]
        color: Color,
    }
}

// `[report]`: who hears how a command ended.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[command(next_help_heading = "Report")]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ReportSection {
    /// Tell a dead man's switch at this URL, such as Healthchecks, when it starts and how it ends
    ///
    /// By POST: `URL/start`, then `URL` after a success (before a COMMAND after `--` runs) or `URL/EXIT_CODE`, with the last lines as
    /// the body. `watch` pings `URL` once a minute while it is healthy. The URL is a secret: other users of this machine see it here,
    /// but not in the variable.
    #[arg(long, value_name = "URL")]
    pub(in crate::settings) ping: Option<PingUrl>,
    /// A file that holds the URL of --ping
    #[arg(long, value_name = "FILE")]
    pub(in crate::settings) ping_file: Option<PathBuf>,
}

section! {
    StoreSection => StoreValues {
        [url: StoreUrl]
        keep_ended: Pause,
        max_watches: u64,
        max_labels: Size,
    }
}

section! {
    ReloadSection => ReloadValues {
        watch_files: bool,
    }
}

section! {
    ServerSection => ServerValues {
        [metrics_listen: Listen]
        [token_file: PathBuf]
        listen: Listen,
    }
}

// `[wait]` and `[run]`: the limits and the longest pause, which differ between commands.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

impl From<CommandSection> for (PaceSection, LimitsSection) {
    fn from(section: CommandSection) -> Self {
        let limits = LimitsSection {
            max_wait: section.max_wait,
            max_outage: section.max_outage,
            request_timeout: section.request_timeout,
            not_found_grace: section.not_found_grace,
            retry_conflict: section.retry_conflict,
            max_in_progress: section.max_in_progress,
            concurrency: section.concurrency,
        };
        (PaceSection { max_interval: section.max_interval, ..PaceSection::default() }, limits)
    }
}

/// The sections that say how a command follows exports, the strongest first. Values are taken from them, and an error names
/// the one that has to change.
pub(crate) type Sections = &'static [&'static str];

/// The sections of `wait`, `start`, `download` and `status`.
pub(crate) const WAIT: Sections = &["wait", "limits", "pace"];

/// The sections of `run`.
pub(crate) const RUN: Sections = &["run", "wait", "limits", "pace"];

/// The sections of `watch`.
pub(crate) const WATCH: Sections = &["limits", "pace"];

// All sections in one layer: flags, variables, or a file. Only the daemon uses its own sections.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Layer {
    #[command(flatten)]
    pub(crate) snyk: SnykSection,
    #[command(flatten)]
    pub(crate) pace: PaceSection,
    #[command(flatten)]
    pub(crate) limits: LimitsSection,
    #[command(flatten)]
    pub(crate) download: DownloadSection,
    #[command(flatten)]
    pub(crate) statuses: StatusesSection,
    #[command(flatten)]
    pub(crate) log: LogSection,
    #[command(flatten)]
    pub(crate) report: ReportSection,
    #[arg(skip)]
    pub(crate) retry: RetrySection,
    #[arg(skip)]
    pub(crate) wait: CommandSection,
    #[arg(skip)]
    pub(crate) run: CommandSection,
    #[arg(skip)]
    pub(crate) store: StoreSection,
    #[arg(skip)]
    pub(crate) server: ServerSection,
    #[arg(skip)]
    pub(crate) reload: ReloadSection,
    #[arg(skip)]
    pub(crate) watch: Vec<WatchSection>,
    #[arg(skip)]
    pub(crate) notify: Vec<NotifySection>,
}

impl Layer {
    /// The pace and the limits in one of [`Sections`].
    pub(super) fn following(&self, section: &str) -> (PaceSection, LimitsSection) {
        match section {
            "run" => self.run.clone().into(),
            "wait" => self.wait.clone().into(),
            "limits" => (PaceSection::default(), self.limits.clone()),
            "pace" => (self.pace.clone(), LimitsSection::default()),
            _ => Default::default(),
        }
    }
}
