//! What is special about a file. What every store does is in `store/tests.rs`.

mod files;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::store::tests::{
    Lasting as _, NOW, Place, Sqlite, Subject as _, due, ending, export, records, wish, wishes,
};
use crate::store::{Claimed, Next, Record};

#[tokio::test]
async fn has_one_daemon_at_a_time_whichever_way_it_takes() {
    let bed = Place::new();
    let store = bed.open().await;
    std::os::unix::fs::symlink(&bed.path, bed.path.with_file_name("link.db")).unwrap();
    for way in ["watches.db", "link.db", "../state/watches.db"] {
        let error = SqliteStore::open(&bed.path.with_file_name(way)).await.unwrap_err();
        assert!(matches!(error, OpenError::Locked(_)), "{way}: {error}");
        assert!(error.to_string().contains("in use by another daemon: stop that one"), "{error}");
    }
    store.close().await.unwrap();
    bed.open().await;
}

#[tokio::test]
async fn makes_a_file_that_only_its_user_reads() {
    let bed = Place::new();
    let store = bed.open().await;
    store.beat(NOW).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bed.path.parent().unwrap()), 0o700);
    for file in ["watches.db", "watches.db.lock", "watches.db-wal", "watches.db-shm"] {
        assert_eq!(mode(&bed.path.with_file_name(file)), 0o600, "{file}");
    }
}

/// Like [`ending`], with a document of so many bytes.
fn long_ending(claimed: &Claimed, bytes: usize, owed: &[&str]) -> Record {
    let mut record = ending(claimed, NOW, owed);
    if let Next::Ended(ended) = &mut record.next {
        ended.document = "x".repeat(bytes);
    }
    record
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let mut bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    let store = &bed.store;
    limit_pages(store, 1).await;
    let error = store.pass(records([long_ending(&claimed, 100_000, &["a-1"])])).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(error.to_string().contains("make room and start again"), "{error}");
    // Every later call says why nothing is kept any more.
    let id = claimed.watch.id;
    for again in [store.count().await.map(drop), store.beat(NOW).await, store.look(id).await.map(drop)] {
        assert_eq!(again.unwrap_err().to_string(), error.to_string());
    }
    bed.reopen().await;
    assert_eq!(bed.counts().await, Counts { active: 1, ..Counts::default() });
    assert!(bed.store.look(id).await.unwrap().unwrap().end.is_none());
    let claimed = bed.claim("a", NOW).await.remove(0);
    assert_eq!(bed.pass(records([long_ending(&claimed, 100_000, &["a-1"])])).await.kept, [true]);
}

#[tokio::test]
async fn a_long_log_is_written_back_while_others_read_the_file() {
    let bed = Sqlite::empty().await;
    for number in [1, 2] {
        bed.add("a", number).await;
    }
    let claimed = bed.claim("a", NOW).await;
    let long = 20_000_000;
    let length = || fs::metadata(&bed.place.path).unwrap().len();
    let reader = bed.place.sql();
    for (claimed, is_read) in claimed.iter().zip([true, false]) {
        if is_read {
            reader.execute_batch("BEGIN; SELECT count(*) FROM watches").unwrap();
        }
        assert_eq!(bed.pass(records([long_ending(claimed, long, &[])])).await.kept, [true]);
        assert_eq!(length() < long as u64, is_read, "a reader is no reason to fail");
        if is_read {
            reader.execute_batch("COMMIT").unwrap();
        }
    }
}

/// Lets the file have no more pages than these, or those that it has.
async fn limit_pages(store: &SqliteStore, pages: i64) {
    let limit = move |conn: &Connection, _: &mut _| {
        Ok(conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    };
    store.read(limit).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    bed.add("a", 2).await;
    let claimed = bed.claim("a", NOW).await;
    assert_eq!(bed.pass(records([ending(&claimed[0], NOW, ["a-1"])])).await.kept, [true]);

    // What the disk has while the daemon runs is what it has when the daemon is killed.
    let place = Place::new();
    fs::create_dir(place.path.parent().unwrap()).unwrap();
    for file in ["watches.db", "watches.db-wal"] {
        fs::copy(bed.place.path.with_file_name(file), place.path.with_file_name(file)).unwrap();
    }
    let restarted = Sqlite { store: place.open().await, place };
    assert_eq!(restarted.counts().await, bed.counts().await);
    assert_eq!(restarted.store.last_moment().await.unwrap(), Some(NOW));
    // The other one was claimed when the daemon died: it is due at once.
    let claimed = restarted.claim("a", NOW).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.watch.export).collect::<Vec<_>>(), [export(2)]);
}

#[tokio::test]
async fn an_end_and_what_is_owed_for_it_are_kept_together_or_not_at_all() {
    let mut bed = Sqlite::empty().await;
    for number in [1, 2] {
        bed.add("a", number).await;
    }
    let claimed = bed.claim("a", NOW).await;
    let refuse = "CREATE TRIGGER t BEFORE INSERT ON deliveries WHEN new.id = 'bad' \
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    bed.place.sql().execute_batch(refuse).unwrap();
    let pass = records([due(&claimed[0], NOW), ending(&claimed[1], NOW, ["good", "bad"])]);
    let error = bed.store.pass(pass).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed(_, why) if why.as_str().starts_with("no")), "{error}");
    bed.reopen().await;
    assert_eq!(bed.counts().await, Counts { active: 2, ..Counts::default() });
}

#[tokio::test]
async fn a_row_that_we_cannot_have_written_is_named() {
    let bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    let set = [
        ("progress = '{}'", "row 1 of watches: its progress cannot be read: what was kept of the watch"),
        ("labels = '[]'", "row 1 of watches: its labels cannot be read: "),
        ("scope = 'team'", "row 1 of watches: its scope cannot be read: team"),
        ("id = x'00'", "at index: 1"),
    ];
    let sql = bed.place.sql();
    sql.execute_batch("CREATE TABLE was AS SELECT * FROM watches").unwrap();
    for (set, why) in set {
        sql.execute_batch(&format!("UPDATE watches SET {set}")).unwrap();
        let error = bed.store.pass(wishes(NOW, [wish("a", 1)])).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(..)) && error.to_string().contains(why), "{error}");
        let back = "UPDATE watches SET (progress, labels, scope, id) = (SELECT progress, labels, scope, id FROM was)";
        sql.execute_batch(back).unwrap();
    }
    assert_eq!(bed.claim("a", NOW).await.len(), 1);
}

#[tokio::test]
async fn ends_and_what_is_added_are_written_through_to_the_disk_and_due_times_need_not_be() {
    let bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    assert!(is_written_through(&bed.store).await);
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([due(&claimed, NOW)])).await;
    assert!(!is_written_through(&bed.store).await);
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([ending(&claimed, NOW, [""; 0])])).await;
    assert!(is_written_through(&bed.store).await);
}

async fn is_written_through(store: &SqliteStore) -> bool {
    let synchronous = |conn: &Connection, _: &mut _| {
        Ok(conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
    };
    let full = 2;
    store.read(synchronous).await.unwrap() == full
}

#[tokio::test]
async fn nobody_waits_for_a_thread_that_is_gone() {
    let bed = Place::new();
    let store = bed.open().await;
    let panicking = store.keeper.call(|_| -> Result<(), _> { panic!("as it happens") });
    let waiting = store.count();
    let (panicked, waited) = tokio::join!(panicking, waiting);
    for error in [panicked.unwrap_err(), waited.unwrap_err(), store.count().await.unwrap_err()] {
        assert!(error.to_string().contains("closed, or its thread has panicked"), "{error}");
    }
    // Those who wait hear of it before the thread has unwound.
    let reopened = open_once_free(&bed).await;
    reopened.close().await.unwrap();
    assert!(reopened.count().await.is_err());
}

async fn open_once_free(place: &Place) -> SqliteStore {
    let free = async {
        loop {
            match SqliteStore::open(&place.path).await {
                Err(OpenError::Locked(_)) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), free).await.unwrap()
}

#[tokio::test]
async fn the_thread_ends_with_the_last_handle() {
    let bed = Place::new();
    let store = bed.open().await;
    let other = store.clone();
    drop(store);
    other.beat(NOW).await.unwrap();
    drop(other);
    assert_eq!(open_once_free(&bed).await.last_moment().await.unwrap(), Some(NOW));
}
