//! The client of Snyk's Export API: one question, one [`Observation`].
//!
//! A poll is one request, plus what the rules add to it: redirects within the origin, one renewal of a refused
//! credential, one look at the other API version. It is never retried here; the paces of
//! [`watch`](crate::watch) are the one retry layer.

pub mod credentials;
mod expiry;
pub mod problem;
pub mod region;
mod start;
pub mod throttle;
mod token;
mod transport;
pub mod wire;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION};
use url::Url;

pub use self::start::{InFlight, NotStarted, Started};
pub use crate::http::{Roots, TransportError};

use self::credentials::{Credential, Credentials, Refusal};
use self::region::Api;
use self::start::Posting;
use self::transport::{Reply, Transport};
use self::wire::Links;
use crate::clock::Clock;
use crate::export::ExportRef;
use crate::http;
use crate::text::Text;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem};

/// The version of the API that is asked for unless the user says otherwise: the one in Snyk's own page.
pub const DEFAULT_VERSION: &str = "2024-05-10~experimental";

/// The version that became generally available, asked for where the default one is gone.
pub const GA_VERSION: &str = "2024-10-15";

/// How many redirects within the origin are followed.
const MAX_REDIRECTS: usize = 5;

const REQUEST_ID: HeaderName = HeaderName::from_static("snyk-request-id");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const VERSION_SERVED: HeaderName = HeaderName::from_static("snyk-version-served");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Asks the Export API.
pub struct Client {
    api: Api,
    credentials: Credentials,
    transport: Transport,
    clock: Clock,
    links: Links,
    version: Mutex<Version>,
    warned_of_deprecation: AtomicBool,
}

#[derive(Debug, Clone)]
struct Version {
    text: String,
    /// Whether it may still turn out that this version is gone.
    open: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api", &self.api)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Connections to an API; clones share them.
#[derive(Debug, Clone)]
pub struct Connections(Transport);

impl Connections {
    /// Connections to `api`, to be made when they are needed.
    ///
    /// # Errors
    ///
    /// When no certificate authority can be loaded.
    pub fn new(api: &Api, roots: &Roots) -> Result<Self, TransportError> {
        Transport::new(api, roots).map(Self)
    }
}

impl Client {
    /// A client for `api`. A `version` that the user set is never replaced by another.
    ///
    /// # Errors
    ///
    /// When no certificate authority can be loaded.
    pub fn new(
        api: Api,
        version: Option<String>,
        credentials: Credentials,
        roots: &Roots,
        clock: Clock,
    ) -> Result<Self, TransportError> {
        let connections = Connections::new(&api, roots)?;
        Ok(Self::over(connections, api, version, credentials, clock))
    }

    /// The like, over connections that others use too.
    #[must_use]
    pub fn over(
        connections: Connections,
        api: Api,
        version: Option<String>,
        credentials: Credentials,
        clock: Clock,
    ) -> Self {
        let version =
            Version { open: version.is_none(), text: version.unwrap_or_else(|| DEFAULT_VERSION.to_owned()) };
        let warned_of_deprecation = AtomicBool::new(false);
        let (links, version, Connections(transport)) = (Links::Drop, Mutex::new(version), connections);
        Self { api, credentials, transport, clock, links, version, warned_of_deprecation }
    }

    /// Keeps the signed links to results from now on; without this they are dropped as they come.
    #[must_use]
    pub fn keeping_links(self) -> Self {
        Self { links: Links::Keep, ..self }
    }

    /// Whether Snyk has said that the version in use is deprecated or has a last day.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.warned_of_deprecation.load(Ordering::Relaxed)
    }

    /// Asks for the results of an export that has finished: once, like a poll.
    pub async fn results(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.results_url(export, version)).await
    }

    async fn observe(&self, url: impl Fn(&str) -> Url) -> Observation {
        match self.ask(None, url).await {
            Ok(reply) => self.observation(&reply),
            Err(Refusal { failure, hint }) => Observation { answer: Answer::Failure(failure), hint },
        }
    }

    /// Asks in the version that is settled, or settles it: where the default is answered with 404 or 410, the
    /// export is looked for once in the GA version. If it is not there either, the first answer stands, and nothing
    /// is settled: an export that was just created may not be visible yet in the one version that there is.
    async fn ask(&self, posting: Option<&Posting>, url: impl Fn(&str) -> Url) -> Result<Reply, Refusal> {
        let version = self.version();
        let first = self.authorized(posting, url(&version.text)).await?;
        if !version.open {
            return Ok(first);
        }
        if !is_missing(&first) {
            return Ok(first);
        }
        let second = self.authorized(posting, url(GA_VERSION)).await?;
        if is_missing(&second) {
            return Ok(first);
        }
        if self.settle(GA_VERSION) {
            tracing::warn!(
                http.response.status_code = first.http_status,
                snyk.version_requested = %version.text,
                snyk.version_kept = GA_VERSION,
                "the default API version is gone, keeping to the GA version",
            );
        }
        Ok(second)
    }

    fn version(&self) -> Version {
        self.version.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Keeps to a version from now on, and says whether that was still open.
    fn settle(&self, text: &str) -> bool {
        let mut version = self.version.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let was_open = version.open;
        if was_open {
            *version = Version { text: text.to_owned(), open: false };
        }
        was_open
    }

    /// Asks with the current credential, and once more with another if this one is refused.
    async fn authorized(&self, posting: Option<&Posting>, url: Url) -> Result<Reply, Refusal> {
        let credential = self.credentials.current(&self.transport, &self.api).await?;
        let reply = self.follow(posting, url.clone(), &credential).await?;
        if reply.http_status != 401 {
            return Ok(reply);
        }
        match self.credentials.renewed(&credential, &self.transport, &self.api).await? {
            Some(renewed) => Ok(self.follow(posting, url, &renewed).await?),
            None => Ok(reply),
        }
    }

    /// Follows redirects within the origin of `url`, the only place where the credential may go.
    async fn follow(
        &self,
        posting: Option<&Posting>,
        url: Url,
        credential: &Credential,
    ) -> Result<Reply, Failure> {
        let origin = url.origin();
        let mut url = url;
        let mut redirects = 0;
        loop {
            let reply = self.send(posting, url.clone(), credential).await?;
            if !(300..400).contains(&reply.http_status) || posting.is_some() {
                return Ok(reply);
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(rejected(
                    &reply,
                    "redirected too often",
                    &format!("more than {MAX_REDIRECTS} times"),
                ));
            }
            let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(mut target) = location.and_then(|location| url.join(location).ok()) else {
                return Err(rejected(&reply, "redirected to nowhere", "the answer names no valid Location"));
            };
            if target.origin() != origin {
                let detail =
                    format!("{}, where the credential must not go", target.origin().ascii_serialization());
                return Err(rejected(&reply, "redirected to another origin", &detail));
            }
            // The origin says nothing of these, and a link must not choose who we are.
            let _ = target.set_username("");
            let _ = target.set_password(None);
            url = target;
        }
    }

    async fn send(
        &self,
        posting: Option<&Posting>,
        url: Url,
        credential: &Credential,
    ) -> Result<Reply, Failure> {
        let client = self.transport.client();
        let request = match posting {
            None => client.get(url),
            Some(posting) => {
                client.post(url).header(CONTENT_TYPE, "application/vnd.api+json").body(posting.body())
            }
        };
        let request = request.header(ACCEPT, "application/vnd.api+json, application/json;q=0.9");
        let request = request.header(AUTHORIZATION, credential.header().clone()).build();
        let request =
            request.map_err(|error| transport::transient("the request failed", &error.to_string()))?;
        let mut reply = self.transport.send(request).await?;
        posting.into_iter().for_each(Posting::answered);
        reply.forget(credential.token());
        self.warn_of_deprecation(&reply);
        Ok(reply)
    }

    fn warn_of_deprecation(&self, reply: &Reply) {
        let [deprecation, sunset] = [&DEPRECATION, &SUNSET].map(|name| reply.header(name));
        if (deprecation.is_none() && sunset.is_none())
            || self.warned_of_deprecation.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let said = |text: Option<Text>| text.map_or_else(|| "not said".to_owned(), |text| text.to_string());
        tracing::warn!(
            snyk.version = reply.header(&VERSION_SERVED).map(|text| text.to_string()),
            snyk.deprecation = %said(deprecation),
            snyk.sunset = %said(sunset),
            "the API version is deprecated",
        );
    }

    fn observation(&self, reply: &Reply) -> Observation {
        let hint = self.hint(reply);
        let report = (reply.http_status == 200).then(|| wire::report(&reply.body, self.links)).flatten();
        if report.is_some() {
            self.settle(&self.version().text);
        }
        let missing = "the answer holds no status";
        let answer = report.map_or_else(|| Answer::Failure(failure(reply, missing)), Answer::Status);
        Observation { answer, hint }
    }

    fn hint(&self, reply: &Reply) -> Option<Duration> {
        throttle::hint(reply.http_status, &reply.headers, self.clock.now())
    }
}

impl Poller for Client {
    async fn poll(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.status_url(export, version)).await
    }
}

fn is_missing(reply: &Reply) -> bool {
    FailureKind::of_http_status(reply.http_status) == FailureKind::NotFound
}

fn rejected(reply: &Reply, title: &str, detail: &str) -> Failure {
    let problem = Problem {
        http_status: Some(reply.http_status),
        request_id: reply.header(&REQUEST_ID),
        ..Problem::new(title, detail)
    };
    Failure { kind: FailureKind::Rejected, problem }
}

/// What an answer means that does not hold what it was asked for; `missing` says what that is.
fn failure(reply: &Reply, missing: &str) -> Failure {
    let request_id = reply.header(&REQUEST_ID);
    if !(200..300).contains(&reply.http_status) {
        let problem = problem::problem(reply.http_status, &reply.body);
        let kind = FailureKind::of_http_status(reply.http_status);
        return Failure { kind, problem: Problem { request_id, ..problem } };
    }
    let content_type =
        reply.header(&CONTENT_TYPE).map_or_else(|| "no content type".to_owned(), |text| text.to_string());
    let excerpt = http::excerpt(&reply.body).map_or_else(|| "nothing".to_owned(), |text| text.to_string());
    let problem = Problem {
        http_status: Some(reply.http_status),
        request_id,
        ..Problem::new(missing, &format!("{content_type}: {excerpt}"))
    };
    Failure { kind: FailureKind::Transient, problem }
}
