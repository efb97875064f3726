//! What an answer says besides the status of an export: for `doctor`.

use std::time::Duration;

use reqwest::header::{DATE, HeaderName};

use super::transport::{Reply, Unanswered};
use super::{Client, DEPRECATION, SUNSET, VERSION_SERVED, failure, observation};
use crate::clock::Clock;
use crate::export::ExportRef;
use crate::http;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::observation::{Failure, Observation};

const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// The version that has the list of one's own tokens.
const VERSION_OF_TOKENS: &str = "2026-02-19";

/// What an answer says about the way to Snyk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The HTTP status.
    pub http_status: u16,
    /// How far our clock is ahead of Snyk's, or behind it, in seconds.
    pub ahead_s: Option<i64>,
    /// The version that was served.
    pub version: Option<Text>,
    /// Whether that version is deprecated, and from when it is not served any more, if that is said.
    pub deprecated: Option<Text>,
    /// How many requests are left for now.
    pub remaining: Option<Text>,
}

/// One's own personal access tokens that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// When the first of them ends, if that is known.
    pub ends: Option<Moment>,
    /// Whether there are several. The list does not say which one is in use.
    pub are_several: bool,
}

impl Look {
    fn of(reply: &Reply) -> Self {
        let ahead = || {
            reply.headers.get(DATE)?;
            let (theirs, ours) = (http::answered_at(&reply.headers).unix_ms(), Clock::wall_now().unix_ms());
            Some((i64::try_from(ours).ok()? - i64::try_from(theirs).ok()?) / 1000)
        };
        Self {
            http_status: reply.http_status,
            ahead_s: ahead(),
            version: reply.header(&VERSION_SERVED),
            deprecated: reply.header(&SUNSET).or_else(|| reply.header(&DEPRECATION)),
            remaining: reply.header(&REMAINING),
        }
    }
}

impl Client {
    /// Polls once, and says what else the answer shows.
    pub async fn look_at(&self, export: &ExportRef, limit: Duration) -> (Observation, Option<Look>) {
        let asking = self.ask(None, |version| self.api.status_url(export, version));
        let late = || Failure::transient("request timed out", "").into();
        match tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(late())) {
            Ok(reply) => {
                let look = Look::of(&reply);
                (observation(reply), Some(look))
            }
            Err(Unanswered { failure, hint }) => (Observation { answer: Err(failure), hint }, None),
        }
    }

    /// Requests the list of one's own personal access tokens, and says what else the answer shows if there is one. Without a
    /// list, the answer does not show whether the credential is accepted. It is a failure if there was no answer, if it refuses
    /// the credential, or if something on the way wrote it.
    pub async fn look_at_tokens(
        &self,
        limit: Duration,
    ) -> (Result<Option<Tokens>, Box<Failure>>, Option<Look>) {
        let asking = self.authorized(None, self.api.tokens_url(VERSION_OF_TOKENS));
        let late = || Failure::transient("request timed out", "").into();
        let reply = tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(late()));
        let reply = match reply {
            Ok(reply) => reply,
            Err(Unanswered { failure, .. }) => return (Err(Box::new(failure)), None),
        };
        let look = Some(Look::of(&reply));
        let says_nothing = matches!(reply.http_status, 200..300 | 400 | 403 | 404 | 405 | 410 | 429);
        match says_nothing && !http::is_page(&reply.body) {
            true => (Ok(tokens(&reply, Clock::wall_now())), look),
            false => (Err(Box::new(failure(&reply, "the answer is not Snyk's"))), look),
        }
    }
}

/// The tokens in a list, without those that have ended.
fn tokens(reply: &Reply, now: Moment) -> Option<Tokens> {
    (reply.http_status == 200).then(|| listed(&reply.body, now)).flatten()
}

fn listed(body: &[u8], now: Moment) -> Option<Tokens> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let ends = |token: &serde_json::Value| {
        let attributes = &token["attributes"];
        let text = ["expires_at", "expires", "access_token_expires_at"]
            .iter()
            .find_map(|name| attributes[name].as_str());
        let at: jiff::Timestamp = text?.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok().map(Moment::from_unix_ms)
    };
    let ends = document["data"].as_array()?.iter().map(ends);
    // The credential is accepted, so it is not one that has ended.
    let left: Vec<Option<Moment>> = ends.filter(|ends| ends.is_none_or(|ends| ends > now)).collect();
    Some(Tokens { ends: left.iter().flatten().min().copied(), are_several: left.len() > 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_have_ended_do_not_count() {
        let now = Moment::from_unix_ms(1_764_000_000_000);
        let (past, soon, late) = ("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let rows: [(&[&str], Option<&str>, bool); 5] = [
            (&[past, soon], Some(soon), false),
            (&[late, soon, past], Some(soon), true),
            (&["?", late], Some(late), true),
            (&[past], None, false),
            (&[], None, false),
        ];
        for (listing, ends, are_several) in rows {
            let data: Vec<_> = listing
                .iter()
                .map(|ends| serde_json::json!({ "attributes": { "expires_at": ends } }))
                .collect();
            let tokens = listed(serde_json::json!({ "data": data }).to_string().as_bytes(), now).unwrap();
            let ends = ends.map(|ends| Moment::from_unix_ms(at(ends).unsigned_abs()));
            assert_eq!(tokens, Tokens { ends, are_several }, "{listing:?}");
        }
        for body in ["", "{}", "xxxx", r#"{"data":{}}"#] {
            assert_eq!(listed(body.as_bytes(), now), None, "{body}");
        }
    }
}
