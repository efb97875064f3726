//! What users type to start and to download an export.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use super::{Output, OutputArgs, id};
use crate::export::{ExportArg, Scope, ScopeRef};
use crate::request::{Date, FORMAT, Filter, Zone, datasets};
use crate::settings::layers::{DownloadSection, LimitsSection, PaceSection, ReportSection, StatusesSection};
use crate::settings::values::{HumanDuration, Pause, UrlExpiration};

// The group or organization.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    /// The group that the export belongs to
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with = "org_id")]
    group_id: Option<Uuid>,
    /// The organization that the export belongs to
    #[arg(long, value_name = "ID", value_parser = id)]
    org_id: Option<Uuid>,
}

impl ScopeArgs {
    /// The scope that a flag names.
    pub(crate) fn scope(&self) -> Option<ScopeRef> {
        let scope = |scope| move |id| ScopeRef { scope, id };
        self.group_id.map(scope(Scope::Group)).or(self.org_id.map(scope(Scope::Org)))
    }
}

// What to export. Each date's help says which forms it takes, since people look at one option at a time.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to export")]
pub(crate) struct RequestArgs {
    #[arg(long, value_name = "NAME", help = "The dataset, such as issues",
        long_help = format!("The dataset: {}. Another one is sent with a warning", datasets()))]
    pub(crate) dataset: Option<String>,
    /// The format (repeatable); csv is the default, and the only one that Snyk documents
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format, default_value = FORMAT,
        hide_default_value = true)]
    pub(crate) formats: Vec<String>,
    /// The columns, separated by commas; all by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = column)]
    pub(crate) columns: Vec<String>,
    /// Introduced since 2025-01-31, yesterday or -7d
    ///
    /// For issues. A day (2025-01-31, today, yesterday), a moment (2025-01-31T10:00:00Z), or how long ago: -1d, -2w, -1mo, -1y
    /// (midnight of that day), -12h, -30m. Days begin in --time-zone.
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) introduced_from: Option<Date>,
    /// Introduced until this date
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) introduced_to: Option<Date>,
    /// What has changed since this date
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) updated_from: Option<Date>,
    /// What has changed until this date
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) updated_to: Option<Date>,
    /// Events that happened since this date
    ///
    /// Groups only; `prevention_events` needs it, or --updated-from.
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) event_from: Option<Date>,
    /// Events until this date
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) event_to: Option<Date>,
    /// Another filter, such as lifecycle=production
    ///
    /// Repeatable. All filters of Snyk's are possible, such as orgs=ID or `is_suppressed=false`; given again, it has more values. KEY:=JSON sends any JSON value. A key that
    /// is not known is sent with a warning.
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<Filter>,
    /// How long signed links to the files work: 0 to 3600 seconds
    #[arg(long, value_name = "SECONDS", alias = "url-expiration")]
    pub(crate) url_expiration_seconds: Option<UrlExpiration>,
    /// The whole document, from a file or -
    ///
    /// - is standard input. The document is as Snyk describes it, and takes the place of the options above.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dataset", "formats", "columns", "introduced_from",
        "introduced_to", "updated_from", "updated_to", "event_from", "event_to", "filters", "url_expiration_seconds"])]
    pub(crate) body: Option<PathBuf>,
    /// Include what was deleted
    #[arg(long)]
    pub(crate) include_deleted: bool,
    /// Include what is deactivated
    #[arg(long)]
    pub(crate) include_deactivated: bool,
}

impl RequestArgs {
    /// Whether anything describes an export. A format alone, which has a default, does not.
    pub(crate) fn asks_for_one(&self) -> bool {
        self.dataset.is_some()
            || !self.columns.is_empty()
            || self.dates().iter().any(|date| date.is_some())
            || !self.filters.is_empty()
            || self.url_expiration_seconds.is_some()
            || self.body.is_some()
            || self.include_deleted
            || self.include_deactivated
    }

    /// The ends of the ranges of dates.
    pub(crate) const fn dates(&self) -> [&Option<Date>; 6] {
        let Self { introduced_from, introduced_to, updated_from, updated_to, event_from, event_to, .. } =
            self;
        [introduced_from, introduced_to, updated_from, updated_to, event_from, event_to]
    }
}

fn format(text: &str) -> Result<String, String> {
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_owned()).ok_or_else(|| "expected a format such as csv".to_owned())
}

fn column(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_name = !name.is_empty() && !name.contains(|char: char| char.is_whitespace() || char.is_control());
    is_name
        .then(|| name.to_owned())
        .ok_or_else(|| "expected names such as ISSUE_SEVERITY,PROBLEM_TITLE".to_owned())
}

// Where days begin.
#[derive(Debug, Args)]
pub(crate) struct ZoneArgs {
    /// The time zone of days and of {date}, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value_t = Zone::default())]
    pub(crate) time_zone: Zone,
}

// How long failed requests are retried.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct TriesArgs {
    /// How long to go without an answer
    ///
    /// Requests are retried for so long. 0 for no limit.
    #[arg(long, value_name = "DURATION")]
    max_outage: Option<HumanDuration>,
    /// How long one request may take, and how long a download may receive nothing
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<Pause>,
}

impl TriesArgs {
    pub(super) fn layer(&self) -> LimitsSection {
        let Self { max_outage, request_timeout } = self;
        LimitsSection {
            max_outage: *max_outage,
            request_timeout: *request_timeout,
            ..LimitsSection::default()
        }
    }
}

// Where files go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct PlaceArgs {
    /// Where the files go; {date} is the day of the start
    ///
    /// A manifest.json lists them. {date} is replaced by a day such as 2025-01-31.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Also join all parts into one CSV file; {date} as in --dir
    #[arg(long, value_name = "FILE")]
    pub(crate) merge: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(super) limits: DownloadSection,
}

// What to export, of which group or organization.
#[derive(Debug, Args)]
pub(crate) struct WantedArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) zone: ZoneArgs,
}

// What goes to standard output.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct FormatArgs {
    /// The format of standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(super) tries: TriesArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// An export id, a URL or path of one, or - for standard input
    ///
    /// A URL or path is that of the status or the results, such as /groups/ID/jobs/export/ID. Standard input has ids, URLs
    /// or paths, one per line, or JSON documents such as the answer of `start`.
    #[arg(value_name = "EXPORT")]
    pub(crate) export: Option<ExportArg>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Exit only when the files are synced to the disk
    ///
    /// Otherwise a power cut within the next minute may lose them.
    #[arg(long)]
    pub(crate) sync: bool,
    #[command(flatten)]
    pub(crate) zone: ZoneArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(super) tries: TriesArgs,
    #[command(flatten)]
    pub(super) statuses: StatusesSection,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run this when the files are there, in place of this process
    ///
    /// The switch of --ping hears of success before: it does not hear how COMMAND ends.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Continue with this export instead of starting one
    #[arg(long, value_name = "EXPORT")]
    pub(crate) resume: Option<ExportArg>,
    /// Where the start is recorded, so that a killed run goes on
    ///
    /// The same command continues with its export. By default this is a file in the state directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(super) report: ReportSection,
    #[command(flatten)]
    pub(super) pace: PaceSection,
    #[command(flatten)]
    pub(super) limits: LimitsSection,
    #[command(flatten)]
    pub(super) statuses: StatusesSection,
}
