//! The command line: what users type. What it does is in `commands`.

mod daemon;
mod export;
mod help;
mod manual;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

pub(crate) use self::daemon::{
    AddArgs, DaemonArgs, DeliveriesAction, DeliveriesArgs, HealthcheckArgs, WatchesAction, WatchesArgs,
};
pub(crate) use self::export::{
    DownloadArgs, FormatArgs, PlaceArgs, RequestArgs, RunArgs, ScopeArgs, StartArgs, WantedArgs,
};
use crate::export::ExportArg;
use crate::settings::layers::{
    Layer, LimitsSection, LogSection, PaceSection, ReportSection, SnykSection, StatusesSection,
};
use crate::settings::values::{Id, Listen, Pause};
use crate::settings::{CommandLine, Environment};

/// Follows exports of the Snyk Analytics Export API to their end, and says how they ended.
#[derive(Debug, Parser)]
#[command(name = "snyk-export", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// Flags that may stand before or after the command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[command(flatten)]
    snyk: SnykSection,
    #[command(flatten)]
    log: LogSection,
    /// A settings file; config/default.toml shows its keys
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write outcome, status, export id and row count to this file
    ///
    /// As lines such as `SNYK_EXPORT_ROW_COUNT=7`, for the dotenv reports of GitLab; for downloads, where the files are too.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) dotenv: Option<PathBuf>,
    /// Draw no progress line on a terminal: a line a minute says that it goes on
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Write only errors to standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Write every poll to standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Wait until exports are ready; the exit code says how they ended
    Wait(Box<WaitArgs>),
    /// Request the status of exports once
    Status(StatusArgs),
    /// Start an export, and print its id
    Start(Box<StartArgs>),
    /// Download a finished export
    Download(Box<DownloadArgs>),
    /// Start an export, wait until it is ready, and download it
    Run(Box<RunArgs>),
    /// Follow many exports in the background, and notify when they end
    ///
    /// It survives restarts and crashes, and has an HTTP API. config/watch.example.toml shows its settings.
    Watch(WatchArgs),
    /// Look at credential, region, proxy and certificates; starts nothing
    ///
    /// It says what is found, and a cure for what is wrong. Its exit code is 0, or the one that a wait would end with.
    Doctor(Box<DoctorArgs>),
    /// Ask the daemon whether it is healthy; exit with 0 or 69
    ///
    /// For containers without a shell: it asks the daemon on this machine or in this container.
    Healthcheck(HealthcheckArgs),
    /// List, show, add and cancel the watches of a running daemon
    ///
    /// It exits with 0; 2 for bad input; 4 if the daemon refuses the token; 5 if there is no such watch; 69 if no daemon answers.
    Watches(Box<WatchesArgs>),
    /// List the notifications of a running daemon, and send one again
    ///
    /// It exits with 0; 2 for bad input, or a notification that is pending already; 4 if the daemon refuses the token; 5 if there is
    /// no such notification; 69 if no daemon answers.
    Deliveries(DeliveriesArgs),
    /// Simulate Snyk's Export API on this machine
    ///
    /// To try things without Snyk. It listens on loopback, and breaks on purpose as a scenario says.
    Simulate(SimulateArgs),
    /// See it work: wait for a simulated export, without Snyk
    Demo,
    /// Write completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual
    Man {
        /// Write a page for each command into this directory
        ///
        /// Without it, the page of the program is written to standard output. The directory is made if it is not there.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it sends requests to Snyk, and so reads the variables and settings for that.
    pub(crate) const fn asks_snyk(&self) -> bool {
        use Command::{Completions, Demo, Healthcheck, Man, Simulate};
        !matches!(self, Healthcheck(_) | Simulate(_) | Demo | Completions { .. } | Man { .. })
    }

    /// Whether it only follows exports: then the first line about them says which API is asked.
    pub(crate) const fn only_follows(&self) -> bool {
        matches!(self, Self::Wait(_))
    }
}

// Which exports to follow.
#[derive(Debug, Args)]
pub(crate) struct ExportsArgs {
    /// An export id, a URL or path of one, or - for standard input
    ///
    /// A URL or path is that of the status or the results, such as /groups/ID/jobs/export/ID. Standard input has ids, URLs
    /// or paths, one per line, or JSON documents such as the answer of `start`.
    #[arg(value_name = "EXPORT")]
    pub(crate) exports: Vec<ExportArg>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

fn id(text: &str) -> Result<Uuid, String> {
    text.parse().map(|Id(id)| id)
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) exports: ExportsArgs,
    /// End as soon as one of the exports has finished
    #[arg(long)]
    pub(crate) any: bool,
    /// Run this when every export has finished, in place of this process
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    report: ReportSection,
    #[command(flatten)]
    pace: PaceSection,
    #[command(flatten)]
    limits: LimitsSection,
    #[command(flatten)]
    statuses: StatusesSection,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) exports: ExportsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// How long the poll may take
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<Pause>,
    #[command(flatten)]
    statuses: StatusesSection,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// An export to look at: its id, URL or path
    #[arg(value_name = "EXPORT")]
    pub(crate) export: Option<ExportArg>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Exit when every watch has ended and every notification is delivered
    ///
    /// With the exit code as for several exports.
    #[arg(long, visible_alias = "once")]
    pub(crate) until_idle: bool,
    /// Check the settings, the store and the address, and exit
    ///
    /// The files that the settings name are checked too.
    #[arg(long)]
    pub(crate) check: bool,
    /// Send a test event to this endpoint, say whether it took it, and exit. A daemon may run meanwhile
    #[arg(long, value_name = "NAME", conflicts_with_all = ["check", "until_idle"])]
    pub(crate) test_notify: Option<String>,
    #[command(flatten)]
    report: ReportSection,
}

impl WatchArgs {
    /// Whether it starts a daemon, and not only looks.
    pub(crate) const fn runs(&self) -> bool {
        !self.check && self.test_notify.is_none()
    }
}

// What goes to standard output.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// What to write to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Show the signed links to the results
    ///
    /// Anybody can read the results with them for an hour. If the status does not list them, they are requested when all
    /// exports have ended, within the rest of --max-wait (at least 1s).
    #[arg(long)]
    pub(crate) show_urls: bool,
}

/// The format of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A line of text.
    Text,
    /// A JSON document on one line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Where to listen, on loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    pub(crate) listen: Listen,
    /// A scenario: a TOML file, or the name of a built-in one
    #[arg(long, value_name = "FILE|NAME", default_value = "default")]
    pub(crate) scenario: String,
    /// List the built-in scenarios, and exit
    #[arg(long)]
    pub(crate) list: bool,
}

impl Cli {
    /// The flags that have keys in a settings file. `given` has the names of those that were typed.
    pub(crate) fn command_line(&self, given: BTreeSet<String>) -> CommandLine {
        let Global { snyk, log, config, .. } = &self.global;
        let mut flags = Layer { snyk: snyk.clone(), log: log.clone(), ..Layer::default() };
        match &self.command {
            Command::Wait(args) => {
                flags.pace = args.pace.clone();
                flags.limits = args.limits.clone();
                flags.statuses = args.statuses.clone();
                flags.report = args.report.clone();
            }
            Command::Status(args) => {
                flags.limits.request_timeout = args.request_timeout;
                flags.statuses = args.statuses.clone();
            }
            Command::Start(args) => flags.limits = args.tries.layer(),
            Command::Download(args) => {
                flags.download = args.place.limits.clone();
                flags.limits = args.tries.layer();
                flags.statuses = args.statuses.clone();
            }
            Command::Run(args) => {
                flags.download = args.place.limits.clone();
                flags.pace = args.pace.clone();
                flags.limits = args.limits.clone();
                flags.statuses = args.statuses.clone();
                flags.report = args.report.clone();
            }
            Command::Watch(args) => flags.report = args.report.clone(),
            Command::Doctor(_)
            | Command::Healthcheck(_)
            | Command::Watches(_)
            | Command::Deliveries(_)
            | Command::Simulate(_)
            | Command::Demo
            | Command::Completions { .. }
            | Command::Man { .. } => {}
        }
        // These only read from the file where the daemon is, and with which token it is asked.
        let heeds_file =
            !matches!(self.command, Command::Healthcheck(_) | Command::Watches(_) | Command::Deliveries(_));
        CommandLine { config: config.clone().filter(|_| heeds_file), flags, given }
    }

    /// The settings file that a flag or else a variable names.
    pub(crate) fn settings_file(&self, environment: &Environment) -> Option<PathBuf> {
        self.global.config.clone().or_else(|| environment.path("SNYK_EXPORT_CONFIG"))
    }
}
