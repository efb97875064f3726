//! Error answers, in all the shapes that Snyk and the gateways before it send.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::wire::{string, text};
use crate::http;
use crate::text::Text;
use crate::watch::observation::Problem;

/// The code of Snyk's answers during maintenance.
const MAINTENANCE: &str = "SNYK-0099";

/// The members of a JSON:API error document, of one of its errors, or of a flat object.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The problem that an answer with HTTP status `http_status` describes. Never fails: an empty body is a problem too.
#[must_use]
pub fn problem(http_status: u16, body: &[u8]) -> Problem {
    let parsed = parse(body).unwrap_or_else(|| Problem { detail: http::excerpt(body), ..Problem::default() });
    let reason = reqwest::StatusCode::from_u16(http_status).ok().and_then(|status| status.canonical_reason());
    let title = parsed.title.or_else(|| reason.map(Text::new));
    let maintenance = parsed.code.as_ref().is_some_and(|code| code.as_str() == MAINTENANCE);
    Problem {
        http_status: Some(http_status),
        title: if maintenance { title.map(|title| in_maintenance(&title)) } else { title },
        ..parsed
    }
}

/// Whether a body is a JSON:API document with errors, as Snyk writes them.
pub(super) fn has_errors(body: &[u8]) -> bool {
    let members: Option<Members<'_>> = serde_json::from_slice(body).ok();
    members.is_some_and(|members| first_error(&members).is_some())
}

/// The first error that a JSON:API document lists.
fn first_error<'a>(members: &Members<'a>) -> Option<&'a RawValue> {
    let errors: Vec<&RawValue> = serde_json::from_str(members.get("errors")?.get()).ok()?;
    errors.first().copied()
}

fn members(raw: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(raw.get()).ok()
}

fn in_maintenance(title: &Text) -> Text {
    Text::new(&format!("Snyk is in a maintenance window ({title})"))
}

fn parse(body: &[u8]) -> Option<Problem> {
    let outer: Members<'_> = serde_json::from_slice(body).ok()?;
    let error = first_error(&outer).and_then(members).unwrap_or(outer);
    let first = |names: &[&str]| names.iter().find_map(|name| text(error.get(*name)?));
    let mut detail = first(&["detail", "message", "error_description"]);
    let source = error.get("source").copied().and_then(members);
    let source = source.and_then(|source| string(source.get("parameter").or(source.get("pointer"))?));
    if let (Some(text), Some(source)) = (&detail, source) {
        detail = Some(Text::new(&format!("{text} ({source})")));
    }
    let problem =
        Problem { code: first(&["code"]), title: first(&["title", "error"]), detail, ..Problem::default() };
    (problem != Problem::default()).then_some(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, code: Option<&str>, title: &str, detail: Option<&str>) {
        let problem = problem(404, body.as_bytes());
        assert_eq!(problem.http_status, Some(404), "{body}");
        assert_eq!(problem.code.as_ref().map(Text::as_str), code, "{body}");
        assert_eq!(problem.title.as_ref().map(Text::as_str), Some(title), "{body}");
        assert_eq!(problem.detail.as_ref().map(Text::as_str), detail, "{body}");
    }

    #[test]
    fn reads_every_shape() {
        let json_api =
            r#"{"jsonapi":{"version":"1.0"},"errors":[{"status":"404","detail":"no permission"}]}"#;
        check(json_api, None, "Not Found", Some("no permission"));
        let catalogue = r#"{"errors":[{"id":"x","status":"404","code":"SNYK-OPENAPI-0004","title":"Not found",
            "detail":"gone","links":{"about":{"href":"https://docs.example"}},"meta":{"level":"error"}},{"code":"2nd"}]}"#;
        check(catalogue, Some("SNYK-OPENAPI-0004"), "Not found", Some("gone"));
        let parameter = r#"{"errors":[{"detail":"Unknown query parameter","source":{"parameter":"x"}}]}"#;
        check(parameter, None, "Not Found", Some("Unknown query parameter (x)"));
        check(r#"{"errors":[{"detail":"odd","source":"x"}]}"#, None, "Not Found", Some("odd"));
        check(r#"{"status":"401","code":"Unauthorized"}"#, Some("Unauthorized"), "Not Found", None);
        let v1 = r#"{"code":401,"error":"Not authorised","message":"Not authorised, really"}"#;
        check(v1, Some("401"), "Not authorised", Some("Not authorised, really"));
        let oauth = r#"{"error":"invalid_client","error_description":"unknown client"}"#;
        check(oauth, None, "invalid_client", Some("unknown client"));
        let maintenance = r#"{"errors":[{"code":"SNYK-0099","title":"Unavailable","detail":"back at 9"}]}"#;
        let named = "Snyk is in a maintenance window (Unavailable)";
        check(maintenance, Some("SNYK-0099"), named, Some("back at 9"));
        check("no matching version", None, "Not Found", Some("no matching version"));
        check("", None, "Not Found", None);
        check(
            "<!DOCTYPE html><html><TITLE>502 Bad\nGateway</TITLE>",
            None,
            "Not Found",
            Some("an HTML page, “502 Bad Gateway”"),
        );
        check("<html>", None, "Not Found", Some("an HTML page"));
        check(r#"{"errors":[]}"#, None, "Not Found", Some(r#"{"errors":[]}"#));
        check(r#"{"errors":"no","detail":["a"]}"#, None, "Not Found", Some(r#"["a"]"#));
    }

    #[test]
    fn only_a_document_with_errors_is_snyks() {
        assert!(has_errors(br#"{"errors":[{"status":"404"}]}"#));
        for body in [r#"{"errors":[]}"#, r#"{"errors":"no"}"#, r#"{"detail":"no"}"#, "<html>", ""] {
            assert!(!has_errors(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn cleans_hostile_text() {
        check(
            "{\"errors\":[{\"detail\":\"\\u001b[2J\\n::set-output name=a::b\"}]}",
            None,
            "Not Found",
            Some("[2J ::set-output name=a::b"),
        );
        assert_eq!(problem(500, &b"x".repeat(100_000)).detail.unwrap().as_str().len(), http::EXCERPT_CHARS);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(status in 100_u16..1000, body: Vec<u8>, text: String) {
            let _ = problem(status, &body);
            let _ = problem(status, format!("<html><title>{text}").as_bytes());
        }
    }
}
