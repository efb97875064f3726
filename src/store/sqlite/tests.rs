use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use tempfile::TempDir;

use std::sync::Arc;

use super::*;
use crate::export::{ExportRef, Scope};
use crate::store::{Claimed, Ended, Next, Record, Wish};
use crate::watch::Watch;
use crate::watch::outcome::Outcome;

#[tokio::test]
async fn has_one_daemon_at_a_time_whichever_way_it_takes() {
    let bed = Bed::new();
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
    let bed = Bed::new();
    let store = bed.open().await;
    store.beat(NOW).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bed.path.parent().unwrap()), 0o700);
    for file in ["watches.db", "watches.db.lock", "watches.db-wal", "watches.db-shm"] {
        assert_eq!(mode(&bed.path.with_file_name(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_named_with_its_cure() {
    let bed = Bed::new();
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
        // Nobody may write there, root included.
        (PathBuf::from("/proc/self/watches.db"), "create the directory above it, or name another file"),
    ];
    for (path, why) in rows {
        let error = SqliteStore::open(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to open the store ") && error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_others_or_of_the_future_is_left_as_it_is() {
    let bed = Bed::new();
    bed.open().await.close().await.unwrap();
    let ours = bed.sql();
    ours.pragma_update(None, "user_version", 7).unwrap();
    drop(ours);
    let error = SqliteStore::open(&bed.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error}");

    for sql in ["CREATE TABLE cookies (id INTEGER)", "PRAGMA user_version = 15", "PRAGMA application_id = 5"]
    {
        let bed = Bed::new();
        fs::create_dir(bed.path.parent().unwrap()).unwrap();
        bed.sql().execute_batch(sql).unwrap();
        let before = fs::read(&bed.path).unwrap();
        let error = SqliteStore::open(&bed.path).await.unwrap_err().to_string();
        assert!(error.contains("it is a database of another program; name another file"), "{error}");
        assert_eq!(fs::read(&bed.path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_damaged_file_is_called_so() {
    let bed = Bed::new();
    fs::create_dir(bed.path.parent().unwrap()).unwrap();
    fs::write(&bed.path, "this is not a database, but a text of more than a hundred bytes: ".repeat(9))
        .unwrap();
    let error = SqliteStore::open(&bed.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Corrupt(..))), "{error}");
    assert!(error.to_string().contains("is damaged (file is not a database"), "{error}");

    let bed = Bed::new();
    let store = bed.open().await;
    for export in 0..100 {
        bed.add(&store, "a", export).await;
    }
    store.close().await.unwrap();
    let mut bytes = fs::read(&bed.path).unwrap();
    bytes[2048..].fill(0x5a);
    fs::write(&bed.path, bytes).unwrap();
    let error = match SqliteStore::open(&bed.path).await {
        Ok(store) => store.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("is damaged (") && error.contains("put a backup in its place"), "{error}");
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    let end = records([ending(&claimed, Outcome::Finished, &"x".repeat(100_000), &["a-1"])]);
    let before = bed.counted();
    limit_pages(&store, 1).await;
    let error = store.pass(end).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(error.to_string().contains("make room and start again"), "{error}");
    assert_eq!(bed.counted(), before);
    // Every later call says why nothing is kept any more.
    for again in
        [store.counts().await.map(drop), store.beat(NOW).await, store.watch(claimed.watch.id).await.map(drop)]
    {
        assert_eq!(again.unwrap_err().to_string(), error.to_string());
    }
    store.close().await.unwrap();

    let mut store = bed.open().await;
    assert_eq!(store.counts().await.unwrap(), before);
    assert!(store.watch(claimed.watch.id).await.unwrap().unwrap().end.is_none());
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    let end = ending(&claimed, Outcome::Finished, &"x".repeat(100_000), &["a-1"]);
    assert_eq!(store.pass(records([end])).await.unwrap().kept, [true]);
    assert_eq!((store.counts().await.unwrap(), bed.counted().ended), (bed.counted(), 1));
}

#[tokio::test]
async fn a_long_log_is_written_back_while_others_read_the_file() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    for number in [1, 2] {
        bed.add(&store, "a", number).await;
    }
    let claimed = bed.claim(&mut store, "a", NOW).await;
    let long = "x".repeat(20_000_000);
    let length = || fs::metadata(&bed.path).unwrap().len();
    let reader = bed.sql();
    for (claimed, is_read) in claimed.iter().zip([true, false]) {
        if is_read {
            reader.execute_batch("BEGIN; SELECT count(*) FROM watches").unwrap();
        }
        let end = ending(claimed, Outcome::Finished, &long, &[]);
        assert_eq!(store.pass(records([end])).await.unwrap().kept, [true]);
        assert_eq!(length() < long.len() as u64, is_read, "a reader is no reason to fail");
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
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    bed.add(&store, "a", 2).await;
    let claimed = bed.claim(&mut store, "a", NOW).await;
    let end = ending(&claimed[0], Outcome::Failed, "{}", &["a-1"]);
    assert_eq!(store.pass(records([end])).await.unwrap().kept, [true]);

    // What the disk has while the daemon runs is what it has when the daemon is killed.
    let crashed = Bed::new();
    fs::create_dir(crashed.path.parent().unwrap()).unwrap();
    for file in ["watches.db", "watches.db-wal"] {
        fs::copy(bed.path.with_file_name(file), crashed.path.with_file_name(file)).unwrap();
    }
    let mut restarted = crashed.open().await;
    assert_eq!(restarted.counts().await.unwrap(), store.counts().await.unwrap());
    assert_eq!(restarted.last_moment().await.unwrap(), Some(NOW));
    // The other one was claimed when the daemon died: it is due at once.
    let claimed = crashed.claim(&mut restarted, "a", NOW).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.watch.export).collect::<Vec<_>>(), [export(2)]);
}

#[tokio::test]
async fn ends_and_what_is_taken_on_are_written_through_to_the_disk_and_due_times_need_not_be() {
    let bed = Bed::new();
    let mut store = bed.open().await;
    bed.add(&store, "a", 1).await;
    assert!(is_written_through(&store).await);
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    store.pass(records([due(&claimed, NOW)])).await.unwrap();
    assert!(!is_written_through(&store).await);
    let claimed = bed.claim(&mut store, "a", NOW).await.remove(0);
    let again = due(&claimed, NOW);
    store.pass(records([ending(&claimed, Outcome::Finished, "{}", &[]), again])).await.unwrap();
    assert!(is_written_through(&store).await);
}

async fn is_written_through(store: &SqliteStore) -> bool {
    let synchronous = |conn: &Connection, _: &mut _| {
        Ok(conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
    };
    let full = 2;
    store.read(synchronous).await.unwrap() == full
}

#[tokio::test]
async fn the_latest_moment_never_goes_back() {
    let bed = Bed::new();
    let store = bed.open().await;
    assert_eq!(store.last_moment().await.unwrap(), None);
    let later = NOW.plus(Duration::from_secs(9));
    store.beat(later).await.unwrap();
    store.beat(NOW).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(bed.open().await.last_moment().await.unwrap(), Some(later));
}

#[tokio::test]
async fn nobody_waits_for_a_thread_that_is_gone() {
    let bed = Bed::new();
    let store = bed.open().await;
    let panicking = store.keeper.call(|_| -> Result<(), _> { panic!("as it happens") });
    let waiting = store.counts();
    let (panicked, waited) = tokio::join!(panicking, waiting);
    for error in [panicked.unwrap_err(), waited.unwrap_err(), store.counts().await.unwrap_err()] {
        assert!(error.to_string().contains("closed, or its thread has panicked"), "{error}");
    }
    // Those who wait hear of it before the thread has unwound.
    let reopened = bed.open_once_free().await;
    reopened.clone().close().await.unwrap();
    assert!(reopened.counts().await.is_err());
}

#[tokio::test]
async fn the_thread_ends_with_the_last_handle() {
    let bed = Bed::new();
    let store = bed.open().await;
    let other = store.clone();
    drop(store);
    other.beat(NOW).await.unwrap();
    drop(other);
    assert_eq!(bed.open_once_free().await.last_moment().await.unwrap(), Some(NOW));
}

pub(super) const NOW: Moment = Moment::from_unix_ms(1_700_000_000_123);
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// A directory with a store in it.
pub(super) struct Bed {
    pub(super) dir: TempDir,
    pub(super) path: PathBuf,
}

impl Bed {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/watches.db");
        Self { dir, path }
    }

    pub(super) async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path).await.unwrap()
    }

    pub(super) async fn open_once_free(&self) -> SqliteStore {
        let free = async {
            loop {
                match SqliteStore::open(&self.path).await {
                    Err(OpenError::Locked(_)) => tokio::task::yield_now().await,
                    opened => break opened.unwrap(),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), free).await.unwrap()
    }

    /// Another connection, as an operator's.
    pub(super) fn sql(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    pub(super) async fn add(&self, store: &SqliteStore, account: &str, number: u128) -> Watch {
        match store.add(new(account, number), Uuid::now_v7(), NOW).await.unwrap() {
            Added::New(watch) => *watch,
            Added::Existing(id) => panic!("{id} is there already"),
            Added::NoRoom(no_room) => panic!("there is no room: {no_room:?}"),
        }
    }

    pub(super) async fn claim(&self, store: &mut SqliteStore, account: &str, now: Moment) -> Vec<Claimed> {
        store.pass(wishes(now, [wish(account, 1000)])).await.unwrap().claimed
    }

    /// The rows, counted one by one.
    pub(super) fn counted(&self) -> Counts {
        let sql = self.sql();
        let count = |of: &str| {
            let count = format!("SELECT count(*) FROM {of}");
            u64::try_from(sql.query_row(&count, (), |row| row.get::<_, i64>(0)).unwrap()).unwrap()
        };
        Counts {
            active: count("watches WHERE ended_at_ms IS NULL"),
            ended: count("watches WHERE ended_at_ms IS NOT NULL"),
            pending: count("deliveries WHERE state = 'pending'"),
            undeliverable: count("deliveries WHERE state = 'undeliverable'"),
        }
    }
}

pub(super) fn export(number: u128) -> ExportRef {
    ExportRef { scope: Scope::Group, scope_id: Uuid::from_u128(7), export_id: Uuid::from_u128(number) }
}

pub(super) fn new(account: &str, number: u128) -> NewWatch {
    let labels = [("team".to_owned(), format!("team \"{number}\""))].into();
    NewWatch { account: Arc::from(account), export: export(number), labels }
}

pub(super) fn wish(account: &str, room: usize) -> Wish {
    Wish { account: Arc::from(account), room, started_by: None }
}

pub(super) fn wishes(now: Moment, wishes: impl IntoIterator<Item = Wish>) -> Pass {
    Pass { now, lease: LEASE, records: Vec::new(), owed: Vec::new(), wishes: wishes.into_iter().collect() }
}

pub(super) fn records(records: impl IntoIterator<Item = Record>) -> Pass {
    Pass {
        now: NOW,
        lease: LEASE,
        records: records.into_iter().collect(),
        owed: Vec::new(),
        wishes: Vec::new(),
    }
}

pub(super) fn due(claimed: &Claimed, at: Moment) -> Record {
    Record { claim: claimed.claim, watch: claimed.watch.clone().into(), next: Next::Due(at) }
}

pub(super) fn ending(claimed: &Claimed, outcome: Outcome, document: &str, owed: &[&str]) -> Record {
    let deliveries = owed.iter().map(|id| delivery(id, "platform")).collect();
    let ended = Ended { outcome, at: NOW, document: document.to_owned(), deliveries };
    Record { claim: claimed.claim, watch: claimed.watch.clone().into(), next: Next::Ended(ended) }
}

pub(super) fn delivery(id: &str, endpoint: &str) -> NewDelivery {
    let event = format!(r#"{{"id":"{id}"}}"#);
    NewDelivery { id: id.to_owned(), endpoint: endpoint.to_owned(), event, at: NOW }
}

#[tokio::test]
async fn a_file_that_is_removed_replaced_or_truncated_is_a_failure_and_no_other_file_is_touched() {
    type Change = fn(&Path);
    let rows: [(&str, Change); 5] = [
        ("watches.db was removed", |path| fs::remove_file(path).unwrap()),
        ("watches.db was replaced", |path| {
            fs::copy(path, path.with_file_name("copy")).unwrap();
            fs::rename(path.with_file_name("copy"), path).unwrap();
            fs::write(path.with_file_name("watches.db-wal"), "of the copy").unwrap();
        }),
        ("watches.db was truncated", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        }),
        ("watches.db.lock was removed", |path| {
            fs::remove_file(path.with_file_name("watches.db.lock")).unwrap();
        }),
        ("watches.db.lock was replaced", |path| {
            let lock = path.with_file_name("watches.db.lock");
            fs::write(path.with_file_name("new"), "").unwrap();
            fs::rename(path.with_file_name("new"), lock).unwrap();
        }),
    ];
    for (why, change) in rows {
        let bed = Bed::new();
        let store = bed.open().await;
        store.beat(NOW).await.unwrap();
        change(&bed.path);
        let log = bed.path.with_file_name("watches.db-wal");
        let before = fs::read(&log).unwrap();
        let error = store.beat(NOW).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("put the file back"), "{error}");
        assert_eq!(store.failure().await.to_string(), error);
        assert!(store.close().await.is_err());
        if before == b"of the copy" {
            assert_eq!(fs::read(&log).unwrap(), before, "{why}");
        }
    }
}
