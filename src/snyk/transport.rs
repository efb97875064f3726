//! One request, one answer: connections, certificates, limits. Nothing here tries anything twice.

use std::time::Duration;

use memchr::memmem;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Request, Response};

use super::region::Api;
use crate::http::{self, Broken, Roots, TransportError};
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// The longest answer that is read. A status document has about a thousand bytes.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// What is shorter than this, in bytes, is no secret of Snyk's, which have 36 and more, but a stand-in; and is found by
/// chance in any answer.
const SHORTEST_SECRET: usize = 7;

/// Sends requests.
#[derive(Debug, Clone)]
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
        // Longer than the longest default pause, so that all polls of a wait share one connection.
        let options = |builder: ClientBuilder| builder.pool_idle_timeout(Duration::from_secs(90));
        http::client(api.url(), roots, options).map(Self)
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
            200..300 => read_document(response).await?,
            _ => http::read_error_body(response).await,
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
            // Most are too short to hold it, and need no search.
            let may_hold_it = value.len() >= secret.len();
            if may_hold_it && memmem::find(value.as_bytes(), secret.as_bytes()).is_some() {
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

pub(super) fn transient(title: &str, detail: &str) -> Failure {
    Failure { kind: FailureKind::Transient, problem: Problem::new(title, detail) }
}

/// What a request that brought no answer failed of.
fn failure(error: &reqwest::Error) -> Failure {
    let Broken { certificate, title, detail } = http::broken(error);
    let kind = if certificate { FailureKind::Unrecoverable } else { FailureKind::Transient };
    Failure { kind, problem: Problem::new(title, &detail) }
}
