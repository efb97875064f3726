//! Several exports at once: which one decides.

use serde_json::Value;

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY, Run, SECOND_ID, THIRD_ID};

const IDS: [&str; 3] = [EXPORT_ID, SECOND_ID, THIRD_ID];

/// One poll at a time, so that the exports meet the server's faults in their order.
const IN_TURN: &str = "[limits]\nconcurrency = 1";

#[test]
fn the_gravest_outcome_decides() {
    let rows: [(&[&str], &str, i32); 11] = [
        (&["status-code = 409", "status-code = 403", "status-code = 400"], READY, 4),
        (&["status-code = 404", "status-code = 400", "status-code = 409"], READY, 7),
        (&["status-code = 409", "status-code = 404", "status = 'ERROR'"], READY, 5),
        (&["status = 'ERROR'", "status-code = 409", "status = 'ODD'"], READY, 6),
        (&["status = 'ODD'", "status = 'ERRORED'"], READY, 3),
        (&["status = 'FINISHED'", "status = 'ODD'"], READY, 8),
        (&["status = 'ERRORED'"], NEVER, 3),
        (&["status = 'ODD'"], NEVER, 8),
        (&["status = 'FINISHED'"], NEVER, 9),
        (&["status-code = 503", "status-code = 503", "status = 'STARTED'"], READY, 0),
        (&[], READY, 0),
    ];
    for (faults, course, code) in rows {
        let lab = Lab::start(&(course.to_owned() + &one_after_the_other(faults)));
        let run = all(&lab).args("--max-in-progress PENDING=1ms").run();
        assert_eq!(run.exits(code).documents().len(), 3, "{run}");
    }
}

#[test]
fn every_export_has_its_own_document() {
    let faults = ["status-code = 409", "status = 'ERRORED'", "status = 'FINISHED'"];
    let lab = Lab::start(&(NEVER.to_owned() + &one_after_the_other(&faults)));
    let run = all(&lab).run();
    run.exits(6);
    assert_eq!(ends(&run), [(EXPORT_ID, "conflict"), (SECOND_ID, "failed"), (THIRD_ID, "finished")]);
    let codes: Vec<Value> = run.documents().iter().map(|document| document["exit_code"].clone()).collect();
    assert_eq!(codes, [6, 3, 0]);
}

#[test]
fn an_export_that_is_named_twice_is_followed_once() {
    let lab = Lab::start(READY);
    let run = Program::wait(&lab).export(EXPORT_ID).export(EXPORT_ID).run();
    assert_eq!(run.exits(0).documents().len(), 1);
    assert_eq!(lab.requests(), 1);
}

#[test]
fn with_any_the_first_that_finishes_wins_and_the_others_are_abandoned() {
    let faults = ["status = 'PENDING'", "status = 'FINISHED'"];
    let lab = Lab::start(&(NEVER.to_owned() + &one_after_the_other(&faults)));
    let run = all(&lab).arg("--any").run();
    run.exits(0).stderr_has("another export finished first");
    assert_eq!(ends(&run), [(SECOND_ID, "finished"), (EXPORT_ID, "abandoned"), (THIRD_ID, "abandoned")]);
    let abandoned = &run.documents()[1];
    assert_eq!((&abandoned["exit_code"], &abandoned["status"]), (&Value::Null, &"PENDING".into()));
    assert_eq!(lab.requests(), 2, "nothing is asked when one has finished");
}

#[test]
fn with_any_another_end_does_not_decide_while_one_may_still_finish() {
    let faults = ["status-code = 403", "status = 'ERRORED'", "status = 'STARTED'"];
    let lab = Lab::start(&(READY.to_owned() + &one_after_the_other(&faults)));
    let run = all(&lab).arg("--any").run();
    run.exits(0);
    assert_eq!(ends(&run), [(EXPORT_ID, "forbidden"), (SECOND_ID, "failed"), (THIRD_ID, "finished")]);
}

#[test]
fn with_any_and_no_finished_export_the_most_serious_end_decides() {
    let faults = ["status = 'ODD'", "status = 'ERRORED'", "status-code = 409"];
    let lab = Lab::start(&(NEVER.to_owned() + &one_after_the_other(&faults)));
    all(&lab).arg("--any").run().exits(6);
}

#[test]
fn an_interruption_decides() {
    let lab = Lab::start(&(NEVER.to_owned() + &one_after_the_other(&["status-code = 403"])));
    let waiting = all(&lab).spawn();
    lab.until_asked(4);
    waiting.signal("INT");
    let run = waiting.end();
    run.exits(130);
    let ends = ends(&run);
    assert_eq!((ends.len(), ends[0]), (3, (EXPORT_ID, "forbidden")));
    assert!(ends[1..].iter().all(|(_, outcome)| *outcome == "interrupted"), "{run}");
}

/// Waits for three exports, one poll at a time, and leaves the API version alone.
fn all(lab: &Lab) -> Program {
    let program = Program::wait(lab).config(IN_TURN).args("--api-version 2024-10-15");
    IDS.iter().fold(program, |program, id| program.export(id))
}

/// Faults of which each strikes one poll.
fn one_after_the_other(faults: &[&str]) -> String {
    let fault = |fault: &&str| format!("[[faults]]\nprobability = 1\nat-most = 1\non = 'status'\n{fault}\n");
    faults.iter().map(fault).collect()
}

/// Which export ended how, in the order of standard output.
fn ends(run: &Run) -> Vec<(&'static str, &'static str)> {
    const OUTCOMES: [&str; 6] = ["finished", "failed", "forbidden", "conflict", "interrupted", "abandoned"];
    let known = |known: &[&'static str], value: &Value| *known.iter().find(|known| value == **known).unwrap();
    let end = |document: &Value| {
        (known(&IDS, &document["export"]["export_id"]), known(&OUTCOMES, &document["outcome"]))
    };
    run.documents().iter().map(end).collect()
}
