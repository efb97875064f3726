//! `--log-format json`: one JSON object per line, with the names of events, and nothing else.

use serde_json::Value;

use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY, Run};

const COURSE: &str =
    "answers = [{ status = 'PENDING', repeat = 2 }, { status-code = 503 }, { status = 'STARTED' }]";

#[test]
fn a_whole_run_is_logged_as_events() {
    let lab = Lab::start(&format!("{READY}{COURSE}"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--log-format json -v").run();
    let expected = [
        "watch.added",
        "watch.status_changed",
        "watch.polled",
        "watch.retrying",
        "watch.status_changed",
        "watch.finished",
    ];
    assert_eq!(events(run.exits(0)), expected);
    let expected = expected.into_iter().filter(|event| *event != "watch.polled").collect::<Vec<_>>();
    let lab = Lab::start(&format!("{READY}{COURSE}"));
    let run = Program::wait(&lab).export(EXPORT_ID).env("SNYK_EXPORT_LOG_FORMAT", "json").run();
    assert_eq!(events(run.exits(0)), expected, "an unchanged poll is for those who want to see each");
}

#[test]
fn events_carry_values_in_dotted_fields_with_units() {
    let lab = Lab::start(&format!("{READY}{COURSE}"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--log-format json").run();
    let retrying = event(&run, "watch.retrying");
    assert_eq!(retrying["level"], "WARN");
    assert_eq!(retrying["message"], "check failed, retrying");
    assert_eq!(retrying["export.id"], EXPORT_ID);
    assert_eq!((&retrying["poll.number"], &retrying["http.response.status_code"]), (&3.into(), &503.into()));
    assert_eq!(retrying["error.code"], "SNYK-0009");
    assert!(retrying["delay_ms"].is_u64() && retrying["snyk.request_id"].is_string(), "{retrying}");
    assert!(retrying["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let finished = event(&run, "watch.finished");
    assert_eq!((&finished["outcome"], &finished["exit_code"]), (&"finished".into(), &0.into()));
    assert_eq!((&finished["polls"], &finished["row_count"]), (&5.into(), &1061.into()));
    assert!(finished["waited_ms"].is_u64() && finished["late_ms"].is_u64(), "{finished}");
}

#[test]
fn an_end_that_is_no_success_is_one_error_with_its_hint() {
    let lab = Lab::start("token = 'another'");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--log-format json").run();
    let errors: Vec<Value> =
        run.exits(4).logs().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "a failure is logged once: {run}");
    assert_eq!(
        (&errors[0]["event"], &errors[0]["outcome"]),
        (&"watch.finished".into(), &"unauthorized".into())
    );
    assert!(errors[0]["hint"].as_str().unwrap().contains("region"), "{run}");
}

#[test]
fn every_way_to_end_leaves_only_json() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).args("--log-format=json");
    wait().run().exits(2).logs();
    wait().arg("latest").run().exits(2).logs();
    wait().export(EXPORT_ID).args("--jitter 7").run().exits(2).logs();
    wait().export(EXPORT_ID).args("--no-such-flag").run().exits(2).logs();
    wait().export(EXPORT_ID).no_env("SNYK_TOKEN").run().exits(2).logs();
    wait().export(EXPORT_ID).env("SNYK_EXPORT_MAX_WAIT", "soon").run().exits(2).logs();
    wait().export(EXPORT_ID).config("[nonsense]").run().exits(2).logs();
    wait().export(EXPORT_ID).args("-- no-such-command").run().exits(2).logs();
    let lab = Lab::start(NEVER);
    let waiting = Program::wait(&lab).export(EXPORT_ID).args("--log-format json").spawn();
    lab.until_asked(2);
    waiting.signal("TERM");
    let run = waiting.end();
    assert_eq!(event(run.exits(143), "watch.finished")["outcome"], "interrupted");
}

#[test]
fn the_settings_file_chooses_json_too() {
    let lab = Lab::start(READY);
    let run = Program::wait(&lab).export(EXPORT_ID).config("[log]\nlog-format = 'json'").run();
    assert_eq!(events(run.exits(0)).last().unwrap(), "watch.finished");
    // Of what is wrong before anything is asked, too.
    let wrong =
        Program::wait(&lab).export(EXPORT_ID).config("[log]\nlog-format = 'json'").args("--ca-cert /nowhere");
    let lines: Vec<Value> =
        wrong.run().exits(2).stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["level"], "ERROR");
}

#[test]
fn only_annotations_stand_beside_json() {
    let lab = Lab::start("token = 'another'");
    let wait = Program::wait(&lab).export(EXPORT_ID).args("--log-format json").env("GITHUB_ACTIONS", "true");
    let run = wait.run();
    let others: Vec<&str> = run.exits(4).stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(others.len(), 1, "{run}");
    assert!(others[0].starts_with("::error title=Snyk export failed (exit 4)::Failed after "), "{run}");
}

#[test]
fn a_line_of_text_begins_with_the_time_and_the_level() {
    let lab = Lab::start(READY);
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    let line = run.exits(0).stderr.lines().find(|line| line.contains("following export")).unwrap();
    let (moment, rest) = line.split_once(' ').unwrap();
    assert!(moment.parse::<jiff::Timestamp>().is_ok() && moment.len() == 20, "{line}");
    assert_eq!(
        rest,
        format!("INFO following export id={EXPORT_ID} group={GROUP} api={} credential=SNYK_TOKEN", lab.url())
    );
}

#[test]
fn the_source_of_the_credential_is_logged() {
    let lab = Lab::start(READY);
    let run = Program::wait(&lab).export(EXPORT_ID).args("--log-format json").run();
    let asking = &run.exits(0).logs()[0];
    assert_eq!(
        (&asking["credential.source"], &asking["snyk.api"]),
        (&"SNYK_TOKEN".into(), &lab.url().into())
    );
}

/// What the page says of lines without an event.
const EVENTS: &str = include_str!("../../../docs/reference/events.md");

#[test]
fn messages_are_constant_and_on_the_page() {
    let lab = Lab::start(&format!("{READY}{COURSE}"));
    let gone = Lab::start(&format!("{READY}[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404"));
    let refusing = Lab::start("token = 'another'");
    let unsure = Lab::start("[[faults]]\nprobability = 1\nstatus-code = 502");
    let home = tempfile::tempdir().unwrap();
    let download = |lab: &Lab| Program::download(lab).export(EXPORT_ID);
    let whole_run = |lab: &Lab| Program::whole_run(lab).living_in(home.path());
    let calls = [
        (0, Program::wait(&lab).export(EXPORT_ID)),
        (4, Program::wait(&refusing).export(EXPORT_ID)),
        (2, Program::wait(&lab).arg("latest")),
        (2, Program::wait(&lab).args("--max-wait soon")),
        (0, Program::status(&lab).export(EXPORT_ID)),
        (69, Program::status(&unsure).export(EXPORT_ID)),
        (0, Program::start(&lab)),
        (2, Program::start(&lab).args("--introduced-to 2024-01-01")),
        (4, Program::start(&refusing)),
        (69, Program::start(&unsure)),
        (0, download(&lab).args("--merge all.csv")),
        (5, download(&gone)),
        (0, whole_run(&lab)),
        (5, whole_run(&gone).no_arg("--dir files").args("--dir other")),
        (
            69,
            Program::bare("healthcheck")
                .config(&format!("[server]\nlisten = '{}'", crate::lab::free_address())),
        ),
        (0, Program::bare("watch").args("--check").env("SNYK_TOKEN", crate::lab::TOKEN)),
    ];
    for (code, program) in calls {
        let run = program.args("--log-format json -v").run();
        for line in run.exits(code).logs() {
            let message = line["message"].as_str().unwrap();
            let is_plain = |char: char| char.is_ascii_alphabetic() || " ,'-".contains(char);
            assert!(message.chars().all(is_plain), "{message:?} holds a value: {run}");
            assert!(
                !line["event"].is_null() || EVENTS.contains(&format!("`{message}`")),
                "{message:?}: {run}"
            );
        }
    }
}

#[test]
fn a_completed_download_is_logged_with_fields() {
    let lab = Lab::start(READY);
    let home = tempfile::tempdir().unwrap();
    let call = || Program::whole_run(&lab).living_in(home.path()).args("--state state --log-format json");
    let run = call().run();
    let said = |run: &Run, message: &str| -> Value {
        let line = run.logs().into_iter().find(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("{message}: {run}"))
    };
    let line = said(run.exits(0), "downloaded");
    assert_eq!((&line["download.files"], &line["row_count"]), (&1.into(), &1061.into()), "{line}");
    assert_eq!(line["download.dir"], home.path().join("files").display().to_string());
    assert!(
        line["download.bytes"].as_u64().is_some_and(|bytes| bytes > 0) && line["waited_ms"].is_u64(),
        "{line}"
    );

    let gone = Lab::start(&format!("{READY}[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404"));
    let run = Program::download(&gone).export(EXPORT_ID).args("--log-format json").run();
    let line = said(run.exits(5), "the files were not downloaded");
    let expected: [Value; 4] = [EXPORT_ID.into(), "not-found".into(), 5.into(), 404.into()];
    assert_eq!(
        ["export.id", "outcome", "exit_code", "http.response.status_code"].map(|field| line[field].clone()),
        expected
    );
    assert!(line["hint"].as_str().unwrap().contains("to go on: snyk-export download /groups/"), "{line}");
    let refusing = Lab::start("token = 'another'");
    let run = Program::start(&refusing).args("--log-format json").run();
    let line = said(run.exits(4), "the export was not started");
    assert_eq!((&line["outcome"], &line["http.response.status_code"]), (&"unauthorized".into(), &401.into()));
}

/// The names of the events, in their order.
#[track_caller]
fn events(run: &Run) -> Vec<String> {
    run.logs().iter().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect()
}

/// The only event of this name.
#[track_caller]
fn event(run: &Run, name: &str) -> Value {
    let events: Vec<Value> = run.logs().into_iter().filter(|line| line["event"] == name).collect();
    assert_eq!(events.len(), 1, "{name}: {run}");
    events[0].clone()
}
