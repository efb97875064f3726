//! One request, one answer: connections, certificates, limits. Nothing here tries anything twice.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, ClientBuilder, Request, Response};

use super::REQUEST_ID;
use super::decode::{Decoder, too_long};
use super::region::Api;
use crate::http::{self, Network, TransportError};
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// The longest answer that is read. A status document has about a thousand bytes.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    network: Network,
    /// Whether the client is the caller's own, of which no other can be built.
    is_callers: bool,
}

/// A complete answer, or one whose error body was cut short.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer, and for how long not to ask again.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) hint: Option<Duration>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, hint: None }
    }
}

impl Transport {
    /// A client for `api`.
    pub(super) fn new(api: &Api, network: &Network) -> Result<Self, TransportError> {
        // Longer than the longest default pause, so that all polls of a wait share one connection.
        let options = |builder: ClientBuilder| builder.pool_idle_timeout(Duration::from_secs(90));
        let client = http::client(api.url(), network, options)?;
        Ok(Self { client, network: network.clone(), is_callers: false })
    }

    /// Sends by a client of the caller's.
    pub(super) fn by(client: Client) -> Self {
        Self { client, network: Network::default(), is_callers: true }
    }

    /// A client that begins a connection for each request. One that others have used may be closing at this moment, and
    /// then nobody knows whether what was written to it has arrived.
    pub(super) fn apart(&self, api: &Api) -> Result<Client, TransportError> {
        match self.is_callers {
            true => Ok(self.client.clone()),
            false => http::client(api.url(), &self.network, |builder| builder.pool_max_idle_per_host(0)),
        }
    }

    /// How the API is reached.
    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    /// The underlying client, to build requests with.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request over the connections that all share, and reads the answer.
    pub(super) async fn send(&self, request: Request) -> Result<Reply, Failure> {
        self.send_over(&self.client, request).await
    }

    /// Sends a request and reads the answer, as far as it may be read.
    pub(super) async fn send_over(&self, client: &Client, request: Request) -> Result<Reply, Failure> {
        let mut response = self.network.send(client, request).await?;
        let (http_status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let decoder = Decoder::new(&headers, MAX_DOCUMENT);
        let body = match (http_status, decoder) {
            (200..300, decoder) => read_document(response, decoder?).await?,
            (_, Ok(decoder)) => decoded(decoder, &http::read_error_body(response).await),
            (_, Err(_)) => Vec::new(),
        };
        Ok(Reply { http_status, headers, body })
    }
}

impl Reply {
    /// What this answer means: the problem, with what is known of the answer.
    pub(super) fn failure(&self, kind: FailureKind, problem: Problem) -> Failure {
        let request_id = self.header(&REQUEST_ID);
        Failure { kind, problem: Problem { http_status: Some(self.http_status), request_id, ..problem } }
    }

    /// A header as text, cleaned.
    pub(super) fn header(&self, name: &HeaderName) -> Option<Text> {
        Text::non_empty(&String::from_utf8_lossy(self.headers.get(name)?.as_bytes()))
    }
}

async fn read_document(mut response: Response, mut decoder: Decoder) -> Result<Vec<u8>, Failure> {
    let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
    if announced > MAX_DOCUMENT {
        return Err(too_long());
    }
    decoder.expect(announced);
    while let Some(chunk) = response.chunk().await.map_err(|error| http::cut_off(&error))? {
        decoder.take(&chunk)?;
    }
    decoder.finish()
}

/// What can be read of an error's body, which may be cut short.
fn decoded(mut decoder: Decoder, body: &[u8]) -> Vec<u8> {
    // Whether all of it can be read changes what is said, not what is decided.
    let _ = decoder.take(body);
    decoder.rest()
}
