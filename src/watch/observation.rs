//! What one poll saw.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::export::{ExportRef, Status};
use crate::moment::Moment;
use crate::secret::Link;
use crate::text::Text;

/// The longest hint of a server that is respected.
pub const LONGEST_HINT: Duration = Duration::from_secs(60 * 60);

/// Polls the status of an export: one request that succeeds or fails, without retries.
pub trait Poller: Send + Sync + 'static {
    /// Polls once.
    fn poll(&self, export: &ExportRef) -> impl Future<Output = Observation> + Send;

    /// The route of requests (a proxy, or none), for the message of a poll that timed out.
    fn route(&self) -> Option<Text> {
        None
    }
}

impl<P: Poller> Poller for Arc<P> {
    fn poll(&self, export: &ExportRef) -> impl Future<Output = Observation> + Send {
        P::poll(self, export)
    }

    fn route(&self) -> Option<Text> {
        P::route(self)
    }
}

/// What one poll saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// A status document, or why there was none.
    pub answer: Result<Report, Failure>,
    /// How long the server asks to wait, if it does (`Retry-After`, `X-RateLimit-Reset`).
    pub hint: Option<Duration>,
}

impl Observation {
    /// The hint, but at most an hour.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.hint.map(|hint| hint.min(LONGEST_HINT))
    }
}

/// What a status document said. Only the status word is sure to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The status word.
    pub status: Status,
    /// When the export was created: RFC 3339 in UTC.
    pub created: Option<String>,
    /// How many rows all parts have together.
    pub row_count: Option<u64>,
    /// The parts of the result, where the document lists them.
    pub results: Option<Vec<Part>>,
    /// What a failed export says of its failure.
    pub error: Option<Text>,
}

impl Report {
    /// When the first of the signed links expires, as far as they say.
    #[must_use]
    pub fn links_expire_at(&self) -> Option<Moment> {
        self.results.iter().flatten().filter_map(|part| part.expires_at).min()
    }
}

/// One file of an export's result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// The signed link to it, if it is kept.
    pub link: Option<Link>,
    /// When the link expires, if it says so. This is known even if the link is not kept.
    pub expires_at: Option<Moment>,
    /// Its size in bytes.
    pub file_size: Option<u64>,
    /// Its number of rows.
    pub row_count: Option<u64>,
}

/// Why a poll got no status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means for the watch.
    pub kind: FailureKind,
    /// The details.
    pub problem: Problem,
}

impl Failure {
    /// A failure in our own words.
    #[must_use]
    pub fn new(kind: FailureKind, title: &str, detail: &str) -> Self {
        Self { kind, problem: Problem::new(title, detail) }
    }

    /// A failure that a retry may heal, in our own words.
    #[must_use]
    pub fn transient(title: &str, detail: &str) -> Self {
        Self::new(FailureKind::Transient, title, detail)
    }
}

/// What a failure means for the watch. The rules of `docs/ARCHITECTURE.md` decide by this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// 401: the credential was refused.
    Unauthorized,
    /// 403: the credential may not see this.
    Forbidden,
    /// 404 or 410: the export does not exist, or this credential cannot see it.
    NotFound,
    /// 409: the request conflicts with the state of the export.
    Conflict,
    /// The server will never accept this request.
    Rejected,
    /// A 4xx that Snyk did not write (no JSON:API errors, no `snyk-request-id`), but perhaps a gateway.
    Gateway,
    /// A failure that no retry can fix, such as an untrusted certificate or a proxy that refuses: a setting must change.
    Unrecoverable,
    /// 429: too many requests.
    Throttled,
    /// Anything that a retry may fix, also a kind that only another release knows.
    #[serde(other)]
    Transient,
}

impl FailureKind {
    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Gateway => "gateway",
            Self::Unrecoverable => "unrecoverable",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
        }
    }

    /// How many times in a row this must be seen after a good answer before it is believed, because a gateway may fail
    /// briefly.
    #[must_use]
    pub const fn believed_after(self) -> u32 {
        match self {
            Self::NotFound | Self::Gateway => 3,
            Self::Unauthorized | Self::Forbidden => 2,
            Self::Conflict | Self::Rejected | Self::Unrecoverable | Self::Throttled | Self::Transient => 1,
        }
    }

    /// The class of an answer with HTTP status `code` that carries no status word. Total: every code has one.
    ///
    /// Redirects are followed before, so a 3xx here cannot be followed.
    #[must_use]
    pub const fn of_http_status(code: u16) -> Self {
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            409 => Self::Conflict,
            429 => Self::Throttled,
            408 | 425 => Self::Transient,
            300..=499 => Self::Rejected,
            _ => Self::Transient,
        }
    }
}

/// What is known of a failure at Snyk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Snyk's code, such as `SNYK-OPENAPI-0004`.
    pub code: Option<Text>,
    /// A few words.
    pub title: Option<Text>,
    /// A sentence or more.
    pub detail: Option<Text>,
    /// The id by which Snyk's support can find the request.
    pub request_id: Option<Text>,
    /// What to do, if this problem knows it better than the outcome. Documents show it as their hint.
    #[serde(skip_serializing)]
    pub cure: Option<Text>,
}

impl Problem {
    /// A problem without an HTTP answer, in our own words.
    #[must_use]
    pub fn new(title: &str, detail: &str) -> Self {
        Self { title: Some(Text::new(title)), detail: Text::non_empty(detail), ..Self::default() }
    }
}

/// One line for people: `HTTP 404, SNYK-OPENAPI-0004: Not found: …, request id …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.http_status.map(|status| format!("HTTP {status}"));
        let head: Vec<String> = status.into_iter().chain(self.code.as_ref().map(Text::to_string)).collect();
        let mut parts: Vec<&str> = Vec::new();
        let head = head.join(", ");
        parts.extend((!head.is_empty()).then_some(head.as_str()));
        let detail = self.detail.as_ref();
        parts.extend(self.title.as_ref().filter(|title| detail != Some(title)).map(Text::as_str));
        parts.extend(detail.map(Text::as_str));
        f.write_str(&parts.join(": "))?;
        match &self.request_id {
            Some(id) => write!(f, " (snyk-request-id {id})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line() {
        let text = |text: &str| Some(Text::new(text));
        let problem = Problem {
            http_status: Some(404),
            code: text("SNYK-OPENAPI-0004"),
            title: text("Not found"),
            detail: text("no such export"),
            request_id: text("3fb3"),
            cure: None,
        };
        assert_eq!(
            problem.to_string(),
            "HTTP 404, SNYK-OPENAPI-0004: Not found: no such export (snyk-request-id 3fb3)"
        );
        assert_eq!(Problem { http_status: Some(502), ..Problem::default() }.to_string(), "HTTP 502");
        assert_eq!(Problem::new("connection refused", "").to_string(), "connection refused");
        assert_eq!(Problem::new("same", "same").to_string(), "same");
    }

    #[test]
    fn metrics_and_the_store_have_one_word_for_a_kind_of_failure() {
        let words = [
            "unauthorized",
            "forbidden",
            "not-found",
            "conflict",
            "rejected",
            "gateway",
            "unrecoverable",
            "throttled",
            "transient",
        ];
        for word in words {
            let kind: FailureKind = serde_json::from_value(word.into()).unwrap();
            assert_eq!(kind.as_str(), word);
        }
    }

    #[test]
    fn a_shared_poller_has_the_same_route() {
        struct ByProxy;

        impl Poller for ByProxy {
            async fn poll(&self, _: &ExportRef) -> Observation {
                unreachable!("nobody asks")
            }

            fn route(&self) -> Option<Text> {
                Some(Text::new("by a proxy"))
            }
        }

        assert_eq!(Arc::new(ByProxy).route(), Some(Text::new("by a proxy")));
    }
}
