//! Values of the daemon's sections as people write them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;
use url::Url;

use crate::secret::Secret;
use crate::settings::values::deserialize_from_text;
use crate::watch::outcome::Outcome;

/// The longest name of an account or an endpoint, in characters.
const LONGEST_NAME: usize = 64;

/// The name of an account or an endpoint. Logs, metrics and ids contain it, so it is plain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(in crate::settings) Arc<str>);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        let valid = !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(plain);
        let expected =
            || format!("expected a name of letters, digits, `-`, `_` and `.`, {LONGEST_NAME} at most");
        valid.then(|| Self(Arc::from(text))).ok_or_else(expected)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of the SQLite file that keeps watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreUrl(pub(in crate::settings) PathBuf);

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an absolute path such as `sqlite:///var/lib/snyk-export/watches.db`";
        let text = text.trim();
        if ["postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(format!("this release supports SQLite only; {EXPECTED}"));
        }
        // A relative path would be another file in each working directory. A variable may have the first directories.
        let (path, is_whole) = match text.strip_prefix("sqlite://") {
            Some(path) if path.starts_with('/') => (path.to_owned(), true),
            Some(path) if path.starts_with("${") => (format!("/{path}"), false),
            _ => return Err(EXPECTED.to_owned()),
        };
        let url = Url::parse(&format!("file://{path}")).map_err(|_| EXPECTED)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a store takes no options after `?` or `#`; {EXPECTED}"));
        }
        let path = url.to_file_path().ok().filter(|_| !url.path().ends_with('/'));
        let path = path.ok_or(EXPECTED)?;
        Ok(Self(if is_whole { path } else { path.strip_prefix("/").unwrap_or(&path).to_owned() }))
    }
}

/// The kind of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A webhook that receives CloudEvents.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A command on this machine.
    Command,
}

/// A word for how a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutcomeWord(pub(super) Outcome);

impl FromStr for OutcomeWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("expected one of {}", Outcome::ALL.map(Outcome::as_str).join(", "));
        Outcome::from_word(text).map(Self).ok_or_else(expected)
    }
}

/// A text that may be a secret, such as the URL of a Slack webhook.
#[derive(Debug, Clone)]
pub(crate) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

deserialize_from_text! {
    Name: "a name in quotes",
    StoreUrl: "a URL in quotes such as \"sqlite:///var/lib/snyk-export/watches.db\"",
    OutcomeWord: "an outcome in quotes, such as \"finished\"",
}
