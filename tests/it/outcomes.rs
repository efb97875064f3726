//! How a watch ends: every outcome with its exit code and its document, member by member.

mod causes;
mod hints;
mod limits;
mod redirects;
mod several;
mod signals;
mod status;
mod unread;
mod versions;

use serde_json::{Value, json};

use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY};

#[test]
fn a_finished_export_exits_with_0() {
    let course = "answers = [{ status = 'PENDING', repeat = 2 }, { status = 'STARTED' }]";
    let lab = Lab::start(&format!("{READY}{course}"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_has("Ready after ");
    let size = run.document()["results"][0]["file_size"].clone();
    assert!(size.as_u64().unwrap() > 0);
    let results = json!([{ "file_size": size, "row_count": 1061, "url": null }]);
    let rest = json!({ "created": "*", "row_count": 1061, "results": results });
    assert_eq!(run.settled(), ended("finished", 0, 4, &["PENDING", "STARTED", "FINISHED"], rest));
    assert_eq!((lab.requests(), lab.connections()), (4, 1), "all polls share one connection");
}

#[test]
fn an_export_without_rows_has_finished_too() {
    let lab = Lab::start(&format!("{READY}rows = 0"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    let rest = json!({ "row_count": 0, "results": [] });
    assert_eq!(run.exits(0).settled(), ended("finished", 0, 1, &["FINISHED"], rest));
}

#[test]
fn what_a_finished_document_lacks_is_null() {
    let lab = Lab::start(&format!("{READY}inline-results = false"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    assert_eq!(run.exits(0).settled(), ended("finished", 0, 1, &["FINISHED"], json!({})));
    assert_eq!(lab.requests(), 1, "the results are asked for only if a command needs them");
}

#[test]
fn a_failed_export_exits_with_3_however_failure_is_spelled() {
    for word in ["ERROR", "ERRORED", "errored"] {
        let lab = Lab::start(&format!("{READY}ends-as = '{word}'\nanswers = [{{ status = 'STARTED' }}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).run();
        let known = word.to_uppercase();
        let rest = json!({ "created": "*" });
        assert_eq!(run.exits(3).settled(), ended("failed", 3, 2, &["STARTED", &known], rest));
        assert_eq!(lab.requests(), 2, "nothing is asked after the end");
    }
}

#[test]
fn a_failed_export_says_why() {
    let why = "shape = 'spec'\nends-as = 'ERRORED'\nerror-text = 'the query took too long'";
    let lab = Lab::start(&format!("{READY}{why}"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    run.exits(3).stderr_has("the query took too long").stderr_has("start a new one");
    assert_eq!(run.settled()["error"]["detail"], "the query took too long");
}

#[test]
fn a_refused_credential_exits_with_4() {
    let lab = Lab::start("token = 'another'");
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    let error =
        problem(401, "SNYK-0005", "Authentication error", "Authentication credentials not recognized");
    assert_eq!(run.exits(4).settled(), ended("unauthorized", 4, 1, &[], json!({ "error": error })));
    run.stderr_has("HTTP 401, SNYK-0005")
        .stderr_has("next    the credential from SNYK_TOKEN")
        .stderr_has("region");
    assert_eq!(lab.requests(), 1);
}

#[test]
fn a_forbidden_export_exits_with_4() {
    let (lab, run) = answered_for_ever(403);
    let error = problem(403, "SNYK-OPENAPI-0002", "Forbidden", "Permission denied for this resource");
    assert_eq!(run.exits(4).settled(), ended("forbidden", 4, 1, &[], json!({ "error": error })));
    run.stderr_has("HTTP 403, SNYK-OPENAPI-0002").stderr_has("  next    ");
    assert_eq!(lab.requests(), 1);
}

#[test]
fn an_export_that_is_not_there_exits_with_5() {
    for code in [404, 410] {
        let (lab, run) = answered_for_ever(code);
        let document = run.exits(5).settled();
        let error = document["error"].clone();
        assert_eq!((&error["http_status"], &error["request_id"]), (&json!(code), &json!("*")));
        assert_eq!(document, ended("not-found", 5, 1, &[], json!({ "error": error })));
        let cure = if code == 404 { ["3 days", "region"] } else { ["retired", "maybe only for hours"] };
        run.stderr_has(&format!("HTTP {code}")).stderr_has(cure[0]).stderr_has(cure[1]);
        assert_eq!(lab.requests(), 2, "one for each version");
    }
}

#[test]
fn a_conflict_exits_with_6() {
    let (lab, run) = answered_for_ever(409);
    let detail = "The requested operation conflicts with the current state of the resource";
    let error = problem(409, "SNYK-OPENAPI-0009", "Conflict", detail);
    assert_eq!(run.exits(6).settled(), ended("conflict", 6, 1, &[], json!({ "error": error })));
    assert_eq!(lab.requests(), 1);
}

#[test]
fn a_conflict_after_a_status_keeps_what_was_seen() {
    let lab = Lab::start(&format!("{NEVER}answers = [{{}}, {{ status-code = 409 }}]"));
    let document = Program::wait(&lab).export(EXPORT_ID).run().exits(6).settled();
    let rest = json!({ "created": "*", "error": document["error"] });
    assert_eq!(document, ended("conflict", 6, 2, &["PENDING"], rest));
}

#[test]
fn a_request_that_snyk_does_not_accept_exits_with_7() {
    for code in [400, 402, 405, 406, 415, 418, 422, 451, 499] {
        let (lab, run) = answered_for_ever(code);
        let document = run.exits(7).settled();
        assert_eq!(document["error"]["http_status"], code);
        let rest = json!({ "error": document["error"] });
        assert_eq!(document, ended("rejected", 7, 1, &[], rest));
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn an_unknown_status_exits_with_8_and_names_the_word_and_the_option() {
    let lab = Lab::start(&format!("{READY}ends-as = 'Cancelled'\nanswers = [{{ status = 'PENDING' }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    let rest = json!({ "created": "*" });
    assert_eq!(run.exits(8).settled(), ended("unknown-status", 8, 2, &["PENDING", "Cancelled"], rest));
    run.stderr_has("(status Cancelled)").stderr_has("--failed-status Cancelled");
    assert_eq!(lab.requests(), 2);
}

#[test]
fn a_word_can_be_taught() {
    let lab = Lab::start(&format!("{READY}ends-as = 'Cancelled'\nanswers = [{{ status = 'QUEUED' }}]"));
    let taught = || Program::wait(&lab).export(EXPORT_ID).arg("--in-progress-status=queued");
    taught().run().exits(8);
    let lab = Lab::start(&format!("{READY}ends-as = 'Cancelled'\nanswers = [{{ status = 'QUEUED' }}]"));
    let taught = || Program::wait(&lab).export(EXPORT_ID).arg("--in-progress-status=queued");
    let run = taught().arg("--failed-status=CANCELLED").run();
    assert_eq!(run.exits(3).document()["status"], "Cancelled");
    let run = taught().env("SNYK_EXPORT_FINISHED_STATUS", "cancelled").run();
    assert_eq!(run.exits(0).document()["status"], "Cancelled");
}

#[test]
fn what_is_unforeseen_exits_with_1() {
    let lab = Lab::start(READY);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Program::wait(&lab).export(EXPORT_ID).stdout(full).run();
    run.exits(1).stderr_has("error: failed to write to standard output: ");
}

/// Waits for an export whose polls are all answered with `code`.
fn answered_for_ever(code: u16) -> (Lab, crate::lab::Run) {
    let lab = Lab::start(&format!("then = 'last'\nanswers = [{{ status-code = {code} }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    (lab, run)
}

/// A whole document: what all have in common, the statuses seen, and in `rest` what else is not null.
pub(crate) fn ended(outcome: &str, exit_code: u8, polls: u32, seen: &[&str], rest: Value) -> Value {
    let change = |status: &&str| json!({ "status": status, "at": "*" });
    let mut document = json!({
        "schema": 1,
        "outcome": outcome,
        "exit_code": exit_code,
        "export": { "scope": "group", "scope_id": GROUP, "export_id": EXPORT_ID },
        "status": seen.last(),
        "created": null,
        "waited_seconds": "*",
        "polls": polls,
        "timeline": seen.iter().map(change).collect::<Vec<_>>(),
        "row_count": null,
        "results": null,
        "error": null,
    });
    for (name, value) in rest.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn problem(http_status: u16, code: &str, title: &str, detail: &str) -> Value {
    json!({ "http_status": http_status, "code": code, "title": title, "detail": detail, "request_id": "*" })
}
