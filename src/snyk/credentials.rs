//! Who we are to Snyk: where a credential comes from, how it is sent, and how it is renewed.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

pub use super::token::NotAToken;

use super::region::Api;
use super::token::{self, is_jwt};
use super::transport::{Reply, Transport, transient};
use super::{problem, throttle};
use crate::clock::Clock;
use crate::disk::Input;
use crate::moment::Moment;
use crate::secret::Secret;
use crate::secret_file;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind};

/// How long before its end an access token is replaced, at most; a fifth of its life if that is shorter.
const RENEW_BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// A value for the `Authorization` header.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    header: HeaderValue,
    /// Held as long as the credential is, so that no text shows it.
    token: Secret,
    /// The API that it says it is for.
    region: Option<Api>,
}

/// How a token goes into the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// By the look of it: a JWT is an OAuth access token and goes as `Bearer`, others go as `token`.
    ByForm,
    /// As `Bearer`.
    Bearer,
}

/// Where credentials come from.
#[derive(Debug)]
pub enum Source {
    /// The environment gave the value.
    Value(Credential),
    /// A file holds a token, and may be rewritten while we wait.
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

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is nothing in it.
    #[error("{0} holds no token")]
    Empty(String),
    /// It is something else.
    #[error("{0} holds no usable token: {1}")]
    NotAToken(String, NotAToken),
    /// The file cannot be read.
    #[error("failed to read the token file {}", Text::of_path(.0))]
    File(PathBuf, #[source] std::io::Error),
}

impl Credential {
    /// The credential in `text`, which may already begin with `token ` or `Bearer `. `origin` names where it
    /// comes from, for the error.
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

    /// The API that the credential says it is for, if that is one of Snyk's own.
    #[must_use]
    pub const fn region(&self) -> Option<&Api> {
        self.region.as_ref()
    }

    /// The header's value, marked as sensitive.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }
}

#[derive(Debug)]
struct Grant {
    credential: Credential,
    renew_at: Option<Moment>,
    /// Since when the file that could renew it cannot be read.
    unreadable_since: Option<Moment>,
}

impl Grant {
    const fn new(credential: Credential, renew_at: Option<Moment>) -> Self {
        Self { credential, renew_at, unreadable_since: None }
    }
}

/// More than any file with a token holds, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// How long a token file may be missing or empty, as it is while somebody rewrites it.
const FILE_GRACE: Duration = Duration::from_secs(5);

/// A source of credentials, and the one in use.
pub struct Credentials {
    source: Source,
    /// Where they come from, as people know it.
    origin: String,
    region: Option<Api>,
    clock: Clock,
    grant: Mutex<Option<Grant>>,
    /// Told of each token that is exchanged for, before it is used.
    on_exchange: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Credentials {
    /// Credentials from `source`; a file is read now, so that a mistake is seen before anything is asked. `origin` names
    /// the source for people.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or holds no token.
    pub async fn load(source: Source, origin: &str, clock: Clock) -> Result<Self, CredentialError> {
        let credential = match &source {
            Source::Value(credential) => Some(credential.clone()),
            Source::Client { .. } => None,
            Source::TokenFile(path) | Source::SnykCli(path) => {
                let credential = read_file(&source, path, origin).await?;
                secret_file::warn_if_open(path);
                Some(credential)
            }
        };
        let region = credential.as_ref().and_then(Credential::region).cloned();
        let grant = credential.map(|credential| Grant::new(credential, None));
        Ok(Self {
            source,
            origin: origin.to_owned(),
            region,
            clock,
            grant: Mutex::new(grant),
            on_exchange: Box::new(|_| {}),
        })
    }

    /// Tells of each access token that is exchanged for, before it is used.
    #[must_use]
    pub fn telling(self, on_exchange: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { on_exchange: Box::new(on_exchange), ..self }
    }

    /// The API that the credential said it is for when it was loaded, if that is one of Snyk's own.
    #[must_use]
    pub const fn region(&self) -> Option<&Api> {
        self.region.as_ref()
    }

    /// The credential to send now. An access token is asked for if there is none or if it is about to end.
    pub(super) async fn current(&self, transport: &Transport, api: &Api) -> Result<Credential, Refusal> {
        let mut grant = self.grant.lock().await;
        let now = self.clock.now();
        match &*grant {
            Some(grant) if grant.renew_at.is_none_or(|renew_at| now < renew_at) => {
                Ok(grant.credential.clone())
            }
            _ => self.exchange(&mut grant, transport, api).await,
        }
    }

    /// Another credential than `refused`, which was answered with 401; nothing where there is no other.
    pub(super) async fn renewed(
        &self,
        refused: &Credential,
        transport: &Transport,
        api: &Api,
    ) -> Result<Option<Credential>, Refusal> {
        let mut grant = self.grant.lock().await;
        if let Some(grant) = grant.as_ref().filter(|grant| grant.credential != *refused) {
            return Ok(Some(grant.credential.clone()));
        }
        match &self.source {
            Source::Value(_) => Ok(None),
            Source::Client { .. } => self.exchange(&mut grant, transport, api).await.map(Some),
            Source::TokenFile(path) | Source::SnykCli(path) => {
                let credential = match read_file(&self.source, path, &self.origin).await {
                    Ok(credential) => credential,
                    Err(error) => return self.unreadable(grant.as_mut(), &error),
                };
                let is_new = credential != *refused;
                if let Some(region) = api.contradicted_by(credential.region()).filter(|_| is_new) {
                    tracing::warn!(
                        credential.source = self.origin,
                        credential.region = %region,
                        snyk.api = %api,
                        "the new token is of another region, which is asked after a restart or a reload",
                    );
                }
                *grant = Some(Grant::new(credential.clone(), None));
                Ok(is_new.then_some(credential))
            }
        }
    }

    /// Notes that the credential in use was accepted: a file that cannot be read the next time has its grace anew.
    pub(super) async fn accepted(&self) {
        if let Some(grant) = self.grant.lock().await.as_mut() {
            grant.unreadable_since = None;
        }
    }

    /// A file that cannot be read may be there again soon; after a while the refusal stands.
    fn unreadable(
        &self,
        grant: Option<&mut Grant>,
        error: &CredentialError,
    ) -> Result<Option<Credential>, Refusal> {
        let now = self.clock.now();
        let since = grant.map_or(now, |grant| *grant.unreadable_since.get_or_insert(now));
        if now.since(since) >= FILE_GRACE {
            return Ok(None);
        }
        Err(transient("the token could not be read again", &report(error)).into())
    }

    async fn exchange(
        &self,
        grant: &mut Option<Grant>,
        transport: &Transport,
        api: &Api,
    ) -> Result<Credential, Refusal> {
        let Source::Client { id, secret } = &self.source else {
            return Err(transient("no credential", "there is none to send").into());
        };
        let form =
            [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.expose())];
        let request = transport.client().post(api.token_url()).header(ACCEPT_ENCODING, "identity");
        let request = request.form(&form).build();
        let request = request.map_err(|error| transient("the token request failed", &report(&error)))?;
        let reply = transport.send(request).await?;
        let fresh = access_token(&reply, self.clock.now())?;
        let credential = fresh.credential.clone();
        (self.on_exchange)(credential.token.expose());
        *grant = Some(fresh);
        Ok(credential)
    }
}

/// Why there is no credential, and for how long not to ask again.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) hint: Option<Duration>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, hint: None }
    }
}

#[derive(Deserialize)]
struct TokenAnswer<'a> {
    access_token: String,
    /// Seconds, as a number or as a text.
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
}

fn access_token(reply: &Reply, now: Moment) -> Result<Grant, Refusal> {
    if reply.http_status != 200 {
        let mut problem = problem::problem(reply.http_status, &reply.body);
        problem.request_id = reply.header(&super::REQUEST_ID);
        let title = problem.title.map_or_else(String::new, |title| format!(": {title}"));
        problem.title = Some(Text::new(&format!("the OAuth client got no access token{title}")));
        let kind = FailureKind::of_http_status(reply.http_status);
        let is_redirect = (300..400).contains(&reply.http_status);
        let passes = matches!(kind, FailureKind::Transient | FailureKind::Throttled) || is_redirect;
        let kind = if passes { kind } else { FailureKind::Unauthorized };
        let hint = throttle::hint(reply.http_status, &reply.headers);
        return Err(Refusal { failure: Failure { kind, problem }, hint });
    }
    let unusable =
        || transient("the OAuth client got no access token", "the answer to the token request holds none");
    let answer: TokenAnswer<'_> = serde_json::from_slice(&reply.body).map_err(|_| unusable())?;
    let credential =
        Credential::new(&answer.access_token, Scheme::Bearer, "the answer").map_err(|_| unusable())?;
    let seconds = answer.expires_in.and_then(|raw| raw.get().trim_matches('"').trim().parse().ok());
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let renew_at = life.map(|life| now.plus(life - RENEW_BEFORE_END.min(life / 5)));
    Ok(Grant::new(credential, renew_at))
}

async fn read_file(source: &Source, path: &Path, origin: &str) -> Result<Credential, CredentialError> {
    let unreadable = |error| CredentialError::File(path.to_owned(), error);
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_start(&owned)).await;
    let text = read.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(unreadable)?;
    if matches!(source, Source::SnykCli(_)) {
        return cli_credential(&text, origin);
    }
    Credential::new(&text, Scheme::ByForm, origin)
}

/// What a file begins with; one that is longer than any token is the wrong file, and need not be read.
fn read_start(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    Input::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The Snyk CLI keeps an API token under `api`, or, after its OAuth login, a JSON text with an access token; and beside
/// it, as `endpoint`, the API that it asks.
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

/// An error with its causes in one line.
fn report(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_read_has_its_grace_each_time_anew() {
        let clock = Clock::start();
        let credential = Credential::new("hunter2", Scheme::ByForm, "x").unwrap();
        let credentials = Credentials::load(Source::Value(credential), "a test", clock).await.unwrap();
        let missing = CredentialError::Empty("x".to_owned());
        let refused = async || credentials.unreadable(credentials.grant.lock().await.as_mut(), &missing);
        assert!(refused().await.is_err(), "it may be there again soon");
        tokio::time::advance(FILE_GRACE).await;
        assert!(matches!(refused().await, Ok(None)), "the refusal stands");
        credentials.accepted().await;
        tokio::time::advance(Duration::from_secs(24 * 60 * 60)).await;
        assert!(refused().await.is_err(), "what was missing weeks ago says nothing of now");
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
