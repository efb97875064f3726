//! A run that an earlier day left is completed first, kept, or given up.

use serde_json::Value;

use super::home::{HANGS_ONCE, RunHome, broken, exists};
use crate::download::check_files;
use crate::lab::{NEVER, Program, READY, SECOND_ID, TOKEN, path};

#[test]
fn an_earlier_run_is_completed_first() {
    let bed = RunHome::new(HANGS_ONCE);
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
fn an_earlier_start_with_unknown_result_does_not_block_the_next_run() {
    let bed = RunHome::new(HANGS_ONCE);
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
fn an_earlier_run_with_a_refused_credential_is_kept() {
    let bed = RunHome::new(&format!("token = '{TOKEN}'\n{HANGS_ONCE}"));
    bed.killed_earlier();
    let run = bed.run().env("SNYK_TOKEN", "00000000-0000-4000-8000-000000000000").run();
    run.exits(4).stderr_has("the run of an earlier day is not at its end").stderr_lacks("given up");
    assert_eq!(bed.lab.starts(), 2, "tonight's is asked for all the same, and refused");
    bed.run().run().exits(0);
    check_files(&bed.path("earlier"), 1);
}

#[test]
fn an_earlier_download_that_fails_does_not_block_the_next_run() {
    let lost = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 3\nstatus-code = 403";
    let bed = RunHome::new(&format!("{HANGS_ONCE}{lost}"));
    bed.killed_earlier();
    let run = bed.run().run();
    run.exits(0).stderr_has("the run of an earlier day is given up");
    assert_eq!(run.documents().len(), 2);
    check_files(&bed.path("files"), 1);
    // Somebody has put something into its place meanwhile.
    let bed = RunHome::new(HANGS_ONCE);
    bed.killed_earlier();
    std::fs::create_dir_all(bed.path("earlier")).unwrap();
    std::fs::write(bed.path("earlier/manifest.json"), "{}").unwrap();
    bed.run().run().exits(0).stderr_has("the run of an earlier day is given up");
    check_files(&bed.path("files"), 1);
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn files_of_yesterday_in_the_same_directory_are_not_todays() {
    let bed = RunHome::new(HANGS_ONCE);
    bed.killed();
    bed.tamper("date", "2001-01-01".into());
    let mut body = bed.record()["body"].clone();
    body["data"]["attributes"]["filters"]["introduced"]["from"] = "2001-01-01T00:00:00Z".into();
    bed.tamper("body", body);
    let asked = bed.lab.requests();
    let run = bed.run().text().args("-- echo it ran").run();
    assert!(!run.exits(2).stdout.contains("it ran"), "{run}");
    run.stderr_has("put {date} into --dir").stderr_has("names a run of 2001-01-01");
    assert_eq!(bed.lab.requests(), asked, "nothing is asked, and the earlier files stay where they are");
    let id = bed.record()["export"]["export_id"].as_str().unwrap().to_owned();
    run.stderr_has(&format!("or complete that run first: snyk-export run --resume {} ", path(&id)));
    let resume = Program::asking("run", &bed.lab.url()).living_in(bed.home.path()).args("--dir files");
    resume.args("--state state.json --resume").arg(&path(&id)).run().exits(0);
    bed.run().run().exits(2).stderr_has("manifest.json is there already");
    // The very same dates: what was left is what is wanted.
    let bed = RunHome::new(HANGS_ONCE);
    bed.killed();
    bed.tamper("date", "2001-01-01".into());
    let run = bed.run().text().args("-- echo it ran").run();
    assert!(run.exits(0).stdout.ends_with("it ran\n"), "{run}");
    assert_eq!(bed.lab.starts(), 1);
}

#[test]
fn an_unavailable_earlier_export_is_kept_for_three_days_and_does_not_block_the_next() {
    for fault in [
        "on = 'status'\nstatus-code = 503",
        "on = 'status'\nstatus-code = 403",
        "on = 'status'\nstatus-code = 401",
        "on = 'results'\nstatus-code = 500",
        "on = 'results'\nstatus-code = 403",
    ] {
        let bed = RunHome::new(&broken(&[fault]));
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
    let bed = RunHome::new(READY);
    // No user can write to it, root included: it would be below a file.
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
fn a_night_that_times_out_after_an_earlier_one_did_can_be_gone_on_with() {
    let bed = RunHome::new(NEVER);
    bed.killed_earlier();
    let run = || bed.run().args("--max-wait 300ms").run();
    assert_eq!(run().exits(124).documents().len(), 2);
    assert_eq!(run().exits(124).documents().len(), 1, "its own is left");
    assert_eq!(bed.lab.starts(), 2);
}

#[test]
fn several_earlier_days_are_completed_in_order() {
    let refused = broken(&["on = 'status'\nat-most = 1\nstatus-code = 403"]);
    let bed = RunHome::new(&format!(
        "{refused}[[faults]]\non = 'status'\nprobability = 1\nat-most = 1\nfault = 'hang'"
    ));
    bed.left_by_yesterday("2026-01-01", "earlier");
    // The second day is killed, too, at the poll of its own export: that is the second one.
    bed.killed_at_its_poll(bed.run(), 2);
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
fn a_signal_during_an_earlier_run_starts_nothing() {
    let bed = RunHome::new(&broken(&["on = 'status'\nfault = 'hang'"]));
    bed.left_by_yesterday("2026-01-01", "earlier");
    let left = bed.record();
    let running = bed.run().spawn();
    bed.lab.until_asked(1);
    running.signal("TERM");
    running.end().exits(143);
    assert_eq!((bed.lab.starts(), bed.record()), (0, left));
}

#[test]
fn a_record_of_another_api_of_an_earlier_day_is_kept_and_tonights_begins() {
    let bed = RunHome::new(READY);
    bed.left_by_yesterday("2026-01-01", "earlier");
    bed.tamper("api", "https://api.example".into());
    bed.run().run().exits(0).stderr_has("names a run at https://api.example");
    assert_eq!(bed.record()["api"], "https://api.example");
    bed.tamper("sent_at", "2001-01-01T00:00:00Z".into());
    bed.run().args("--force").run().exits(0).stderr_has("given up");
    assert!(!exists(&bed.path("state.json")));
}

#[test]
fn files_of_yesterday_without_the_merged_file_are_not_enough() {
    for changed in ["--merge all.csv", "--include-deleted", "--include-deactivated"] {
        let bed = RunHome::new(HANGS_ONCE);
        bed.killed();
        bed.tamper("date", "2001-01-01".into());
        let run = bed.run().text().args(changed).args("-- echo it ran").run();
        assert!(!run.exits(2).stdout.contains("it ran"), "{changed}: {run}");
        run.stderr_has("put {date} into --dir");
    }
}

#[test]
fn an_export_that_is_never_ready_is_given_up_the_next_day() {
    let bed = RunHome::new(NEVER);
    bed.killed_earlier();
    let run = bed.run().args("--max-wait 100ms").run();
    // Tonight's is not ready either, and the same command goes on with that.
    run.exits(124).stderr_has("the run of an earlier day is given up");
    assert_eq!((bed.lab.starts(), run.documents().len()), (2, 2));
}
