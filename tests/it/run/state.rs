//! The record of a run, and what the next call makes of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::download::check_files;
use crate::lab::{GROUP, Lab, NEVER, Program, READY, SECOND_ID};

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
    /// The record of another export, of an earlier day, and of the same call.
    fn left_by_yesterday(&self, date: &str, dir: &str) {
        let lab = Lab::start(NEVER);
        let running = self.run().env("SNYK_API", &lab.url()).spawn();
        running.until_stderr_has("status changed");
        running.signal("KILL");
        running.end();
        self.tamper("api", self.lab.url().into());
        self.tamper("date", date.into());
        self.tamper("dir", self.path(dir).display().to_string().into());
        let mut export = self.record()["export"].clone();
        export["export_id"] = SECOND_ID.into();
        self.tamper("export", export);
        std::fs::remove_dir_all(self.path("files")).unwrap();
    }

    /// A run that was killed when all was done but to forget it.
    fn killed_late(&self) -> Value {
        self.killed_late_with("")
    }

    fn killed_late_with(&self, args: &str) -> Value {
        let running = self.run().args(args).spawn();
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
    run.exits(0)
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
    let run = bed.run().env("SNYK_TOKEN", "00000000-0000-4000-8000-000000000000").run();
    run.exits(4).stderr_has("the run of an earlier day is not at its end").stderr_lacks("given up");
    assert_eq!(bed.lab.starts(), 2, "tonight's is asked for all the same, and refused");
    bed.run().run().exits(0);
    check_files(&bed.path("earlier"), 1);
}

#[test]
fn what_an_earlier_day_cannot_have_does_not_keep_tonight_from_its_export() {
    let lost = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 3\nstatus-code = 403";
    let bed = Bed::new(&format!("pending = '100ms'\nstarted = '0s'\n{lost}"));
    bed.killed_earlier();
    let run = bed.run().run();
    run.exits(0).stderr_has("the run of an earlier day is given up");
    assert_eq!(run.documents().len(), 2);
    check_files(&bed.path("files"), 1);
    // Somebody has put something into its place meanwhile.
    let bed = Bed::new("pending = '100ms'\nstarted = '0s'");
    bed.killed_earlier();
    std::fs::create_dir_all(bed.path("earlier")).unwrap();
    std::fs::write(bed.path("earlier/manifest.json"), "{}").unwrap();
    bed.run().run().exits(0).stderr_has("the run of an earlier day is given up");
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

/// Faults that meet the export of the day before only.
fn broken(faults: &[&str]) -> String {
    let fault = |fault: &&str| format!("[[faults]]\nprobability = 1\npath-has = '{SECOND_ID}'\n{fault}\n");
    READY.to_owned() + "inline-results = false\n" + &faults.iter().map(fault).collect::<String>()
}

#[test]
fn an_earlier_export_that_cannot_be_had_for_now_is_kept_for_three_days_and_tonights_begins() {
    for fault in [
        "on = 'status'\nstatus-code = 503",
        "on = 'status'\nstatus-code = 403",
        "on = 'status'\nstatus-code = 401",
        "on = 'results'\nstatus-code = 500",
        "on = 'results'\nstatus-code = 403",
    ] {
        let bed = Bed::new(&broken(&[fault]));
        bed.left_by_yesterday("2026-01-01", "earlier");
        let left = bed.record();
        let night = |dir: &str| {
            let run = bed.run().no_arg("--dir files").args("--dir").arg(dir);
            run.args("--max-outage 50ms").run()
        };
        for dir in ["one", "two"] {
            let run = night(dir);
            run.exits(0).stderr_has("the run of an earlier day is not at its end").stderr_lacks("given up");
            assert_eq!(run.documents().len(), 2, "{run}");
            check_files(&bed.path(dir), 1);
            assert_eq!(bed.record(), left, "the next night tries again");
        }
        bed.tamper("sent_at", "2001-01-01T00:00:00Z".into());
        let run = night("three");
        run.exits(0).stderr_has("the run of an earlier day is given up").stderr_has("older than three days");
        assert!(!exists(&bed.path("state.json")), "{fault}");
        assert_eq!(bed.lab.starts(), 3);
    }
}

#[test]
fn an_earlier_days_directory_is_not_tonights() {
    let bed = Bed::new(READY);
    // Nobody can write to it, whoever runs this: it would be below a file.
    std::fs::write(bed.path("disk"), "").unwrap();
    bed.left_by_yesterday("2026-01-01", "disk/earlier");
    let left = bed.record();
    let run = bed.run().run();
    run.exits(0).stderr_has("disk/earlier cannot be written to").stderr_lacks("given up");
    check_files(&bed.path("files"), 1);
    assert_eq!(bed.record(), left, "it may be there again tomorrow");
    // The same problem in tonight's.
    let run = bed.run().no_arg("--dir files").args("--dir disk/tonight").run();
    run.exits(2).stderr_has("disk/tonight cannot be written to");
    assert_eq!(bed.lab.starts(), 1);
    // What was in the way is gone.
    std::fs::remove_file(bed.path("disk")).unwrap();
    bed.run().args("--force").run().exits(0);
    check_files(&bed.path("disk/earlier"), 1);
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn several_days_that_were_left_are_brought_to_their_ends_in_their_order() {
    let bed = Bed::new(&broken(&["on = 'status'\nat-most = 1\nstatus-code = 403"]));
    bed.left_by_yesterday("2026-01-01", "earlier");
    // The second day is killed, too.
    let running = bed.run().spawn();
    running.until_stderr_has("the run of an earlier day is not at its end");
    running.until_stderr_has("started: ");
    running.signal("KILL");
    running.end();
    assert_eq!(bed.record()["earlier"].as_array().unwrap().len(), 1);
    bed.tamper("date", "2026-01-02".into());
    let run = bed.run().no_arg("--dir files").args("--dir third").run();
    assert_eq!(run.exits(0).documents().len(), 3);
    assert_eq!(run.documents()[0]["export"]["export_id"], SECOND_ID);
    for dir in ["earlier", "files", "third"] {
        check_files(&bed.path(dir), 1);
    }
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn a_signal_while_an_earlier_day_is_concluded_begins_nothing() {
    let bed = Bed::new(&broken(&["on = 'status'\nfault = 'hang'"]));
    bed.left_by_yesterday("2026-01-01", "earlier");
    let left = bed.record();
    let running = bed.run().spawn();
    bed.lab.until_asked(1);
    running.signal("TERM");
    running.end().exits(143);
    assert_eq!((bed.lab.starts(), bed.record()), (0, left));
}

#[test]
fn each_date_of_a_call_makes_another_call_of_it() {
    for name in ["introduced", "updated", "event"] {
        let bed = Bed::new("pending = '1h'");
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
fn a_record_of_another_api_of_an_earlier_day_is_kept_and_tonights_begins() {
    let bed = Bed::new(READY);
    bed.left_by_yesterday("2026-01-01", "earlier");
    bed.tamper("api", "https://api.example".into());
    bed.run().run().exits(0).stderr_has("tells of a run at https://api.example");
    assert_eq!(bed.record()["api"], "https://api.example");
    bed.tamper("sent_at", "2001-01-01T00:00:00Z".into());
    bed.run().args("--force").run().exits(0).stderr_has("given up");
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn a_record_that_cannot_be_read_is_put_aside_when_it_is_three_days_old() {
    let bed = Bed::new(READY);
    std::fs::write(bed.path("state.json"), "{").unwrap();
    bed.run().run().exits(2).stderr_has("it may tell of an export");
    let file = std::fs::File::options().write(true).open(bed.path("state.json")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bed.run().run().exits(0).stderr_has("a state file that cannot be read is put aside");
    assert_eq!(std::fs::read_to_string(bed.path("state.json.unreadable")).unwrap(), "{");
    check_files(&bed.path("files"), 1);
}

#[test]
fn what_another_call_has_left_is_told_with_the_command_that_goes_on_with_it() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    let default = || Program::whole_run(&bed.lab).living_in(bed.home.path());
    let killed = default().spawn();
    killed.until_stderr_has("status changed");
    killed.signal("KILL");
    killed.end();
    // The line of the crontab is edited.
    let run = default().args("--merge all.csv -q").no_arg("--dir files").args("--dir other").run();
    run.exits(0).stderr_has("another call has left an export of the very same").stderr_has("/run-");
    let run = default().args("--columns A").no_arg("--dir files").args("--dir third").run();
    run.exits(0).stderr_has("another call has left an export of the same group");
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
fn what_another_call_has_left_is_not_told_while_it_runs_nor_after_three_days() {
    let bed = Bed::new(NEVER);
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
fn what_yesterday_left_without_the_merged_file_is_not_what_is_wanted() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    for changed in ["--merge all.csv", "--include-deleted", "--include-deactivated"] {
        bed.killed();
        bed.tamper("date", "2001-01-01".into());
        let run = bed.run().text().args(changed).args("-- echo it ran").run();
        assert!(!run.exits(2).stdout.contains("it ran"), "{changed}: {run}");
        run.stderr_has("manifest.json is there already");
        std::fs::remove_dir_all(bed.path("files")).unwrap();
    }
}

#[test]
fn success_is_not_claimed_without_the_merged_file() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
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
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'\nparts = 2");
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
fn a_record_that_leads_elsewhere_is_none_of_ours() {
    let bed = Bed::new("pending = '300ms'\nstarted = '0s'");
    bed.killed();
    for (member, value) in [("dir", "elsewhere"), ("merge", "/a\n::error::b"), ("api", "\u{1b}[2J")] {
        let whole = bed.record();
        bed.tamper(member, value.into());
        let run = bed.run().run();
        run.exits(2).stderr_has(&format!("its member `{member}` is none that this program writes"));
        run.stderr_lacks("\n::error").stderr_lacks("\u{1b}");
        std::fs::write(bed.path("state.json"), whole.to_string()).unwrap();
    }
    bed.run().run().exits(0);
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn a_state_file_that_is_no_regular_file_is_neither_read_nor_followed() {
    let bed = Bed::new(READY);
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
fn an_export_that_is_never_ready_is_given_up_the_next_day() {
    let bed = Bed::new(NEVER);
    bed.killed_earlier();
    let run = bed.run().args("--max-wait 100ms").run();
    // Tonight's is not ready either, and the same command goes on with that.
    run.exits(124).stderr_has("the run of an earlier day is given up");
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
