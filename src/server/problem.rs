//! JSON:API error documents, for every answer that is not a success.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;
use crate::text::Text;

/// The content type of error documents.
pub(super) const MEDIA_TYPE: &str = "application/vnd.api+json";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    #[serde(serialize_with = "as_text")]
    /// The HTTP status.
    status: StatusCode,
    /// A stable word for what is wrong.
    code: &'static str,
    /// A short description of the code.
    title: &'static str,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The part of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
}

/// A place in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// A JSON pointer into the body.
    Pointer(String),
    /// A parameter of the query or the path.
    Parameter(String),
    /// A header.
    Header(&'static str),
}

/// Why a request failed. There is at least one reason; the first one's status is the answer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problems {
    /// The reasons.
    errors: Vec<Problem>,
}

fn as_text<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), source: None }
    }

    pub(super) fn at(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) const fn code(&self) -> &'static str {
        self.code
    }

    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood", detail)
    }

    /// A member that is well-formed and invalid.
    pub(super) fn unusable(detail: impl Into<String>, pointer: impl Into<String>) -> Self {
        let title = "A member of the body cannot be used";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", title, detail)
            .at(Source::Pointer(pointer.into()))
    }

    pub(super) fn no_such_watch(id: &str, parameter: &str) -> Self {
        let detail =
            format!("there is no watch `{}`; GET /v1/watches lists those that there are", Text::new(id));
        Self::new(StatusCode::NOT_FOUND, "no-such-watch", "There is no such watch", detail)
            .at(Source::Parameter(parameter.to_owned()))
    }

    /// The store has reached its quota.
    pub(super) fn full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "quota", "There is no room for another watch", detail)
    }

    pub(super) fn unavailable(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail)
    }

    pub(super) fn busy(detail: &str) -> Self {
        Self::unavailable("busy", "The daemon is busy", detail)
    }

    pub(super) fn unforeseen() -> Self {
        let detail = "a bug of snyk-export; the daemon's log says more: please report it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unforeseen", "An unforeseen failure of ours", detail)
    }
}

impl Problems {
    /// Fails with all of these, if there is one.
    pub(super) fn of(errors: Vec<Problem>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self { errors }) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { errors: vec![problem] }
    }
}

impl From<StoreError> for Problems {
    fn from(error: StoreError) -> Self {
        tracing::error!(error.title = %error, "a request failed because the store failed");
        Problem::unavailable("store-failed", "The store failed", error.to_string()).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Problems::from(self).into_response()
    }
}

impl IntoResponse for Problems {
    fn into_response(self) -> Response {
        let status = self.errors.first().map_or(StatusCode::INTERNAL_SERVER_ERROR, |problem| problem.status);
        let document = serde_json::to_string(&self)
            .unwrap_or_else(|_| unreachable!("all members can be written as JSON"));
        let mut response = (status, Body::from(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
