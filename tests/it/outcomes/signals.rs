//! A signal ends a wait at once: the poll is dropped, and the document is printed.

use std::fs::File;
use std::io::Write;

use serde_json::json;

use super::ended;
use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY, fifo};

const SIGNALS: [(&str, u8); 3] = [("HUP", 129), ("INT", 130), ("TERM", 143)];

#[test]
fn a_signal_ends_a_wait_between_polls() {
    for (signal, code) in SIGNALS {
        let lab = Lab::start(NEVER);
        let waiting =
            Program::wait(&lab).export(EXPORT_ID).args("--initial-interval 1h --max-interval 1h").spawn();
        waiting.until_stderr_has("status changed");
        waiting.signal(signal);
        let run = waiting.end();
        let rest = json!({ "created": "*" });
        assert_eq!(run.exits(code.into()).settled(), ended("interrupted", code, 1, &["PENDING"], rest));
        run.stderr_has(&format!("SIG{signal} came before")).stderr_has("to go on waiting: snyk-export wait");
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn a_signal_drops_the_poll_that_is_under_way() {
    for (signal, code) in SIGNALS {
        let lab = Lab::start("answers = [{ fault = 'hang' }]");
        let waiting = Program::wait(&lab).export(EXPORT_ID).spawn();
        lab.until_asked(1);
        waiting.signal(signal);
        let run = waiting.end();
        assert_eq!(run.exits(code.into()).settled(), ended("interrupted", code, 0, &[], json!({})));
    }
}

#[test]
fn a_signal_ends_a_wait_for_standard_input() {
    let lab = Lab::start(NEVER);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let waiting = Program::wait(&lab).arg("-").stdin_from(reader).spawn();
    // More than a pipe holds: when this returns, the program is reading.
    writer.write_all(&[b' '; 512 * 1024]).unwrap();
    waiting.signal("TERM");
    waiting.end().exits(143).stderr_has("interrupted by SIGTERM");
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_signal_ends_status_too() {
    let lab = Lab::start("answers = [{ fault = 'hang' }]");
    let asking = Program::status(&lab).export(EXPORT_ID).spawn();
    lab.until_asked(1);
    asking.signal("TERM");
    asking.end().exits(143);
}

#[test]
fn what_was_ignored_when_it_began_stays_ignored() {
    let lab = Lab::start(NEVER);
    let ignoring = "trap '' HUP INT; exec \"$@\"";
    let waiting = Program::wait(&lab).export(EXPORT_ID).under_script("sh -c", ignoring).spawn();
    lab.until_asked(1);
    waiting.signal("HUP");
    waiting.signal("INT");
    let asked = lab.requests();
    lab.until_asked(asked + 2);
    // The first signal decides: it is this one.
    waiting.signal("TERM");
    waiting.end().exits(143);
}

#[test]
fn a_certificate_file_that_blocks_does_not_keep_it() {
    let waiting = Program::asking("wait", "https://127.0.0.1:1").export(EXPORT_ID);
    let certificates = waiting.home().join("certificates");
    fifo(&certificates);
    let waiting = waiting.env("SSL_CERT_FILE", &certificates.display().to_string()).spawn();
    // When this returns, the program has begun to read.
    let writer = File::options().write(true).open(&certificates).unwrap();
    waiting.signal("TERM");
    waiting.end().exits(143).stderr_has("interrupted by SIGTERM");
    drop(writer);
}

#[test]
fn a_limit_on_the_size_of_files_is_reported() {
    let lab = Lab::start(READY);
    let limited = "ulimit -f 1; exec \"$@\"";
    let run = Program::download(&lab).export(EXPORT_ID).under_script("sh -c", limited).run();
    run.exits(1).stderr_has("part-0001.csv.partial: File too large").stderr_has("(ulimit -f)");
}

#[test]
fn ctrl_c_is_how_a_simulation_ends_well() {
    for (signal, code) in [("INT", 0), ("TERM", 143)] {
        let simulating = Program::bare("simulate").args("--listen 127.0.0.1:0").spawn();
        simulating.until_stderr_has("Ctrl-C ends it");
        simulating.signal(signal);
        simulating.end().exits(code);
    }
}
