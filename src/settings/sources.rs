//! Reading the layers: variables with the parsers of their flags, and files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args as _, FromArgMatches as _};

use super::layers::Layer;
use super::mistake::Mistake;
use super::{Environment, SettingsError};
use crate::disk::{Look, Pipes};
use crate::text::{self, Text};

/// The variable of a flag. That of `--api` has the name that the Snyk CLI uses; a token file is one of the credentials.
pub(crate) fn variable(flag: &str) -> Option<String> {
    match flag {
        "token-file" => None,
        "api" => Some("SNYK_API".to_owned()),
        _ => Some(format!("SNYK_EXPORT_{}", flag.to_uppercase().replace('-', "_"))),
    }
}

/// The variable of the Snyk CLI for the same key. Like the CLI's own file, it is weaker than all settings of ours.
pub(super) fn alias(flag: &str) -> Option<&'static str> {
    (flag == "api").then_some("SNYK_CFG_ENDPOINT")
}

/// Reads the variables of flags with the parsers of the flags. Variables of given flags are ignored. Also returns what is wrong
/// with the others; those count as unset.
pub(super) fn read_environment(
    environment: &Environment,
    given: &BTreeSet<String>,
) -> (Layer, Vec<SettingsError>) {
    let command = Layer::augment_args(clap::Command::new("environment").no_binary_name(true));
    let (mut arguments, mut mistakes) = (Vec::new(), Vec::new());
    for flag in command.get_arguments().filter_map(clap::Arg::get_long).filter(|flag| !given.contains(*flag))
    {
        let Some(name) = variable(flag) else { continue };
        let Some(value) = environment.get(&name).map(str::trim) else { continue };
        let argument = format!("--{flag}={value}");
        match command.clone().try_get_matches_from([&argument]) {
            Ok(_) => arguments.push(argument),
            Err(error) => mistakes.push(SettingsError::wrong(name, why_invalid(&error, value))),
        }
    }
    let matches = command.try_get_matches_from(arguments);
    let layer = matches.and_then(|matches| Layer::from_arg_matches(&matches)).unwrap_or_else(|error| {
        mistakes.push(SettingsError::wrong("the environment", error));
        Layer::default()
    });
    (layer, mistakes)
}

/// Variables that look like ours and are not, each with the name that it may be meant to have.
pub(super) fn unknown_variables(environment: &Environment) -> Vec<(String, Option<String>)> {
    let layer = Layer::augment_args(clap::Command::new("environment"));
    let flags = layer.get_arguments().filter_map(clap::Arg::get_long).filter_map(variable);
    let known: Vec<String> = flags.chain(["SNYK_EXPORT_CONFIG".to_owned()]).collect();
    let ours = environment.names().filter_map(|name| Some((name, name.strip_prefix("SNYK_EXPORT_")?)));
    let unknown = ours.filter(|(name, rest)| !is_set_by_others(rest) && !known.iter().any(|it| it == name));
    unknown.map(|(name, rest)| (name.to_owned(), nearest(name, rest, &known))).collect()
}

/// Whether this is the rest of a name that we set for commands and later jobs, or that Kubernetes and Docker set for a service
/// called `snyk-export`.
fn is_set_by_others(rest: &str) -> bool {
    const OUTPUTS: [&str; 7] = ["OUTCOME", "STATUS", "EXPORT_ID", "ROW_COUNT", "DIR", "FILES", "REQUEST_ID"];
    let of_service = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];
    let is_of_service = of_service.iter().any(|part| {
        let after = rest.strip_prefix(part).or_else(|| Some(rest.split_once(&format!("_{part}"))?.1));
        after.is_some_and(|after| after.is_empty() || after.starts_with('_'))
    });
    rest.starts_with("RESULT_") || OUTPUTS.contains(&rest) || is_of_service
}

fn nearest(name: &str, rest: &str, known: &[String]) -> Option<String> {
    const OTHERS: [&str; 6] =
        ["SNYK_API", "SNYK_TOKEN", "SNYK_TOKEN_FILE", "SNYK_GROUP_ID", "SNYK_ORG_ID", "SNYK_OAUTH_TOKEN"];
    let other = OTHERS.into_iter().find(|other| other.strip_prefix("SNYK_") == Some(rest));
    other.or_else(|| text::nearest(name, known.iter().map(String::as_str), 3)).map(str::to_owned)
}

/// The useful part of clap's message, without the flag, which nobody gave, and without the hint about `--help`.
fn why_invalid(error: &clap::Error, value: &str) -> String {
    let message = error.to_string().replace(value, Text::of_wrong_value(value).as_str());
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    let without_flag = |(before, rest): (&str, &str)| Some(format!("{before}{}", rest.split_once('\'')?.1));
    let message = message.split_once(" for '--").and_then(without_flag).unwrap_or_else(|| message.to_owned());
    // A reason that names the value needs no introduction.
    let named =
        message.split_once("': ").filter(|(_, why)| why.starts_with('`')).map(|(_, why)| why.to_owned());
    named.unwrap_or(message)
}

/// Reads a settings file. Also returns how it looked before.
pub(super) fn read_file(path: PathBuf, pipes: &Pipes) -> Result<((PathBuf, String), Look), SettingsError> {
    match pipes.read_with_look(&path) {
        Ok((text, look)) => Ok(((path, text.to_string()), look)),
        Err(error) => Err(SettingsError::Unreadable(path, error)),
    }
}

pub(super) fn parse_file(path: &Path, text: &str) -> Result<Layer, SettingsError> {
    toml::from_str(text).map_err(|error| SettingsError::File(Mistake::new(path, text, &error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_none_of_ours_is_named_with_the_nearest() {
        let rows = [
            ("SNYK_EXPORT_MAXWAIT", Some("SNYK_EXPORT_MAX_WAIT")),
            ("SNYK_EXPORT_MAX_WAITS", Some("SNYK_EXPORT_MAX_WAIT")),
            ("SNYK_EXPORT_CONFG", Some("SNYK_EXPORT_CONFIG")),
            ("SNYK_EXPORT_TOKEN_FILE", Some("SNYK_TOKEN_FILE")),
            ("SNYK_EXPORT_API", Some("SNYK_API")),
            ("SNYK_EXPORT_DATABASE", None),
        ];
        for (name, near) in rows {
            let environment: Environment = [(name.to_owned(), "x".to_owned())].into_iter().collect();
            assert_eq!(unknown_variables(&environment), [(name.to_owned(), near.map(str::to_owned))]);
        }
        let ours = [
            "SNYK_EXPORT_MAX_WAIT",
            "SNYK_EXPORT_CONFIG",
            "SNYK_EXPORT_RESULT_OUTCOME",
            "SNYK_EXPORT_OUTCOME",
            "SNYK_EXPORT_SERVICE_HOST",
            "SNYK_EXPORT_SERVICE_PORT_HTTP",
            "SNYK_EXPORT_PORT",
            "SNYK_EXPORT_PORT_8686_TCP_ADDR",
            "SNYK_EXPORT_API_SERVICE_HOST",
            "SNYK_EXPORT_API_PORT_80_TCP",
            "SNYK_TOKEN",
        ];
        let environment: Environment =
            ours.map(|name| (name.to_owned(), "x".to_owned())).into_iter().collect();
        assert_eq!(unknown_variables(&environment), []);
    }
}
