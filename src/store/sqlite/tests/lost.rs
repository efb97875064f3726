//! Files of a store that are removed, replaced or truncated while a daemon has them.

use super::*;

fn cut(path: &Path, bytes: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[tokio::test]
async fn a_log_that_was_removed_is_written_back_first() {
    let bed = Place::new();
    let store = bed.open().await;
    store.beat(NOW).await.unwrap();
    fs::remove_file(bed.path.with_file_name("watches.db-wal")).unwrap();
    fs::remove_file(bed.path.with_file_name("watches.db-shm")).unwrap();
    let error = store.beat(NOW.plus(Duration::from_secs(1))).await.unwrap_err().to_string();
    assert!(error.contains("-wal was removed") && error.contains("were written back"), "{error}");
    assert!(store.close().await.is_err());
    assert_eq!(open_once_free(&bed).await.last_moment().await.unwrap(), Some(NOW));
}

#[tokio::test]
async fn another_program_may_write_back_empty_and_shorten_the_files() {
    const FILL: &str = "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000)); DROP TABLE t";
    let bed = Place::new();
    let store = bed.open().await;
    let other = Connection::open(&bed.path).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    let mut now = NOW;
    for _ in 0..3 {
        for work in
            ["RESTART", "TRUNCATE", FILL, "TRUNCATE", "VACUUM", "PASSIVE", "RESTART", "VACUUM", "TRUNCATE"]
        {
            for _ in 0..2 {
                now = now.plus(Duration::from_secs(1));
                store.beat(now).await.unwrap();
            }
            let is_mode = !work.contains(' ') && work != "VACUUM";
            let sql = if is_mode { format!("PRAGMA wal_checkpoint({work})") } else { work.to_owned() };
            other.execute_batch(&sql).unwrap();
        }
    }
    drop(other);
    store.close().await.unwrap();
    assert_eq!(open_once_free(&bed).await.last_moment().await.unwrap(), Some(now));
}

#[tokio::test]
async fn a_removed_replaced_or_truncated_file_is_an_error_and_no_other_file_is_changed() {
    type Change = fn(&Path);
    let rows: [(&str, Change); 8] = [
        ("watches.db was removed", |path| fs::remove_file(path).unwrap()),
        ("watches.db was replaced", |path| {
            fs::copy(path, path.with_file_name("copy")).unwrap();
            fs::rename(path.with_file_name("copy"), path).unwrap();
            fs::write(path.with_file_name("watches.db-wal"), "of the copy").unwrap();
        }),
        ("watches.db was truncated", |path| cut(path, 0)),
        ("watches.db was truncated", |path| cut(path, 2048)),
        ("watches.db-wal was truncated", |path| cut(&path.with_file_name("watches.db-wal"), 0)),
        ("watches.db-wal was truncated", |path| cut(&path.with_file_name("watches.db-wal"), 1000)),
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
        let bed = Place::new();
        let store = bed.open().await;
        store.beat(NOW).await.unwrap();
        change(&bed.path);
        let log = bed.path.with_file_name("watches.db-wal");
        let before = fs::read(&log).unwrap();
        let error = store.beat(NOW.plus(Duration::from_secs(1))).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("put the file back"), "{error}");
        assert_eq!(store.failure().await.to_string(), error);
        assert!(store.close().await.is_err());
        if before == b"of the copy" {
            assert_eq!(fs::read(&log).unwrap(), before, "{why}");
        }
    }
}
