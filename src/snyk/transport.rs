//! One request, one answer: connections, certificates, limits. Nothing here tries anything twice.

use std::error::Error as _;
use std::time::Duration;

use memchr::memmem;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, ClientBuilder, Request, Response};

use super::region::Api;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// The longest answer that is read. A status document has about a thousand bytes.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// How much of an error's body is read, to say what it says. The rest does not matter.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// How long an error's body is waited for: it usually comes with the head.
const ERROR_BODY_TIME: Duration = Duration::from_millis(300);

/// What is shorter than this, in bytes, is no secret of Snyk's, which have 36 and more, but a stand-in; and is found by
/// chance in any answer.
const SHORTEST_SECRET: usize = 7;

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

/// Sends requests.
#[derive(Debug)]
pub(super) struct Transport(Client);

/// A complete answer, or one whose error body was cut short.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) http_status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Transport {
    /// A client for `api`. On loopback no proxy is asked, and over plain http no certificate is loaded.
    pub(super) fn new(api: &Api, roots: &Roots) -> Result<Self, TransportError> {
        let client = || {
            let builder = Client::builder()
                .user_agent(concat!("snyk-export/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                // Longer than the longest default pause, so that all polls of a wait share one connection.
                .pool_idle_timeout(Duration::from_secs(90));
            if api.is_loopback() { builder.no_proxy() } else { builder }
        };
        // A second call changes nothing and says so; the provider that is installed then is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let added = || roots.added.iter().cloned();
        let has_store =
            || roots.chosen || roots.added.is_empty() || client().tls_certs_merge([]).build().is_ok();
        let built = if !api.is_https() {
            client().tls_certs_only([]).build()
        } else if has_store() {
            let system = client().tls_certs_merge(added()).build();
            system.or_else(|error| if roots.chosen { Err(error) } else { bundled(client(), added()) })
        } else {
            bundled(client(), added())
        };
        built.map(Self).map_err(|error| TransportError { why: Text::new(&innermost(&error)) })
    }

    /// The underlying client, to build requests with.
    pub(super) const fn client(&self) -> &Client {
        &self.0
    }

    /// Sends a request and reads the answer, as far as it may be read.
    pub(super) async fn send(&self, request: Request) -> Result<Reply, Failure> {
        let mut response = self.0.execute(request).await.map_err(|error| failure(&error))?;
        let (http_status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let body = match http_status {
            200 => read_document(response).await?,
            _ => read_error_body(response).await,
        };
        Ok(Reply { http_status, headers, body })
    }
}

impl Reply {
    /// Takes a secret out of all that may be shown of an answer, where a server echoes what it was sent.
    pub(super) fn forget(&mut self, secret: &str) {
        if secret.len() < SHORTEST_SECRET {
            return;
        }
        overwrite(&mut self.body, secret.as_bytes());
        let shown = self.headers.iter_mut().filter(|(name, _)| *name != LOCATION);
        for (_, value) in shown {
            if memmem::find(value.as_bytes(), secret.as_bytes()).is_some() {
                *value = HeaderValue::from_static("***");
            }
        }
    }

    /// A header as text, cleaned.
    pub(super) fn header(&self, name: &HeaderName) -> Option<Text> {
        Text::non_empty(&String::from_utf8_lossy(self.headers.get(name)?.as_bytes()))
    }
}

/// Puts stars over each `secret` in `bytes`.
fn overwrite(bytes: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while let Some(start) = memmem::find(&bytes[at..], secret) {
        at += start + secret.len();
        bytes[at - secret.len()..at].fill(b'*');
    }
}

/// Trusts the roots that are compiled in, and those that the user adds.
fn bundled(builder: ClientBuilder, added: impl Iterator<Item = Certificate>) -> reqwest::Result<Client> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    builder.tls_certs_only(roots.filter_map(|der| Certificate::from_der(der).ok()).chain(added)).build()
}

async fn read_document(mut response: Response) -> Result<Vec<u8>, Failure> {
    let too_long =
        || transient("the answer is too long", "over 1 MiB, where a status document has about 1 KiB");
    let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
    if announced > MAX_DOCUMENT {
        return Err(too_long());
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_DOCUMENT {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error is an error whether or not its body arrives, and it need not be waited for long.
async fn read_error_body(mut response: Response) -> Vec<u8> {
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

pub(super) fn transient(title: &str, detail: &str) -> Failure {
    Failure { kind: FailureKind::Transient, problem: Problem::new(title, detail) }
}

/// What a request that brought no answer failed of. The URL is left out: it may carry what must not be shown.
fn failure(error: &reqwest::Error) -> Failure {
    let detail = innermost(error);
    if is_certificate_failure(error) {
        let problem = Problem::new("the server's certificate is not trusted", &detail);
        return Failure { kind: FailureKind::Certificate, problem };
    }
    let title = if error.is_timeout() {
        "request timed out"
    } else if error.is_connect() {
        "connection failed"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut off"
    } else {
        "the connection broke"
    };
    transient(title, &detail)
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
