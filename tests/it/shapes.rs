//! Every shape of Snyk's documents, from its specification and from captured answers, and the expected result. After the scripted answers the simulator says FINISHED.

use serde_json::json;

use crate::lab::{EXPORT_ID, Lab, Program, READY};

/// The answers to the first polls as TOML, the arguments, the exit code, the number of requests, and members that
/// the document must have.
type Shape = (&'static str, &'static str, &'static str, i32, usize, serde_json::Value);

/// The body in Snyk's page on the status endpoint, with its link to another path and its truncated id.
const SEED: &str = r#"{"jsonapi":{"version":"1.0"},"data":{"attributes":{"created":"2021-08-31T13:47:31.137Z",
"formats":["csv"],"status":"PENDING"},"id":"d6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40","type":"resource"},
"links":{"self":"/groups/11111111-2222-4333-8444-555555555555/export/d6b6f9a4-3c1e"}}"#;

const SCHEMA_ONLY: &str = r#"{"jsonapi":{"version":"1.0"},"data":{"type":"resource","id":"x","attributes":
{"created":"2024-11-25T10:13:42.470Z","formats":["csv"],"status":"FINISHED"}}}"#;

const REAL: &str = r#"{"data":{"type":"export","id":"x","attributes":{"status":"FINISHED","row_count":1061,"results":
[{"url":"https://b.example/1.csv?X-Goog-Signature=s","file_size":1328,"row_count":3},
{"url":"https://b.example/2.csv?X-Goog-Signature=s","file_size":99,"row_count":1058}]}}}"#;

const NO_ROWS: &str = r#"{"data":{"attributes":{"status":"FINISHED","row_count":0,"results":[]}}}"#;

const NO_ZONE: &str = r#"{"data":{"attributes":{"status":"FINISHED","created":"2026-02-12T20:09:42.693"}}}"#;

#[test]
fn every_status_document_is_understood() {
    let bare = |word: &str| format!(r#"{{"data":{{"attributes":{{"status":"{word}"}}}}}}"#);
    let part = |size: u64, rows: u64| json!({ "file_size": size, "row_count": rows, "url": null });
    let rows = [
        (SEED.to_owned(), 0, 2, json!({ "created": "2021-08-31T13:47:31.137Z", "status": "FINISHED" })),
        (SCHEMA_ONLY.to_owned(), 0, 1, json!({ "created": "2024-11-25T10:13:42.470Z", "results": null })),
        (REAL.to_owned(), 0, 1, json!({ "row_count": 1061, "results": [part(1328, 3), part(99, 1058)] })),
        (NO_ROWS.to_owned(), 0, 1, json!({ "row_count": 0, "results": [], "outcome": "finished" })),
        (NO_ZONE.to_owned(), 0, 1, json!({ "created": "2026-02-12T20:09:42.693Z" })),
        (bare("finished"), 0, 1, json!({ "status": "FINISHED" })),
        (bare("ERROR"), 3, 1, json!({ "status": "ERROR", "outcome": "failed" })),
        (bare("ERRORED"), 3, 1, json!({ "status": "ERRORED", "outcome": "failed" })),
        (bare("EXPIRED"), 8, 1, json!({ "status": "EXPIRED", "outcome": "unknown-status" })),
        (bare("STARTED"), 0, 2, json!({ "status": "FINISHED" })),
    ];
    for (body, code, requests, members) in rows {
        let answers = format!("answers = [{{ status-code = 200, body = '''{body}''' }}]");
        check((&body, &answers, "", code, requests, members));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_failure_is_understood() {
    let shapes: [Shape; 19] = [
        (
            "404 twice",
            "{ status-code = 404, repeat = 2 }",
            "--api-version 2024-10-15 --not-found-grace 30s",
            0,
            3,
            json!({}),
        ),
        ("410", "{ status-code = 410 }", "--api-version 2024-10-15", 5, 1, json!({ "outcome": "not-found" })),
        (
            "409, then STARTED",
            "{ status-code = 409 }, { status = 'STARTED' }",
            "--retry-conflict",
            0,
            3,
            json!({}),
        ),
        ("409", "{ status-code = 409 }", "", 6, 1, json!({ "outcome": "conflict" })),
        ("429 in seconds", "{ status-code = 429, headers = { Retry-After = '0' } }", "", 0, 2, json!({})),
        (
            "429 by date",
            "{ status-code = 429, headers = { Retry-After = 'Mon, 25 Nov 2024 10:13:42 GMT' } }",
            "",
            0,
            2,
            json!({}),
        ),
        (
            "429 by reset",
            "{ status-code = 429, headers = { X-RateLimit-Reset = '0' }, body = '' }",
            "",
            0,
            2,
            json!({}),
        ),
        (
            "503 in maintenance",
            r#"{ status-code = 503, body = '{"errors":[{"code":"SNYK-0099"}]}' }"#,
            "",
            0,
            2,
            json!({}),
        ),
        ("503 in HTML", "{ status-code = 503, body = '<html><title>503</title>' }", "", 0, 2, json!({})),
        (
            "401 (a)",
            r#"{ status-code = 401, body = '{"errors":[{"detail":"no","status":"401"}]}' }"#,
            "",
            4,
            1,
            detail("no"),
        ),
        (
            "401 (c)",
            r#"{ status-code = 401, body = '{"errors":[{"detail":"no","source":{"parameter":"x"}}]}' }"#,
            "",
            4,
            1,
            detail("no (x)"),
        ),
        (
            "401 (d)",
            r#"{ status-code = 401, body = '{"code":401,"error":"Not authorised","message":"no"}' }"#,
            "",
            4,
            1,
            detail("no"),
        ),
        (
            "302 elsewhere",
            "{ status-code = 302, headers = { Location = 'https://elsewhere.example/' } }",
            "",
            7,
            1,
            json!({}),
        ),
        (
            "303 here",
            "{ status-code = 303, headers = { Location = '{base-url}/rest/{scope-path}/jobs/export/{export-id}?version=2024-10-15' } }",
            "",
            0,
            2,
            json!({}),
        ),
        (
            "truncated JSON",
            r#"{ status-code = 200, body = '{"data":{"attributes":{"status":"FINI' }"#,
            "",
            0,
            2,
            json!({}),
        ),
        ("a cut body", "{ fault = 'cut', bytes = 20 }", "", 0, 2, json!({})),
        ("a reset", "{ fault = 'reset' }", "", 0, 2, json!({})),
        ("a slow body", "{ fault = 'drip', pause = '20ms' }", "--request-timeout 200ms", 0, 2, json!({})),
        ("nothing at all", "{ status-code = 200, body = '' }", "", 0, 2, json!({})),
    ];
    for (name, answers, args, code, requests, members) in shapes {
        check((name, &format!("answers = [{answers}]"), args, code, requests, members));
    }
}

#[test]
fn deprecation_is_logged_once_in_any_format() {
    for (deprecation, sunset) in [
        ("2021-07-01T00:00:00Z", "2021-08-02"),
        ("true", "\"2021-11-11\""),
        ("@1688169599", "Sat, 31 Dec 2022 23:59:59 GMT"),
        ("soon", "2021-08-02T00:00:00Z"),
    ] {
        let scenario = "answers = [{ status = 'PENDING', repeat = 3 }]\n";
        let lab =
            Lab::start(&format!("{READY}deprecation = '{deprecation}'\nsunset = '{sunset}'\n{scenario}"));
        let run = Program::wait(&lab).export(EXPORT_ID).run();
        assert_eq!(run.exits(0).stderr.matches("the API version is deprecated").count(), 1, "{run}");
        run.stderr_has(deprecation);
    }
}

fn detail(text: &str) -> serde_json::Value {
    json!({ "outcome": "unauthorized", "error": { "http_status": 401, "detail": text } })
}

#[track_caller]
fn check((name, answers, args, code, requests, members): (&str, &str, &str, i32, usize, serde_json::Value)) {
    let lab = Lab::start(&format!("{READY}{answers}"));
    let run = Program::wait(&lab).export(EXPORT_ID).args(args).run();
    assert_eq!((run.code, lab.requests()), (Some(code), requests), "{name}: {run}");
    contains(&run.document(), &members, name);
}

/// Whether a document has the members of another, with their values.
#[track_caller]
fn contains(document: &serde_json::Value, members: &serde_json::Value, name: &str) {
    for (member, value) in members.as_object().unwrap() {
        if value.is_object() {
            contains(&document[member], value, name);
        } else {
            assert_eq!(&document[member], value, "{name}: {member} of {document}");
        }
    }
}
