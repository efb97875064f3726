//! Storage, where signed links lead. One request, one answer: nothing is retried here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::{Origin, Url};

use super::object::Object;
use super::setback::{Setback, rejected};
use crate::http::{self, Encoding, Network, Reach};
use crate::secret::Link;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// How many redirects are followed. No credential is sent along.
const MAX_REDIRECTS: usize = 5;

/// The longest error code that is shown, in characters.
const LONGEST_CODE: usize = 50;

/// The timeout for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A file, or the rest of one, that is being received.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) response: Response,
    pub(super) encoding: Encoding,
    /// Where it starts, in bytes as they are sent.
    pub(super) from: u64,
    /// What storage says about the object.
    pub(super) object: Object,
}

/// A client of storage.
#[derive(Debug)]
pub struct Storage {
    network: Network,
    /// How long storage may send nothing.
    silence: Duration,
    reach: Reach,
    clients: Mutex<Vec<(Origin, Client)>>,
}

impl Storage {
    /// Storage that is reached by `network`, and that may send nothing for `silence`. `reach` says where links may lead: they are
    /// written by a server.
    #[must_use]
    pub fn new(network: Network, silence: Duration, reach: Reach) -> Self {
        Self { network, silence, reach, clients: Mutex::default() }
    }

    /// Requests a file from byte `from` on: of the object with this `ETag`, if one is known. `None` if storage does not have
    /// that range.
    pub(super) async fn get(
        &self,
        link: &Link,
        from: u64,
        etag: Option<&HeaderValue>,
    ) -> Result<Option<Body>, Setback> {
        let url = link.expose();
        self.reach.check(url).map_err(Failure::from)?;
        let client = self.client(url)?;
        // Without this, Google's storage decompresses files that it keeps compressed. Then it supports no ranges, and the size
        // differs.
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            request = etag.into_iter().fold(request, |request, etag| request.header(IF_RANGE, etag.clone()));
        }
        let request = request.build();
        let request = request.map_err(|error| rejected("the request failed", &error.to_string()))?;
        self.body(self.network.send(&client, request).await?).await
    }

    async fn body(&self, response: Response) -> Result<Option<Body>, Setback> {
        let headers = response.headers();
        let is_whole = response.status() == StatusCode::OK;
        let range = match response.status().as_u16() {
            200 => Some((0, response.content_length())),
            // A range that does not say where it starts cannot be trusted.
            206 => headers.get(CONTENT_RANGE).and_then(range),
            416 => None,
            _ => return Err(self.refusal(response).await),
        };
        let Some((from, total)) = range else { return Ok(None) };
        let encoding = Encoding::of(headers)
            .map_err(|other| rejected("the file is in an encoding that is not known here", other.as_str()))?;
        let object = Object::of(headers, encoding, is_whole, total);
        Ok(Some(Body { encoding, from, object, response }))
    }

    /// What an answer without a file means. Only its error code is shown: the text of storage's errors repeats the link, or what
    /// was signed.
    async fn refusal(&self, response: Response) -> Setback {
        let status = response.status().as_u16();
        let hint = http::retry_after(response.headers());
        let mut problem = Problem::new("storage does not send the file", "");
        problem.http_status = Some(status);
        if (300..400).contains(&status) {
            problem.detail = Text::non_empty(
                "the redirect is not followed: too many, or to a place where a link may not lead",
            );
        }
        problem.code = code(&http::read_error_body(response).await);
        let failure = Failure { kind: FailureKind::of_http_status(status), problem };
        match matches!(failure.kind, FailureKind::Transient | FailureKind::Throttled) {
            true => Setback::Failed(failure, hint),
            false => Setback::Refused(failure),
        }
    }

    /// The client for an origin, on which proxy and certificates depend.
    fn client(&self, url: &Url) -> Result<Client, Setback> {
        let origin = url.origin();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == origin) {
            return Ok(client.clone());
        }
        let (silence, reach) = (self.silence, self.reach);
        let resolver = Arc::new(self.network.resolver(reach));
        let options = |builder: ClientBuilder| {
            builder
                .redirect(Policy::custom(move |attempt| follow(attempt, reach)))
                .dns_resolver(Arc::clone(&resolver))
                .connect_timeout(CONNECT.min(silence))
                .read_timeout(silence)
        };
        let client = http::client(url, &self.network, options)
            .map_err(|error| rejected("TLS could not be set up", &error.to_string()))?;
        clients.push((origin, client.clone()));
        Ok(client)
    }
}

/// Follows a redirect if a link may lead there, and never from TLS to plain http.
fn follow(attempt: Attempt<'_>, reach: Reach) -> reqwest::redirect::Action {
    let was_secret = attempt.previous().iter().any(|url| url.scheme() == "https");
    let reach = if was_secret { Reach { plain_loopback: false, plain: false, ..reach } } else { reach };
    let is_allowed = reach.check(attempt.url()).is_ok();
    if is_allowed && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// The code in an error document of Google's or Amazon's storage.
fn code(body: &[u8]) -> Option<Text> {
    let body = String::from_utf8_lossy(body);
    let (code, _) = body.split_once("<Code>")?.1.split_once("</Code>")?;
    let is_code = code.len() <= LONGEST_CODE && code.chars().all(|char| char.is_ascii_alphabetic());
    is_code.then(|| Text::non_empty(code)).flatten()
}

/// The start of a range and the size of the whole: `bytes 100-199/200`.
fn range(value: &HeaderValue) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_starts() {
        for (text, expected) in [
            ("bytes 100-199/200", Some((100, Some(200)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */200", None),
            ("bytes 1-2", None),
            ("lines 1-2/3", None),
            ("", None),
        ] {
            assert_eq!(range(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }

    #[test]
    fn only_the_code_of_an_error_is_shown() {
        let rows = [
            (
                "<Error><Code>ExpiredToken</Code><Message>X-Goog-Signature=abc</Message></Error>",
                Some("ExpiredToken"),
            ),
            ("<Error><Code>/f?X-Goog-Signature=abc</Code></Error>", None),
            ("<Code></Code>", None),
            ("/f?X-Goog-Signature=abc", None),
        ];
        for (body, expected) in rows {
            assert_eq!(code(body.as_bytes()).as_ref().map(Text::as_str), expected, "{body}");
        }
    }
}
