//! A full pipe does not hold up polls, limits or signals.

use std::io::Read as _;

use serde_json::json;

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, full_pipe};

#[test]
fn polls_and_limits_work_with_a_full_stderr_pipe() {
    let lab = Lab::start(NEVER);
    let (_reader, writer) = full_pipe();
    let run = Program::wait(&lab).export(EXPORT_ID).args("-v --max-wait 1s").stderr(writer).run();
    let polls = lab.requests();
    // The first, and the last at the deadline: however slow the machine is.
    assert!(polls > 1, "{polls} polls");
    assert_eq!(run.exits(124).document()["outcome"], "timed-out");
}

#[test]
fn the_first_signal_ends_it_with_a_full_pipe() {
    let lab = Lab::start(NEVER);
    let (_reader, writer) = full_pipe();
    let waiting = Program::wait(&lab).export(EXPORT_ID).arg("-v").stderr(writer).spawn();
    lab.until_asked(3);
    waiting.signal("TERM");
    let document = waiting.end().exits(143).document();
    assert_eq!(json!([document["outcome"], document["status"]]), json!(["interrupted", "PENDING"]));

    let (reader, writer) = full_pipe();
    let waiting = Program::wait(&lab).export(EXPORT_ID).stdout(writer).spawn();
    let asked = lab.requests();
    lab.until_asked(asked + 3);
    waiting.signal("TERM");
    waiting.end().exits(143).stderr_has("SIGTERM came before");
    drop(reader);
}

#[test]
fn what_is_read_late_is_there_in_its_order() {
    let lab = Lab::start(NEVER);
    let (mut reader, writer) = full_pipe();
    let full = writer.try_clone().unwrap();
    let waiting = Program::wait(&lab).export(EXPORT_ID).arg("-v").stderr(writer).spawn();
    drop(full);
    lab.until_asked(5);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    waiting.signal("TERM");
    let run = waiting.end();
    assert_eq!(run.exits(143).document()["outcome"], "interrupted");
    let text = reading.join().unwrap().unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is missing: {text}"));
    let places =
        ["asking Snyk", "following export", "status changed", "polled", "SIGTERM came before"].map(at);
    assert!(places.is_sorted(), "{text}");
}
