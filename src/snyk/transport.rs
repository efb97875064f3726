//! One request, one answer: connections and limits. Nothing is retried here.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, ClientBuilder, Request, Response};

use super::REQUEST_ID;
use super::decode::{Decoder, too_long};
use super::region::Api;
use super::sieve::{Listed, MAX_DOCUMENT};
use super::wire;
use crate::http::{self, Network, TransportError};
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// Connections to an API. Clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    client: Client,
    network: Network,
    /// Whether the client is the caller's own, of which no other can be built.
    is_callers: bool,
}

/// A complete answer, or an error whose body may be cut short.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, without the results of a status document.
    pub(crate) body: Vec<u8>,
    /// These results.
    pub(super) listed: Listed,
}

/// Why there is no answer, and how long the server asks us to wait.
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

impl Connections {
    /// Connections to `api`. Each is opened when it is first needed.
    ///
    /// # Errors
    ///
    /// If there is no certificate to trust.
    pub fn new(api: &Api, network: &Network) -> Result<Self, TransportError> {
        // Longer than the longest default pause, so that all polls of a `wait` share one connection.
        let options = |builder: ClientBuilder| builder.pool_idle_timeout(Duration::from_secs(90));
        let client = http::client(api.url(), network, options)?;
        Ok(Self { client, network: network.clone(), is_callers: false })
    }

    /// A client that opens a connection for each request. A connection that was used before may be closing at this moment, and
    /// then nobody knows whether the request has arrived.
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

    /// The underlying client, for building requests.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request over a client, and reads the answer up to its limit. Without `keeps_links` the signed links in it are not
    /// kept.
    pub(super) async fn send(
        &self,
        client: &Client,
        request: Request,
        keeps_links: bool,
    ) -> Result<Reply, Failure> {
        let mut response = self.network.send(client, request).await?;
        let (http_status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let decoder = Decoder::new(&headers, wire::sieve(keeps_links));
        let (body, listed) = match (http_status, decoder) {
            (200..300, decoder) => read_document(response, decoder?).await?,
            (_, Ok(decoder)) => decoded(decoder, &http::read_error_body(response).await),
            (_, Err(_)) => (Vec::new(), Listed::default()),
        };
        Ok(Reply { http_status, headers, body, listed })
    }
}

impl From<Client> for Connections {
    fn from(client: Client) -> Self {
        Self { client, network: Network::default(), is_callers: true }
    }
}

impl Reply {
    /// An answer whose body arrived at once. Its links are not kept.
    #[cfg(test)]
    pub(crate) fn whole(http_status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let mut sieve = wire::sieve(false);
        assert!(sieve.take(body), "it is too long");
        let (body, listed) = sieve.finish();
        Self { http_status, headers, body, listed }
    }

    /// A failure with this problem, and with what is known of the answer.
    pub(super) fn failure(&self, kind: FailureKind, problem: Problem) -> Failure {
        let request_id = self.header(&REQUEST_ID);
        Failure { kind, problem: Problem { http_status: Some(self.http_status), request_id, ..problem } }
    }

    /// A header as text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<Text> {
        Text::non_empty(&String::from_utf8_lossy(self.headers.get(name)?.as_bytes()))
    }
}

async fn read_document(mut response: Response, mut decoder: Decoder) -> Result<(Vec<u8>, Listed), Failure> {
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

/// What can be decoded of an error's body, which may be cut short.
fn decoded(mut decoder: Decoder, body: &[u8]) -> (Vec<u8>, Listed) {
    // A damaged body changes the message only, and not the decision.
    let _ = decoder.take(body);
    decoder.rest()
}
