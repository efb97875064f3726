//! Opening a file: its place, its lock, its settings.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::OpenError;
use super::schema::{self, Found};
use super::trouble::{Fault, lock_path, unreachable_file};
use crate::disk::{self, Readers};
use crate::store::StoreError;
use crate::text::Text;

/// What a page of the file has. A poll rewrites one row, and with it the page that the row is on: the smaller the page,
/// the less there is to write, and four rows fit on this one.
const PAGE_BYTES: i64 = 2048;

/// What of the file is kept in memory, in KiB, however large it is. More of it makes nothing faster: which watch is
/// polled next is as good as random.
const CACHE_KIB: i64 = 1024;

/// How many pages the log has when it is written back, for which all wait: pages that were written several times until
/// then are written back once.
const CHECKPOINT_PAGES: i32 = 8000;

/// What the log may keep of the disk once it was written back.
const LOG_BYTES: i64 = 32 << 20;

/// How long to wait for a program that looks at the file, such as one that backs it up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that nobody else has.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file itself, links resolved.
    pub(super) path: PathBuf,
    /// The one connection to it.
    pub(super) conn: Connection,
    /// What keeps other daemons away for as long as it lives.
    pub(super) lock: File,
    /// Which files these are.
    pub(super) files: Files,
}

/// The files that a daemon has open, to be compared with those that have their names. They are only looked at: `SQLite` loses
/// its locks on a file that is closed anywhere in the process.
#[derive(Debug)]
pub(super) struct Files([(PathBuf, u64, u64); 2]);

impl Files {
    fn of(path: &Path) -> io::Result<Self> {
        let seen = |path: PathBuf| path.symlink_metadata().map(|file| (path, file.dev(), file.ino()));
        Ok(Self([seen(path.to_owned())?, seen(lock_path(path))?]))
    }

    /// Whether the names still lead to these files, and the store has more than nothing in it. Others write to what is there
    /// otherwise, and what is kept here nobody would find.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let Self([(store, ..), _]) = self;
        let failed = |path: &Path, why: &str| {
            let why = format!(
                "{} {why} while the daemon ran; put the file back that was there, and start again",
                Text::of_file(path)
            );
            Err(StoreError::Failed(Text::of_file(store).to_string(), Text::new(&why)))
        };
        for (path, device, inode) in &self.0 {
            match path.symlink_metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => return failed(path, "was removed"),
                Err(error) => return failed(path, &format!("came out of reach ({error})")),
                Ok(file) if (file.dev(), file.ino()) != (*device, *inode) => {
                    return failed(path, "was replaced");
                }
                Ok(file) if path == store && file.len() < PAGE_BYTES.unsigned_abs() => {
                    return failed(path, "was truncated");
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// What a look at a file has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// A daemon could open it.
    Free,
    /// A daemon has it.
    InUse,
}

/// Opens the file at `path`, creates it if it is not there, and brings it to the newest of these schemas.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Opened, OpenError> {
    let path = place(path).map_err(|error| unreachable_file(path, &error))?;
    let lock = lock(&path)?;
    // SQLite would create it for everybody to read.
    disk::create_private_durably(&path).map_err(|error| unreachable_file(&path, &error))?;
    let failed = |fault: Fault| OpenError::from(fault.of_store(&path));
    let mut conn = connect(&path).map_err(failed)?;
    judge(&conn, migrations, &path)?;
    set_up(&mut conn).map_err(failed)?;
    if !has_log(&conn).map_err(failed)? {
        let why = Text::new("its file system does not let SQLite keep a write-ahead log");
        return Err(OpenError::Io { path, why, cure: "put it on a local disk" });
    }
    schema::migrate(&mut conn, migrations).map_err(failed)?;
    write_back(&conn).map_err(failed)?;
    let files = Files::of(&path).map_err(|error| unreachable_file(&path, &error))?;
    Ok(Opened { path, conn, lock, files })
}

/// Whether a file could be opened, or made, as [`open`] does it; nothing is left of the attempt.
pub(super) fn check(path: &Path, migrations: &[&str]) -> Result<Checked, OpenError> {
    let unreachable = |error: io::Error| unreachable_file(path, &error);
    let Ok(file) = path.canonicalize() else { return check_in_another_place(path, migrations) };
    is_file(&file).map_err(unreachable)?;
    let lock = lock_path(&file);
    // A lock that is not there nobody has, and one that is made would be left behind.
    if lock.exists() && disk::lock(&lock).map_err(|error| unreachable_file(&lock, &error))?.is_none() {
        return Ok(Checked::InUse);
    }
    let failed = |fault: Fault| OpenError::from(fault.of_store(&file));
    let conn = connect(&file).map_err(failed)?;
    judge(&conn, migrations, &file)?;
    let writes = conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
    writes.map_err(|error| failed(error.into()))?;
    Ok(Checked::Free)
}

/// Makes a file of the kind in a directory beside the one that is not there, and removes both.
fn check_in_another_place(path: &Path, migrations: &[&str]) -> Result<Checked, OpenError> {
    let unreachable = |error: io::Error| unreachable_file(path, &error);
    let name = path.file_name().ok_or(ErrorKind::IsADirectory).map_err(|kind| unreachable(kind.into()))?;
    let parent = disk::parent(path);
    let is_new = !parent.exists();
    disk::create_parent_durably(path).map_err(unreachable)?;
    let trial = parent.join(format!(".snyk-export-check-{}", std::process::id()));
    let tried = disk::create_directories_durably(&trial, Readers::Owner).map_err(unreachable);
    let tried = tried.and_then(|()| open(&trial.join(name), migrations).map(|_| Checked::Free));
    // What cannot be removed is in nobody's way.
    let _ = disk::remove_tree(&trial);
    if is_new {
        let _ = disk::remove_empty_directory(parent);
    }
    tried
}

/// The file that `path` leads to, in a directory that is there. Whoever takes another way to it meets the same lock.
fn place(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    disk::create_parent_durably(path)?;
    match path.canonicalize() {
        Ok(file) => is_file(&file).map(|()| file),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(disk::parent(path).canonicalize()?.join(name))
        }
        Err(error) => Err(error),
    }
}

/// What is there is a file, and no directory, device or pipe.
fn is_file(path: &Path) -> io::Result<()> {
    match path.metadata()? {
        metadata if metadata.is_dir() => Err(ErrorKind::IsADirectory.into()),
        metadata if metadata.is_file() => Ok(()),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock = lock_path(path);
    let locked = disk::lock(&lock).map_err(|error| unreachable_file(&lock, &error))?;
    locked.ok_or_else(|| OpenError::Locked(path.to_owned()))
}

/// Whether the file is one of ours, of a release that is no newer.
fn judge(conn: &Connection, migrations: &[&str], path: &Path) -> Result<(), OpenError> {
    let found = schema::look(conn, migrations).map_err(|fault| fault.of_store(path))?;
    let path = path.to_owned();
    match found {
        Found::Ours => Ok(()),
        Found::Newer(found) => Err(OpenError::Newer { path, found, known: schema::known(migrations) }),
        Found::Foreign => {
            let why = Text::new("it is a database of another program");
            Err(OpenError::Io { path, why, cure: "name another file" })
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Settings of the connection, and a write-ahead log for the file.
fn set_up(conn: &mut Connection) -> Result<(), Fault> {
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    // The mode is written to the file behind the row that names it: an error comes only then.
    let mut wal = conn.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = wal.query(())?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(wal);
    // Where the root file system is read-only, there is no place for temporary files.
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // SQLite would do that by itself, and not say that it failed.
    conn.wal_hook(Some(|wal: &mut Wal, pages: i32| match pages < CHECKPOINT_PAGES {
        true => Ok(()),
        false => or_busy(wal.checkpoint()),
    }))?;
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "synchronous", "full")?;
    Ok(())
}

/// That a program looks at the file, such as one that backs it up, is no failure: the next time will do.
fn or_busy(done: rusqlite::Result<()>) -> rusqlite::Result<()> {
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        done => done,
    }
}

/// Whether the file has a write-ahead log, whatever was asked for.
fn has_log(conn: &Connection) -> Result<bool, Fault> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode == "wal")
}

/// Writes what an earlier process has left in the log into the file. If its disk has failed, what it had not synced of the log
/// is marked as written all the same, and all that comes behind it would be lost with it.
fn write_back(conn: &Connection) -> Result<(), Fault> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
}
