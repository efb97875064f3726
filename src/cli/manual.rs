//! The manual: a page for each command, in the language of `man`.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::Cli;
use super::help::{CREDENTIALS, EXIT_CODES, Page, page};

/// When the pages last changed.
const DATE: &str = "2026-11-28";

/// Variables besides those of options, for commands that send requests to Snyk.
const NETWORK: &[[&str; 2]] = &[
    ["HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "The proxy for requests."],
    ["NO_PROXY", "Hosts that are reached without a proxy, separated by commas."],
    ["SSL_CERT_FILE, SSL_CERT_DIR", "Certificates to trust in place of those of the system."],
    ["NODE_EXTRA_CA_CERTS", "More certificates to trust."],
];

/// Variables of all commands.
const COMMON: &[[&str; 2]] = &[
    [
        "CI, GITHUB_ACTIONS",
        "A CI system: its log has no line that is redrawn; GitHub gets annotations and outputs.",
    ],
    ["NO_COLOR", "No colors."],
    ["FORCE_COLOR, CLICOLOR_FORCE", "Colors without a terminal too."],
];

const FILES: &[[&str; 2]] = &[
    ["$XDG_STATE_HOME/snyk-export, ~/.local/state/snyk-export", "Records of runs, and the store of watch."],
    [
        "~/.config/configstore/snyk.json",
        "The configuration of the Snyk CLI, for its credential and its region.",
    ],
    ["FILE of --config", "Settings; no other place is searched for them."],
];

impl Cli {
    /// The pages, each with the name of its file; that of the program comes first.
    pub(crate) fn manual() -> Vec<(String, String)> {
        let program = Self::describe();
        let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
        let pages = commands.map(|command| {
            let name = format!("snyk-export-{}", command.get_name());
            (format!("{name}.1"), written(command, &name, page(command.get_name())))
        });
        let first = ("snyk-export.1".to_owned(), written(&program, "snyk-export", page("snyk-export")));
        [first].into_iter().chain(pages).collect()
    }
}

/// The page of a command.
fn written(command: &Command, name: &str, page: Option<&Page>) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        ".TH {} 1 {DATE} \"snyk-export {version}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        escaped(&name.to_uppercase()),
        escaped(name),
        escaped(about.trim_end_matches('.'))
    );
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(out, "{}\n.SH DESCRIPTION", line(usage.trim_start_matches("Usage:").trim()));
    text(&mut out, &long);
    options(&mut out, command);
    let commands = || command.get_subcommands().filter(|each| each.get_name() != "help");
    if commands().next().is_some() {
        out.push_str(".SH COMMANDS\n");
        for each in commands() {
            let about = each.get_about().map(ToString::to_string).unwrap_or_default();
            item(&mut out, each.get_name(), &about);
        }
    }
    let is_asking = page.is_some_and(|page| page.defaults.is_some());
    examples(&mut out, page);
    out.push_str(".SH ENVIRONMENT\n");
    if is_asking {
        let names = CREDENTIALS.iter().filter(|[name, _]| name.starts_with("SNYK_"));
        names.for_each(|[name, what]| item(&mut out, name, what));
    }
    for arg in shown(command) {
        let help = arg.get_long_help().map(ToString::to_string).unwrap_or_default();
        let variable = help.split_once("[env: ").and_then(|(_, rest)| rest.split(']').next());
        if let (Some(variable), Some(long)) =
            (variable.filter(|name| *name != "SNYK_TOKEN_FILE"), arg.get_long())
        {
            item(&mut out, variable, &format!("As --{long}."));
        }
    }
    let network = if is_asking { NETWORK } else { &[] };
    network.iter().chain(COMMON).for_each(|[name, what]| item(&mut out, name, what));
    out.push_str(".SH EXIT STATUS\n");
    let codes = EXIT_CODES
        .iter()
        .filter(|[code, _]| is_asking || matches!(*code, "0" | "1" | "2" | "69" | "129, 130, 143"));
    for [code, what] in codes {
        item(&mut out, code, if *code == "0" && !is_asking { "success" } else { what });
    }
    out.push_str(".SH FILES\n");
    FILES.iter().for_each(|[name, what]| item(&mut out, name, what));
    let others = if name == "snyk-export" { "snyk-export-wait" } else { "snyk-export" };
    let _ = writeln!(out, ".SH SEE ALSO\n.BR {} (1)", escaped(others));
    out
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

/// The arguments, and the options under their headings.
fn options(out: &mut String, command: &Command) {
    out.push_str(".SH OPTIONS\n");
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in shown(command) {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            let _ = writeln!(out, ".SS {}", escaped(heading));
        }
        for arg in shown(command).filter(|arg| arg.get_help_heading() == heading) {
            let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
            item(out, &label(arg), &help);
            let values = arg.get_possible_values();
            let values: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            // Words for yes and no are many, and known.
            if (1..8).contains(&values.len()) && arg.get_action().takes_values() {
                let _ = writeln!(out, ".IP\n{}", line(&format!("Possible values: {}.", values.join(", "))));
            }
        }
    }
}

/// How an argument is written.
fn label(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let value = value.filter(|_| arg.get_action().takes_values() || arg.is_positional());
    let names: Vec<String> =
        [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))]
            .into_iter()
            .flatten()
            .collect();
    let names = names.join(", ");
    match value {
        Some(value) if names.is_empty() => value,
        Some(value) if arg.is_require_equals_set() => format!("{names}[={value}]"),
        Some(value) => format!("{names} {value}"),
        None => names,
    }
}

fn examples(out: &mut String, page: Option<&Page>) {
    let examples = page.map(|page| page.examples).unwrap_or_default();
    if !examples.is_empty() {
        out.push_str(".SH EXAMPLES\n");
    }
    for [what, example] in examples {
        let lines: String = example.lines().map(|example| line(example) + "\n").collect();
        let _ = write!(out, ".TP\n{}:\n.nf\n{lines}.fi\n", line(what));
    }
}

/// A term and what it means.
fn item(out: &mut String, term: &str, meaning: &str) {
    let _ = writeln!(out, ".TP\n.B {}", escaped(term));
    let mut paragraphs = meaning.split("\n\n");
    let first = paragraphs.next().map(str::trim).filter(|first| !first.is_empty());
    let _ = writeln!(out, "{}", line(first.unwrap_or("No more to say.")));
    for paragraph in paragraphs {
        let _ = writeln!(out, ".IP\n{}", line(&paragraph.replace('\n', " ")));
    }
}

/// Paragraphs.
fn text(out: &mut String, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        let begin = if index == 0 { "" } else { ".PP\n" };
        let _ = writeln!(out, "{begin}{}", line(&paragraph.replace('\n', " ")));
    }
}

/// A line of text that is not taken for a command.
fn line(text: &str) -> String {
    let text = escaped(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// In ASCII, as not every reader of pages takes them for UTF-8.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, char| {
        match char {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '\'' => out.push_str("\\(aq"),
            char if char.is_ascii() => out.push(char),
            char => {
                let _ = write!(out, "\\[u{:04X}]", u32::from(char));
            }
        }
        out
    })
}
