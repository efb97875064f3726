//! Help: what fits a screen for `-h`, and everything for `--help`, the manual and completions.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args as _, Command, CommandFactory as _};

use super::Cli;
use crate::request::dataset_names;
use crate::settings::layers::{Layer, RUN, Sections, WAIT, WATCH};
use crate::settings::{DEFAULTS, variable};
use crate::snyk::region::region_names;

/// What the help and the manual of a command say besides its options.
pub(super) struct Page {
    pub(super) command: &'static str,
    /// What it is for, and the command.
    pub(super) examples: &'static [[&'static str; 2]],
    /// Where the defaults of its options come from; `None` if it sends no requests to Snyk.
    pub(super) defaults: Option<Sections>,
}

/// The page of the program itself comes first.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "snyk-export",
        examples: &[
            ["See it work, without Snyk", "snyk-export demo"],
            ["Wait for an export", "snyk-export wait EXPORT_ID --group-id GROUP_ID"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "wait",
        examples: &[
            ["Wait, 20 minutes at most", "snyk-export wait EXPORT_ID --group-id GROUP_ID --max-wait 20m"],
            [
                "By the path that Snyk answered",
                "snyk-export wait /groups/GROUP_ID/jobs/export/EXPORT_ID -- ./load.sh",
            ],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "status",
        examples: &[
            ["Ask once", "snyk-export status EXPORT_ID --group-id GROUP_ID"],
            [
                "Exit with 75 while it is in progress",
                "snyk-export status /orgs/ORG_ID/jobs/export/EXPORT_ID --output json",
            ],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "start",
        examples: &[
            [
                "The issues of yesterday",
                "snyk-export start --group-id GROUP_ID --dataset issues \\\n    --introduced-from yesterday --introduced-to today",
            ],
            ["A whole document", "snyk-export start --org-id ORG_ID --body start.json"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "download",
        examples: &[
            ["Into a directory", "snyk-export download EXPORT_ID --group-id GROUP_ID --dir issues"],
            ["And into one file", "snyk-export download EXPORT_ID --dir issues --merge issues.csv"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "run",
        examples: &[
            [
                "Each night, with SNYK_GROUP_ID set",
                "snyk-export run --dataset issues --updated-from -1d --dir 'issues/{date}'",
            ],
            ["The last week", "snyk-export run --dataset issues --updated-from -7d --dir week -- ./load.sh"],
        ],
        defaults: Some(RUN),
    },
    Page {
        command: "watch",
        examples: &[
            ["The daemon", "snyk-export watch --config watch.toml"],
            ["Is the file right?", "snyk-export watch --config watch.toml --check"],
        ],
        defaults: Some(WATCH),
    },
    Page {
        command: "doctor",
        examples: &[
            ["Before the first wait", "snyk-export doctor"],
            ["Why is this export not found?", "snyk-export doctor EXPORT_ID --group-id GROUP_ID"],
        ],
        defaults: Some(WAIT),
    },
    Page {
        command: "healthcheck",
        examples: &[
            ["The daemon on this machine", "snyk-export healthcheck"],
            ["Where its settings say", "snyk-export healthcheck --config watch.toml"],
        ],
        defaults: None,
    },
    Page {
        command: "simulate",
        examples: &[
            ["With faults", "snyk-export simulate --scenario flaky"],
            ["What there is", "snyk-export simulate --list"],
        ],
        defaults: None,
    },
    Page {
        command: "demo",
        examples: &[
            ["An export with troubles, in 8 seconds", "snyk-export demo"],
            ["Its log as JSON", "snyk-export demo --log-format json"],
        ],
        defaults: None,
    },
    Page {
        command: "completions",
        examples: &[
            ["In bash, for this session", "source <(snyk-export completions bash)"],
            ["In fish", "snyk-export completions fish > ~/.config/fish/completions/snyk-export.fish"],
        ],
        defaults: None,
    },
    Page {
        command: "man",
        examples: &[
            ["Read it", "snyk-export man | man -l -"],
            ["A page for each command", "snyk-export man --dir ~/.local/share/man/man1"],
        ],
        defaults: None,
    },
    Page {
        command: "watches",
        examples: &[
            ["All of them", "snyk-export watches --config watch.toml"],
            ["What has ended, for a program", "snyk-export watches list --state ended --output json"],
            [
                "Follow an export",
                "snyk-export watches add EXPORT_ID --group-id GROUP_ID --label team=payments",
            ],
            ["What was just started", "snyk-export start … --output json | snyk-export watches add -"],
        ],
        defaults: None,
    },
    Page {
        command: "deliveries",
        examples: &[
            ["What no receiver took", "snyk-export deliveries list --state undeliverable"],
            ["Send it again", "snyk-export deliveries redeliver WATCH_ID platform"],
        ],
        defaults: None,
    },
];

/// Options that few people need: `-h` leaves them out.
const RARE: [&str; 31] = [
    "dotenv",
    "show_urls",
    "resume",
    "force",
    "api_version",
    "ca_cert",
    "allow_http",
    "log_format",
    "color",
    "initial_interval",
    "multiplier",
    "max_interval",
    "jitter",
    "request_timeout",
    "not_found_grace",
    "retry_conflict",
    "max_in_progress",
    "in_progress_status",
    "finished_status",
    "failed_status",
    "formats",
    "updated_to",
    "event_from",
    "event_to",
    "url_expiration_seconds",
    "include_deleted",
    "include_deactivated",
    "time_zone",
    "sync",
    "no_progress",
    "max_size",
];

/// Options of requests to Snyk, which other commands do not offer.
const OF_SNYK: [&str; 5] = ["api", "api_version", "token_file", "ca_cert", "allow_http"];

/// Where a credential comes from.
pub(super) const CREDENTIALS: &[[&str; 2]] = &[
    ["--token-file FILE", "a file that holds a token"],
    ["SNYK_OAUTH_TOKEN", "an OAuth access token"],
    ["SNYK_TOKEN", "an API token, a personal access token, or that of a service account"],
    ["SNYK_TOKEN_FILE", "a file that holds a token"],
    ["SNYK_CLIENT_ID, SNYK_CLIENT_SECRET", "an OAuth client"],
    ["token-file in the settings file", "a file that holds a token"],
    ["SNYK_CFG_API", "a token, as for the Snyk CLI"],
    ["the Snyk CLI's configuration", "after `snyk auth`"],
];

pub(super) const EXIT_CODES: &[[&str; 2]] = &[
    ["0", "finished"],
    ["1", "an unforeseen failure of snyk-export itself"],
    ["2", "bad arguments or settings"],
    ["3", "failed: Snyk says that the export has failed"],
    ["4", "unauthorized, forbidden"],
    ["5", "not-found"],
    ["6", "conflict"],
    ["7", "rejected: Snyk does not accept the request"],
    ["8", "unknown-status"],
    ["9", "stalled: longer in one status than --max-in-progress allows"],
    [
        "69",
        "unavailable: no answer for longer than --max-outage; start, run: there may or may not be an export; healthcheck: the daemon is not well",
    ],
    ["75", "status, download: still in progress"],
    ["124", "timed-out: --max-wait passed"],
    ["129, 130, 143", "interrupted by SIGHUP, SIGINT, SIGTERM"],
];

/// The page of a command.
pub(super) fn page(command: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.command == command)
}

impl Cli {
    /// The command line as clap knows it, with all that its help says.
    pub(crate) fn describe() -> Command {
        let keys = Layer::augment_args(Command::new("keys"));
        let keys: Vec<clap::Id> = keys.get_arguments().map(|arg| arg.get_id().clone()).collect();
        let mut command = describe(Self::command(), WAIT, &keys);
        // Options of all commands become options of each command here.
        command.build();
        command = with_texts(command, &PAGES[0]).mut_args(|arg| for_command(arg, &PAGES[0]));
        command.mut_subcommands(|command| {
            let Some(page) = page(command.get_name()) else { return command };
            let command = describe(command, page.defaults.unwrap_or(WAIT), &keys);
            let command = command.mut_args(|arg| for_command(arg, page));
            let command = command.mut_subcommands(|action| action.mut_args(|arg| for_command(arg, page)));
            with_texts(command, page)
        })
    }

    /// The same for scripts that complete it: with the usual values of options that take others too.
    pub(crate) fn completed(scenarios: &[&'static str]) -> Command {
        let values = |arg: Arg| match arg.get_id().as_str() {
            "api" => arg.value_parser(PossibleValuesParser::new(region_names())),
            "dataset" => arg.value_parser(PossibleValuesParser::new(dataset_names())),
            "scenario" => arg.value_parser(PossibleValuesParser::new(scenarios)),
            _ => arg,
        };
        shown(&Self::describe()).mut_subcommands(|command| command.mut_args(values)).mut_args(values)
    }
}

/// A command without the options that its help hides: completions offer all that there are.
fn shown(command: &Command) -> Command {
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        // Each command has its own copies of them already.
        .args(args.map(|arg| arg.clone().global(false)))
        .subcommands(command.get_subcommands().map(shown))
}

/// Adds the variable and the default to each option's help, and hides what few people need from `-h`.
fn describe(command: Command, sections: Sections, keys: &[clap::Id]) -> Command {
    command.mut_args(|arg| {
        if arg.get_long_help().is_some_and(|help| help.to_string().contains("[env: ")) {
            return arg;
        }
        let is_key = keys.contains(arg.get_id());
        let variable = match arg.get_id().as_str() {
            "config" => Some("SNYK_EXPORT_CONFIG".to_owned()),
            "group_id" => Some("SNYK_GROUP_ID".to_owned()),
            "org_id" => Some("SNYK_ORG_ID".to_owned()),
            "token_file" => Some("SNYK_TOKEN_FILE".to_owned()),
            _ if is_key => arg.get_long().and_then(variable),
            _ => None,
        };
        let default = arg.get_long().filter(|_| is_key).and_then(|key| default(key, sections));
        let default = default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let Some(help) = arg.get_help().map(ToString::to_string) else { return arg };
        let long = arg.get_long_help().map_or_else(|| help.clone(), ToString::to_string);
        let variable = variable.map(|variable| format!(" [env: {variable}]")).unwrap_or_default();
        let is_rare = RARE.contains(&arg.get_id().as_str());
        arg.help(format!("{help}{default}"))
            .long_help(format!("{long}{default}{variable}"))
            .hide_short_help(is_rare)
    })
}

/// The default of a key in the first of these sections that has one, as people write it.
fn default(key: &str, sections: Sections) -> Option<String> {
    let of_section = |section: &&str| {
        let (_, rest) = DEFAULTS.split_once(&format!("\n[{section}]\n"))?;
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        let value = values.next()?.split(" #").next()?.trim().trim_matches('"');
        (value != "[]").then(|| value.to_owned())
    };
    sections.iter().chain(&["download", "log"]).find_map(of_section)
}

/// Hides what a command does not use, and a settings file where few people need one.
fn for_command(arg: Arg, page: &Page) -> Arg {
    let is_daemons = matches!(page.command, "watch" | "healthcheck" | "watches" | "deliveries");
    let is_simulator = matches!(page.command, "simulate");
    match arg.get_id().as_str() {
        // It has the options of three commands.
        "body" | "columns" | "state" | "token_file" | "quiet" if page.command == "run" => {
            arg.hide_short_help(true)
        }
        "config" if is_daemons => arg,
        "config" if page.defaults.is_none() => arg.hide(true),
        "config" => arg.hide_short_help(true),
        "allow_http" if is_simulator => arg,
        "dotenv" if page.command == "watch" => arg.hide(true),
        "allow_http" | "ca_cert" if matches!(page.command, "watches" | "deliveries") => arg,
        id if page.defaults.is_none() && (OF_SNYK.contains(&id) || id == "dotenv") => arg.hide(true),
        _ => arg,
    }
}

/// Adds the examples, and what only `--help` says.
fn with_texts(command: Command, page: &Page) -> Command {
    let mut short = String::new();
    if !page.examples.is_empty() {
        short.push_str("Examples:");
    }
    for [what, example] in page.examples {
        let _ = write!(short, "\n  # {what}\n  {}", example.replace('\n', "\n  "));
    }
    let mut long = short.clone();
    if page.defaults.is_some() {
        long.push_str("\n\nThe credential is the first of these that is there:");
        long.push_str(&table(CREDENTIALS));
        long.push_str("\n\nExit codes:");
        long.push_str(&table(EXIT_CODES));
    }
    command.after_help(short).after_long_help(long)
}

fn table(rows: &[[&str; 2]]) -> String {
    let width = rows.iter().map(|[first, _]| first.len()).max().unwrap_or_default();
    rows.iter().map(|[first, second]| format!("\n  {first:width$}  {second}")).collect()
}
