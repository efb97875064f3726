//! The credential in use, and how it is renewed.

use std::fmt;
use std::time::Duration;

use reqwest::header::ACCEPT_ENCODING;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

pub use super::credential::{Credential, CredentialError, Scheme, Source};
pub use super::token::NotAToken;

use super::credential::read_file;
use super::region::Api;
use super::transport::{Connections, Reply, Unanswered};
use super::{problem, throttle};
use crate::clock::Clock;
use crate::disk::can_be_read_once;
use crate::moment::Moment;
use crate::secret_file;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind};

/// How long before it expires an access token is renewed: at most this, or a fifth of its lifetime if that is shorter.
const RENEW_BEFORE_END: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
struct Grant {
    credential: Credential,
    renew_at: Option<Moment>,
    /// Since when the token file cannot be read.
    unreadable_since: Option<Moment>,
}

impl Grant {
    const fn new(credential: Credential, renew_at: Option<Moment>) -> Self {
        Self { credential, renew_at, unreadable_since: None }
    }
}

/// How long a token file may be missing or empty: it is while it is being rewritten.
const FILE_GRACE: Duration = Duration::from_secs(5);

/// A source of credentials, and the one in use.
pub struct Credentials {
    source: Source,
    /// Where the credentials come from, for messages.
    origin: String,
    region: Option<Api>,
    clock: Clock,
    grant: Mutex<Option<Grant>>,
    /// Is called with each new access token before the token is used.
    on_exchange: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Credentials {
    /// Credentials from `source`. A file is read now, so that a mistake shows before anything is requested. `origin` names
    /// the source in messages.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or holds no token.
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

    /// These credentials for another client, if they come from this source and it can be read only once.
    pub(super) async fn read_once(&self, source: &Source) -> Option<Self> {
        let (Source::TokenFile(ours), Source::TokenFile(theirs)) = (&self.source, source) else {
            return None;
        };
        if ours != theirs || !can_be_read_once(ours) {
            return None;
        }
        let grant = self.grant.lock().await.as_ref().map(|grant| Grant::new(grant.credential.clone(), None));
        Some(Self {
            source: Source::TokenFile(ours.clone()),
            origin: self.origin.clone(),
            region: self.region.clone(),
            clock: self.clock,
            grant: Mutex::new(grant),
            on_exchange: Box::new(|_| {}),
        })
    }

    /// Calls `on_exchange` with each new access token before the token is used.
    #[must_use]
    pub fn telling(self, on_exchange: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { on_exchange: Box::new(on_exchange), ..self }
    }

    /// The API that the credential named when it was loaded, if that is one of Snyk's own.
    #[must_use]
    pub const fn region(&self) -> Option<&Api> {
        self.region.as_ref()
    }

    /// What kind of credential it is, and when it ends, if it says so itself.
    pub async fn kind(&self) -> (&'static str, Option<Moment>) {
        match (&self.source, &*self.grant.lock().await) {
            (Source::Client { .. }, _) => ("an OAuth client", None),
            (_, Some(grant)) => (grant.credential.kind(), grant.credential.ends_at()),
            (_, None) => ("a credential", None),
        }
    }

    /// The credential to send now. An access token is requested if there is none or if it is about to expire.
    pub(super) async fn current(
        &self,
        connections: &Connections,
        api: &Api,
    ) -> Result<Credential, Unanswered> {
        let mut grant = self.grant.lock().await;
        let now = self.clock.now();
        match &*grant {
            Some(grant) if grant.renew_at.is_none_or(|renew_at| now < renew_at) => {
                Ok(grant.credential.clone())
            }
            _ => self.exchange(&mut grant, connections, api).await,
        }
    }

    /// Another credential than `refused`, which was answered with 401. `None` if there is no other.
    pub(super) async fn renewed(
        &self,
        refused: &Credential,
        connections: &Connections,
        api: &Api,
    ) -> Result<Option<Credential>, Unanswered> {
        let mut grant = self.grant.lock().await;
        if let Some(grant) = grant.as_ref().filter(|grant| grant.credential != *refused) {
            return Ok(Some(grant.credential.clone()));
        }
        match &self.source {
            Source::Value(_) => Ok(None),
            Source::Client { .. } => self.exchange(&mut grant, connections, api).await.map(Some),
            // The writer of a pipe has gone.
            Source::TokenFile(path) | Source::SnykCli(path) if can_be_read_once(path) => Ok(None),
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
                        "the new token names another region, which is used after a restart or a reload",
                    );
                }
                *grant = Some(Grant::new(credential.clone(), None));
                Ok(is_new.then_some(credential))
            }
        }
    }

    /// Notes that the credential was accepted. If the file cannot be read later, it gets its full grace period again.
    pub(super) async fn accepted(&self) {
        if let Some(grant) = self.grant.lock().await.as_mut() {
            grant.unreadable_since = None;
        }
    }

    /// A file that cannot be read may soon be back: a transient failure, until the grace period is over.
    fn unreadable(
        &self,
        grant: Option<&mut Grant>,
        error: &CredentialError,
    ) -> Result<Option<Credential>, Unanswered> {
        let now = self.clock.now();
        let since = grant.map_or(now, |grant| *grant.unreadable_since.get_or_insert(now));
        if now.since(since) >= FILE_GRACE {
            return Ok(None);
        }
        Err(Failure::transient("the token could not be read again", &report(error)).into())
    }

    async fn exchange(
        &self,
        grant: &mut Option<Grant>,
        connections: &Connections,
        api: &Api,
    ) -> Result<Credential, Unanswered> {
        let Source::Client { id, secret } = &self.source else {
            return Err(Failure::transient("no credential", "there is none to send").into());
        };
        let form =
            [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.expose())];
        let request = connections.client().post(api.token_url()).header(ACCEPT_ENCODING, "identity");
        let request = request.form(&form).build();
        let request =
            request.map_err(|error| Failure::transient("the token request failed", &report(&error)))?;
        let reply = connections.send(connections.client(), request, false).await?;
        let fresh = access_token(&reply, self.clock.now())?;
        let credential = fresh.credential.clone();
        (self.on_exchange)(credential.token());
        *grant = Some(fresh);
        Ok(credential)
    }
}

#[derive(Deserialize)]
struct TokenAnswer<'a> {
    access_token: String,
    /// Seconds, as a number or as a string.
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
}

fn access_token(reply: &Reply, now: Moment) -> Result<Grant, Unanswered> {
    let title = "the OAuth client got no access token";
    if reply.http_status != 200 {
        let mut problem = problem::problem(reply.http_status, &reply.body);
        let reason = problem.title.map_or_else(String::new, |reason| format!(": {reason}"));
        problem.title = Some(Text::new(&format!("{title}{reason}")));
        let kind = FailureKind::of_http_status(reply.http_status);
        let is_redirect = (300..400).contains(&reply.http_status);
        let passes = matches!(kind, FailureKind::Transient | FailureKind::Throttled) || is_redirect;
        let kind = if passes { kind } else { FailureKind::Unauthorized };
        let hint = throttle::hint(reply.http_status, &reply.headers);
        return Err(Unanswered { failure: reply.failure(kind, problem), hint });
    }
    let unusable = || Failure::transient(title, "the answer to the token request holds none");
    let answer: TokenAnswer<'_> = serde_json::from_slice(&reply.body).map_err(|_| unusable())?;
    let credential =
        Credential::new(&answer.access_token, Scheme::Bearer, "the answer").map_err(|_| unusable())?;
    let seconds = answer.expires_in.and_then(|raw| raw.get().trim_matches('"').trim().parse().ok());
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let renew_at = life.map(|life| now.plus(life - RENEW_BEFORE_END.min(life / 5)));
    Ok(Grant::new(credential, renew_at))
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

    #[tokio::test(start_paused = true)]
    async fn an_unreadable_token_file_gets_its_full_grace_period_each_time() {
        let clock = Clock::start();
        let credential = Credential::new("hunter2", Scheme::ByForm, "x").unwrap();
        let credentials = Credentials::load(Source::Value(credential), "a test", clock).await.unwrap();
        let missing = CredentialError::Empty("x".to_owned());
        let refused = async || credentials.unreadable(credentials.grant.lock().await.as_mut(), &missing);
        assert!(refused().await.is_err(), "it may be back soon");
        tokio::time::advance(FILE_GRACE).await;
        assert!(matches!(refused().await, Ok(None)), "the refusal stands");
        credentials.accepted().await;
        tokio::time::advance(Duration::from_secs(24 * 60 * 60)).await;
        assert!(refused().await.is_err(), "a file that was missing weeks ago does not count");
    }
}
