//! Help: what fits a screen for `-h`, and everything for `--help`, the manual and completions.

mod pages;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args as _, Command, CommandFactory as _, Error};

pub(super) use self::pages::{CREDENTIALS, EXIT_CODES, PAGES, Page, page};
use super::Cli;
use crate::request::dataset_names;
use crate::settings::layers::{Layer, Sections, WAIT};
use crate::settings::{DEFAULTS, variable};
use crate::snyk::region::region_names;

/// Options that few people need: `-h` leaves them out.
const RARE: [&str; 33] = [
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
    "ping",
    "ping_file",
    "max_size",
];

/// Whether a command uses an option of all commands. What it does not use is hidden from its help, and refused.
fn uses(command: &str, option: &str) -> bool {
    let draws_progress = matches!(command, "wait" | "start" | "download" | "run" | "demo");
    let asks_snyk = matches!(command, "wait" | "status" | "start" | "download" | "run" | "watch" | "doctor");
    let asks_daemon = matches!(command, "watches" | "deliveries");
    match option {
        "api" | "api_version" | "token_file" => asks_snyk,
        "ca_cert" => asks_snyk || asks_daemon,
        "allow_http" => asks_snyk || asks_daemon || command == "simulate",
        "config" => asks_snyk || asks_daemon || command == "healthcheck",
        "dotenv" => draws_progress && command != "demo",
        "no_progress" => draws_progress,
        "quiet" | "verbose" => !matches!(command, "completions" | "man"),
        _ => true,
    }
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

    /// An error if `matches` has options that the command does not use: `given` has the names of all that were typed.
    pub(crate) fn refuse_unused(matches: &ArgMatches, given: &BTreeSet<String>) -> Result<(), Error> {
        let command = matches.subcommand_name().unwrap_or_default();
        let unused: Vec<String> = given
            .iter()
            .filter(|name| !uses(command, &name.replace('-', "_")))
            .map(|name| format!("--{name}"))
            .collect();
        match unused.is_empty() {
            true => Ok(()),
            false => {
                let them = if unused.len() == 1 { "it" } else { "them" };
                let message =
                    format!("`{command}` does not use {}: leave {them} out\n", unused.join(" and "));
                Err(Error::raw(ErrorKind::UnknownArgument, message))
            }
        }
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
    match arg.get_id().as_str() {
        // The page of the program is that of all commands.
        id if page.command != PAGES[0].command && !uses(page.command, id) => arg.hide(true),
        // It has the options of three commands.
        "body" | "columns" | "state" | "token_file" | "quiet" if page.command == "run" => {
            arg.hide_short_help(true)
        }
        "config" if !is_daemons => arg.hide_short_help(true),
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
