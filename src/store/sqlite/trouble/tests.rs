use std::fs;

use rusqlite::types::Type;

use super::*;

#[test]
fn each_code_of_sqlite_says_what_to_do() {
    let rows = [
        (
            ffi::SQLITE_FULL,
            "cannot grow: the disk is full, or no file may get larger (ulimit -f); make room and start again",
        ),
        (ffi::SQLITE_IOERR_SHMSIZE, "cannot grow: the disk is full"),
        (ffi::SQLITE_READONLY, "cannot be written to: "),
        (ffi::SQLITE_READONLY_DIRECTORY, "give this user write access to it and to its directory"),
        (ffi::SQLITE_CANTOPEN, "cannot be written to: "),
        (ffi::SQLITE_PERM, "cannot be written to: "),
        (ffi::SQLITE_CORRUPT, "is damaged ("),
        (ffi::SQLITE_CORRUPT_INDEX, "is damaged ("),
        (ffi::SQLITE_NOTADB, "put a backup in its place, or move it away"),
        (ffi::SQLITE_IOERR_WRITE, "failed: as it says, SQLite's code 778"),
        (
            ffi::SQLITE_BUSY,
            "another program has kept it locked for too long, end that one (as it says, SQLite's code 5)",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watches.db");
    fs::write(lock_path(&path), "").unwrap();
    for (code, message) in rows {
        let fault = Fault::from(Error::SqliteFailure(ffi::Error::new(code), Some("as it says".to_owned())));
        let error = fault.of_store(&path).to_string();
        assert!(error.starts_with(&format!("the store {} ", path.display())), "{error}");
        assert!(error.contains(message), "{code}: {error}");
    }
    let error = Error::InvalidColumnType(3, "labels".to_owned(), Type::Blob);
    assert!(matches!(Fault::from(error).of_store(&path), StoreError::Corrupt(..)));
    let error = Error::QueryReturnedNoRows;
    assert!(matches!(Fault::from(error).of_store(&path), StoreError::Failed(..)));
}

#[test]
fn each_kind_of_io_error_says_what_to_do() {
    let path = Path::new("/var/lib/snyk-export/watches.db");
    let rows = [
        (ErrorKind::PermissionDenied, "give this user write access to the file and to its directory"),
        (ErrorKind::ReadOnlyFilesystem, "put it on a volume that can be written to"),
        (ErrorKind::Unsupported, "put it on a local disk: this file system has no locks"),
        (ErrorKind::Other, "put it in a directory on a local disk that this user can write to"),
        (ErrorKind::StorageFull, "the disk is full, or"),
    ];
    for (kind, cure) in rows {
        let error = unreachable_file(path, &kind.into()).to_string();
        assert!(
            error.contains("the store /var/lib/snyk-export/watches.db") && error.contains(cure),
            "{error}"
        );
    }
}
