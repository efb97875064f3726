//! Failing disks: one system call after the other fails; then the same command runs twice on a disk that works.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::{COURSE, can_trace, run};
use crate::download::{check_files, rows};
use crate::lab::{EXPORT_ID, Lab, Program, Run};

/// What may fail, in the words of strace.
const CALLS: [&str; 4] =
    ["fsync,fdatasync", "rename,renameat,renameat2", "mkdir,mkdirat", "unlink,unlinkat,rmdir"];

/// More calls of a kind than one thread makes.
const MOST: usize = 40;

/// What comes of a run when calls before it were refused something.
#[track_caller]
fn check_the_end(lab: &Lab, home: &Path, runs: &[&Run]) {
    let last = runs.last().unwrap();
    let all = || runs.iter().map(ToString::to_string).collect::<String>();
    assert!(lab.starts() <= 1, "{} starts:\n{}", lab.starts(), all());
    for run in runs {
        let is_known = matches!(run.code, Some(0..=2)) || is_unsure(run);
        assert!(is_known, "{}", all());
    }
    if is_unsure(last) {
        // Only where the answer could not be written down, and then that was told.
        let is_lost = |run: &&&Run| run.stderr.contains("could not be written, where the start is recorded");
        assert!(runs.iter().any(|run| is_lost(&run)), "{}", all());
        return;
    }
    let is_there = last.code == Some(2) && last.stderr.contains("manifest.json is there already");
    assert!(last.code == Some(0) || is_there, "{}", all());
    remove_hidden(&home.join("files"));
    check_files(&home.join("files"), 2);
    assert_eq!(rows(&std::fs::read_to_string(home.join("all.csv")).unwrap()), 20, "{}", all());
    assert_eq!(lab.starts(), 1, "{}", all());
}

/// Removes what could not be removed of the hidden folder, which is in nobody's way.
fn remove_hidden(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with(".snyk-export-") {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

fn is_unsure(run: &Run) -> bool {
    run.code == Some(69) && run.stderr.contains("may or may not have created an export")
}

/// Whether a fault was injected at all: beyond the last call there is none.
fn was_injected(log: &Path) -> bool {
    std::fs::read_to_string(log).unwrap().contains("(INJECTED)")
}

#[test]
fn a_run_succeeds_when_repeated_after_any_one_failed_system_call() {
    if !can_trace() {
        return;
    }
    let mut faults = 0;
    for calls in CALLS {
        for error in ["EIO", "ENOSPC"] {
            for number in 1..=MOST {
                let lab = Lab::start(COURSE);
                let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                let log = logs.path().join("log");
                // The number is one of each thread: where two of them come so far, both are refused something.
                let inject = format!("-e trace={calls} -e inject={calls}:error={error}:when={number}");
                let strace = format!("strace -f -o {} {inject}", log.display());
                let first = run(&lab, home.path()).under(&strace).run();
                if !was_injected(&log) {
                    break;
                }
                assert!(number < MOST, "there are more calls than that");
                let next = run(&lab, home.path()).run();
                let last = run(&lab, home.path()).run();
                println!("{calls} {number}: {:?} {:?} {:?}", first.code, next.code, last.code);
                check_the_end(&lab, home.path(), &[&first, &next, &last]);
                faults += 1;
            }
        }
    }
    assert!(faults > 30, "{faults} faults are not those of a run");
}

#[test]
fn a_record_or_a_note_that_cannot_be_written_is_no_end() {
    if !can_trace() {
        return;
    }
    // Which of its writes are to files differs from run to run.
    let mut missed = BTreeSet::from(["/.s.json.", ".csv.json"]);
    for number in (1..=12).cycle().take(72) {
        let lab = Lab::start(COURSE);
        let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = logs.path().join("log");
        let inject = format!("-e trace=write -e inject=write:error=EIO:when={number}");
        // The first thread alone, which writes these.
        let first = run(&lab, home.path()).under(&format!("strace -y -o {} {inject}", log.display())).run();
        let log = std::fs::read_to_string(log).unwrap();
        let Some(injected) = log.lines().find(|line| line.contains("(INJECTED)")) else { continue };
        // What wakes another thread is not a file.
        if injected.contains(home.path().to_str().unwrap()) {
            let next = run(&lab, home.path()).run();
            let last = run(&lab, home.path()).run();
            check_the_end(&lab, home.path(), &[&first, &next, &last]);
            missed.retain(|name| !injected.contains(name));
        }
        if missed.is_empty() {
            return;
        }
    }
    panic!("none of these was ever refused: {missed:?}");
}

#[test]
fn a_disk_that_is_full_at_any_moment_is_no_end() {
    let unshare = Command::new("unshare").args(["-m", "true"]).output();
    if !unshare.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no mount namespace can be made here: {unshare:?}");
        return;
    }
    // Each page more is room for one more of the files.
    const SCRIPT: &str = "mkdir small && mount -t tmpfs -o size=${PAGES}p none small; \"$@\"; first=$?; \
        mount -o remount,size=16m small; \"$@\"; next=$?; \"$@\"; last=$?; cp -r small/files small/all.csv .; exit $last";
    let mut whole = 0;
    for pages in 1.. {
        let lab = Lab::start(COURSE);
        let run = Program::whole_run(&lab).no_arg("--dir files").env("PAGES", &pages.to_string());
        let run = run.args("--dir small/files --merge small/all.csv --state small/state/s.json");
        let run = run.under_script("unshare -m sh -c", &SCRIPT.replace("${PAGES}p", "$((PAGES * 4))k")).run();
        if is_unsure(&run) {
            // There was room for the record, and none for the answer beside it, which is told.
            run.stderr_has("could not be written, where the start is recorded")
                .stderr_has("the export is /groups/");
            assert_eq!(lab.starts(), 1, "{pages} pages: {run}");
            continue;
        }
        let is_there = run.code == Some(2) && run.stderr.contains("manifest.json is there already");
        assert!(run.code == Some(0) || is_there, "{pages} pages: {run}");
        check_files(&run.home().join("files"), 2);
        assert_eq!(rows(&std::fs::read_to_string(run.home().join("all.csv")).unwrap()), 20);
        assert_eq!(lab.starts(), 1, "{pages} pages: {run}");
        // Once there is room enough, all three calls agree.
        whole += usize::from(!run.stderr.contains("No space left on device"));
        if whole == 2 {
            assert!(pages > 6, "{pages} pages are room enough, so that nothing was shown");
            break;
        }
        assert!(pages < 60, "there is never room enough: {run}");
    }
}

#[test]
fn a_part_that_cannot_be_written_is_fetched_again() {
    if !can_trace() {
        return;
    }
    for (name, error) in [
        ("part-0001.csv.partial", "EIO"),
        ("part-0002.csv.partial", "ENOSPC"),
        ("part-0001.csv.json", "EIO"),
        ("part-0002.csv.json", "ENOSPC"),
    ] {
        let lab = Lab::start(COURSE);
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(format!("files/.snyk-export-{EXPORT_ID}/{name}"));
        let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path()).args("--sync");
        let strace = format!("strace -f -o /dev/null -P {} -e inject=write:error={error}", path.display());
        let words = if error == "EIO" { "Input/output error" } else { "No space left on device" };
        download().under(&strace).run().exits(1).stderr_has(name).stderr_has(words);
        download().run().exits(0);
        check_files(&home.path().join("files"), 2);
        download().run().exits(2).stderr_has("manifest.json is there already");
    }
}

#[test]
fn files_are_not_trusted_after_a_failed_sync() {
    if !can_trace() {
        return;
    }
    for name in ["part-0001.csv", "part-0002.csv"] {
        let lab = Lab::start(COURSE);
        let home = tempfile::tempdir().unwrap();
        let work = home.path().join(format!("files/.snyk-export-{EXPORT_ID}"));
        let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path()).args("--sync");
        let path = work.join(name);
        let strace = format!("strace -f -o /dev/null -P {} -e inject=fsync:error=EIO", path.display());
        download().under(&strace).run().exits(1).stderr_has(name).stderr_has("Input/output error");
        assert!(!work.join("part-0001.csv").exists() && !work.join("part-0002.csv").exists());
        let asked = lab.asked_for("/storage").len();
        download().run().exits(0);
        assert_eq!(lab.asked_for("/storage").len() - asked, 2, "{name} is fetched again");
        check_files(&home.path().join("files"), 2);
    }
}
