//! Pings to a dead man's switch: a service that raises an alarm unless it hears, in time, that a job ended well. They have
//! the form that Healthchecks gave them: `URL/start`, then `URL`, or `URL/EXIT_CODE` after a failure.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use url::Url;
use uuid::Uuid;

use super::post::Receiver;
use super::{Attempt, EndpointError};
use crate::http::{Network, parse_url};
use crate::secret::Secret;
use crate::text::Text;

/// How long a ping may take, with its retries.
const LIMIT: Duration = Duration::from_secs(5);

/// The pauses before the retries.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// The longest body, in bytes. Of a longer one the end is sent.
const MAX_BODY: usize = 10_000;

/// The URL of a switch, as the user gives it. Whoever knows it can silence the alarm, so it is a secret. It may be invalid.
#[derive(Debug, Clone)]
pub struct PingUrl {
    text: Secret,
    /// The ids in its path. Elsewhere ids are shown; these let others in.
    _ids: Vec<Secret>,
}

impl PingUrl {
    /// Registers the secrets of this URL.
    #[must_use]
    pub fn new(text: Secret) -> Self {
        let parts = text.expose().split(['/', '?', '#', '&', '=']);
        let ids = parts.filter(|part| Uuid::try_parse(part).is_ok()).map(Secret::new).collect();
        Self { text, _ids: ids }
    }

    /// The URL.
    ///
    /// # Errors
    ///
    /// If it is not one. The message does not show it.
    pub fn url(&self) -> Result<Url, String> {
        parse_url(self.text.expose())
    }
}

impl FromStr for PingUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(Secret::new(text.trim())))
    }
}

impl<'de> Deserialize<'de> for PingUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(Secret::new(text.trim())))
    }
}

/// What a ping says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The job starts.
    Start,
    /// It ended well, or a daemon is healthy.
    Success,
    /// It ended with this exit code.
    Failure(u8),
}

impl Sign {
    /// The URL of this ping. The query stays what it is.
    fn of(self, base: &Url) -> Url {
        let last = match self {
            Self::Start => "start".to_owned(),
            Self::Success => return base.clone(),
            Self::Failure(code) => code.to_string(),
        };
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&last);
        }
        url
    }
}

/// A dead man's switch.
pub struct Ping {
    receiver: Receiver,
    base: Url,
    _secret: PingUrl,
}

impl Ping {
    /// The switch at this URL.
    ///
    /// # Errors
    ///
    /// If nothing can be sent there: the URL is not for HTTP, or there are no certificates.
    pub fn new(secret: PingUrl, network: &Network) -> Result<Self, EndpointError> {
        let base = secret.url().map_err(|_| EndpointError::Url)?;
        Ok(Self { receiver: Receiver::new(base.clone(), network)?, base, _secret: secret })
    }

    /// Sends a ping with these words, and retries it twice. This takes five seconds at most.
    ///
    /// # Errors
    ///
    /// Why the last attempt failed.
    pub async fn send(&self, sign: Sign, words: &str) -> Result<(), Text> {
        let url = sign.of(&self.base);
        let body = &words[words.ceil_char_boundary(words.len().saturating_sub(MAX_BODY))..];
        let trying = async {
            let mut pauses = PAUSES.into_iter();
            loop {
                let attempt = self.receiver.post_text_to(url.clone(), body.to_owned(), is_known).await;
                let problem = match attempt {
                    Attempt::Sent => return Ok(()),
                    Attempt::Refused { problem, .. }
                    | Attempt::Failed { problem, .. }
                    | Attempt::Gone { problem } => problem,
                };
                let Some(pause) = pauses.next() else { return Err(problem) };
                tokio::time::sleep(pause).await;
            }
        };
        let slow = |_| Err(Text::new(&format!("no answer within {}s", LIMIT.as_secs())));
        tokio::time::timeout(LIMIT, trying).await.unwrap_or_else(slow)
    }
}

/// Healthchecks answers 200 to a ping of a check that it does not have.
fn is_known(said: &[u8]) -> Result<(), Text> {
    match said.starts_with(b"OK (not found)") {
        true => Err(Text::new("the service has no check with this URL")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_is_the_last_part_of_the_path() {
        let rows = [
            ("https://hc.example/ID", "https://hc.example/ID/start", "https://hc.example/ID/124"),
            ("https://hc.example/ID/", "https://hc.example/ID/start", "https://hc.example/ID/124"),
            (
                "https://h.example/k/n?create=1",
                "https://h.example/k/n/start?create=1",
                "https://h.example/k/n/124?create=1",
            ),
            ("http://h.example", "http://h.example/start", "http://h.example/124"),
        ];
        for (base, start, failure) in rows {
            let base = Url::parse(base).unwrap();
            assert_eq!(Sign::Start.of(&base).as_str(), start);
            assert_eq!(Sign::Failure(124).of(&base).as_str(), failure);
            assert_eq!(Sign::Success.of(&base), base);
        }
    }

    #[test]
    fn an_id_anywhere_in_the_url_is_masked() {
        const ID: &str = "1c9e66aa-0f4b-4d8f-9a3e-7d2b5c8e1f60";
        for url in [format!("https://hc.example/ping/{ID}"), format!("https://h.example/{ID}/n?a={ID}")] {
            let held = PingUrl::new(Secret::new(&url));
            let shown = Text::new(&format!("no {ID} at {url}"));
            assert!(!shown.as_str().contains(ID) && !format!("{held:?}").contains(ID), "{shown}");
        }
    }

    #[test]
    fn a_wrong_url_is_not_shown() {
        for text in [
            "hunter2",
            "ftp://h/hunter2",
            "https://hunter2:x",
            "https://h/a\nhunter2",
            "https://h/a hunter2",
            "",
        ] {
            let why = PingUrl::new(Secret::new(text)).url().unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
