//! Storage: what signed links lead to. One request, one answer; nothing here is tried twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::{Origin, Url};

use super::checksum::Announced;
use crate::http::{self, Broken, Network, Reach};
use crate::secret::Secret;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};

/// How many redirects are followed. They take nothing along: a signed link is no credential of ours.
const MAX_REDIRECTS: usize = 5;

/// The longest code of an error that is taken for one, in characters.
const LONGEST_CODE: usize = 50;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How a file is encoded on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

impl Encoding {
    /// The encoding of this name, if it is known here.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        match word.trim() {
            "" | "identity" => Some(Self::Plain),
            word if ["gzip", "x-gzip"].iter().any(|gzip| word.eq_ignore_ascii_case(gzip)) => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// A file, or what is left of it, on its way.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) response: Response,
    pub(super) encoding: Encoding,
    /// Where it begins, in bytes as they are sent.
    pub(super) from: u64,
    /// How many bytes the whole file has, as they are sent, where storage says so.
    pub(super) total: Option<u64>,
    /// By what the rest of this very file can be asked for.
    pub(super) etag: Option<HeaderValue>,
    /// What else tells it from another file in its place.
    pub(super) marks: Marks,
    /// What storage says of its checksum.
    pub(super) checksum: Announced,
}

/// Which version of an object Google sends.
const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");

/// Headers that another file in the same place would have others of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks([Option<HeaderValue>; 3]);

impl Marks {
    fn of(headers: &HeaderMap) -> Self {
        Self([ETAG, LAST_MODIFIED, GENERATION].map(|name| headers.get(name).cloned()))
    }

    /// Whether one of them shows that these are two files.
    pub(super) fn differ_from(&self, other: &Self) -> bool {
        self.in_common(other).any(|(one, other)| one != other)
    }

    /// Whether one of them is known of both.
    pub(super) fn share_one_with(&self, other: &Self) -> bool {
        self.in_common(other).next().is_some()
    }

    fn in_common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a HeaderValue, &'a HeaderValue)> {
        self.0.iter().zip(&other.0).filter_map(|(one, other)| one.as_ref().zip(other.as_ref()))
    }

    /// All that is known of one file: what an answer leaves out stays known.
    pub(super) fn add(&mut self, other: Self) {
        for (known, new) in self.0.iter_mut().zip(other.0) {
            *known = new.or(known.take());
        }
    }
}

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The link does not work (any more).
    Refused(Failure),
    /// The file has no such part: what came of it before must be of another.
    NoSuchRange,
    /// Anything else.
    Failed(Failure, Option<Duration>),
}

/// Asks storage.
#[derive(Debug)]
pub struct Storage {
    network: Network,
    /// How long storage may be silent.
    silence: Duration,
    reach: Reach,
    clients: Mutex<Vec<(Origin, Client)>>,
}

impl Storage {
    /// Storage that is reached by `network`, and that may be silent for a while. Links lead as far as `reach` says: they come
    /// from a server, and let anybody read the file.
    #[must_use]
    pub fn new(network: Network, silence: Duration, reach: Reach) -> Self {
        Self { network, silence, reach, clients: Mutex::default() }
    }

    /// Asks for a file from byte `from` on.
    pub(super) async fn get(
        &self,
        link: &Secret,
        from: u64,
        etag: Option<&HeaderValue>,
    ) -> Result<Body, Trouble> {
        let url = Url::parse(link.expose()).map_err(|_| rejected("the link is no URL", ""))?;
        self.reach.check(&url).map_err(|why| rejected("the link is not followed", &why.to_string()))?;
        // Without this, Google's storage unpacks what it keeps packed: it takes no ranges then, and sends another number
        // of bytes than it keeps.
        let mut request = self.client(&url)?.get(url).header(ACCEPT_ENCODING, "gzip");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            request = etag.into_iter().fold(request, |request, etag| request.header(IF_RANGE, etag.clone()));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Err(Trouble::Failed(failure(http::broken(&error, &self.network).await), None));
            }
        };
        self.body(response).await
    }

    async fn body(&self, response: Response) -> Result<Body, Trouble> {
        let headers = response.headers();
        let (from, total) = match response.status().as_u16() {
            200 => (0, response.content_length()),
            // One that does not say where it begins cannot be trusted to begin where it should.
            206 => headers.get(CONTENT_RANGE).and_then(range).ok_or(Trouble::NoSuchRange)?,
            _ => return Err(self.refusal(response).await),
        };
        let encoding = encoding(headers)
            .map_err(|other| rejected("the file comes in an encoding that is not known here", &other))?;
        let etag = headers.get(ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/")).cloned();
        let marks = Marks::of(headers);
        let checksum = Announced::in_headers(headers, encoding, response.status() == StatusCode::OK);
        Ok(Body { encoding, from, total, etag, marks, checksum, response })
    }

    /// What an answer means that brings no file. Of what it says only the code is shown: in words storage repeats the link,
    /// or what its signature was made of.
    async fn refusal(&self, response: Response) -> Trouble {
        let status = response.status().as_u16();
        let hint = http::retry_after(response.headers());
        let mut problem = Problem::new("storage does not give the file", "");
        problem.http_status = Some(status);
        if (300..400).contains(&status) {
            problem.detail =
                Text::non_empty("the redirect is not followed: too many, or to where no link may lead");
        }
        problem.code = code(&http::read_error_body(response).await);
        let kind = FailureKind::of_http_status(status);
        match kind {
            _ if status == 416 => Trouble::NoSuchRange,
            FailureKind::Transient | FailureKind::Throttled => {
                Trouble::Failed(Failure { kind, problem }, hint)
            }
            FailureKind::Unauthorized
            | FailureKind::Forbidden
            | FailureKind::NotFound
            | FailureKind::Conflict
            | FailureKind::Rejected
            | FailureKind::Gateway
            | FailureKind::Unrecoverable => Trouble::Refused(Failure { kind, problem }),
        }
    }

    /// The client for a link's origin: its proxy and its trust depend on it.
    fn client(&self, url: &Url) -> Result<Client, Trouble> {
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

/// Follows a redirect to where a link may lead, but never from TLS to plain http.
fn follow(attempt: Attempt<'_>, reach: Reach) -> reqwest::redirect::Action {
    let was_secret = attempt.previous().iter().any(|url| url.scheme() == "https");
    let reach = if was_secret { Reach { plain_loopback: false, plain: false, ..reach } } else { reach };
    let is_allowed = reach.check(attempt.url()).is_ok();
    if is_allowed && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// The code in an error document of storage, as Google and Amazon write it.
fn code(body: &[u8]) -> Option<Text> {
    let body = String::from_utf8_lossy(body);
    let (code, _) = body.split_once("<Code>")?.1.split_once("</Code>")?;
    let is_code = code.len() <= LONGEST_CODE && code.chars().all(|char| char.is_ascii_alphabetic());
    is_code.then(|| Text::non_empty(code)).flatten()
}

/// The encoding of a file; the error names one that is not known.
fn encoding(headers: &HeaderMap) -> Result<Encoding, String> {
    let word = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let word = word.unwrap_or_default();
    Encoding::of_word(&word).ok_or_else(|| word.trim().to_owned())
}

/// Where a range begins, and what it is part of: `bytes 100-199/200`.
fn range(value: &HeaderValue) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

fn rejected(title: &str, detail: &str) -> Trouble {
    Trouble::Failed(Failure { kind: FailureKind::Rejected, problem: Problem::new(title, detail) }, None)
}

/// What a file that was on its way broke off of.
pub(super) fn broken(error: &reqwest::Error) -> Failure {
    failure(http::broken_off(error))
}

fn failure(Broken { is_final, title, detail, cure }: Broken) -> Failure {
    let kind = if is_final { FailureKind::Unrecoverable } else { FailureKind::Transient };
    Failure { kind, problem: Problem { cure, ..Problem::new(title.as_str(), detail.as_str()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_where_they_say() {
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

    #[test]
    fn encodings_are_plain_or_gzip() {
        let of = |text: &'static str| {
            encoding(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert_eq!(encoding(&HeaderMap::new()), Ok(Encoding::Plain));
        assert_eq!(of("identity"), Ok(Encoding::Plain));
        assert_eq!([of("gzip"), of("X-Gzip")], [Ok(Encoding::Gzip), Ok(Encoding::Gzip)]);
        assert_eq!([of("br"), of("gzip, gzip")], ["br", "gzip, gzip"].map(|word| Err(word.to_owned())));
    }
}
