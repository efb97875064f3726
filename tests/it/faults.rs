//! Thirteen faults of servers, and what each must lead to. No other tool handles all of them. Promptness
//! is counted in requests, not in seconds.

mod memory;
mod pid_one;

use crate::lab::{EXPORT_ID, Lab, Program, READY, free_address};

/// What a server does, and what must come of it.
struct Row {
    fault: &'static str,
    scenario: &'static str,
    args: &'static str,
    code: i32,
    requests: usize,
    connections: usize,
}

const ROW: Row = Row { fault: "", scenario: "", args: "", code: 0, requests: 1, connections: 1 };

const ROWS: [Row; 13] = [
    Row {
        fault: "the export ends as ERRORED",
        scenario: "answers = [{ status = 'STARTED' }, { status = 'ERRORED' }]",
        code: 3,
        requests: 2,
        ..ROW
    },
    Row { fault: "401 for ever", scenario: "token = 'another'", code: 4, ..ROW },
    Row { fault: "404 for ever", scenario: "unknown-exports = 'not-found'", code: 5, requests: 2, ..ROW },
    Row {
        fault: "500 three times, then ready",
        scenario: "answers = [{ status-code = 500, repeat = 3 }]",
        requests: 4,
        ..ROW
    },
    Row {
        fault: "two TCP resets, then ready",
        scenario: "answers = [{ fault = 'reset', repeat = 2 }]",
        requests: 3,
        connections: 3,
        ..ROW
    },
    Row {
        fault: "two closed connections, then ready",
        scenario: "answers = [{ fault = 'close', repeat = 2 }]",
        requests: 3,
        connections: 3,
        ..ROW
    },
    Row {
        fault: "one request that is never answered",
        scenario: "answers = [{ fault = 'hang' }]",
        args: "--request-timeout 300ms",
        requests: 2,
        connections: 2,
        ..ROW
    },
    Row {
        fault: "429 without a body, with Retry-After",
        scenario: "answers = [{ status-code = 429, body = '', headers = { Retry-After = '0' } }]",
        requests: 2,
        ..ROW
    },
    Row {
        fault: "HTML, which is not a success",
        scenario: "answers = [{ status-code = 200, body = '<html>FINISHED</html>' }]",
        requests: 2,
        ..ROW
    },
    Row {
        fault: "an empty answer, which is not a success",
        scenario: "answers = [{ status-code = 200, body = '' }, { status-code = 204 }]",
        requests: 3,
        ..ROW
    },
    Row {
        fault: "half an answer, which is not a success",
        scenario: "answers = [{ status = 'FINISHED', fault = 'cut' }]",
        requests: 2,
        connections: 2,
        ..ROW
    },
    Row {
        fault: "what is not HTTP",
        scenario: "answers = [{ fault = 'junk' }]",
        requests: 2,
        connections: 2,
        ..ROW
    },
    Row {
        fault: "a time limit that ends with the pause in which the export gets ready",
        scenario: "answers = [{ status = 'PENDING' }]",
        args: "--max-wait 500ms --initial-interval 1h --max-interval 1h",
        requests: 2,
        ..ROW
    },
];

#[test]
fn every_fault_is_met_rightly_and_promptly() {
    for Row { fault, scenario, args, code, requests, connections } in ROWS {
        let lab = Lab::start(&format!("{READY}{scenario}"));
        let run = Program::wait(&lab).export(EXPORT_ID).args(args).run();
        assert_eq!(run.code, Some(code), "{fault}: {run}");
        assert_eq!((lab.requests(), lab.connections()), (requests, connections), "{fault}: {run}");
    }
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let address = free_address();
    let waiting = Program::asking("wait", &format!("http://{address}")).export(EXPORT_ID).spawn();
    waiting.until_stderr_has("connection failed");
    let lab = Lab::listening(address, READY, |_| {});
    waiting.end().exits(0);
    assert_eq!(lab.requests(), 1);
}

#[test]
fn a_floor_of_a_second_is_kept() {
    let lab =
        Lab::start(&format!("{READY}answers = [{{ status-code = 429, headers = {{ Retry-After = '1' }} }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(0);
    assert_eq!(lab.requests(), 2);
    assert!(lab.first_pause_ms() >= 1000, "{} ms", lab.first_pause_ms());
}

#[test]
fn a_credential_goes_to_no_other_port_and_no_other_host() {
    let other = Lab::start(READY);
    let port = other.url().rsplit(':').next().unwrap().to_owned();
    for elsewhere in [other.url(), format!("http://localhost:{port}")] {
        let headers = format!("{{ Location = '{elsewhere}/rest/{{scope-path}}/jobs/export/{{export-id}}' }}");
        let lab = Lab::start(&format!("answers = [{{ status-code = 307, headers = {headers} }}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(7);
    }
    assert_eq!(other.exchanges(), []);
}

#[test]
fn a_server_with_every_fault_at_once_is_survived() {
    let lab = Lab::start(include_str!("../../config/scenarios/hostile.toml"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--request-timeout 20s").run();
    run.exits(0)
        .stderr_lacks("\u{1b}")
        .stderr_lacks("\u{202e}")
        .stderr_lacks("\u{7}")
        .stderr_lacks("\n::error");
    assert_eq!(run.document()["outcome"], "finished");
}
