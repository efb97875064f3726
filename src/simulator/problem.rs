//! Error documents like those of Snyk's error catalogue.

use serde_json::{Value, json};

use super::http::Response;

/// The content type of all documents of the API.
pub(super) const JSON_API: &str = "application/vnd.api+json; charset=utf-8";

/// One error of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status_code: u16,
    code: &'static str,
    title: &'static str,
    detail: String,
    /// The cause: a member such as `pointer` or `parameter`, and its value.
    source: Option<(&'static str, String)>,
}

impl Problem {
    /// The error that Snyk's catalogue has for a status code.
    pub(super) fn of(status_code: u16) -> Problem {
        let (code, title, detail) = match status_code {
            401 => ("SNYK-0005", "Authentication error", "Authentication credentials not recognized"),
            403 => ("SNYK-OPENAPI-0002", "Forbidden", "Permission denied for this resource"),
            404 => ("SNYK-OPENAPI-0004", "Not found", "The requested resource could not be found"),
            405 => ("SNYK-OPENAPI-0005", "Method not allowed", "The method is not allowed here"),
            406 => ("SNYK-OPENAPI-0003", "Not acceptable", "The requested content cannot be produced"),
            409 => (
                "SNYK-OPENAPI-0009",
                "Conflict",
                "The requested operation conflicts with the current state of the resource",
            ),
            413 => ("SNYK-OPENAPI-0006", "Request entity too large", "The request is too large"),
            415 => ("SNYK-OPENAPI-0008", "Unsupported media type", "The media type is not supported"),
            429 => ("SNYK-0001", "Service temporarily throttled", "Too many requests: try again later"),
            501 => ("SNYK-0002", "Not implemented", "The server does not support this functionality"),
            502 => ("SNYK-0008", "Bad gateway", "The server got an invalid response from another one"),
            503 => ("SNYK-0009", "Service unavailable", "The service is unavailable: try again later"),
            504 => ("SNYK-0004", "Server communication error", "The server got no response in time"),
            500.. => ("SNYK-9999", "Unexpected error", "Something unexpected happened in the server"),
            _ => ("SNYK-OPENAPI-0001", "Bad request", "The server cannot process the request"),
        };
        Problem { status_code, code, title, detail: detail.to_owned(), source: None }
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Problem {
        self.detail = detail.into();
        self
    }

    /// Blames a member of the request's document, such as `/data/attributes/dataset`.
    pub(super) fn at_pointer(mut self, pointer: &str) -> Problem {
        self.source = Some(("pointer", pointer.to_owned()));
        self
    }

    /// Blames a parameter of the query.
    pub(super) fn at_parameter(mut self, parameter: &str) -> Problem {
        self.source = Some(("parameter", parameter.to_owned()));
        self
    }

    pub(super) fn response(&self) -> Response {
        Response::new(self.status_code, JSON_API, self.document().to_string()).with_note(self.code)
    }

    fn document(&self) -> Value {
        let about =
            format!("https://docs.snyk.io/scan-with-snyk/error-catalog#{}", self.code.to_ascii_lowercase());
        let classification = if self.status_code < 500 { "ACTIONABLE" } else { "UNEXPECTED" };
        let mut error = json!({
            "status": self.status_code.to_string(),
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "links": { "about": about },
            "meta": { "isErrorCatalogError": true, "classification": classification, "level": "error" },
        });
        if let Some((member, value)) = &self.source {
            error["source"] = json!({ *member: value });
        }
        json!({ "jsonapi": { "version": "1.0" }, "errors": [error] })
    }
}
