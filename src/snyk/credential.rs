//! One credential: a token from a variable or a file, as the `Authorization` header.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::region::Api;
use super::token::{self, NotAToken, is_jwt};
use crate::disk::Input;
use crate::moment::Moment;
use crate::secret::Secret;
use crate::text::Text;

/// The largest token file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// A value for the `Authorization` header.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    header: HeaderValue,
    /// As long as this is held, no text shows the token.
    token: Secret,
    /// The API that the token names.
    region: Option<Api>,
}

/// How a token is written into the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// By its form: a JWT is an OAuth access token and is sent as `Bearer`, others are sent as `token`.
    ByForm,
    /// As `Bearer`.
    Bearer,
}

/// Where credentials come from.
#[derive(Debug)]
pub enum Source {
    /// The environment gave the value.
    Value(Credential),
    /// A file holds a token. It may be rewritten while we wait.
    TokenFile(PathBuf),
    /// The file in which the Snyk CLI keeps its configuration.
    SnykCli(PathBuf),
    /// OAuth client credentials, exchanged for access tokens.
    Client {
        /// The client's id.
        id: String,
        /// The client's secret.
        secret: Secret,
    },
}

/// Why there is no usable credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The text is empty.
    #[error("{0} holds no token")]
    Empty(String),
    /// The text is something else.
    #[error("{0} holds no usable token: {1}")]
    NotAToken(String, NotAToken),
    /// The file cannot be read.
    #[error("failed to read the token file {}", Text::of_path(.0))]
    File(PathBuf, #[source] std::io::Error),
}

impl Credential {
    /// The credential in `text`, which may already start with `token ` or `Bearer `. `origin` says in errors where it
    /// comes from.
    ///
    /// # Errors
    ///
    /// When it is empty or cannot be a token.
    pub fn new(text: &str, scheme: Scheme, origin: &str) -> Result<Self, CredentialError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let (given, token) = match text.split_once(char::is_whitespace) {
            Some((word, rest)) if word.eq_ignore_ascii_case("token") => (Some("token"), rest.trim()),
            Some((word, rest)) if word.eq_ignore_ascii_case("bearer") => (Some("Bearer"), rest.trim()),
            _ => (None, text),
        };
        if token.is_empty() || token.eq_ignore_ascii_case("token") || token.eq_ignore_ascii_case("bearer") {
            return Err(CredentialError::Empty(origin.to_owned()));
        }
        let unusable = |why| CredentialError::NotAToken(origin.to_owned(), why);
        token::check(token).map_err(unusable)?;
        let word = match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::ByForm => given.unwrap_or(if is_jwt(token) { "Bearer" } else { "token" }),
        };
        let header = HeaderValue::from_str(&format!("{word} {token}"));
        let mut header = header.map_err(|_| unusable(NotAToken::Characters))?;
        header.set_sensitive(true);
        Ok(Self { header, token: Secret::new(token), region: token::region(token) })
    }

    /// The API that the credential names, if that is one of Snyk's own.
    #[must_use]
    pub const fn region(&self) -> Option<&Api> {
        self.region.as_ref()
    }

    /// What kind of token it is, by its form.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        token::kind(self.token.expose())
    }

    /// When it ends, if it says so itself.
    #[must_use]
    pub fn ends_at(&self) -> Option<Moment> {
        token::ends_at(self.token.expose())
    }

    /// The token, so that a CI system can mask it.
    pub(super) fn token(&self) -> &str {
        self.token.expose()
    }

    /// The header's value, marked as sensitive.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }
}

pub(super) async fn read_file(
    source: &Source,
    path: &Path,
    origin: &str,
) -> Result<Credential, CredentialError> {
    let unreadable = |error| CredentialError::File(path.to_owned(), error);
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_start(&owned)).await;
    let text = read.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(unreadable)?;
    if matches!(source, Source::SnykCli(_)) {
        return cli_credential(&text, origin);
    }
    Credential::new(&text, Scheme::ByForm, origin)
}

/// Reads a file up to a limit: a longer one does not hold a token.
fn read_start(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    Input::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The credential in the Snyk CLI's configuration: an API token under `api`, or after an OAuth login a JSON text with an
/// access token. `endpoint` names the API that the CLI uses.
fn cli_credential(text: &str, origin: &str) -> Result<Credential, CredentialError> {
    #[derive(Deserialize)]
    struct Configuration {
        endpoint: Option<serde_json::Value>,
        api: Option<String>,
        internal_oauth_token_storage: Option<String>,
    }
    #[derive(Deserialize)]
    struct OauthToken {
        access_token: String,
    }
    let empty = || CredentialError::Empty(origin.to_owned());
    let configuration: Configuration = serde_json::from_str(text).map_err(|_| empty())?;
    let credential = match configuration.api.filter(|token| !token.trim().is_empty()) {
        Some(token) => Credential::new(&token, Scheme::ByForm, origin)?,
        None => {
            let stored = configuration.internal_oauth_token_storage.ok_or_else(empty)?;
            let token: OauthToken = serde_json::from_str(&stored).map_err(|_| empty())?;
            Credential::new(&token.access_token, Scheme::Bearer, origin)?
        }
    };
    let endpoint = || Api::of_snyk(configuration.endpoint.as_ref()?.as_str()?);
    Ok(Credential { region: credential.region.or_else(endpoint), ..credential })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

    fn sent(text: &str, scheme: Scheme) -> String {
        Credential::new(text, scheme, "SNYK_TOKEN").unwrap().header().to_str().unwrap().to_owned()
    }

    #[test]
    fn chooses_the_scheme() {
        let rows = [
            ("5f1c2a8e-0000-4000-8000-000000000000", "token 5f1c2a8e-0000-4000-8000-000000000000"),
            ("snyk_uat.1a2b3c4d.eyJoIjoiYSJ9.x-y_z", "token snyk_uat.1a2b3c4d.eyJoIjoiYSJ9.x-y_z"),
            (" abc\n", "token abc"),
            ("\u{feff}abc\r\n", "token abc"),
            ("token abc", "token abc"),
            ("Token  abc", "token abc"),
            ("bearer abc", "Bearer abc"),
            (JWT, &format!("Bearer {JWT}")),
            (&format!("Bearer {JWT}"), &format!("Bearer {JWT}")),
        ];
        for (text, header) in rows {
            assert_eq!(sent(text, Scheme::ByForm), header);
        }
        assert_eq!(sent("abc", Scheme::Bearer), "Bearer abc");
        assert_eq!(sent("bearer abc", Scheme::Bearer), "Bearer abc");
    }

    #[test]
    fn refuses_what_cannot_be_sent_and_never_shows_it() {
        for text in ["", "  ", "token ", "Bearer", "hunter2\nhunter3", "hunter2 hunter3", "hünter2"] {
            let error = Credential::new(text, Scheme::ByForm, "SNYK_TOKEN").unwrap_err().to_string();
            assert!(error.contains("SNYK_TOKEN") && !error.contains("nter2"), "{error}");
        }
        let credential = Credential::new("hunter2", Scheme::ByForm, "x").unwrap();
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn reads_the_file_of_the_snyk_cli() {
        let read = |text: &str| cli_credential(text, "x").map(|c| c.header().to_str().unwrap().to_owned());
        assert_eq!(read(r#"{"api":"abc","endpoint":"https://api.eu.snyk.io"}"#).unwrap(), "token abc");
        let region = |text: &str| {
            let credential = cli_credential(text, "x").unwrap();
            credential.region().map_or("none".to_owned(), ToString::to_string)
        };
        assert_eq!(region(r#"{"api":"abc","endpoint":"https://api.eu.snyk.io"}"#), "https://api.eu.snyk.io");
        assert_eq!(
            region(r#"{"api":"abc","endpoint":"https://app.au.snyk.io/api"}"#),
            "https://api.au.snyk.io"
        );
        for other in [r#""https://evil.example""#, "7", "null"] {
            assert_eq!(region(&format!(r#"{{"api":"abc","endpoint":{other}}}"#)), "none");
        }
        let claims = r#"{"api":"snyk_uat.1a2b3c4d.eyJoIjoiYXBpLnVzLnNueWsuaW8ifQ.x","endpoint":"https://api.eu.snyk.io"}"#;
        assert_eq!(region(claims), "https://api.us.snyk.io", "a token knows better");
        let oauth = r#"{"internal_oauth_token_storage":"{\"access_token\":\"abc\",\"expiry\":\"x\"}"}"#;
        assert_eq!(read(oauth).unwrap(), "Bearer abc");
        for text in ["", "{}", r#"{"api":""}"#, r#"{"internal_oauth_token_storage":"x"}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
