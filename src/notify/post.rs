//! One POST to a receiver.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, ClientBuilder, RequestBuilder};
use url::Url;

use super::{Attempt, EndpointError};
use crate::http::{self, Network};
use crate::secret::Secret;
use crate::text::Text;
use crate::watch::observation::Failure;

/// How long an attempt may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long connecting may take: less than the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a 429 that does not ask for one.
const THROTTLED: Duration = Duration::from_secs(1);

/// A receiver of POSTs at one URL. Redirects are not followed.
pub(super) struct Receiver {
    client: Client,
    network: Network,
    url: Url,
    /// Held as long as the receiver is, so that no text shows what lets others in there.
    _held: Secret,
}

impl Receiver {
    pub(super) fn new(url: Url, network: &Network) -> Result<Self, EndpointError> {
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(EndpointError::Url);
        }
        let options = |builder: ClientBuilder| builder.connect_timeout(CONNECT_TIMEOUT);
        let client = http::client(&url, network, options)?;
        Ok(Self { client, _held: Secret::new(url.as_str()), network: network.clone(), url })
    }

    /// Sends a body to its URL, with the headers that the caller adds. `accepts` says what the body of a success means.
    pub(super) async fn post(
        &self,
        body: String,
        headers: impl FnOnce(RequestBuilder) -> RequestBuilder,
        accepts: fn(&[u8]) -> Result<(), Text>,
    ) -> Attempt {
        self.send(headers(self.client.post(self.url.clone())).body(body), accepts).await
    }

    /// The same, to another URL of its host.
    pub(super) async fn post_text_to(
        &self,
        url: Url,
        text: String,
        accepts: fn(&[u8]) -> Result<(), Text>,
    ) -> Attempt {
        let request = self.client.post(url).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        self.send(request.body(text), accepts).await
    }

    async fn send(&self, request: RequestBuilder, accepts: fn(&[u8]) -> Result<(), Text>) -> Attempt {
        let request = request.timeout(TIMEOUT);
        let Ok(request) = request.build() else { return Attempt::failed("the request cannot be built") };
        let response = match self.network.send(&self.client, request).await {
            Ok(response) => response,
            Err(Failure { problem, .. }) => {
                let cure = problem.cure.as_ref().map(|cure| format!(" ({cure})")).unwrap_or_default();
                return Attempt::failed(&format!("{problem}{cure}"));
            }
        };
        let status = response.status();
        let hint = http::retry_after_of_receiver(response.headers());
        // Also so that the connection can be used again. What it says is not shown: an error page may repeat what let us in.
        let said = http::read_error_body(response).await;
        if status.is_success() {
            return match accepts(&said) {
                Ok(()) => Attempt::Sent,
                Err(problem) => Attempt::Failed { problem, hint },
            };
        }
        let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
        let advice = match status.is_redirection() {
            true => ": redirects are not followed: the settings have to name the URL that it leads to",
            false => "",
        };
        let problem = Text::new(&format!("HTTP {}{reason}{advice}", status.as_u16()));
        match status.as_u16() {
            410 => Attempt::Gone { problem },
            // These are about what was sent. Others are about who sent it, where, or how often.
            400 | 406 | 409 | 411..=417 | 422 | 424 | 431 => Attempt::Refused { problem, hint },
            429 => Attempt::Failed { problem, hint: hint.or(Some(THROTTLED)) },
            _ => Attempt::Failed { problem, hint },
        }
    }
}
