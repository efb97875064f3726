//! The client of Snyk's Export API: one question, one [`Observation`].
//!
//! A poll is one request, plus what the rules add to it: redirects within the origin, one renewal of a refused
//! credential, one look at the other API version. It is never retried here; the paces of
//! [`watch`](crate::watch) are the one retry layer.

pub mod credentials;
mod decode;
mod expiry;
pub mod problem;
pub mod region;
mod start;
pub mod throttle;
mod token;
mod transport;
mod version;
pub mod wire;

use std::fmt;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION,
};
use url::Url;

pub use self::start::{InFlight, NotStarted, Started};
pub use self::version::{DEFAULT_VERSION, GA_VERSION};
pub use crate::http::{Network, TransportError};

pub(crate) use self::transport::Reply;
pub(crate) use self::version::Version;

use self::credentials::{Credential, Credentials, Refusal};
use self::region::Api;
use self::start::Posting;
use self::transport::Transport;
use self::wire::Links;
use crate::export::ExportRef;
use crate::http;
use crate::text::Text;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem};

/// How many redirects within the origin are followed.
const MAX_REDIRECTS: usize = 5;

/// What to do about a 410. Snyk answers so for hours before it removes something.
const RETIRED: &str = "this endpoint or API version was retired, maybe only for hours: set another version with \
    --api-version YYYY-MM-DD, or try again later";

const REQUEST_ID: HeaderName = HeaderName::from_static("snyk-request-id");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const VERSION_SERVED: HeaderName = HeaderName::from_static("snyk-version-served");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Asks the Export API.
pub struct Client {
    api: Api,
    credentials: Credentials,
    transport: Transport,
    links: Links,
    version: Version,
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
    /// When there is no certificate to trust.
    pub fn new(api: &Api, network: &Network) -> Result<Self, TransportError> {
        Transport::new(api, network).map(Self)
    }
}

impl From<reqwest::Client> for Connections {
    fn from(client: reqwest::Client) -> Self {
        Self(Transport::by(client))
    }
}

impl Client {
    /// A client for `api`. A `version` that the user set is never replaced by another.
    ///
    /// # Errors
    ///
    /// When there is no certificate to trust.
    pub fn new(
        api: Api,
        version: Option<String>,
        credentials: Credentials,
        network: &Network,
    ) -> Result<Self, TransportError> {
        let connections = Connections::new(&api, network)?;
        Ok(Self::over(connections, api, version, credentials))
    }

    /// The like, over connections that others use too.
    #[must_use]
    pub fn over(
        connections: Connections,
        api: Api,
        version: Option<String>,
        credentials: Credentials,
    ) -> Self {
        let (links, version, Connections(transport)) = (Links::Drop, Version::new(version), connections);
        Self { api, credentials, transport, links, version }
    }

    /// Keeps the signed links to results from now on; without this they are dropped as they come.
    #[must_use]
    pub fn keeping_links(self) -> Self {
        Self { links: Links::Keep, ..self }
    }

    /// Whether Snyk says of the version in use that it is deprecated or has a last day.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.version.is_deprecated()
    }

    /// The API that is asked.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// How the API is reached.
    #[must_use]
    pub const fn network(&self) -> &Network {
        self.transport.network()
    }

    /// Asks for the results of an export that has finished: once, like a poll.
    pub async fn results(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.results_url(export, version)).await
    }

    async fn observe(&self, url: impl Fn(&str) -> Url) -> Observation {
        match self.ask(None, url).await {
            Ok(reply) => observation(&reply, self.links),
            Err(Refusal { failure, hint }) => Observation { answer: Answer::Failure(failure), hint },
        }
    }

    /// Asks in the version in use, and maybe in the other.
    async fn ask(&self, posting: Option<&Posting>, url: impl Fn(&str) -> Url) -> Result<Reply, Refusal> {
        self.version.ask(|version| self.authorized(posting, url(&version))).await
    }

    /// Asks with the current credential, and once more with another if this one is refused.
    async fn authorized(&self, posting: Option<&Posting>, url: Url) -> Result<Reply, Refusal> {
        let credential = self.credentials.current(&self.transport, &self.api).await?;
        let reply = self.follow(posting, url.clone(), &credential).await?;
        if reply.http_status != 401 {
            self.credentials.accepted().await;
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
        let apart = posting.map(|_| self.transport.apart(&self.api)).transpose();
        let apart = apart.map_err(|error| transport::transient("the request failed", &error.to_string()))?;
        let client = apart.as_ref().unwrap_or_else(|| self.transport.client());
        let request = match posting {
            // A cache on the way may have kept an earlier answer.
            None => client.get(url).header(CACHE_CONTROL, "no-cache"),
            Some(posting) => {
                client.post(url).header(CONTENT_TYPE, "application/vnd.api+json").body(posting.body())
            }
        };
        let request = request.header(ACCEPT, "application/vnd.api+json, application/json;q=0.9");
        // Saying nothing would permit any encoding.
        let request = request.header(ACCEPT_ENCODING, "identity");
        let request = request.header(AUTHORIZATION, credential.header().clone()).build();
        let request =
            request.map_err(|error| transport::transient("the request failed", &error.to_string()))?;
        let reply = self.transport.send_over(client, request).await?;
        posting.into_iter().for_each(Posting::answered);
        self.version.note_deprecation(&reply);
        Ok(reply)
    }
}

impl Poller for Client {
    fn route(&self) -> Option<Text> {
        self.transport.network().route(self.api.url())
    }

    async fn poll(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.status_url(export, version)).await
    }
}

/// What an answer to a poll says.
pub(crate) fn observation(reply: &Reply, links: Links) -> Observation {
    let hint = throttle::hint(reply.http_status, &reply.headers);
    let report = (reply.http_status == 200).then(|| wire::report(&reply.body, links)).flatten();
    let answer = report.map_or_else(|| Answer::Failure(failure_of_poll(reply)), Answer::Status);
    Observation { answer, hint }
}

fn rejected(reply: &Reply, title: &str, detail: &str) -> Failure {
    let problem = Problem {
        http_status: Some(reply.http_status),
        request_id: reply.header(&REQUEST_ID),
        ..Problem::new(title, detail)
    };
    Failure { kind: FailureKind::Rejected, problem }
}

/// What an answer to a poll means that holds no status. A refusal that Snyk did not write may be a gateway's, which
/// knows nothing of the export.
fn failure_of_poll(reply: &Reply) -> Failure {
    let mut failure = failure(reply, "the answer holds no status");
    let is_snyks = reply.headers.contains_key(REQUEST_ID) || problem::has_errors(&reply.body);
    if failure.kind == FailureKind::Rejected && (400..500).contains(&reply.http_status) && !is_snyks {
        failure.kind = FailureKind::Gateway;
    }
    failure
}

/// What an answer means that does not hold what it was asked for; `missing` says what that is.
fn failure(reply: &Reply, missing: &str) -> Failure {
    let request_id = reply.header(&REQUEST_ID);
    if !(200..300).contains(&reply.http_status) {
        let problem = problem::problem(reply.http_status, &reply.body);
        let kind = FailureKind::of_http_status(reply.http_status);
        let cure = (reply.http_status == 410).then(|| Text::new(RETIRED));
        return Failure { kind, problem: Problem { request_id, cure, ..problem } };
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
