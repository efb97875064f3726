//! The typed arguments, for hints with the command that continues where this one stops.

use std::any::TypeId;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgGroup, ArgMatches};

use crate::disk;
use crate::snyk::region::Api;
use crate::text::{Text, path_as_data};
use crate::words::GoOn;

/// Options that are not repeated in that command, besides those that say what to export: they name an export or a
/// place, which the command names itself. A person who goes on by hand tells no dead man's switch.
const LEFT_OUT: [&str; 11] = [
    "group-id",
    "org-id",
    "any",
    "resume",
    "state",
    "dir",
    "merge",
    "force",
    "time-zone",
    "ping",
    "ping-file",
];

/// The group of the options that say what to export: clap names it after their struct.
const REQUEST: &str = "RequestArgs";

/// The arguments that another command repeats when it continues with the export.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed(Vec<Argument>);

/// An argument as it was typed.
#[derive(Debug, Clone)]
struct Argument {
    /// The name of an option; `None` for the command after `--`.
    option: Option<String>,
    /// Its values; empty if the option takes none.
    values: Vec<String>,
    /// The subcommands that take it too; `None` for an option of all.
    taken_by: Option<Vec<String>>,
}

impl Typed {
    /// The arguments of `command` that were typed.
    pub(super) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else { return Self::default() };
        let Some(subcommand) = command.find_subcommand(name) else { return Self::default() };
        let typed = subcommand.get_arguments().filter(|arg| {
            let is_typed = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            is_typed && !is_left_out(arg, subcommand)
        });
        Self(typed.map(|arg| Argument::of(arg, command, matches)).collect())
    }

    /// Adds the API unless it was typed: it may come from a variable or a pasted URL, and without it the default region
    /// would be used.
    pub(super) fn add_api(&mut self, api: &Api) {
        let is_typed = self.0.iter().any(|arg| arg.option.as_deref() == Some("api"));
        if !is_typed && *api != Api::default() {
            let values = vec![api.to_string()];
            self.0.push(Argument { option: Some("api".to_owned()), values, taken_by: None });
        }
    }

    /// The command that continues with the subcommand `target`, with the typed arguments that it takes.
    pub(super) fn go_on(&self, target: &'static str) -> GoOn {
        let is_taken = |names: &Vec<String>| names.iter().any(|name| name == target);
        let taken = self.0.iter().filter(|arg| arg.taken_by.as_ref().is_none_or(is_taken));
        let (mut options, mut then) = (Vec::new(), Vec::new());
        for Argument { option, values, .. } in taken {
            match option {
                Some(name) if values.is_empty() => options.push((name.clone(), None)),
                Some(name) => options.extend(values.iter().map(|value| (name.clone(), Some(value.clone())))),
                None => then.clone_from(values),
            }
        }
        GoOn::new(target).with(options).then(then)
    }
}

impl Argument {
    fn of(arg: &Arg, command: &clap::Command, matches: &ArgMatches) -> Self {
        let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let values = values.filter(|_| arg.get_action().takes_values()).map(|value| match is_path {
            // The command must work in any directory.
            true => of_path(&disk::absolute(Path::new(value))),
            false if arg.get_long().is_some() => of_value(&value.to_string_lossy()),
            false => value.to_string_lossy().into_owned(),
        });
        let mut values: Vec<String> = values.collect();
        let option = arg.get_long().map(str::to_owned);
        // A command that contains a secret is left out.
        if option.is_none() && values.iter().any(|word| has_secret(word)) {
            values.clear();
        }
        Self { option, values, taken_by: takers(command, arg) }
    }
}

/// Whether an argument of `subcommand` is not repeated, because it describes or names an export, or names a place.
fn is_left_out(arg: &Arg, subcommand: &clap::Command) -> bool {
    let request = subcommand.get_groups().find(|group| group.get_id() == REQUEST);
    let is_of_request = request.into_iter().flat_map(ArgGroup::get_args).any(|id| id == arg.get_id());
    is_of_request || arg.get_long().map_or(!arg.is_last_set(), |name| LEFT_OUT.contains(&name))
}

/// A value as it is shown in a command line: unchanged, unless it is a secret.
fn of_value(value: &str) -> String {
    let shown = Text::of_wrong_value(value);
    if shown.as_str().contains("***") { shown.to_string() } else { value.to_owned() }
}

fn of_path(path: &Path) -> String {
    let shown = Text::of_path(path);
    if shown.as_str().contains("***") { shown.to_string() } else { path_as_data(path) }
}

/// Whether a part of a text would be masked.
fn has_secret(text: &str) -> bool {
    let is_hidden = |word: &str| Text::of_input(word).as_str().contains("***") && !word.contains("***");
    text.split_whitespace().any(is_hidden)
}

/// The names of the subcommands that take an argument; `None` if all do.
fn takers(command: &clap::Command, arg: &Arg) -> Option<Vec<String>> {
    let takes =
        |subcommand: &&clap::Command| subcommand.get_arguments().any(|other| other.get_id() == arg.get_id());
    let takers = command.get_subcommands().filter(takes).map(|subcommand| subcommand.get_name().to_owned());
    (!arg.is_global_set()).then(|| takers.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn typed(args: &[&str]) -> Result<Typed, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(args)?;
        Ok(Typed::of(&command, &matches))
    }

    #[test]
    fn typed_options_are_repeated() {
        let rows = [
            ("run", "run --dataset issues --introduced-from -1d --dir a --force", ""),
            ("run", "--api eu run -q --dir=a --max-wait 2h --filter x=y", " --max-wait=2h --api=eu --quiet"),
            ("run", "run --dir a --state run --log-format=json", " --log-format=json"),
            (
                "run",
                "run --dataset issues --format csv --dir a --output json --show-urls --max-size 5MB",
                " --max-size=5MB --output=json --show-urls",
            ),
            ("wait", "start --dataset issues --output json", " --output=json"),
            (
                "run",
                "run --config /a.toml --dir a --token-file=/b --allow-http",
                " --token-file=/b --allow-http=true --config=/a.toml",
            ),
            ("run", "run --dir a -- ./load --dir b run", " -- ./load --dir b run"),
            ("run", "run --dir a -- ./load --token snyk_uat.x", ""),
            (
                "download",
                "run --dir a --max-wait 2h --max-outage 1m -v -- ./load",
                " --max-outage=1m --verbose",
            ),
            ("wait", "status E --in-progress-status A,B", " --in-progress-status=A --in-progress-status=B"),
            ("wait", "download E --dir a --request-timeout 1s", " --request-timeout=1s"),
            ("wait", "wait E --any --group-id E --retry-conflict=false", " --retry-conflict=false"),
        ];
        let id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        for (target, args, expected) in rows {
            let words = args.split(' ').map(|word| if word == "E" { id } else { word });
            let typed = typed(&["snyk-export"].into_iter().chain(words).collect::<Vec<_>>()).unwrap();
            let command = typed.go_on(target).command("E", None);
            assert_eq!(command, format!("snyk-export {target} E{expected}"), "{args}");
        }
    }

    #[test]
    fn a_command_with_a_secret_is_left_out() {
        let go_on = |word: &str| {
            let typed = typed(&["snyk-export", "run", "--dir=a", "--", "sh", "-c", word]).unwrap();
            typed.go_on("run").command("E", None)
        };
        let script = format!("set -e\n./load '{}'", "x".repeat(600));
        assert_eq!(go_on(&script), format!("snyk-export run E -- sh -c {}", crate::words::quoted(&script)));
        for secret in
            ["curl -H 'Authorization: snyk_uat.x'", "API_TOKEN=x1 ./load", "get https://a.example/x?sig=y1"]
        {
            let quoted = go_on(&secret.replace('\'', ""));
            assert_eq!(quoted, "snyk-export run E", "{secret}");
        }
    }

    #[test]
    fn a_region_other_than_the_default_is_added() {
        let rows = [
            ("--quiet", "eu", " --quiet --api=https://api.eu.snyk.io"),
            ("--api=au", "eu", " --api=au"),
            ("-q", "us", " --quiet"),
        ];
        for (option, asked, expected) in rows {
            let mut typed = typed(&["snyk-export", "wait", option]).unwrap();
            typed.add_api(&asked.parse().unwrap());
            assert_eq!(typed.go_on("wait").command("E", None), format!("snyk-export wait E{expected}"));
        }
    }

    #[test]
    fn paths_become_absolute() {
        let typed = typed(&["snyk-export", "run", "--dir", "a", "--ca-cert", "ca.pem"]).unwrap();
        let command = typed.go_on("run").command("E", None);
        let path = command.strip_prefix("snyk-export run E --ca-cert=").unwrap();
        assert!(Path::new(path).is_absolute() && path.ends_with("/ca.pem"), "{command}");
    }

    /// Options of a command that the one that continues does not take.
    const NOT_TAKEN: [(&str, &str, &[&str]); 2] = [
        ("download", "wait", &["max-size", "sync"]),
        (
            "run",
            "download",
            &[
                "show-urls",
                "initial-interval",
                "multiplier",
                "max-interval",
                "jitter",
                "max-wait",
                "not-found-grace",
                "retry-conflict",
                "max-in-progress",
            ],
        ),
    ];

    #[test]
    fn every_option_is_repeated_or_listed() {
        let pairs = [
            ("wait", "wait"),
            ("status", "wait"),
            ("start", "wait"),
            ("download", "wait"),
            ("download", "download"),
            ("run", "run"),
            ("run", "download"),
        ];
        let mut command = Cli::command();
        command.build();
        let mut seen = BTreeSet::new();
        for (from, target) in pairs {
            let not_taken =
                NOT_TAKEN.iter().find(|row| (row.0, row.1) == (from, target)).map_or(&[][..], |row| row.2);
            let subcommand = command.find_subcommand(from).unwrap();
            for arg in subcommand.get_arguments() {
                let Some(name) = arg.get_long().filter(|name| !["help", "version"].contains(name)) else {
                    continue;
                };
                seen.insert(name.to_owned());
                let typed = sample(from, arg);
                let goes_on = typed.go_on(target).command("E", None).contains(&format!(" --{name}"));
                let is_named = is_left_out(arg, subcommand) || not_taken.contains(&name);
                assert_ne!(goes_on, is_named, "--{name} of {from} to {target}");
            }
        }
        let stale: Vec<&str> = LEFT_OUT.into_iter().filter(|name| !seen.contains(*name)).collect();
        assert_eq!(stale, [""; 0]);
    }

    /// A call with the option and the first value that it accepts.
    fn sample(subcommand: &str, arg: &Arg) -> Typed {
        const VALUES: [&str; 12] = [
            "x",
            "1m",
            "1",
            "eu",
            "2024-10-15",
            "json",
            "PENDING=1m",
            "never",
            "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
            "UTC",
            "2025-01-31",
            "x=y",
        ];
        let name = arg.get_long().unwrap();
        let options = match arg.get_action().takes_values() {
            true => VALUES.iter().map(|value| format!("--{name}={value}")).collect(),
            false => vec![format!("--{name}")],
        };
        let needed: &[&str] = match subcommand {
            "download" => &["7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b", "--dir=a"],
            "run" => &["--dir=a"],
            _ => &[],
        };
        let needed: Vec<&&str> =
            needed.iter().filter(|word| !word.starts_with(&format!("--{name}="))).collect();
        let call = |option: &String| {
            let words = ["snyk-export", subcommand, option].into_iter();
            typed(&words.chain(needed.iter().map(|word| **word)).collect::<Vec<_>>()).ok()
        };
        options.iter().find_map(call).unwrap_or_else(|| panic!("no value for --{name} of {subcommand}"))
    }
}
