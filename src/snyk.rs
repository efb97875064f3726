//! The client of Snyk's Export API: one request, one [`Observation`].
//!
//! A poll is one request, plus what the rules add to it: redirects within the origin, one renewal of a refused
//! credential, one request in the other API version. Nothing is retried here: the paces of [`watch`](crate::watch) are the
//! only retry layer.

mod credential;
pub mod credentials;
mod decode;
mod look;
pub mod problem;
pub mod region;
mod sieve;
mod start;
pub mod throttle;
mod token;
mod transport;
mod version;
pub mod wire;

use std::fmt;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderName, LOCATION,
};
use url::Url;

pub use self::look::{Look, Tokens};
pub use self::start::{InFlight, NotStarted, Started};
pub use self::transport::Connections;
pub use self::version::{DEFAULT_VERSION, GA_VERSION};
pub use crate::http::{Network, TransportError};

pub(crate) use self::transport::Reply;
pub(crate) use self::version::Version;

use self::credentials::{Credential, Credentials, Source};
use self::region::Api;
use self::start::Posting;
use self::transport::Unanswered;
use crate::export::ExportRef;
use crate::http;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Observation, Poller, Problem};

/// How many redirects within the origin are followed.
const MAX_REDIRECTS: usize = 5;

/// What to do about a 410. Snyk answers 410 for some hours before it removes an endpoint or a version.
const RETIRED: &str = "this endpoint or API version was retired, maybe only for hours: set another version with \
    --api-version YYYY-MM-DD, or try again later";

/// What to do about a page of HTML: Snyk's API sends none.
const PAGE: &str = "a proxy, a firewall or a login page on the way to Snyk wrote this page: have it let requests to the API \
    through, or check HTTPS_PROXY, NO_PROXY and --api";

/// What to do about a 407, which only a proxy sends. The one of a variable names itself.
const PROXY: &str = "have the proxy before the API let snyk-export in without a login, or name it with USER:PASSWORD@ in HTTPS_PROXY \
    (HTTP_PROXY, if the API speaks plain http)";

/// What to do about a redirect that cannot be followed.
const REDIRECTED: &str = "Snyk's API does not redirect: a login page (single sign-on), a proxy or another server answered in \
    its place; have it let requests to the API through, or check --api and SNYK_API";

const REQUEST_ID: HeaderName = HeaderName::from_static("snyk-request-id");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const VERSION_SERVED: HeaderName = HeaderName::from_static("snyk-version-served");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// A client of the Export API.
pub struct Client {
    api: Api,
    credentials: Credentials,
    connections: Connections,
    /// Whether signed links are kept. Most commands do not need them.
    keeps_links: bool,
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

    /// Like [`new`](Self::new), but over connections that other clients share.
    #[must_use]
    pub fn over(
        connections: Connections,
        api: Api,
        version: Option<String>,
        credentials: Credentials,
    ) -> Self {
        Self { api, credentials, connections, keeps_links: false, version: Version::new(version) }
    }

    /// This client's credentials, for another client whose credentials come from `source`: if that is the same, and can be read
    /// only once.
    pub(crate) async fn credentials_read_once(&self, source: &Source) -> Option<Credentials> {
        self.credentials.read_once(source).await
    }

    /// Keeps the signed links to results. Without this they are dropped when they arrive.
    #[must_use]
    pub fn keeping_links(self) -> Self {
        Self { keeps_links: true, ..self }
    }

    /// Whether Snyk says that the version in use is deprecated or has a last day.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.version.is_deprecated()
    }

    /// The API that is used.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// How the API is reached.
    #[must_use]
    pub const fn network(&self) -> &Network {
        self.connections.network()
    }

    /// What time it is, as the API says within `limit`. The request has no credential.
    pub(crate) async fn date(&self, limit: Duration) -> Option<Moment> {
        let client = self.connections.client();
        let request = client.get(self.api.url().clone()).build().ok()?;
        let asked = tokio::time::timeout(limit, self.connections.send(client, request, false)).await;
        let reply = asked.ok()?.ok()?;
        reply.headers.contains_key(DATE).then(|| http::answered_at(&reply.headers))
    }

    /// Requests the results of a finished export, once.
    pub async fn results(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.results_url(export, version)).await
    }

    async fn observe(&self, url: impl Fn(&str) -> Url) -> Observation {
        match self.ask(None, url).await {
            Ok(reply) => observation(reply),
            Err(Unanswered { failure, hint }) => Observation { answer: Err(failure), hint },
        }
    }

    /// Sends a request in the version in use, and perhaps in the GA version too.
    async fn ask(&self, posting: Option<&Posting>, url: impl Fn(&str) -> Url) -> Result<Reply, Unanswered> {
        self.version.ask(|version| self.authorized(posting, url(&version))).await
    }

    /// Sends a request with the current credential. If that is refused and another one can be had, sends it once more.
    async fn authorized(&self, posting: Option<&Posting>, url: Url) -> Result<Reply, Unanswered> {
        let credential = self.credentials.current(&self.connections, &self.api).await?;
        let reply = self.follow(posting, url.clone(), &credential).await?;
        if reply.http_status != 401 {
            self.credentials.accepted().await;
            return Ok(reply);
        }
        match self.credentials.renewed(&credential, &self.connections, &self.api).await? {
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
            let rejected = |title, detail: &str| {
                let cure = Some(Text::new(REDIRECTED));
                Err(reply.failure(FailureKind::Rejected, Problem { cure, ..Problem::new(title, detail) }))
            };
            if redirects > MAX_REDIRECTS {
                return rejected("redirected too often", &format!("more than {MAX_REDIRECTS} times"));
            }
            let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(mut target) = location.and_then(|location| url.join(location).ok()) else {
                return rejected("redirected to nowhere", "the answer names no valid Location");
            };
            if target.origin() != origin {
                let target = target.origin().ascii_serialization();
                let detail = format!("{target}, where the credential must not go");
                return rejected("redirected to another origin", &detail);
            }
            // They are not part of the origin, and a link must not choose our credentials.
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
        let failed =
            |error: &dyn std::error::Error| Failure::transient("the request failed", &error.to_string());
        let client = match posting {
            None => self.connections.client().clone(),
            Some(_) => self.connections.apart(&self.api).map_err(|error| failed(&error))?,
        };
        let request = match posting {
            // A cache in between may hold an earlier answer.
            None => client.get(url).header(CACHE_CONTROL, "no-cache"),
            Some(posting) => {
                client.post(url).header(CONTENT_TYPE, "application/vnd.api+json").body(posting.body())
            }
        };
        let request = request.header(ACCEPT, "application/vnd.api+json, application/json;q=0.9");
        // Without this header any encoding is permitted.
        let request = request.header(ACCEPT_ENCODING, "identity");
        let request = request.header(AUTHORIZATION, credential.header().clone()).build();
        let request = request.map_err(|error| failed(&error))?;
        let reply = self.connections.send(&client, request, self.keeps_links).await?;
        posting.into_iter().for_each(Posting::answered);
        self.version.note_deprecation(&reply);
        Ok(reply)
    }
}

impl Poller for Client {
    fn route(&self) -> Option<Text> {
        self.connections.network().route(self.api.url())
    }

    async fn poll(&self, export: &ExportRef) -> Observation {
        self.observe(|version| self.api.status_url(export, version)).await
    }
}

/// What an answer to a poll says.
pub(crate) fn observation(mut reply: Reply) -> Observation {
    let hint = throttle::hint(reply.http_status, &reply.headers);
    let listed = std::mem::take(&mut reply.listed);
    let report = (reply.http_status == 200).then(|| wire::report_of(&reply.body, listed)).flatten();
    let answer = report.ok_or_else(|| failure_of_poll(&reply));
    Observation { answer, hint }
}

/// What an answer to a poll means if it holds no status. A refusal that Snyk did not write may come from a gateway, which
/// knows nothing about the export.
fn failure_of_poll(reply: &Reply) -> Failure {
    let mut failure = failure(reply, "the answer holds no status");
    let is_snyks = || reply.headers.contains_key(REQUEST_ID) || problem::has_errors(&reply.body);
    if failure.kind == FailureKind::Rejected && (400..500).contains(&reply.http_status) && !is_snyks() {
        failure.kind = FailureKind::Gateway;
    }
    failure
}

/// What an answer means if it does not hold what was requested. `missing` is the title if the HTTP status is a good one.
fn failure(reply: &Reply, missing: &str) -> Failure {
    // Snyk's load balancers may send a page with a 5xx.
    let is_foreign = reply.http_status < 500 && http::is_page(&reply.body);
    let cure = match reply.http_status {
        407 => Some(Text::new(PROXY)),
        _ if is_foreign => Some(Text::new(PAGE)),
        410 => Some(Text::new(RETIRED)),
        _ => None,
    };
    if !(200..300).contains(&reply.http_status) {
        let problem = Problem { cure, ..problem::problem(reply.http_status, &reply.body) };
        return reply.failure(FailureKind::of_http_status(reply.http_status), problem);
    }
    let content_type = reply.header(&CONTENT_TYPE).unwrap_or_else(|| Text::new("no content type"));
    let excerpt = http::excerpt(&reply.body).unwrap_or_else(|| Text::new("nothing"));
    let problem = Problem { cure, ..Problem::new(missing, &format!("{content_type}: {excerpt}")) };
    reply.failure(FailureKind::Transient, problem)
}
