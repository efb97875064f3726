//! In which order files are written, synced and renamed.

use std::path::{Path, PathBuf};

use super::disk::{Disk, Tree};
use super::trace::{Call, strace};
use super::{COURSE, can_trace, run};
use crate::download::check_files;
use crate::lab::{EXPORT_ID, GROUP, Lab, Program};

/// What was called, with what the disk surely had before each call.
fn followed(home: &Path, log: &Path) -> (Vec<(Call, Tree)>, Tree) {
    // What was there before is not looked at.
    let before = tempfile::tempdir().unwrap();
    let mut disk = Disk::of(before.path()).at(home);
    let calls = Call::all(&std::fs::read_to_string(log).unwrap());
    let calls = calls.into_iter().map(|call| {
        let before = disk.only_synced();
        disk.apply(&call);
        (call, before)
    });
    (calls.collect(), disk.only_synced())
}

/// Checks that the disk has these files as they are in the end, under these names.
#[track_caller]
fn assert_has(tree: &Tree, home: &Path, pairs: &[(PathBuf, &str)]) {
    for (path, name) in pairs {
        let expected = std::fs::read(home.join(name)).unwrap();
        let found = tree.get(path).and_then(Option::as_ref);
        assert_eq!(found, Some(&expected), "{} is not on the disk: {:?}", path.display(), tree.keys());
    }
}

/// Checks the order of a download: what the hidden manifest says is on the disk before it is, and so is the other one.
#[track_caller]
fn check_download(calls: &[(Call, Tree)], last: &Tree, home: &Path) {
    let renames = calls.iter().filter(|(call, _)| call.name.starts_with("rename"));
    let renames: Vec<_> = renames.map(|(call, before)| (call.renamed_to(), before)).collect();
    let to = |wanted: &dyn Fn(&Path) -> bool| {
        let mut found = renames.iter().filter(|(to, _)| wanted(to));
        let (to, before) = found.next().expect("such a rename");
        assert!(found.next().is_none(), "there is one of each");
        (to.clone(), *before)
    };
    let dir = home.join("files");
    let (hidden, before) = to(&|path| path.ends_with("manifest.json") && path.parent() != Some(&dir));
    let work = hidden.parent().unwrap().strip_prefix(home).unwrap().to_owned();
    let merged = before.keys().find(|path| path.to_str().unwrap().starts_with(".all.csv.")).unwrap().clone();
    let names = ["part-0001.csv", "part-0002.csv"];
    let mut whole = names.map(|name| (work.join(name), format!("files/{name}"))).to_vec();
    whole.push((merged, "all.csv".to_owned()));
    assert_has(
        before,
        home,
        &whole.iter().map(|(path, name)| (path.clone(), name.as_str())).collect::<Vec<_>>(),
    );
    let (_, before) = to(&|path| path == dir.join("manifest.json"));
    let mut named =
        ["files/part-0001.csv", "files/part-0002.csv", "all.csv"].map(|name| (name.into(), name)).to_vec();
    assert_has(before, home, &named);
    assert!(!before.contains_key(Path::new("files/manifest.json")));
    named.push(("files/manifest.json".into(), "files/manifest.json"));
    assert_has(last, home, &named);
}

#[test]
fn a_run_syncs_files_and_directories_before_what_says_that_they_are_there() {
    if !can_trace() {
        return;
    }
    let lab = Lab::start(COURSE);
    let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = logs.path().join("log");
    run(&lab, home.path()).under(&strace(&log)).args("-- true").run().exits(0);
    check_files(&home.path().join("files"), 2);
    let (calls, last) = followed(home.path(), &log);
    check_download(&calls, &last, home.path());
    // The record is on the disk before the start is sent, with the answer before it is waited for, and off it before COMMAND.
    let record = |tree: &Tree| {
        let text = tree.get(Path::new("state/s.json")).and_then(Option::as_ref);
        text.map(|text| serde_json::from_slice::<serde_json::Value>(text).unwrap())
    };
    let before = |wanted: &dyn Fn(&Call) -> bool| {
        record(&calls.iter().rfind(|(call, _)| wanted(call)).expect("such a call").1)
    };
    assert!(before(&|call| call.sends("POST ")).expect("a record")["export"].is_null());
    let answered = before(&|call| call.sends("GET ") && !call.sends("GET /storage"));
    assert!(answered.expect("a record")["export"].is_object());
    assert_eq!(before(&|call| call.name == "execve"), None);
}

#[test]
fn a_download_with_sync_syncs_files_and_directories_before_what_says_that_they_are_there() {
    if !can_trace() {
        return;
    }
    let lab = Lab::start(COURSE);
    let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = logs.path().join("log");
    let download = Program::download(&lab).export(EXPORT_ID).living_in(home.path());
    download.args("--merge all.csv --sync").under(&strace(&log)).run().exits(0);
    let (calls, last) = followed(home.path(), &log);
    check_download(&calls, &last, home.path());
}

#[test]
fn the_first_start_of_a_daemon_makes_its_directories_and_its_store_durable() {
    if !can_trace() {
        return;
    }
    let lab = Lab::start(COURSE);
    let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = logs.path().join("log");
    let settings = format!(
        "[server]\nlisten = '127.0.0.1:0'\n[[watch]]\ngroup-id = '{GROUP}'\nexport-id = '{EXPORT_ID}'\n"
    );
    std::fs::write(logs.path().join("daemon.toml"), settings).unwrap();
    let config = logs.path().join("daemon.toml").display().to_string();
    let daemon = Program::bare("watch").living_in(home.path()).env("SNYK_API", &lab.url());
    let daemon = daemon.env("SNYK_TOKEN", crate::lab::TOKEN).args("--until-idle --config").arg(&config);
    daemon.under(&strace(&log)).run().exits(0);
    let calls = Call::all(&std::fs::read_to_string(&log).unwrap());
    let state = home.path().join(".local/state/snyk-export");
    let at = |what: &str, wanted: &dyn Fn(&Call) -> bool| {
        calls.iter().position(wanted).unwrap_or_else(|| panic!("{what} never happens"))
    };
    let synced_after = |from: usize, path: &Path| {
        let is_sync = |call: &Call| call.name.ends_with("sync") && call.file() == path;
        calls[from..].iter().position(is_sync).map(|at| from + at).unwrap_or(usize::MAX)
    };
    let asked = at("a poll", &|call| call.sends("GET "));
    // Each directory that was made is synced into the one above it, and the store's file into its own.
    for made in [state.clone(), state.parent().unwrap().to_owned(), home.path().join(".local")] {
        let made_at = at("a directory", &|call| call.name.starts_with("mkdir") && call.made() == made);
        assert!(synced_after(made_at, made.parent().unwrap()) < asked, "{}", made.display());
    }
    let store = state.join("watches.db");
    let created = at("the store", &|call| call.has_created(&store));
    assert!(synced_after(created, &state) < asked, "the store's file may be gone");
    // What it has taken on is on the disk before it polls.
    let wal = state.join("watches.db-wal");
    let written = calls[..asked].iter().rposition(|call| call.name == "pwrite64" && call.file() == wal);
    assert!(synced_after(written.expect("a log"), &wal) < asked, "what it has taken on may be gone");
}
