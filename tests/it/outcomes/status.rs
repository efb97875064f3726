//! `status`: one poll, and a code that says how the export stands.

use serde_json::{Value, json};

use super::ended;
use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY, SECOND_ID};

#[test]
fn an_export_in_progress_exits_with_75() {
    let lab = Lab::start(NEVER);
    let run = Program::status(&lab).export(EXPORT_ID).run();
    let mut expected = ended("", 75, 1, &["PENDING"], json!({ "created": "*" }));
    expected["outcome"] = Value::Null;
    assert_eq!(run.exits(75).settled(), expected);
    assert_eq!(lab.requests(), 1);
}

#[test]
fn an_export_that_has_ended_exits_as_wait_would() {
    let rows = [
        ("{ status = 'FINISHED' }", 0, "finished"),
        ("{ status = 'ERROR' }", 3, "failed"),
        ("{ status-code = 401 }", 4, "unauthorized"),
        ("{ status-code = 403 }", 4, "forbidden"),
        ("{ status-code = 404 }", 5, "not-found"),
        ("{ status-code = 409 }", 6, "conflict"),
        ("{ status-code = 400 }", 7, "rejected"),
        ("{ status = 'ODD' }", 8, "unknown-status"),
    ];
    for (answer, code, outcome) in rows {
        let lab = Lab::start(&format!("{NEVER}then = 'last'\nanswers = [{answer}]"));
        let run = Program::status(&lab).export(EXPORT_ID).run();
        let document = run.exits(code).document();
        assert_eq!((&document["outcome"], &document["exit_code"]), (&outcome.into(), &code.into()));
    }
}

#[test]
fn a_transient_failure_exits_with_69() {
    let answers =
        ["status-code = 503", "status-code = 429", "fault = 'reset'", "fault = 'cut'", "fault = 'hang'"];
    for answer in answers {
        let lab = Lab::start(&format!("{NEVER}then = 'last'\nanswers = [{{ {answer} }}]"));
        let run = Program::status(&lab).export(EXPORT_ID).args("--request-timeout 300ms").run();
        assert_eq!(run.exits(69).document()["outcome"], "unavailable", "{answer}");
        assert_eq!(lab.requests(), 1, "it asks once");
    }
}

#[test]
fn the_status_is_the_text() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'STARTED' }}]"));
    let status = || Program::status(&lab).text().export(EXPORT_ID);
    status().run().exits(75).stdout_is(&format!("{EXPORT_ID} STARTED\n"));
    status().run().exits(0).stdout_is(&format!("{EXPORT_ID} FINISHED\n"));
}

#[test]
fn of_several_the_gravest_decides() {
    for (course, status_code, code) in [(READY, 409, 6), (NEVER, 503, 69), (NEVER, 400, 7)] {
        let fault = format!("[[faults]]\nprobability = 1\nat-most = 1\nstatus-code = {status_code}");
        let lab = Lab::start(&format!("{course}{fault}"));
        let run = Program::status(&lab).export(EXPORT_ID).export(SECOND_ID).run();
        assert_eq!(run.exits(code).documents().len(), 2);
    }
}
