//! `[[notify]]`: the receivers of notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::EndpointSettings;
use super::entry::{Entry, read_secret};
use super::sections::NotifySection;
use super::values::{Kind, OutcomeWord};
use crate::http::{Network, is_loopback, parse_url};
use crate::notify::{EndpointKind, OwnHeaders, SigningKey};
use crate::secret::Secret;
use crate::secret_file;
use crate::settings::environment::SECRET_VARIABLES;
use crate::settings::places::Step;
use crate::settings::{Environment, Settings, SettingsError};
use crate::text::Text;

/// How long a command may take unless the settings say otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// How many messages Slack gets in a minute, unless the settings say otherwise: it takes one a second.
const OF_SLACK: u32 = 60;

/// The variables that every command gets.
const NEEDED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// All endpoints, each name once.
pub(super) fn all(settings: &Settings, network: &Network) -> Result<Vec<EndpointSettings>, SettingsError> {
    let mut names = BTreeSet::new();
    let mut endpoints = Vec::new();
    for (index, section) in settings.layers.iter().flat_map(|layer| &layer.notify).enumerate() {
        let steps = [Step::Key("notify"), Step::Index(index)];
        let entry = Entry::new(&settings.places, &steps, "[[notify]]");
        let name = section.name.as_ref().ok_or_else(|| entry.lacks("name"))?;
        if !names.insert(name.clone()) {
            return Err(entry.at("name")(format!(
                "there is another endpoint called `{}`: each needs a name of its own",
                Text::of_wrong_value(&name.0)
            )));
        }
        endpoints.push(endpoint(section, name.to_string(), entry, settings, network)?);
    }
    Ok(endpoints)
}

fn endpoint(
    section: &NotifySection,
    name: String,
    entry: Entry<'_>,
    settings: &Settings,
    network: &Network,
) -> Result<EndpointSettings, SettingsError> {
    let kind = section.kind.ok_or_else(|| entry.lacks("kind"))?;
    if let Some(key) = foreign_key(section, kind) {
        let kind = format!("{kind:?}").to_lowercase();
        return Err(entry.at(key)(format!("`{key}` is not for an endpoint of kind \"{kind}\"")));
    }
    let kind = match kind {
        Kind::Webhook | Kind::Slack => receiver(kind, &name, section, entry, settings, network)?,
        Kind::Command => command(section, entry, settings)?,
    };
    let usual = if matches!(kind, EndpointKind::Slack { .. }) { OF_SLACK } else { 0 };
    let max_per_minute = NonZeroU32::new(section.max_per_minute.unwrap_or(usual));
    let words = |words: &Vec<OutcomeWord>| -> BTreeSet<String> {
        words.iter().map(|word| word.0.as_str().to_owned()).collect()
    };
    let on = section.on.as_ref().map(words);
    if on.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(entry.at("on")("`on` is empty: leave it out to be notified of every outcome"));
    }
    Ok(EndpointSettings { name, on, max_per_minute, kind })
}

/// An endpoint that is reached by HTTP.
fn receiver(
    kind: Kind,
    name: &str,
    section: &NotifySection,
    entry: Entry<'_>,
    settings: &Settings,
    network: &Network,
) -> Result<EndpointKind, SettingsError> {
    let (url, text) = address(section, entry)?;
    network.prepare(&url).map_err(|error| entry.error(error))?;
    let others_can_read = url.scheme() != "https" && !is_loopback(&url);
    if kind == Kind::Slack {
        return match others_can_read && !settings.allows_http() {
            true => Err(entry.error(
                "the address of a Slack webhook is a secret, which others could read over plain http: use https, or \
                 `allow-http` in [snyk] if nobody else can listen",
            )),
            false => Ok(EndpointKind::Slack { url: text }),
        };
    }
    if others_can_read {
        tracing::warn!(endpoint = name, "notifications go over plain http");
    }
    let headers = own_headers(section, entry)?;
    if headers.has("authorization") && (!url.username().is_empty() || url.password().is_some()) {
        let why = "it sets `authorization`, and so do the user and password in the URL: use one of them";
        return Err(entry.at("headers-file")(why));
    }
    Ok(EndpointKind::Webhook { url, secret: signing_key(section, entry)?, headers })
}

fn command(
    section: &NotifySection,
    entry: Entry<'_>,
    settings: &Settings,
) -> Result<EndpointKind, SettingsError> {
    let argv = section.argv.as_ref().ok_or_else(|| entry.lacks("argv"))?;
    let (program, args) = found_command(argv, settings.environment()).map_err(entry.at("argv"))?;
    let timeout = section.timeout.map_or(COMMAND_TIMEOUT, |timeout| timeout.0);
    let listed = section.env.as_deref().unwrap_or_default();
    let environment = variables(listed, settings.environment()).map_err(entry.at("env"))?;
    Ok(EndpointKind::Command { program, args, environment, timeout })
}

/// The environment of a command: what every program needs, and what the settings list. Unset variables stay unset.
fn variables(listed: &[String], environment: &Environment) -> Result<BTreeMap<String, String>, String> {
    if let Some(name) = listed.iter().find(|name| !is_variable(name)) {
        return Err(format!(
            "`{}` is not the name of a variable: list names only, such as \"DATABASE_URL\"; the values come from the \
             environment",
            Text::new(name)
        ));
    }
    if let Some(name) = listed.iter().find(|name| is_credential(name)) {
        return Err(format!(
            "`{name}` may contain a credential for Snyk, which commands never get: leave it out"
        ));
    }
    let names = NEEDED.into_iter().chain(listed.iter().map(String::as_str));
    Ok(names.filter_map(|name| Some((name.to_owned(), environment.get(name)?.to_owned()))).collect())
}

/// Whether a variable may contain a credential for Snyk, or a part of one.
fn is_credential(name: &str) -> bool {
    SECRET_VARIABLES.contains(&name) || name == "SNYK_CLIENT_ID"
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|char: char| char.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A key that does not apply to endpoints of this kind.
fn foreign_key(section: &NotifySection, kind: Kind) -> Option<&'static str> {
    let is_sent = kind != Kind::Command;
    let keys = [
        ("url", section.url.is_some(), is_sent),
        ("url-file", section.url_file.is_some(), is_sent),
        ("secret-file", section.secret_file.is_some(), kind == Kind::Webhook),
        ("headers-file", section.headers_file.is_some(), kind == Kind::Webhook),
        ("argv", section.argv.is_some(), !is_sent),
        ("env", section.env.is_some(), !is_sent),
        ("timeout", section.timeout.is_some(), !is_sent),
    ];
    keys.into_iter().find(|(_, given, fits)| *given && !fits).map(|(key, ..)| key)
}

/// The URL to send to, also as the secret that it may be.
fn address(section: &NotifySection, entry: Entry<'_>) -> Result<(Url, Secret), SettingsError> {
    let (text, key) = match (&section.url, &section.url_file) {
        (Some(text), None) => (text.0.clone(), "url"),
        (None, Some(path)) => (read_secret(path, entry).map_err(entry.at("url-file"))?, "url-file"),
        (None, None) | (Some(_), Some(_)) => {
            return Err(entry.error("it needs either `url` or `url-file`"));
        }
    };
    // The error does not show the text, which may be a secret.
    let wrong = |why: &str| entry.at(key)(why);
    let url = parse_url(text.expose()).map_err(|why| wrong(&why))?;
    let has_password = !url.username().is_empty() || url.password().is_some();
    if has_password && key == "url" {
        return Err(wrong(
            "it contains credentials: put it into a separate file, and name that as `url-file`",
        ));
    }
    Ok((url, Secret::new(text.expose().trim())))
}

fn signing_key(section: &NotifySection, entry: Entry<'_>) -> Result<Option<SigningKey>, SettingsError> {
    let Some(path) = &section.secret_file else { return Ok(None) };
    let read = || {
        let text = read_secret(path, entry)?;
        SigningKey::new(text.expose()).map_err(|error| format!("{}: {error}", Text::of_path(path)))
    };
    read().map(Some).map_err(entry.at("secret-file"))
}

fn own_headers(section: &NotifySection, entry: Entry<'_>) -> Result<OwnHeaders, SettingsError> {
    let Some(path) = &section.headers_file else { return Ok(OwnHeaders::default()) };
    let name = Text::of_path(path);
    let read = || {
        let text = entry.pipes().read(path).map_err(|error| format!("failed to read {name}: {error}"))?;
        secret_file::warn_if_open(path);
        OwnHeaders::new(&text).map_err(|error| format!("{name}: {error}"))
    };
    read().map_err(entry.at("headers-file"))
}

/// The file of the program, which is found now and runs later, and its arguments.
fn found_command(argv: &[String], environment: &Environment) -> Result<(PathBuf, Vec<String>), String> {
    let (program, args) =
        argv.split_first().filter(|(program, _)| !program.is_empty()).ok_or("`argv` is missing")?;
    let missing = || {
        let program = Text::of_path(Path::new(program));
        format!("`{program}` cannot be run: there is no such executable file here or in PATH")
    };
    Ok((environment.executable(OsStr::new(program)).ok_or_else(missing)?, args.to_vec()))
}
