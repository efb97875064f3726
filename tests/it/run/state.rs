//! The record of a run, and how the next call continues it.

use serde_json::{Value, json};
use snyk_export::simulator::Exchange;

use super::home::{HANGS_ONCE, RunHome, exists};
use crate::download::check_files;
use crate::lab::{Gate, NEVER, Program, READY, SECOND_ID};

#[test]
fn the_same_command_continues_its_export() {
    let bed = RunHome::new(HANGS_ONCE);
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
fn a_start_without_an_answer_is_reported_and_never_repeated() {
    let bed = RunHome::new(&format!("{READY}latency = '30s'"));
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
    let bed = RunHome::new(&format!(
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
fn a_start_that_created_nothing_leaves_no_record() {
    for fault in ["status-code = 403", "status-code = 503"] {
        let bed = RunHome::new(&format!("{READY}[[faults]]\non = 'start'\nprobability = 1\n{fault}"));
        assert!(matches!(bed.run().args("--max-outage 50ms").run().code, Some(4 | 69)));
        assert!(!exists(&bed.path("state.json")), "{fault}");
    }
}

#[test]
fn an_ended_export_is_forgotten_and_others_are_continued() {
    let over =
        [("ends-as = 'ERRORED'", 3), ("[[faults]]\non = 'status'\nprobability = 1\nstatus-code = 404", 5)];
    for (scenario, code) in over {
        let bed = RunHome::new(&format!("{READY}{scenario}"));
        bed.run().args("--not-found-grace 0s").run().exits(code);
        assert!(!exists(&bed.path("state.json")), "{scenario}");
    }
    let bed = RunHome::new(NEVER);
    for _ in 0..2 {
        bed.run().args("--max-wait 50ms").run().exits(124);
    }
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn the_command_runs_whenever_tonights_files_are_there() {
    let command = ["--", "sh", "-c", "echo ran $SNYK_EXPORT_RESULT_EXPORT_ID"];
    let with_command =
        |program: Program| command.iter().fold(program.text(), |program, word| program.arg(word));
    let bed = RunHome::new(HANGS_ONCE);
    let left = bed.killed_earlier();
    let run = with_command(bed.run()).run();
    let ids = run.exits(0).stdout.lines().last().unwrap().trim_start_matches("ran ").to_owned();
    assert!(ids.starts_with(left["export"]["export_id"].as_str().unwrap()) && ids.contains(','), "{run}");
    // Killed when all was there, and nothing was left to do but to forget it.
    let bed = RunHome::new(READY);
    let record = bed.killed_late();
    let run = with_command(bed.run()).run();
    let id = record["export"]["export_id"].as_str().unwrap();
    assert!(run.exits(0).stdout.ends_with(&format!("ran {id}\n")), "{run}");
    assert_eq!(bed.lab.starts(), 1);
}

/// A machine whose start is answered when the gate is opened, but not at once: a signal reaches the program a moment after
/// it was sent.
fn held_at_its_start() -> (RunHome, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let hear = move |exchange: &Exchange| {
        if exchange.method == "POST" {
            held.pass();
        }
    };
    (RunHome::hearing(&format!("{READY}latency = '500ms'"), hear), gate)
}

#[test]
fn an_export_is_downloaded_even_if_its_record_cannot_be_written() {
    let (bed, gate) = held_at_its_start();
    let running = bed.run().no_arg("--state state.json").args("--state kept/state.json").spawn();
    gate.until_reached();
    std::fs::remove_dir_all(bed.path("kept")).unwrap();
    gate.open();
    let run = running.end();
    run.exits(0)
        .stderr_has("could not be written, where the start is recorded")
        .stderr_has("the export is /groups/");
    check_files(&bed.path("files"), 1);
}

#[test]
fn success_is_not_claimed_without_the_merged_file() {
    let bed = RunHome::new(READY);
    let merging = || bed.run().args("--merge all.csv");
    for text in [None, Some(""), Some("a,b\n")] {
        let record = bed.killed_late_with("--merge all.csv --force");
        let merged = std::fs::read(bed.path("all.csv")).unwrap();
        std::fs::remove_file(bed.path("all.csv")).unwrap();
        text.into_iter().for_each(|text| std::fs::write(bed.path("all.csv"), text).unwrap());
        let (starts, asked) = (bed.lab.starts(), bed.lab.asked_for("/storage").len());
        let run = merging().text().args("-- echo it ran").run();
        assert!(run.exits(0).stdout.contains("it ran"), "{run}");
        assert_eq!(std::fs::read(bed.path("all.csv")).unwrap(), merged, "{text:?}");
        let after = (bed.lab.starts(), bed.lab.asked_for("/storage").len());
        assert_eq!(after, (starts, asked), "it is made of the parts: {record}");
    }
}

#[test]
fn files_that_a_power_cut_has_taken_are_fetched_again_and_not_refused() {
    let bed = RunHome::new(&format!("{READY}parts = 2"));
    for (number, name) in ["part-0002.csv", "part-0001.csv"].into_iter().enumerate() {
        bed.killed_late_with("--force");
        std::fs::write(bed.path("files").join(name), "").unwrap();
        let run = bed.run().text().args("-- echo it ran").run();
        assert!(run.exits(0).stdout.contains("it ran"), "{run}");
        run.stderr_has("a file is not what its manifest says, and so the files are fetched again");
        check_files(&bed.path("files"), 2);
        assert_eq!(bed.lab.starts(), number + 1, "nothing is started for that");
    }
}

#[test]
fn a_signal_within_the_start_leaves_a_run_to_go_on_with() {
    let (bed, gate) = held_at_its_start();
    let running = bed.run().spawn();
    gate.until_reached();
    running.signal("TERM");
    gate.open();
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
fn a_run_for_a_place_that_another_one_uses_starts_nothing() {
    let bed = RunHome::new(NEVER);
    let first = bed.run().spawn();
    first.until_stderr_has("status changed");
    let second = || Program::whole_run(&bed.lab).living_in(bed.home.path()).args("--state other.json");
    second().run().exits(2).stderr_has("another snyk-export").stderr_has("name another place");
    assert_eq!((bed.lab.starts(), exists(&bed.path("other.json"))), (1, false));
    first.signal("TERM");
    first.end().exits(143);
    second().args("--max-wait 1s").run().exits(124);
    assert_eq!(bed.lab.starts(), 2);
}

#[test]
fn one_run_at_a_time() {
    let bed = RunHome::new(NEVER);
    let first = bed.run().spawn();
    first.until_stderr_has("status changed");
    bed.run().run().exits(2).stderr_has("another run uses ").stderr_has("state.json");
    first.signal("TERM");
    first.end().exits(143);
    assert_eq!(bed.lab.starts(), 1);
}
