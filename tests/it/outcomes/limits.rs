//! What ends a watch whose export does not end: deadlines, outages, statuses that last too long.

use serde_json::json;

use super::ended;
use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY};

/// Pauses so long that only a limit can cut them short.
const HOURS: &str = "--initial-interval 1h --max-interval 1h";

#[test]
fn a_deadline_exits_with_124_after_one_last_poll() {
    let lab = Lab::start(NEVER);
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-wait 500ms").args(HOURS).run();
    let document = run.exits(124).document();
    assert!(document["waited_seconds"].as_f64().unwrap() >= 0.5, "{run}");
    assert_eq!(run.settled(), ended("timed-out", 124, 2, &["PENDING"], json!({ "created": "*" })));
    run.stderr_has("to go on waiting: snyk-export wait /groups/").stderr_has("--max-wait");
    assert_eq!(lab.requests(), 2, "the first poll and the one at the deadline");
}

#[test]
fn an_export_that_is_ready_at_the_deadline_has_finished() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-wait 500ms").args(HOURS).run();
    assert_eq!(run.exits(0).document()["polls"], 2);
}

#[test]
fn the_last_poll_gets_a_second() {
    let lab = Lab::start(&format!("{NEVER}then = 'last'\nanswers = [{{}}, {{ fault = 'hang' }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-wait 500ms").args(HOURS).run();
    let document = run.exits(124).settled();
    assert_eq!(document["error"]["title"], "request timed out");
    assert_eq!(
        document["error"]["detail"].as_str().unwrap().split(" within ").next(),
        Some("no complete answer")
    );
    let rest = json!({ "created": "*", "error": document["error"] });
    assert_eq!(document, ended("timed-out", 124, 2, &["PENDING"], rest));
}

#[test]
fn a_poll_in_flight_at_the_deadline_is_the_last_one() {
    let lab = Lab::start("then = 'last'\nanswers = [{ fault = 'hang' }]");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-wait 50ms").run();
    let document = run.exits(124).settled();
    assert_eq!(document, ended("timed-out", 124, 1, &[], json!({ "error": document["error"] })));
    assert_eq!(lab.requests(), 1);
}

#[test]
fn an_answer_within_the_second_after_the_deadline_counts() {
    let lab = Lab::start(&format!("{READY}answers = [{{ delay = '300ms' }}]"));
    Program::wait(&lab).export(EXPORT_ID).args("--max-wait 20ms").run().exits(0);
}

#[test]
fn a_deadline_within_an_outage_is_timed_out_with_the_last_failure() {
    let lab = Lab::start("then = 'last'\nanswers = [{ status-code = 503 }]");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-wait 100ms").run();
    let document = run.exits(124).settled();
    assert_eq!(
        (&document["error"]["http_status"], &document["error"]["code"]),
        (&json!(503), &json!("SNYK-0009"))
    );
    let polls = u32::try_from(lab.requests()).unwrap();
    assert_eq!(document, ended("timed-out", 124, polls, &[], json!({ "error": document["error"] })));
}

#[test]
fn an_outage_exits_with_69() {
    let lab = Lab::start("then = 'last'\nanswers = [{}, { status-code = 502 }]");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--max-outage 300ms").run();
    let document = run.exits(69).settled();
    let polls = u32::try_from(lab.requests()).unwrap();
    assert!(polls > 2, "an outage is more than one failure");
    assert_eq!(document["error"]["http_status"], 502);
    let rest = json!({ "created": "*", "error": document["error"] });
    assert_eq!(document, ended("unavailable", 69, polls, &["PENDING"], rest));
    run.stderr_has("HTTP 502").stderr_has("to go on waiting: ");
}

#[test]
fn a_limit_of_0_is_no_limit() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status-code = 503, repeat = 20 }}]"));
    Program::wait(&lab).export(EXPORT_ID).args("--max-outage 0 --max-wait 0").run().exits(0);
}

#[test]
fn a_conflict_that_lasts_is_one_in_the_end() {
    let lab = Lab::start("then = 'last'\nanswers = [{ status-code = 409 }]");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--retry-conflict --max-outage 300ms").run();
    assert_eq!(run.exits(6).document()["outcome"], "conflict");
    assert!(lab.requests() > 1);
}

#[test]
fn a_conflict_can_be_waited_out() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status-code = 409, repeat = 3 }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).arg("--retry-conflict").run();
    assert_eq!(run.exits(0).document()["polls"], 4);
}

#[test]
fn an_export_that_has_been_seen_must_be_missing_three_times_in_a_row() {
    let missing = |times| format!("{{ status-code = 404, repeat = {times} }}");
    let lab = Lab::start(&format!("{NEVER}answers = [{{}}, {}, {{}}, {}]", missing(2), missing(3)));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--api-version 2024-10-15").run();
    assert_eq!(run.exits(5).document()["polls"], 7);
    assert_eq!(lab.codes(), [200, 404, 404, 200, 404, 404, 404]);
}

#[test]
fn an_export_may_appear_within_its_grace() {
    let script = format!("{READY}answers = [{{ status-code = 404, repeat = 3 }}]");
    let wait = |lab: &Lab| Program::wait(lab).export(EXPORT_ID).args("--api-version 2024-10-15");
    let lab = Lab::start(&script);
    wait(&lab).args("--not-found-grace 1m").run().exits(0);
    assert_eq!(lab.requests(), 4);
    let lab = Lab::start(&script);
    wait(&lab).run().exits(5);
    assert_eq!(lab.requests(), 1);
}

#[test]
fn a_grace_ends() {
    let lab = Lab::start("unknown-exports = 'not-found'");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--not-found-grace 300ms").run();
    let document = run.exits(5).document();
    assert!(document["polls"].as_u64().unwrap() > 1 && document["waited_seconds"].as_f64().unwrap() >= 0.3);
}

#[test]
fn a_status_that_lasts_too_long_exits_with_9() {
    let lab = Lab::start(NEVER);
    let limits = "--max-in-progress STARTED=1ms --max-in-progress pending=100ms";
    let run = Program::wait(&lab).export(EXPORT_ID).args(limits).args(HOURS).run();
    assert!(run.exits(9).document()["waited_seconds"].as_f64().unwrap() >= 0.1);
    assert_eq!(run.settled(), ended("stalled", 9, 2, &["PENDING"], json!({ "created": "*" })));
    run.stderr_has("(status PENDING)").stderr_has("--max-in-progress");
}

#[test]
fn a_status_that_moves_on_has_not_stalled() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING', repeat = 3 }}]"));
    Program::wait(&lab).export(EXPORT_ID).args("--max-in-progress PENDING=1m").run().exits(0);
}
