//! What all share that send requests over HTTP, to Snyk or to receivers of notifications: certificates, proxies, what
//! is read of an error, and why a request brought no answer.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Response};
use url::{Host, Url};

use crate::clock::Clock;
use crate::moment::Moment;
use crate::text::Text;

/// How much of an error's body is read, to say what it says. The rest does not matter.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// How long an error's body is waited for: it usually comes with the head.
const ERROR_BODY_TIME: Duration = Duration::from_millis(300);

/// How much of a body that is no JSON is shown, in characters.
pub(crate) const EXCERPT_CHARS: usize = 200;

/// Which certificate authorities are trusted.
#[derive(Debug, Default)]
pub struct Roots {
    /// Added to those of the system.
    pub added: Vec<Certificate>,
    /// Whether the user has said which ones to trust in place of the system's (`SSL_CERT_FILE`, `SSL_CERT_DIR`), so
    /// that an empty store must not be made up for with those that are compiled in.
    pub chosen: bool,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to set up TLS: {why}; SSL_CERT_FILE, SSL_CERT_DIR and --ca-cert say which certificates are trusted"
)]
pub struct TransportError {
    why: Text,
}

/// Why a request brought no answer. The URL is left out: it may carry what must not be shown.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Whether it is the server's certificate that is not trusted.
    pub(crate) certificate: bool,
    /// A few words.
    pub(crate) title: &'static str,
    /// What lies at the root of it.
    pub(crate) detail: String,
}

/// A client for the place that `url` names. It follows no redirects and repeats nothing. On loopback no proxy is asked,
/// and over plain http no certificate is loaded. With `options` the caller adds what only its own requests need.
pub(crate) fn client(
    url: &Url,
    roots: &Roots,
    options: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, TransportError> {
    let client = || {
        let builder = Client::builder()
            .user_agent(concat!("snyk-export/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        options(if is_loopback(url) { builder.no_proxy() } else { builder })
    };
    // A second call changes nothing and says so; the provider that is installed then is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let added = || roots.added.iter().cloned();
    let has_store = || roots.chosen || roots.added.is_empty() || client().tls_certs_merge([]).build().is_ok();
    let built = if url.scheme() != "https" {
        client().tls_certs_only([]).build()
    } else if has_store() {
        let system = client().tls_certs_merge(added()).build();
        system.or_else(|error| if roots.chosen { Err(error) } else { bundled(client(), added()) })
    } else {
        bundled(client(), added())
    };
    built.map_err(|error| TransportError { why: Text::new(&innermost(&error)) })
}

/// Trusts the roots that are compiled in, and those that the user adds.
fn bundled(builder: ClientBuilder, added: impl Iterator<Item = Certificate>) -> reqwest::Result<Client> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    builder.tls_certs_only(roots.filter_map(|der| Certificate::from_der(der).ok()).chain(added)).build()
}

/// Whether requests to `url` stay on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

/// An error is an error whether or not its body arrives, and it need not be waited for long.
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
    // Whether it is there in time changes what is said, not what is decided.
    let _ = tokio::time::timeout(ERROR_BODY_TIME, reading).await;
    body
}

/// The beginning of a body that is no JSON; of an HTML page its title.
pub(crate) fn excerpt(body: &[u8]) -> Option<Text> {
    let body = String::from_utf8_lossy(body.get(..4096).unwrap_or(body));
    let lower = body.to_ascii_lowercase();
    if lower.contains("<html") || lower.contains("<!doctype html") {
        let title = lower.find("<title>").and_then(|start| body.get(start + 7..)?.split('<').next());
        let title = title.and_then(Text::non_empty);
        return Some(
            title.map_or(Text::new("an HTML page"), |title| Text::new(&format!("an HTML page, “{title}”"))),
        );
    }
    Text::non_empty(&Text::new(&body).as_str().chars().take(EXCERPT_CHARS).collect::<String>())
}

/// How long the server asks us to stay away: `Retry-After`, in seconds or as an HTTP date (RFC 9110 §10.2.3). What
/// cannot be parsed is ignored.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let pause = |value: &HeaderValue| {
        let until = || Some(date(value)?.since(answered_at(headers)));
        seconds(value).map(Duration::from_secs).or_else(until)
    };
    headers.get_all(RETRY_AFTER).iter().filter_map(pause).max()
}

/// When the server says that it answered; our wall clock where it says nothing. What a server says in dates is compared
/// with this: its clock and ours may differ, and our own count stands still while the machine is suspended.
pub(crate) fn answered_at(headers: &HeaderMap) -> Moment {
    headers.get(DATE).and_then(date).unwrap_or_else(Clock::wall_now)
}

fn date(value: &HeaderValue) -> Option<Moment> {
    let date = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    date.duration_since(SystemTime::UNIX_EPOCH).ok().map(Moment::from_unix)
}

/// Digits only: a sign, a fraction or an exponent is not what the header may hold.
pub(crate) fn seconds(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What a request that brought no answer failed of.
pub(crate) fn broken(error: &reqwest::Error) -> Broken {
    let certificate = is_certificate_failure(error);
    let title = if certificate {
        "the server's certificate is not trusted"
    } else if error.is_timeout() {
        "request timed out"
    } else if error.is_connect() {
        "connection failed"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut off"
    } else {
        "the connection broke"
    };
    Broken { certificate, title, detail: innermost(error) }
}

/// The message of the error at the root of the chain: the others only say that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn is_certificate_failure(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return matches!(tls, rustls::Error::InvalidCertificate(_));
        }
        // An io::Error gives the source of what it wraps, but not what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}
