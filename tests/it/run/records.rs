//! Records of other calls, and records that cannot be used.

use std::path::Path;

use serde_json::Value;

use super::home::{HANGS_ONCE, RunHome, exists};
use crate::download::check_files;
use crate::lab::{GROUP, NEVER, Program, READY, SECOND_ID};

#[test]
fn a_record_of_another_api_is_left_alone() {
    let [here, there] = [RunHome::new(HANGS_ONCE), RunHome::new(READY)];
    here.killed();
    let run = here.run().env("SNYK_API", &there.lab.url()).run();
    run.exits(2).stderr_has("names a run at ");
    assert_eq!(there.lab.requests(), 0);
    here.run().run().exits(0);
}

#[test]
fn another_call_of_the_same_day_does_not_take_the_record_away() {
    let bed = RunHome::new(HANGS_ONCE);
    let left = bed.killed();
    let other =
        || Program::whole_run(&bed.lab).living_in(bed.home.path()).args("--state state.json --columns A");
    other().run().exits(2).stderr_has("names another run of today");
    assert_eq!((bed.lab.starts(), bed.record()), (1, left));
    bed.run().run().exits(0);
    other().args("--force").run().exits(0);
}

#[test]
fn each_date_of_a_call_makes_another_call_of_it() {
    for name in ["introduced", "updated", "event"] {
        let bed = RunHome::new("pending = '1h'");
        let dataset = if name == "event" { "prevention_events" } else { "issues" };
        for from in ["-1d", "-30d"] {
            let program = Program::asking("run", &bed.lab.url()).living_in(bed.home.path());
            let program = program.args(&format!("--group-id {GROUP} --dataset {dataset} --dir files"));
            program.args(&format!("--{name}-from={from} --max-wait 50ms")).run().exits(124);
        }
        assert_eq!(bed.lab.starts(), 2, "{name}");
    }
}

#[test]
fn an_unreadable_record_is_renamed_after_three_days() {
    let bed = RunHome::new(READY);
    std::fs::write(bed.path("state.json"), "{").unwrap();
    bed.run().run().exits(2).stderr_has("it may name an export");
    let file = std::fs::File::options().write(true).open(bed.path("state.json")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bed.run().run().exits(0).stderr_has("a state file that cannot be read is put aside");
    assert_eq!(std::fs::read_to_string(bed.path("state.json.unreadable")).unwrap(), "{");
    check_files(&bed.path("files"), 1);
}

#[test]
fn the_default_name_of_a_record_is_shown() {
    let bed = RunHome::new(HANGS_ONCE);
    let default = || Program::whole_run(&bed.lab).living_in(bed.home.path());
    bed.killed_at_its_poll(default(), 1);
    let state = bed.path(".local/state/snyk-export");
    let paths = state.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let path = paths.into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    std::fs::write(&path, "{").unwrap();
    let run = default().run();
    run.exits(2).stderr_has("/run-").stderr_has(".json: it is not a record of a run").stderr_lacks("***");
}

#[test]
fn a_record_of_another_call_is_reported_with_the_command_that_continues() {
    let bed = RunHome::new(HANGS_ONCE);
    let default = || Program::whole_run(&bed.lab).living_in(bed.home.path());
    bed.killed_at_its_poll(default(), 1);
    // The line of the crontab is edited.
    let run = default().args("--merge all.csv -q").no_arg("--dir files").args("--dir other").run();
    run.exits(0).stderr_has("another call has left an export of the very same").stderr_has("/run-");
    let run = default().args("--columns A").no_arg("--dir files").args("--dir third -- true").run();
    run.exits(0).stderr_has("another call has left an export of the same group");
    run.stderr_lacks(" -- true").stderr_lacks("--output");
    let (_, command) = run.stderr.split_once("to go on with it: snyk-export run ").unwrap();
    let command = command.lines().next().unwrap().trim_end_matches('"');
    let starts = bed.lab.starts();
    Program::asking("run", &bed.lab.url())
        .no_config()
        .text()
        .living_in(bed.home.path())
        .args(command)
        .run()
        .exits(0);
    check_files(&bed.path("files"), 1);
    assert_eq!(bed.lab.starts(), starts);
    let run = default().args("--columns A --force").no_arg("--dir files").args("--dir third").run();
    run.exits(0).stderr_lacks("another call has left");
}

#[test]
fn a_record_of_another_call_is_not_reported_while_it_runs_nor_after_three_days() {
    let bed = RunHome::new(NEVER);
    let default = || Program::whole_run(&bed.lab).living_in(bed.home.path());
    let state = bed.path(".local/state/snyk-export");
    let record = || {
        let paths = state.read_dir().unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect::<Vec<_>>()
    };
    let running = default().spawn();
    running.until_stderr_has("status changed");
    default()
        .args("--columns A --dir other")
        .no_arg("--dir files")
        .args("--max-wait 1ms")
        .run()
        .exits(124)
        .stderr_lacks("another call has left");
    running.signal("KILL");
    running.end();
    for path in record() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut record: Value = serde_json::from_str(&text).unwrap();
        record["sent_at"] = "2001-01-01T00:00:00Z".into();
        std::fs::write(&path, record.to_string()).unwrap();
    }
    let run = default().args("--columns B --dir third").no_arg("--dir files").args("--max-wait 1ms").run();
    run.exits(124).stderr_has("what another call has left is given up").stderr_lacks("to go on with it");
    assert_eq!(record().len(), 1, "its own");
}

#[test]
fn a_record_with_foreign_values_is_refused() {
    let bed = RunHome::new(HANGS_ONCE);
    bed.killed();
    for (member, value) in [("dir", "elsewhere"), ("merge", "/a\n::error::b"), ("api", "\u{1b}[2J")] {
        let whole = bed.record();
        bed.tamper(member, value.into());
        let run = bed.run().run();
        run.exits(2).stderr_has(&format!("its member `{member}` has a value that this program never writes"));
        run.stderr_lacks("\n::error").stderr_lacks("\u{1b}");
        std::fs::write(bed.path("state.json"), whole.to_string()).unwrap();
    }
    bed.run().run().exits(0);
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_state_file_that_is_no_regular_file_is_neither_read_nor_followed() {
    let bed = RunHome::new(READY);
    std::fs::write(bed.path("victim"), "mine").unwrap();
    let made =
        ["ln -s victim state.json", "mkfifo state.json", "ln -s /dev/zero state.json", "mkdir state.json"];
    for make in made {
        let made = std::process::Command::new("sh").args(["-c", make]).current_dir(&bed.home).status();
        assert!(made.unwrap().success(), "{make}");
        bed.run().run().exits(2).stderr_has("state.json cannot be written");
        std::process::Command::new("rm").args(["-rf", "state.json"]).current_dir(&bed.home).status().unwrap();
    }
    for name in ["state.json.new", "state.json.lock"] {
        std::os::unix::fs::symlink("victim", bed.path(name)).unwrap();
    }
    bed.run().run().exits(2).stderr_has("state.json cannot be written");
    std::fs::remove_file(bed.path("state.json.lock")).unwrap();
    bed.run().run().exits(0);
    assert_eq!(std::fs::read_to_string(bed.path("victim")).unwrap(), "mine");
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_record_of_another_program_is_not_overwritten() {
    for text in ["", "{", "{}", "[1]", "{\"schema\":2}"] {
        let bed = RunHome::new(READY);
        std::fs::write(bed.path("state.json"), text).unwrap();
        bed.run().run().exits(2).stderr_has("state.json: ").stderr_has("it may name an export");
        assert_eq!(
            (bed.lab.requests(), std::fs::read_to_string(bed.path("state.json")).unwrap()),
            (0, text.to_owned())
        );
    }
    let bed = RunHome::new(HANGS_ONCE);
    bed.killed();
    let resume = format!("--resume {} --dir files --state state.json", crate::lab::path(SECOND_ID));
    let other = Program::asking("run", &bed.lab.url()).living_in(bed.home.path()).args(&resume);
    other.run().exits(2).stderr_has("names another export");
    assert!(exists(&bed.path("state.json")));
}

#[test]
fn two_calls_have_two_records() {
    let bed = RunHome::new(NEVER);
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
