//! `[server]`: where the daemon listens, and which tokens it accepts.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::entry::{Entry, secret_in, unusable};
use crate::disk::Pipes;
use crate::http::is_loopback_address;
use crate::secret::{Placeholder, Secret};
use crate::secret_file::warn_if_open;
use crate::settings::layers::ServerValues;
use crate::settings::places::Step;
use crate::settings::sources::read_file;
use crate::settings::values::Listen;
use crate::settings::{DEFAULTS, Environment, Settings, SettingsError};
use crate::text::Text;

/// The shortest token, in characters: clients can try any number of tokens.
const SHORTEST_TOKEN: usize = 16;

/// Where the daemon listens, and which tokens it accepts.
#[derive(Debug)]
pub struct ServerSettings {
    /// The address.
    pub listen: Listen,
    /// The bearer tokens, one of which `/v1` requires. Empty if only this machine can reach the server.
    pub tokens: Vec<Secret>,
    /// A second address for metrics and health.
    pub metrics_listen: Option<Listen>,
}

pub(super) fn server(settings: &Settings) -> Result<ServerSettings, SettingsError> {
    let ServerValues { listen, metrics_listen, token_file } = &settings.server;
    let entry = Entry::new(&settings.places, &[Step::Key("server")], "[server]");
    token_file.as_deref().into_iter().for_each(warn_if_open);
    let read = |path| tokens(path, entry.pipes());
    let tokens = token_file.as_deref().map(read).transpose().map_err(entry.at("token-file"))?;
    let tokens = tokens.unwrap_or_default();
    if tokens.is_empty() && !is_loopback_address(listen.first().ip()) {
        return Err(entry.at("listen")(format!(
            "listen = \"{listen}\" can be reached from other machines: [server] needs a `token-file` then, or listen on \
             loopback, such as 127.0.0.1:8686"
        )));
    }
    Ok(ServerSettings { listen: listen.clone(), tokens, metrics_listen: metrics_listen.clone() })
}

/// The tokens in a file, one a line: while one replaces another, both are there.
fn tokens(path: &Path, pipes: &Pipes) -> Result<Vec<Secret>, String> {
    let all = secret_in(path, pipes)?;
    let lines = all.expose().lines().map(str::trim).filter(|line| !line.is_empty());
    let checked = |token: &str| {
        if let Some(placeholder) = Placeholder::of(token) {
            return Err(unusable(Text::of_path(path), placeholder));
        }
        match token.len() >= SHORTEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Secret::new(token)),
            false => Err(format!(
                "the token in {} must have {SHORTEST_TOKEN} characters or more, without blanks; if there are several, one a \
                 line, each must: `openssl rand -hex 32` makes one",
                Text::of_path(path)
            )),
        }
    };
    lines.map(checked).collect()
}

/// Where the daemon of a settings file is reached, and with which token.
#[derive(Debug)]
pub struct Reached {
    /// The address of the API.
    pub listen: Listen,
    /// That of metrics and health, if they have their own.
    pub metrics_listen: Option<Listen>,
    /// The first token, if there is one, or why it cannot be read.
    pub token: Result<Option<Secret>, SettingsError>,
}

/// Where the daemon of a settings file is reached.
///
/// Everything else in the file is ignored: a daemon that keeps its old settings because of a mistake in the new ones is well.
///
/// # Errors
///
/// When the file cannot be read, or what it gives as an address is not one.
pub fn reached(file: Option<&Path>, environment: &Environment) -> Result<Reached, SettingsError> {
    let text = file.map(|path| read_file(path.to_owned(), environment.pipes())).transpose()?;
    let of_file = |key| text.as_ref().and_then(|((_, text), _)| said(text, key));
    let place =
        |key| format!("{}, [server] {key}", Text::of_path(file.unwrap_or(Path::new("config/default.toml"))));
    let address = |key: &'static str, text: String| {
        text.parse().map_err(|why: &str| SettingsError::wrong(place(key), why))
    };
    let token = of_file("token-file").map(|path| {
        let path = environment.expanded(Path::new(&path));
        path.and_then(|path| first_token(&path, environment.pipes()))
            .map_err(|why| SettingsError::wrong(place("token-file"), why))
    });
    let listen = of_file("listen").or_else(|| said(DEFAULTS, "listen")).unwrap_or_default();
    let metrics_listen = of_file("metrics-listen").map(|text| address("metrics-listen", text));
    Ok(Reached {
        listen: address("listen", listen)?,
        metrics_listen: metrics_listen.transpose()?,
        token: token.transpose(),
    })
}

/// The token of the API in a file.
///
/// # Errors
///
/// When the file cannot be read, or has none.
pub fn token_of(path: &Path) -> Result<Secret, SettingsError> {
    first_token(path, &Pipes::default()).map_err(|why| SettingsError::wrong("--api-token-file", why))
}

/// The first token in a file. All are masked in texts: another program that answers at the address may repeat one.
fn first_token(path: &Path, pipes: &Pipes) -> Result<Secret, String> {
    let none = || format!("{} is empty", Text::of_path(path));
    tokens(path, pipes)?.into_iter().next().ok_or_else(none)
}

/// The value of a key of `[server]` in a file that may be partly wrong.
fn said(text: &str, key: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let value = table.get_ref().get("server")?.get_ref().as_table()?.get(key)?.get_ref();
    Some(DeValue::as_str(value).unwrap_or_default().to_owned())
}
