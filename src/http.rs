//! What is common to all HTTP requests, to Snyk, storage and receivers of notifications: certificates, proxies, reading error
//! bodies, and why a request got no response.

mod encoding;
mod failure;
mod lanes;
mod loopback;
mod proxies;
mod reach;
mod trust;
mod tunnel;
mod validity;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use url::Url;

pub(crate) use self::encoding::Encoding;
pub(crate) use self::failure::cut_off;
pub(crate) use self::loopback::{is_loopback, is_loopback_address, is_loopback_name};
pub use self::proxies::{Exempt, Proxies, Proxy};
pub use self::reach::Reach;
pub(crate) use self::reach::Resolver;
pub use self::trust::Store;
pub(crate) use self::trust::{Counted, read_certificates};

use self::lanes::Lanes;
use self::trust::Trust;

use crate::clock::Clock;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::observation::Failure;

/// How much of the body of an error is read, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// How long to wait for the body of an error: it usually comes with the head.
const ERROR_BODY_TIME: Duration = Duration::from_millis(300);

/// How much of a body that is not JSON is shown, in characters.
pub(crate) const EXCERPT_CHARS: usize = 200;

/// How requests reach others: the trusted certificates and the proxies. Clones share the certificates, which are read once.
#[derive(Debug, Clone, Default)]
pub struct Network {
    trust: Arc<Trust>,
    proxies: Arc<Proxies>,
    /// A thread for each peer, in the daemon, so that no peer delays the others.
    lanes: Option<Arc<Lanes>>,
}

/// The client could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "failed to set up TLS: {why}; SSL_CERT_FILE, SSL_CERT_DIR and --ca-cert say which certificates are trusted"
)]
pub struct TransportError {
    why: Text,
}

impl TransportError {
    fn new(why: &str) -> Self {
        Self { why: Text::new(why) }
    }
}

impl Network {
    /// Trusts the certificates in `added` besides those that `store` names, or those of the system.
    #[must_use]
    pub fn new(added: Vec<CertificateDer<'static>>, store: Store, proxies: Proxies) -> Self {
        Self { trust: Arc::new(Trust::new(added, store)), proxies: Arc::new(proxies), lanes: None }
    }

    /// The same, with a thread for each peer, so that no peer delays the others.
    #[must_use]
    pub fn with_threads(self) -> Self {
        Self { lanes: Some(Arc::default()), ..self }
    }

    /// Sends a request, and returns the answer once its head has arrived.
    ///
    /// # Errors
    ///
    /// When there is no answer, or when it is a proxy's that wants a login.
    pub(crate) async fn send(&self, client: &Client, request: Request) -> Result<Response, Failure> {
        let url = request.url().clone();
        let sent = client.execute(request);
        let answered = match &self.lanes {
            Some(lanes) => lanes.run(&url, sent).await.map_err(|_| failure::flood())?,
            None => sent.await,
        };
        let response = match answered {
            Ok(response) => response,
            Err(error) => return Err(failure::of(&error, self).await),
        };
        let is_passed_on = response.url().scheme() == "http" && response.status().as_u16() == 407;
        match self.proxies.of(response.url()).filter(|_| is_passed_on) {
            Some(proxy) => Err(failure::login(proxy)),
            None => Ok(response),
        }
    }

    /// Reads the certificates that requests to `url` need, to find errors before anything is sent, and at a time when reading
    /// may block.
    ///
    /// # Errors
    ///
    /// When there is nothing to trust.
    pub fn prepare(&self, url: &Url) -> Result<(), TransportError> {
        self.tls(url).map(drop)
    }

    /// The TLS configuration for `url`; for plain http no certificate is read.
    fn tls(&self, url: &Url) -> Result<ClientConfig, TransportError> {
        let is_https = |url: &Url| url.scheme() == "https";
        match is_https(url) || self.proxies.of(url).is_some_and(|proxy| is_https(&proxy.url)) {
            true => self.trust.config(),
            false => trust::nobody(),
        }
    }

    /// The proxy for requests to `url`, with the variable that names it.
    #[must_use]
    pub fn proxy(&self, url: &Url) -> Option<String> {
        self.proxies.of(url).map(|proxy| format!("{proxy} ({})", proxy.variable))
    }

    /// Through which proxy requests to `url` go, for the message of a failure; `None` for loopback.
    pub(crate) fn route(&self, url: &Url) -> Option<Text> {
        self.proxies.route(url).map(|route| Text::new(&route))
    }

    /// The resolver for names in links with this reach.
    pub(crate) fn resolver(&self, reach: Reach) -> Resolver {
        Resolver::new(reach, &self.proxies)
    }
}

/// Parses a URL from a file, a variable or an option, where white space surrounds it at most. The error does not show the text,
/// which may be a secret.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    // The parser would leave line breaks out, and make one URL of two.
    if text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err(
            "it has white space or a line break inside: give one URL, with %20 for a blank".to_owned()
        );
    }
    let url = Url::parse(text).map_err(|error| format!("it is not a valid URL ({error})"))?;
    match url.scheme() {
        "https" | "http" => Ok(url),
        _ => Err("its scheme is neither https nor http".to_owned()),
    }
}

/// A client for the host of `url`. It follows no redirects and never retries. The caller adds its own `options`.
pub(crate) fn client(
    url: &Url,
    network: &Network,
    options: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, TransportError> {
    let builder = Client::builder()
        .user_agent(concat!("snyk-export/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .tls_backend_preconfigured(network.tls(url)?);
    let builder = if network.proxies.is_empty() {
        builder
    } else {
        let proxies = Arc::clone(&network.proxies);
        let of = move |url: &Url| proxies.of(url).map(|proxy| proxy.url.clone());
        builder.proxy(reqwest::Proxy::custom(of))
    };
    options(builder).build().map_err(|error| TransportError::new(&innermost(&error)))
}

/// Reads the body of an error, as far as it arrives soon.
pub(crate) async fn read_error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ERROR_BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_ERROR_BODY {
                break;
            }
        }
    };
    // A body that is late changes the message, not the decision.
    let _ = tokio::time::timeout(ERROR_BODY_TIME, reading).await;
    body
}

/// Whether a body is a page of HTML.
pub(crate) fn is_page(body: &[u8]) -> bool {
    let lower = String::from_utf8_lossy(body).to_ascii_lowercase();
    lower.contains("<html") || lower.contains("<!doctype html")
}

/// The beginning of a body that is not JSON, or the title of an HTML page.
pub(crate) fn excerpt(body: &[u8]) -> Option<Text> {
    let is_page = is_page(body);
    let body = String::from_utf8_lossy(body);
    if is_page {
        let lower = body.to_ascii_lowercase();
        let title = lower.find("<title>").and_then(|start| body.get(start + 7..)?.split('<').next());
        let title = title.and_then(Text::non_empty);
        return Some(
            title.map_or(Text::new("an HTML page"), |title| Text::new(&format!("an HTML page, “{title}”"))),
        );
    }
    Text::non_empty(&Text::new(&body).as_str().chars().take(EXCERPT_CHARS).collect::<String>())
}

/// `Retry-After`, in seconds or as an HTTP date (RFC 9110 §10.2.3). A value that cannot be parsed is ignored.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let pause = |value: &HeaderValue| {
        let until = || Some(date(value)?.since(answered_at(headers)));
        seconds(value).map(Duration::from_secs).or_else(until)
    };
    headers.get_all(RETRY_AFTER).iter().filter_map(pause).max()
}

/// `Retry-After` of a receiver of notifications: some send seconds with a fraction, which the standard does not have.
pub(crate) fn retry_after_of_receiver(headers: &HeaderMap) -> Option<Duration> {
    let fractions = headers.get_all(RETRY_AFTER).iter().filter_map(with_fraction);
    retry_after(headers).into_iter().chain(fractions).max()
}

/// The `Date` of a response, else our wall clock. Dates of a server are compared with this: its clock may differ from ours, and
/// our monotonic clock stops while the machine is suspended.
pub(crate) fn answered_at(headers: &HeaderMap) -> Moment {
    headers.get(DATE).and_then(date).unwrap_or_else(Clock::wall_now)
}

fn date(value: &HeaderValue) -> Option<Moment> {
    let date = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    date.duration_since(SystemTime::UNIX_EPOCH).ok().map(Moment::from_unix)
}

/// A number of seconds such as `2.5`: digits on both sides of a point.
fn with_fraction(value: &HeaderValue) -> Option<Duration> {
    let (whole, part) = value.to_str().ok()?.trim().split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    let millis: String = part.chars().chain("000".chars()).take(3).collect();
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_millis(millis.parse().ok()?))
}

/// A number of seconds: digits only, without a sign, a fraction or an exponent.
pub(crate) fn seconds(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The message of the root cause: the other errors only say that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_send_a_fraction_of_a_second() {
        let pause = |text| {
            retry_after_of_receiver(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
        };
        for (text, ms) in [("2.5", 2500), ("0.25", 250), ("3.1415", 3141), ("45", 45_000)] {
            assert_eq!(pause(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["1.5.2", ".5", "1.", "-1.5", "1.5e3", "soon", ""] {
            assert_eq!(pause(text), None, "{text}");
        }
    }
}
