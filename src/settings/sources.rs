//! Reading the layers: variables with the parsers of their flags, and files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args as _, FromArgMatches as _};

use super::layers::Layer;
use super::mistake::Mistake;
use super::{Environment, SettingsError};
use crate::disk;
use crate::text::Text;

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

/// Reads the variables of flags with the parsers of the flags. Variables of given flags are ignored.
pub(super) fn read_environment(
    environment: &Environment,
    given: &BTreeSet<String>,
) -> Result<Layer, SettingsError> {
    let command = Layer::augment_args(clap::Command::new("environment").no_binary_name(true));
    let mut arguments = Vec::new();
    for flag in command.get_arguments().filter_map(clap::Arg::get_long).filter(|flag| !given.contains(*flag))
    {
        let Some(name) = variable(flag) else { continue };
        let Some(value) = environment.get(&name) else { continue };
        let argument = format!("--{flag}={value}");
        if let Err(error) = command.clone().try_get_matches_from([&argument]) {
            return Err(SettingsError::wrong(name, why_invalid(&error, value)));
        }
        arguments.push(argument);
    }
    let matches = command.try_get_matches_from(arguments);
    matches
        .and_then(|matches| Layer::from_arg_matches(&matches))
        .map_err(|error| SettingsError::wrong("the environment", error))
}

/// The useful part of clap's message, without the hint about `--help`.
fn why_invalid(error: &clap::Error, value: &str) -> String {
    let message = error.to_string().replace(value, Text::of_wrong_value(value).as_str());
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    message.split("\n\nFor more information").next().unwrap_or(message).to_owned()
}

pub(super) fn read_file(path: PathBuf) -> Result<(PathBuf, String), SettingsError> {
    match disk::read_text(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(SettingsError::Unreadable(path, error)),
    }
}

pub(super) fn parse_file(path: &Path, text: &str) -> Result<Layer, SettingsError> {
    toml::from_str(text).map_err(|error| SettingsError::File(Mistake::new(path, text, &error)))
}
