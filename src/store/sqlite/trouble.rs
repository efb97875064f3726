//! Errors of a file, with what to do about them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::{Error, ErrorCode, ffi};

use super::OpenError;
use crate::disk;
use crate::store::StoreError;
use crate::text::Text;

/// An error within the keeper.
#[derive(Debug)]
pub(super) enum Fault {
    /// An error of `SQLite`.
    Sqlite(Error),
    /// A row contains something that we never write.
    Unreadable {
        /// Its table.
        table: &'static str,
        /// Its `seq`.
        row: i64,
        /// What is wrong with it.
        why: String,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The error for callers.
    pub(super) fn of_store(self, path: &Path) -> StoreError {
        let name = Text::of_path(path).to_string();
        match self {
            Self::Unreadable { table, row, why } => {
                StoreError::Corrupt(name, Text::new(&format!("row {row} of {table}: {why}")))
            }
            Self::Sqlite(error) => of_sqlite(&error, path, name),
        }
    }
}

fn of_sqlite(error: &Error, path: &Path, name: String) -> StoreError {
    let Error::SqliteFailure(failure, _) = error else {
        // The column never had a value of this type.
        let is_value = matches!(
            error,
            Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::InvalidColumnType(..)
        );
        let why = Text::new(&error.to_string());
        return if is_value { StoreError::Corrupt(name, why) } else { StoreError::Failed(name, why) };
    };
    let why = Text::new(&format!("{error}, SQLite's code {}", failure.extended_code));
    let is = |codes: &[ErrorCode]| codes.contains(&failure.code);
    // The index of the log is a file that grows, too. SQLite has no other code for its failure.
    if is(&[ErrorCode::DiskFull]) || failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
        return StoreError::Full(name);
    }
    if is(&[ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase]) {
        return StoreError::Corrupt(name, why);
    }
    if is(&[ErrorCode::ReadOnly, ErrorCode::CannotOpen, ErrorCode::PermissionDenied]) {
        return StoreError::ReadOnly(name, why);
    }
    if is(&[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked]) {
        let why = format!("another program has kept it locked for too long, end that one ({why})");
        return StoreError::Failed(name, Text::new(&why));
    }
    if is(&[ErrorCode::SystemIoFailure])
        && let Some(why) = refused_write(path)
    {
        return StoreError::ReadOnly(name, why);
    }
    if is(&[ErrorCode::SystemIoFailure])
        && let Some(limit) = disk::size_limit()
    {
        return StoreError::Failed(name, Text::new(&format!("{why}; {limit}")));
    }
    StoreError::Failed(name, why)
}

/// Why the file system refuses writes, if it does: it may have become read-only. This tries the lock file, because `SQLite`
/// loses its locks on a file that is closed anywhere in the process.
fn refused_write(path: &Path) -> Option<Text> {
    let error = disk::try_to_write(&lock_path(path)).err()?;
    let is_refusal = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind());
    is_refusal.then(|| Text::new(&error.to_string()))
}

/// The error for a file that cannot be opened.
pub(super) fn unreachable_file(path: &Path, error: &io::Error) -> OpenError {
    let path = path.to_owned();
    if error.kind() == ErrorKind::StorageFull {
        return StoreError::Full(Text::of_path(&path).to_string()).into();
    }
    OpenError::Io { path, why: Text::new(&error.to_string()), cure: cure(error.kind()) }
}

/// The file beside the store that a daemon locks.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    disk::beside(path, ".lock")
}

fn cure(kind: ErrorKind) -> &'static str {
    const CURES: [(ErrorKind, &str); 6] = [
        (ErrorKind::NotFound, "create the directory above it, or name another file"),
        (ErrorKind::PermissionDenied, "give this user write access to the file and to its directory"),
        (ErrorKind::ReadOnlyFilesystem, "put it on a volume that can be written to"),
        (ErrorKind::NotADirectory, "name a file in a directory"),
        (ErrorKind::IsADirectory, "name a file, not a directory"),
        (ErrorKind::Unsupported, "put it on a local disk: this file system has no locks"),
    ];
    let cure = CURES.iter().find(|(cured, _)| *cured == kind);
    cure.map_or("put it in a directory on a local disk that this user can write to", |(_, cure)| cure)
}

#[cfg(test)]
mod tests;
