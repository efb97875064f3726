//! Files that cannot be used, or are taken away.

use super::*;

#[tokio::test]
async fn a_place_that_cannot_be_is_named_with_its_cure() {
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
    let bed = Place::new();
    bed.open().await.close().await.unwrap();
    let ours = bed.sql();
    ours.pragma_update(None, "user_version", 7).unwrap();
    drop(ours);
    let error = SqliteStore::open(&bed.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error}");

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
async fn a_damaged_file_is_called_so() {
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
        let bed = Place::new();
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
