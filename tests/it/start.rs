//! `start`: one POST, checked before it is sent, and never repeated where it may have created an export.

mod words;

use serde_json::{Value, json};

use crate::lab::{GROUP, Gate, Lab, NEVER, Program, READY, Receiver, free_address};

#[test]
fn the_id_is_printed_alone() {
    let lab = Lab::start(NEVER);
    let run = Program::start(&lab).text().run();
    let id = run.exits(0).stdout.trim_end().to_owned();
    assert_eq!((id.len(), run.stdout.lines().count()), (36, 1), "{run}");
    run.stderr_has("+ Started  issues, since 1 Jan 2025 00:00 UTC\n")
        .stderr_has(&format!("  next    to wait for it: snyk-export wait /groups/{GROUP}/jobs/export/{id}"));
    assert_eq!((lab.starts(), lab.requests()), (1, 1));
}

#[test]
fn the_document_is_one_that_wait_takes() {
    let lab = Lab::start(READY);
    let run = Program::start(&lab).run();
    let document = run.exits(0).document();
    assert_eq!(document["exit_code"], 0);
    assert!(document["created"].as_str().is_some_and(|created| created.ends_with('Z')), "{run}");
    let members: Vec<&String> = document.as_object().unwrap().keys().collect();
    let waited = Program::wait(&lab).arg("-").stdin(&run.stdout).run();
    let waited = waited.exits(0).document();
    assert_eq!(waited["export"], document["export"]);
    assert_eq!(waited.as_object().unwrap().keys().collect::<Vec<_>>(), members, "the members are the same");
}

#[test]
fn the_options_make_the_body() {
    let receiver = Receiver::start(|_| Some(400));
    let start = Program::asking("start", &receiver.url()).args("--org-id").arg(GROUP).args(
        "--dataset usage --columns A,B --columns C --introduced-from 2025-01-31 --introduced-to 2025-02-01T00:00:00Z \
         --updated-to 2025-03-01 --time-zone Europe/Berlin --filter environment=x --filter environment=y \
         --filter empty_project_tags=only --url-expiration-seconds 60 --include-deleted",
    );
    start.run().exits(7);
    let notices = receiver.until(|notices| !notices.is_empty());
    assert_eq!(notices[0].header("content-type"), "application/vnd.api+json");
    assert_eq!(notices[0].header("authorization"), format!("token {}", crate::lab::TOKEN));
    let expected = json!({ "data": { "type": "resource", "attributes": {
        "formats": ["csv"], "dataset": "usage", "columns": ["A", "B", "C"], "url_expiration_seconds": 60,
        "filters": {
            "introduced": { "from": "2025-01-30T23:00:00Z", "to": "2025-02-01T00:00:00Z" },
            "updated": { "to": "2025-02-28T23:00:00Z" },
            "environment": ["x", "y"], "empty_project_tags": "only",
        },
    } } });
    assert_eq!(notices[0].event(), expected);
}

fn body() -> Value {
    json!({ "data": { "type": "export", "attributes": {
        "formats": ["csv"], "dataset": "issues", "filters": { "updated": { "from": "2025-01-01T00:00:00Z" } }, "new": [1],
    } } })
}

#[test]
fn a_whole_body_goes_as_it_is() {
    let receiver = Receiver::start(|_| Some(400));
    let start = || Program::asking("start", &receiver.url()).args("--group-id").arg(GROUP).arg("--body");
    start().arg("-").stdin(&body().to_string()).run().exits(7);
    let program = start();
    let path = program.file("body.json", &body().to_string()).display().to_string();
    program.arg(&path).run().exits(7);
    let notices = receiver.until(|notices| notices.len() == 2);
    assert!(notices.iter().all(|notice| notice.event() == body()), "{notices:?}");
}

/// A fault of the start, once.
fn once(fault: &str) -> String {
    format!("{READY}[[faults]]\non = 'start'\nprobability = 1\nat-most = 1\n{fault}")
}

#[test]
fn what_surely_created_nothing_is_tried_again() {
    for fault in
        ["status-code = 503", "status-code = 429\nheaders = { Retry-After = '0' }", "status-code = 425"]
    {
        let lab = Lab::start(&once(fault));
        let run = Program::start(&lab).run();
        run.exits(0).stderr_has("start failed, retrying");
        assert_eq!(lab.starts(), 2, "{fault}: {run}");
    }
    // Nobody listens yet.
    let address = free_address();
    let start = Program::asking("start", &format!("http://{address}"));
    let start = start.args("--dataset issues --updated-from -1d --group-id").arg(GROUP).spawn();
    start.until_stderr_has("start failed, retrying");
    let lab = Lab::listening(address, READY, |_| {});
    start.end().exits(0);
    assert_eq!(lab.starts(), 1);
}

#[test]
fn what_may_have_created_an_export_is_never_sent_again() {
    let faults = [
        "status-code = 500",
        "status-code = 502",
        "status-code = 502\ncarried-out = true",
        "status-code = 504\ncarried-out = true",
        "status-code = 408",
        "status-code = 202",
        "status-code = 202\nbody = '{\"data\":{\"id\":\"x\"}}'",
        "fault = 'reset'",
        "fault = 'close'",
        "fault = 'cut'",
        "fault = 'junk'",
        "fault = 'hang'",
    ];
    for fault in faults {
        let lab = Lab::start(&once(fault));
        let run = Program::start(&lab).args("--request-timeout 300ms").run();
        let document = run.exits(69).document();
        assert_eq!(
            (&document["outcome"], &document["export"]),
            (&json!("unavailable"), &Value::Null),
            "{run}"
        );
        run.stderr_has("may or may not have created an export, and is not repeated");
        assert_eq!(lab.starts(), 1, "{fault}: {run}");
        let text = Program::start(&Lab::start(&once(fault))).text().args("--request-timeout 300ms").run();
        text.exits(69).stdout_is("");
    }
}

#[test]
fn refusals_have_the_codes_of_their_outcomes() {
    let rows = [(400, 7), (401, 4), (403, 4), (404, 5), (409, 6), (410, 5), (415, 7), (302, 7)];
    for (status_code, code) in rows {
        let fault = format!("[[faults]]\non = 'start'\nprobability = 1\nstatus-code = {status_code}");
        let lab = Lab::start(&format!("{READY}{fault}"));
        let run = Program::start(&lab).args("--api-version 2024-10-15").run();
        assert_eq!(run.exits(code).document()["error"]["http_status"], status_code, "{run}");
        run.stderr_has("starting an export failed").stderr_lacks("may or may not");
        assert_eq!(lab.starts(), 1, "{status_code}");
    }
}

#[test]
fn an_outage_ends_when_it_may() {
    for fault in ["status-code = 503", "status-code = 429\nheaders = { Retry-After = '3600' }"] {
        let lab = Lab::start(&format!("[[faults]]\nprobability = 1\n{fault}"));
        let run = Program::start(&lab).args("--max-outage 200ms").run();
        run.exits(69).stderr_has("starting an export failed").stderr_lacks("may or may not");
        if fault.contains("429") {
            run.stderr_has("it asks to be left alone for 1h")
                .stderr_has("the server asks to wait 1h, longer than --max-outage allows (200ms)");
        }
    }
}

#[test]
fn the_ga_version_is_asked_where_the_default_is_gone() {
    let lab = Lab::start(&format!("{READY}experimental-version = false"));
    Program::start(&lab).run().exits(0).stderr_has("keeping to the GA version");
    assert_eq!(lab.versions(), ["2024-05-10~experimental", "2024-10-15"]);
}

#[test]
fn an_interrupted_start_hears_the_answer_first() {
    let gate = Gate::default();
    let held = gate.clone();
    // A signal reaches the program a moment after it was sent, so the answer comes a while after the gate was opened.
    let lab = Lab::hearing(&format!("{READY}latency = '1s'"), move |_| held.pass());
    let starting = Program::start(&lab).text().spawn();
    gate.until_reached();
    starting.signal("TERM");
    gate.open();
    let run = starting.end();
    assert_eq!(run.exits(143).stdout.trim_end().len(), 36, "the id is not lost: {run}");
    let lab = Lab::start(&format!("{READY}[[faults]]\nprobability = 1\nstatus-code = 503"));
    let starting =
        Program::start(&lab).config("[retry]\ninitial-interval = '1h'\nmax-interval = '1h'").no_config();
    let starting = starting.args("--max-outage 2h").spawn();
    starting.until_stderr_has("start failed, retrying");
    starting.signal("INT");
    starting
        .end()
        .exits(130)
        .stderr_has("SIGINT came, and no export was started")
        .stderr_lacks("may or may not");
}

#[test]
fn github_outputs_have_the_id() {
    let lab = Lab::start(READY);
    let program = Program::start(&lab).text().env("GITHUB_ACTIONS", "true");
    let output = program.file("output", "");
    let run = program.env("GITHUB_OUTPUT", &output.display().to_string()).run();
    let written = std::fs::read_to_string(&output).unwrap();
    assert!(written.contains("export-id<<") && written.contains(run.exits(0).stdout.trim_end()), "{written}");
}
