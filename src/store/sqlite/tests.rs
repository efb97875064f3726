//! What only a store in a file does. Rules for every store are tested in `store/tests.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::store::tests::{
    Lasting as _, NOW, Place, Sqlite, Subject as _, due, ending, export, records, wish, wishes,
};
use crate::store::{Claimed, Next, Record};

mod lost;

#[tokio::test]
async fn one_daemon_at_a_time_has_a_file_whichever_path_it_uses() {
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
async fn only_this_user_may_read_the_files() {
    let bed = Place::new();
    let store = bed.open().await;
    store.beat(NOW).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bed.path.parent().unwrap()), 0o700);
    for file in ["watches.db", "watches.db.lock", "watches.db-wal", "watches.db-shm"] {
        assert_eq!(mode(&bed.path.with_file_name(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn an_error_names_the_unusable_path_and_what_to_do() {
    let bed = Place::new();
    let file = bed.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let rows = [
        (
            bed.dir.path().join("a/b/watches.db"),
            "No such file or directory (os error 2); create the directory",
        ),
        (file.join("watches.db"), "Not a directory (os error 20); name a file in a directory"),
        (file.join("a/watches.db"), "Not a directory (os error 20); name a file in a directory"),
        (bed.dir.path().to_owned(), "is a directory; name a file, not a directory"),
        (PathBuf::from("/"), "is a directory; name a file, not a directory"),
        // Not even root may write there.
        (PathBuf::from("/proc/self/watches.db"), "create the directory above it, or name another file"),
    ];
    for (path, why) in rows {
        let error = SqliteStore::open(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to open the store ") && error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_another_program_or_a_newer_release_is_not_changed() {
    let bed = Place::new();
    bed.open().await.close().await.unwrap();
    let ours = bed.sql();
    ours.pragma_update(None, "user_version", 70).unwrap();
    drop(ours);
    let error = SqliteStore::open(&bed.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 70, .. }), "{error}");

    for sql in ["CREATE TABLE cookies (id INTEGER)", "PRAGMA user_version = 15", "PRAGMA application_id = 5"]
    {
        let bed = Place::new();
        fs::create_dir(bed.path.parent().unwrap()).unwrap();
        bed.sql().execute_batch(sql).unwrap();
        let before = fs::read(&bed.path).unwrap();
        let error = SqliteStore::open(&bed.path).await.unwrap_err().to_string();
        assert!(error.contains("it is a database of another program; name another file"), "{error}");
        assert_eq!(fs::read(&bed.path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_damaged() {
    let bed = Place::new();
    fs::create_dir(bed.path.parent().unwrap()).unwrap();
    fs::write(&bed.path, "this is not a database, but a text of more than a hundred bytes: ".repeat(9))
        .unwrap();
    let error = SqliteStore::open(&bed.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Corrupt(..))), "{error}");
    assert!(error.to_string().contains("is damaged (file is not a database"), "{error}");

    let bed = Sqlite::empty().await;
    for export in 0..100 {
        bed.add("a", export).await;
    }
    bed.store.close().await.unwrap();
    let path = &bed.place.path;
    let mut bytes = fs::read(path).unwrap();
    bytes[2048..].fill(0x5a);
    fs::write(path, bytes).unwrap();
    let error = match SqliteStore::open(path).await {
        Ok(store) => store.list(Filter::default()).await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("is damaged (") && error.contains("put a backup in its place"), "{error}");
}

/// Like [`ending`], with a document of this many bytes.
fn long_ending(claimed: &Claimed, bytes: usize, owed: &[&str]) -> Record {
    let mut record = ending(claimed, NOW, owed);
    if let Next::Ended(ended) = &mut record.next {
        ended.document = "x".repeat(bytes);
    }
    record
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_new_and_loses_nothing_old() {
    let mut bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    let claimed = bed.claim("a", NOW).await.remove(0);
    let store = &bed.store;
    limit_pages(store, 1).await;
    let error = store.pass(records([long_ending(&claimed, 100_000, &["a-1"])])).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(error.to_string().contains("make room and start again"), "{error}");
    // Every later call fails with the same error.
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
async fn a_long_log_is_written_back_once_no_reader_prevents_it() {
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
        assert_eq!(length() < long as u64, is_read, "a reader is not a reason to fail");
        if is_read {
            reader.execute_batch("COMMIT").unwrap();
        }
    }
}

/// Limits the file to this many pages, or to those that it has.
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

    // A copy of the files is what a killed daemon leaves.
    let place = Place::new();
    fs::create_dir(place.path.parent().unwrap()).unwrap();
    for file in ["watches.db", "watches.db-wal"] {
        fs::copy(bed.place.path.with_file_name(file), place.path.with_file_name(file)).unwrap();
    }
    let restarted = Sqlite { store: place.open().await, place };
    assert_eq!(restarted.counts().await, bed.counts().await);
    assert_eq!(restarted.store.last_moment().await.unwrap(), Some(NOW));
    // The other watch was claimed when the daemon was killed. It is due at once.
    let claimed = restarted.claim("a", NOW).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.watch.export).collect::<Vec<_>>(), [export(2)]);
}

#[tokio::test]
async fn an_end_and_its_deliveries_are_kept_together_or_not_at_all() {
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
async fn an_unreadable_row_is_named() {
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
async fn ends_and_new_watches_are_synced_and_due_times_are_not() {
    let bed = Sqlite::empty().await;
    bed.add("a", 1).await;
    assert!(is_synced(&bed.store).await);
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([due(&claimed, NOW)])).await;
    assert!(!is_synced(&bed.store).await);
    let claimed = bed.claim("a", NOW).await.remove(0);
    bed.pass(records([ending(&claimed, NOW, [""; 0])])).await;
    assert!(is_synced(&bed.store).await);
}

async fn is_synced(store: &SqliteStore) -> bool {
    let synchronous = |conn: &Connection, _: &mut _| {
        Ok(conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
    };
    let full = 2;
    store.read(synchronous).await.unwrap() == full
}

#[tokio::test]
async fn calls_fail_when_the_thread_has_panicked() {
    let bed = Place::new();
    let store = bed.open().await;
    let panicking = store.keeper.call(|_| -> Result<(), _> { panic!("on purpose") });
    let waiting = store.count();
    let (panicked, waited) = tokio::join!(panicking, waiting);
    for error in [panicked.unwrap_err(), waited.unwrap_err(), store.count().await.unwrap_err()] {
        assert!(error.to_string().contains("closed, or its thread has panicked"), "{error}");
    }
    // The calls fail before the thread has unwound and unlocked the file.
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
