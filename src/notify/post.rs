//! One POST to a receiver, and what came of it.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder};
use url::Url;

use super::{Attempt, EndpointError};
use crate::http::{self, Broken, Network};
use crate::text::Text;

/// How long an attempt may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to connect: a receiver that is not there is not worth all of the time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is shorter than this, in bytes, is no secret, and is found by chance in any text.
const SHORTEST_SECRET: usize = 7;

/// A receiver that takes POSTs at one URL. It is asked once an attempt, and led nowhere else by a redirect.
pub(super) struct Receiver {
    client: Client,
    network: Network,
    url: Url,
    /// What of the URL is not shown, where the receiver echoes it: the longest first.
    hidden: Vec<String>,
}

impl Receiver {
    pub(super) fn new(url: Url, network: &Network) -> Result<Self, EndpointError> {
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(EndpointError::Url);
        }
        let options = |builder: ClientBuilder| builder.connect_timeout(CONNECT_TIMEOUT);
        let client = http::client(&url, network, options)?;
        Ok(Self { client, hidden: secrets_of(&url), network: network.clone(), url })
    }

    /// Sends a body, with the headers that the caller adds.
    pub(super) async fn post(
        &self,
        body: String,
        headers: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Attempt {
        let request = headers(self.client.post(self.url.clone()).timeout(TIMEOUT)).body(body);
        let Ok(request) = request.build() else { return Attempt::failed("the request cannot be built") };
        let response = match self.network.send(&self.client, request).await {
            Ok(response) => response,
            Err(Broken { title, detail, cure, .. }) => {
                let cure = cure.map(|cure| format!(" ({cure})")).unwrap_or_default();
                return Attempt::failed(&format!(
                    "{title}: {}",
                    self.without_secrets(&format!("{detail}{cure}"))
                ));
            }
        };
        let status = response.status();
        let hint = http::retry_after(response.headers());
        // Read on success, too, so that the connection can be used again.
        let body = http::read_error_body(response).await;
        if status.is_success() {
            return Attempt::Sent;
        }
        let said = if status.is_redirection() {
            Some("redirects are not followed: the settings have to name the URL that it leads to".to_owned())
        } else {
            let said = self.without_secrets(&String::from_utf8_lossy(&body));
            http::excerpt(said.as_bytes()).map(|text| text.to_string())
        };
        let problem = said.map_or_else(|| format!("HTTP {status}"), |said| format!("HTTP {status}: {said}"));
        let problem = Text::new(&problem);
        if status.as_u16() == 410 { Attempt::Gone { problem } } else { Attempt::Failed { problem, hint } }
    }

    fn without_secrets(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// The parts of a URL that may let others in: paths and queries as a whole and by their parts, a user and a password.
fn secrets_of(url: &Url) -> Vec<String> {
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let parts =
        url.path().split('/').chain([url.path(), url.username()]).chain(url.query()).chain(url.password());
    let mut secrets: Vec<String> = parts.map(str::to_owned).chain(values).collect();
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_what_a_url_lets_in_by() {
        let url = "https://user:pass%20word@h.example/services/T0001/hunter2hunter2?sig=abc%2Fdef&v=1";
        let receiver = Receiver::new(Url::parse(url).unwrap(), &Network::default()).unwrap();
        let rows = [
            ("no such path: /services/T0001/hunter2hunter2?sig=abc%2Fdef&v=1", "no such path: ***?***"),
            ("hunter2hunter2 is unknown", "*** is unknown"),
            ("abc/def and pass%20word", "*** and ***"),
            ("v 1, T0001, h.example", "v 1, T0001, h.example"),
        ];
        for (said, shown) in rows {
            assert_eq!(receiver.without_secrets(said), shown);
        }
        let bare = Receiver::new(Url::parse("http://h.example").unwrap(), &Network::default()).unwrap();
        assert_eq!(bare.without_secrets("/ is not found"), "/ is not found");
    }
}
