//! A failing disk: what was acknowledged is kept, and nothing else is acknowledged.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;
use uuid::Uuid;

use super::home::{DaemonHome, asking, watch};
use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, READY};
use crate::power::can_trace;

/// The exports that the store's file has, without the log beside it.
fn kept(bed: &DaemonHome) -> Vec<Uuid> {
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("watches.db");
    std::fs::copy(bed.path("watches.db"), &copy).unwrap();
    let store = Connection::open(copy).unwrap();
    let mut rows = store.prepare("SELECT export_id FROM watches").unwrap();
    let ids = rows.query_map((), |row| row.get(0)).unwrap();
    ids.map(|id: rusqlite::Result<[u8; 16]>| Uuid::from_bytes(id.unwrap())).collect()
}

/// The command that lets the syncs of a file fail from the one with this number on, or this one alone.
fn failing(file: &Path, when: &str, log: &Path) -> String {
    let inject = format!("-e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO:when={when}");
    format!("strace -f -o {} -P {} {inject}", log.display(), file.display())
}

fn was_injected(log: &Path) -> bool {
    std::fs::read_to_string(log).unwrap().contains("(INJECTED)")
}

#[test]
fn a_sync_that_fails_below_a_post_ends_the_daemon_and_loses_nothing_that_was_acknowledged() {
    if !can_trace() {
        return;
    }
    let lab = Lab::start(NEVER);
    // Each migration of a new store syncs its log once.
    const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sqlite/migrations");
    let migrations = std::fs::read_dir(MIGRATIONS).unwrap().count();
    for (number, then) in [(6, ""), (9, ""), (7, "+")] {
        let number = migrations + number;
        let bed = DaemonHome::new(&asking(&lab));
        let log = bed.path("strace");
        let strace = failing(&bed.path("watches.db-wal"), &format!("{number}{then}"), &log);
        let daemon = DaemonHome::begin(bed.program("watch").under(&strace));
        let mut acknowledged = Vec::new();
        let refused = loop {
            let id = Uuid::new_v4();
            let body = json!({ "group_id": GROUP, "export_id": id, "account": "default" });
            // Each is polled, and the times of these polls are not synced.
            let polled = lab.requests();
            // A sync for a poll may fail first, and then the daemon is stopping already.
            let answer = bed.try_to_add(&body.to_string());
            if answer.as_ref().is_none_or(|answer| answer.status != 201) {
                break answer;
            }
            acknowledged.push(id);
            lab.until_heard(|exchanges| exchanges.len() > polled + 1);
        };
        assert!(refused.as_ref().is_none_or(|answer| answer.status == 503), "{refused:?}");
        assert!(!acknowledged.is_empty() && was_injected(&log));
        let run = daemon.end();
        run.exits(1).stderr_has("watches.db failed: disk I/O error");
        if then.is_empty() {
            // The log is in the file by now, and so a hole in it does not matter.
            let kept = kept(&bed);
            let lost: Vec<&Uuid> = acknowledged.iter().filter(|id| !kept.contains(id)).collect();
            assert!(lost.is_empty(), "{} of {} are lost: {run}", lost.len(), acknowledged.len());
        }
    }
}

#[test]
fn a_daemon_whose_store_has_no_log_does_not_start() {
    if !can_trace() {
        return;
    }
    let lab = Lab::start(READY);
    for number in 1.. {
        let bed = DaemonHome::new(&(asking(&lab) + &watch("default", EXPORT_ID)));
        let log = bed.path("strace");
        let strace = failing(&bed.path("watches.db"), &number.to_string(), &log);
        let run = bed.program("watch").arg("--until-idle").under(&strace).run();
        if !was_injected(&log) {
            run.exits(0);
            assert!(number > 1, "it never syncs its store");
            break;
        }
        // The 19th and 20th byte of the file say whether it has a log.
        let head = std::fs::read(bed.path("watches.db")).unwrap();
        let has_log = head.get(18..20) == Some(&[2, 2]);
        assert!(has_log || run.code == Some(2), "sync {number}: {run}");
        assert!(run.code != Some(0), "sync {number} has failed: {run}");
        bed.until_idle().exits(0);
    }
}

#[test]
fn a_store_that_is_removed_ends_the_daemon_and_acknowledges_nothing() {
    let all = &["watches.db", "watches.db-wal", "watches.db-shm", "watches.db.lock"];
    for names in [all, &all[..1], &all[1..2], &all[3..]] {
        let lab = Lab::start(NEVER);
        let bed = DaemonHome::new(&asking(&lab));
        let daemon = bed.start();
        bed.add("default", EXPORT_ID);
        names.iter().for_each(|name| std::fs::remove_file(bed.path(name)).unwrap());
        let body = json!({ "group_id": GROUP, "export_id": Uuid::new_v4(), "account": "default" });
        let answer = bed.try_to_add(&body.to_string());
        assert!(answer.as_ref().is_none_or(|answer| answer.status != 201), "{answer:?}");
        daemon.end().exits(1).stderr_has(&format!("{} was removed while the daemon ran", names[0]));
    }
}
