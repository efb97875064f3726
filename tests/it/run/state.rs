//! The record of a run, and what the next call makes of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::download::check_files;
use crate::lab::{Lab, NEVER, Program, READY, SECOND_ID};

struct Bed {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Bed {
    fn new(scenario: &str) -> Self {
        Self { lab: Lab::start(scenario), home: tempfile::tempdir().unwrap() }
    }

    fn run(&self) -> Program {
        Program::whole_run(&self.lab).living_in(self.home.path()).args("--state state.json")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Changes what is recorded.
    fn tamper(&self, member: &str, value: Value) {
        let mut record = self.record();
        record[member] = value;
        std::fs::write(self.path("state.json"), record.to_string()).unwrap();
    }

    /// A run that is killed when its export has been started.
    fn killed(&self) -> Value {
        self.killed_into("files")
    }

    fn killed_into(&self, dir: &str) -> Value {
        let running = self.run().no_arg("--dir files").args("--dir").arg(dir).spawn();
        running.until_stderr_has("status changed");
        running.signal("KILL");
        running.end();
        self.record()
    }

    /// The like, of an earlier day.
    fn killed_earlier(&self) -> Value {
        let record = self.killed_into("earlier");
        self.tamper("date", "2001-01-01".into());
        record
    }
}

impl Bed {
    /// A run that was killed when all was done but to forget it.
    fn killed_late(&self) -> Value {
        let running = self.run().spawn();
        let record = std::cell::RefCell::new(Value::Null);
        crate::lab::until(|| {
            let text = std::fs::read(self.path("state.json")).unwrap_or_default();
            let now: Value = serde_json::from_slice(&text).unwrap_or_default();
            if !now["export"].is_null() {
                record.replace(now);
            }
            running.has_ended()
        });
        running.end().exits(0);
        std::fs::write(self.path("state.json"), record.borrow().to_string()).unwrap();
        record.into_inner()
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[test]
fn the_same_command_goes_on_with_the_export_that_it_began() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    let record = bed.killed();
    assert_eq!(record["schema"], 1);
    assert_eq!(record["export"]["scope"], "group");
    assert!(!record.to_string().contains(crate::lab::TOKEN));
    let run = bed.run().run();
    run.exits(0).stderr_has("going on with an export that was started before");
    assert_eq!(run.document()["export"], record["export"]);
    check_files(&bed.path("files"), 1);
    assert!(!exists(&bed.path("state.json")), "it is over");
    assert_eq!(bed.lab.starts(), 1);
    bed.run().run().exits(2).stderr_has("is there already");
    assert_eq!(bed.lab.starts(), 1, "the place is taken");
    bed.run().args("--force").run().exits(0);
    assert_eq!(bed.lab.starts(), 2, "what is over is not gone on with");
}

#[test]
fn a_start_of_which_nothing_is_known_is_reported_and_never_repeated() {
    let bed = Bed::new(&format!("{READY}latency = '30s'"));
    let running = bed.run().spawn();
    bed.lab.until_asked(1);
    running.signal("KILL");
    running.end();
    assert_eq!(bed.record()["export"], Value::Null);
    for _ in 0..2 {
        let run = bed.run().run();
        let document = run.exits(69).document();
        assert_eq!((&document["outcome"], &document["export"]), (&json!("unavailable"), &Value::Null));
        run.stderr_has("may or may not have created an export")
            .stderr_has("snyk-export run --resume EXPORT --dir=");
        assert_eq!(bed.lab.starts(), 1);
    }
    let bed = Bed::new(&format!(
        "{READY}[[faults]]\non = 'start'\nprobability = 1\nat-most = 1\nstatus-code = 502"
    ));
    bed.run().run().exits(69);
    bed.run().run().exits(69).stderr_has("and then: HTTP 502");
    assert_eq!(bed.lab.starts(), 1);
    // A person looks, and says which one it is, or that there is none.
    let resume = format!("--resume {} --dir files --state state.json", crate::lab::path(SECOND_ID));
    Program::asking("run", &bed.lab.url()).living_in(bed.home.path()).args(&resume).run().exits(0);
    assert!(!exists(&bed.path("state.json")));
    check_files(&bed.path("files"), 1);
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_start_that_surely_was_none_leaves_no_record() {
    for fault in ["status-code = 403", "status-code = 503"] {
        let bed = Bed::new(&format!("{READY}[[faults]]\non = 'start'\nprobability = 1\n{fault}"));
        assert!(matches!(bed.run().args("--max-outage 50ms").run().code, Some(4 | 69)));
        assert!(!exists(&bed.path("state.json")), "{fault}");
    }
}

#[test]
fn an_export_that_is_over_is_forgotten_and_others_are_gone_on_with() {
    let over =
        [("ends-as = 'ERRORED'", 3), ("[[faults]]\non = 'status'\nprobability = 1\nstatus-code = 404", 5)];
    for (scenario, code) in over {
        let bed = Bed::new(&format!("{READY}{scenario}"));
        bed.run().args("--not-found-grace 0s").run().exits(code);
        assert!(!exists(&bed.path("state.json")), "{scenario}");
    }
    let bed = Bed::new(NEVER);
    for _ in 0..2 {
        bed.run().args("--max-wait 50ms").run().exits(124);
    }
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn what_an_earlier_day_left_is_brought_to_its_end_first() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    let left = bed.killed_earlier();
    let run = bed.run().run();
    let documents = run.exits(0).documents();
    assert_eq!(documents.len(), 2, "one for each export: {run}");
    assert_eq!(documents[0]["export"], left["export"]);
    check_files(&bed.path("earlier"), 1);
    check_files(&bed.path("files"), 1);
    assert_eq!(bed.lab.starts(), 2);
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn what_an_earlier_day_left_for_ever_does_not_keep_tonight_from_its_export() {
    let bed = Bed::new("pending = '0s'\nstarted = '0s'\nanswers = [{ status = 'PENDING' }]");
    bed.killed_earlier();
    bed.tamper("export", Value::Null);
    let run = bed.run().run();
    run.exits(69)
        .stderr_has("may or may not have created an export")
        .stderr_has("the run of an earlier day is given up");
    check_files(&bed.path("files"), 1);
    assert_eq!(run.documents().len(), 2);
    bed.run().args("--force").run().exits(0);
}

#[test]
fn an_earlier_run_that_cannot_be_asked_for_stays() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'\ntoken = '5ec7e700-0000-4000-8000-00000000cafe'");
    bed.killed_earlier();
    bed.run().env("SNYK_TOKEN", "00000000-0000-4000-8000-000000000000").run().exits(4);
    assert_eq!(bed.lab.starts(), 1);
    bed.run().run().exits(0);
    check_files(&bed.path("earlier"), 1);
}

#[test]
fn what_an_earlier_day_cannot_have_does_not_keep_tonight_from_its_export() {
    let lost = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 3\nstatus-code = 403";
    let bed = Bed::new(&format!("pending = '100ms'\nstarted = '0s'\n{lost}"));
    bed.killed_earlier();
    let run = bed.run().run();
    run.exits(4).stderr_has("the run of an earlier day is given up");
    assert_eq!(run.documents().len(), 2);
    check_files(&bed.path("files"), 1);
    // Somebody has put something into its place meanwhile.
    let bed = Bed::new("pending = '100ms'\nstarted = '0s'");
    bed.killed_earlier();
    std::fs::create_dir_all(bed.path("earlier")).unwrap();
    std::fs::write(bed.path("earlier/manifest.json"), "{}").unwrap();
    bed.run().run().exits(2).stderr_has("the run of an earlier day is given up");
    check_files(&bed.path("files"), 1);
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn the_command_runs_whenever_tonights_files_are_there() {
    let command = ["--", "sh", "-c", "echo ran $SNYK_EXPORT_RESULT_EXPORT_ID"];
    let with_command =
        |program: Program| command.iter().fold(program.text(), |program, word| program.arg(word));
    let bed = Bed::new("pending = '100ms'\nstarted = '0s'");
    let left = bed.killed_earlier();
    let run = with_command(bed.run()).run();
    let ids = run.exits(0).stdout.lines().last().unwrap().trim_start_matches("ran ").to_owned();
    assert!(ids.starts_with(left["export"]["export_id"].as_str().unwrap()) && ids.contains(','), "{run}");
    // Killed when all was there, and nothing was left to do but to forget it.
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    let record = bed.killed_late();
    let run = with_command(bed.run()).run();
    let id = record["export"]["export_id"].as_str().unwrap();
    assert!(run.exits(0).stdout.ends_with(&format!("ran {id}\n")), "{run}");
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_record_of_another_api_is_left_alone() {
    let [here, there] = [Bed::new("pending = '300ms'\nstarted = '0s'"), Bed::new(READY)];
    here.killed();
    let run = here.run().env("SNYK_API", &there.lab.url()).run();
    run.exits(2).stderr_has("tells of a run at ");
    assert_eq!(there.lab.requests(), 0);
    here.run().run().exits(0);
}

#[test]
fn an_export_whose_record_cannot_be_written_is_still_brought_home() {
    let bed = Bed::new(&format!("{READY}latency = '300ms'"));
    let running = bed.run().no_arg("--state state.json").args("--state kept/state.json").spawn();
    bed.lab.until_asked(1);
    std::fs::remove_dir_all(bed.path("kept")).unwrap();
    let run = running.end();
    run.exits(0)
        .stderr_has("could not be written, where the start is recorded")
        .stderr_has("the export is /groups/");
    check_files(&bed.path("files"), 1);
}

#[test]
fn another_call_of_the_same_day_does_not_take_the_record_away() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    let left = bed.killed();
    let other =
        || Program::whole_run(&bed.lab).living_in(bed.home.path()).args("--state state.json --columns A");
    other().run().exits(2).stderr_has("tells of another run of today");
    assert_eq!((bed.lab.starts(), bed.record()), (1, left));
    bed.run().run().exits(0);
    other().args("--force").run().exits(0);
}

#[test]
fn what_yesterday_left_in_the_same_place_is_not_todays() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    bed.killed();
    bed.tamper("date", "2001-01-01".into());
    let mut body = bed.record()["body"].clone();
    body["data"]["attributes"]["filters"]["introduced"]["from"] = "2001-01-01T00:00:00Z".into();
    bed.tamper("body", body);
    let run = bed.run().text().args("-- echo it ran").run();
    assert!(!run.exits(2).stdout.contains("it ran"), "{run}");
    run.stderr_has("manifest.json is there already");
    // The very same dates: what was left is what is wanted.
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    bed.killed();
    bed.tamper("date", "2001-01-01".into());
    let run = bed.run().text().args("-- echo it ran").run();
    assert!(run.exits(0).stdout.ends_with("it ran\n"), "{run}");
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn what_would_stop_tonight_too_is_no_reason_to_give_a_day_up() {
    // Snyk cannot be asked, in each of its ways.
    let rows = [
        ("on = 'status'\nstatus-code = 503", 69),
        ("on = 'status'\nstatus-code = 403", 4),
        ("on = 'results'\nstatus-code = 503", 69),
    ];
    for (fault, code) in rows {
        let fault = format!("[[faults]]\nprobability = 1\nat-most = 1000\n{fault}");
        let bed = Bed::new(&format!("pending = '300ms'\nstarted = '0s'\ninline-results = false\n{fault}"));
        let running = bed.run().no_arg("--dir files").args("--dir earlier").spawn();
        running.until_stderr_has("started: ");
        running.signal("KILL");
        running.end();
        bed.tamper("date", "2001-01-01".into());
        let run = bed.run().args("--max-outage 50ms").run();
        run.exits(code).stderr_lacks("given up");
        assert_eq!(bed.lab.starts(), 1, "{fault}");
        assert!(exists(&bed.path("state.json")));
    }
}

#[test]
fn an_export_that_is_never_ready_is_given_up_the_next_day() {
    let bed = Bed::new(NEVER);
    bed.killed_earlier();
    let run = bed.run().args("--max-wait 100ms").run();
    // Tonight's is not ready either, and that is what may be gone on with.
    run.exits(69).stderr_has("the run of an earlier day is given up");
    assert_eq!((bed.lab.starts(), run.documents().len()), (2, 2));
}

#[test]
fn a_signal_within_the_start_leaves_a_run_to_go_on_with() {
    let bed = Bed::new(&format!("{READY}latency = '400ms'"));
    let running = bed.run().spawn();
    bed.lab.until_asked(1);
    running.signal("TERM");
    let run = running.end();
    run.exits(143).stderr_has("to go on: snyk-export run --resume /groups/");
    assert_eq!(run.document()["outcome"], "interrupted");
    bed.run().run().exits(0);
    assert_eq!(bed.lab.starts(), 1);
    // Nothing has gone out yet: nobody answers the connection.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", deaf.local_addr().unwrap());
    let running = bed.run().args("--force").env("SNYK_API", &url).spawn();
    running.until_stderr_has("asking Snyk");
    let accepted = deaf.accept().unwrap();
    running.signal("TERM");
    running.end().exits(143).stderr_has("no export was started").stderr_lacks("may or may not");
    assert!(!exists(&bed.path("state.json")));
    drop(accepted);
}

#[test]
fn one_run_at_a_time() {
    let bed = Bed::new(NEVER);
    let first = bed.run().spawn();
    first.until_stderr_has("status changed");
    bed.run().run().exits(2).stderr_has("another run uses ").stderr_has("state.json");
    first.signal("TERM");
    first.end().exits(143);
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_record_that_is_none_of_ours_is_not_written_over() {
    for text in ["", "{", "{}", "[1]", "{\"schema\":2}"] {
        let bed = Bed::new(READY);
        std::fs::write(bed.path("state.json"), text).unwrap();
        bed.run().run().exits(2).stderr_has("state.json: ").stderr_has("it may tell of an export");
        assert_eq!(
            (bed.lab.requests(), std::fs::read_to_string(bed.path("state.json")).unwrap()),
            (0, text.to_owned())
        );
    }
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    bed.killed();
    let resume = format!("--resume {} --dir files --state state.json", crate::lab::path(SECOND_ID));
    let other = Program::asking("run", &bed.lab.url()).living_in(bed.home.path()).args(&resume);
    other.run().exits(2).stderr_has("tells of another export");
    assert!(exists(&bed.path("state.json")));
}

#[test]
fn two_calls_have_two_records() {
    let bed = Bed::new(NEVER);
    let run = |args: &str| {
        Program::whole_run(&bed.lab)
            .living_in(bed.home.path())
            .args(args)
            .args("--max-wait 50ms")
            .run()
            .exits(124);
    };
    run("--columns A");
    run("--columns B");
    run("--columns A");
    assert_eq!(bed.lab.starts(), 2);
    let records = bed.path(".local/state/snyk-export").read_dir().unwrap();
    let is_record = |path: &Path| path.extension().is_some_and(|end| end == "json");
    assert_eq!(records.filter(|entry| is_record(&entry.as_ref().unwrap().path())).count(), 2);
}
