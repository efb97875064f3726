//! Opening a file: its path, its lock, its settings.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::OpenError;
use super::patience::{Patience, START};
use super::schema::{self, Found};
use super::trouble::{Fault, lock_path, unreachable_file};
use crate::disk::{self, Readers};
use crate::store::StoreError;
use crate::text::Text;

/// The size of a page. A poll rewrites one row, and so a whole page: smaller pages mean less to write. Four rows fit on one.
const PAGE_BYTES: i64 = 2048;

/// The size of the cache, in KiB, however large the file is. A larger one is not faster: the order of polls is as good as
/// random.
const CACHE_KIB: i64 = 1024;

/// The log is written back to the file when it has this many pages. All calls wait for that. A page that was written several
/// times is written back once.
const CHECKPOINT_PAGES: i32 = 8000;

/// The most that the log keeps of the disk after it was written back.
const LOG_BYTES: i64 = 32 << 20;

/// How long to wait for a program that reads the file, such as a backup.
const FOR_READERS: Duration = Duration::from_secs(5);

/// A file that is open and locked.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its path, links resolved.
    pub(super) path: PathBuf,
    /// The one connection to it.
    pub(super) conn: Connection,
    /// Keeps other daemons away for as long as it lives.
    pub(super) lock: File,
    /// The identities of the files.
    pub(super) files: Files,
    /// How long the connection waits for others.
    pub(super) patience: Patience,
}

/// The identities and lengths of the files that a daemon has open. `SQLite` loses its locks on a file that is closed anywhere
/// in the process, so these are never opened again, except the log, which has no locks.
#[derive(Debug)]
pub(super) struct Files {
    known: [(PathBuf, u64, u64); 3],
    log: File,
    seen: Seen,
}

/// The header of a log. `SQLite` changes it when it starts the log again from the beginning.
type Header = [u8; 32];

/// The first bytes of each header of a log.
const MAGIC: &[u8] = &[0x37, 0x7f, 0x06];

/// How long the files were.
#[derive(Debug, Default)]
struct Seen {
    store: u64,
    log: u64,
    header: Header,
}

impl Files {
    fn of(path: &Path) -> io::Result<Self> {
        let seen = |path: PathBuf| path.symlink_metadata().map(|file| (path, file.dev(), file.ino()));
        let log = disk::beside(path, "-wal");
        let files = [seen(path.to_owned())?, seen(log.clone())?, seen(lock_path(path))?];
        Ok(Self { known: files, log: File::open(log)?, seen: Seen::default() })
    }

    /// Checks that the paths still lead to these files, and that none was truncated. Otherwise new rows would be lost.
    /// If only the log was removed, the connection can still write it back.
    pub(super) fn check(&mut self, conn: &Connection) -> Result<(), StoreError> {
        let [(store, ..), (log, ..), _] = &self.known;
        let (mut store_bytes, mut has_log) = (0, true);
        for (path, device, inode) in &self.known {
            match path.symlink_metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound && path == log => has_log = false,
                Err(error) if error.kind() == ErrorKind::NotFound => return self.lost(path, "was removed"),
                Err(error) => return self.lost(path, &format!("came out of reach ({error})")),
                Ok(file) if (file.dev(), file.ino()) != (*device, *inode) => {
                    return self.lost(path, "was replaced");
                }
                Ok(file) if path == store => store_bytes = file.len(),
                Ok(_) => {}
            }
        }
        if store_bytes < PAGE_BYTES.unsigned_abs() || self.is_store_cut(store_bytes, conn) {
            return self.lost(store, "was truncated");
        }
        if !has_log {
            let changes = match is_written_back(conn) {
                true => "its changes were written back to the store",
                false => "the changes that only it had are lost",
            };
            return self.failed(log, &format!("was removed while the daemon ran; {changes}; start again"));
        }
        match self.log_now() {
            Err(error) => self.lost(log, &format!("came out of reach ({error})")),
            Ok(None) => self.lost(log, "was truncated"),
            Ok(Some((log, header))) => {
                self.seen = Seen { store: store_bytes, log, header };
                Ok(())
            }
        }
    }

    /// Whether the store is shorter than it was, though no other program has removed pages from it (`VACUUM`).
    fn is_store_cut(&self, bytes: u64, conn: &Connection) -> bool {
        let pragma =
            |name| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_or(0, u64::from);
        bytes < self.seen.store && pragma("page_count") * pragma("page_size") >= self.seen.store
    }

    /// The length of the log and its header; `None` if it was truncated. Another program may have written it back and emptied
    /// it: then it is empty, or has a new header.
    fn log_now(&self) -> io::Result<Option<(u64, Header)>> {
        // In this order: between the two, another program may empty it.
        let bytes = self.log.metadata()?.len();
        let mut header = Header::default();
        if self.log.read_at(&mut header, 0)? < header.len() {
            return Ok(Some((0, Header::default())));
        }
        // SQLite goes on at the old end: a log that was emptied has no header then.
        let is_cut = !header.starts_with(MAGIC) || (header == self.seen.header && bytes < self.seen.log);
        Ok((!is_cut).then_some((bytes, header)))
    }

    fn lost(&self, path: &Path, why: &str) -> Result<(), StoreError> {
        self.failed(
            path,
            &format!("{why} while the daemon ran; put the file back that was there, and start again"),
        )
    }

    fn failed(&self, path: &Path, why: &str) -> Result<(), StoreError> {
        let [(store, ..), ..] = &self.known;
        let why = Text::new(&format!("{} {why}", Text::of_file(path)));
        Err(StoreError::Failed(Text::of_file(store).to_string(), why))
    }
}

/// Writes as much of the log back as readers permit, without waiting for them. Returns whether that is all of it.
fn is_written_back(conn: &Connection) -> bool {
    let written = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
        let (pages, written): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(pages == written)
    });
    written.unwrap_or(false)
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// A daemon could open the store.
    Free,
    /// A daemon has the store.
    InUse,
}

/// Opens the file at `path`, creates it if it is missing, and migrates it to the newest schema.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Opened, OpenError> {
    let path = place(path).map_err(|error| unreachable_file(path, &error))?;
    let lock = lock(&path)?;
    // SQLite would create it readable for everyone.
    disk::create_private_durably(&path).map_err(|error| unreachable_file(&path, &error))?;
    let failed = |fault: Fault| OpenError::from(fault.of_store(&path));
    let patience = Patience::of(Text::of_path(&path), START);
    let mut conn = connect(&path, &patience).map_err(failed)?;
    judge(&conn, migrations, &path)?;
    set_up(&mut conn).map_err(failed)?;
    if !has_log(&conn).map_err(failed)? {
        let why = Text::new("its file system does not let SQLite keep a write-ahead log");
        return Err(OpenError::Io { path, why, cure: "put it on a local disk" });
    }
    schema::migrate(&mut conn, migrations).map_err(failed)?;
    // A program that locks the file ends the start here, and not the daemon later.
    try_to_write(&conn).map_err(failed)?;
    patience.over();
    patience.limit(Some(FOR_READERS));
    write_back(&conn).map_err(failed)?;
    let files = Files::of(&path).map_err(|error| unreachable_file(&path, &error))?;
    Ok(Opened { path, conn, lock, files, patience })
}

/// Checks whether [`open`] would succeed. Leaves no trace.
pub(super) fn check(path: &Path, migrations: &[&str]) -> Result<Checked, OpenError> {
    let unreachable = |error: io::Error| unreachable_file(path, &error);
    let Ok(file) = path.canonicalize() else { return check_in_another_place(path, migrations) };
    is_file(&file).map_err(unreachable)?;
    let lock = lock_path(&file);
    // A missing lock file is not locked, and creating it would leave a trace.
    if lock.exists() && disk::lock(&lock).map_err(|error| unreachable_file(&lock, &error))?.is_none() {
        return Ok(Checked::InUse);
    }
    let failed = |fault: Fault| OpenError::from(fault.of_store(&file));
    let conn = connect(&file, &Patience::of(Text::of_path(&file), FOR_READERS)).map_err(failed)?;
    judge(&conn, migrations, &file)?;
    try_to_write(&conn).map_err(failed)?;
    Ok(Checked::Free)
}

/// Creates a store in a new directory beside the missing file, and removes both.
fn check_in_another_place(path: &Path, migrations: &[&str]) -> Result<Checked, OpenError> {
    let unreachable = |error: io::Error| unreachable_file(path, &error);
    let name = path.file_name().ok_or(ErrorKind::IsADirectory).map_err(|kind| unreachable(kind.into()))?;
    let parent = disk::parent(path);
    let is_new = !parent.exists();
    disk::create_parent_durably(path).map_err(unreachable)?;
    let trial = parent.join(format!(".snyk-export-check-{}", std::process::id()));
    let tried = disk::create_directories_durably(&trial, Readers::Owner).map_err(unreachable);
    let tried = tried.and_then(|()| open(&trial.join(name), migrations).map(|_| Checked::Free));
    // If this fails, the directory does no harm.
    let _ = disk::remove_tree(&trial);
    if is_new {
        let _ = disk::remove_empty_directory(parent);
    }
    tried
}

/// The real path of the file, in a directory that exists. All paths to a file share one lock.
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

/// Checks that this is a regular file.
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

/// Checks that the file is ours, and not of a newer release.
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

fn try_to_write(conn: &Connection) -> Result<(), Fault> {
    Ok(conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?)
}

fn connect(path: &Path, patience: &Patience) -> Result<Connection, Fault> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut conn = Connection::open_with_flags(path, flags)?;
    patience.teach(&mut conn)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Sets the connection up, and gives the file a write-ahead log.
fn set_up(conn: &mut Connection) -> Result<(), Fault> {
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    // The mode is set after the first row: read on to see an error.
    let mut wal = conn.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = wal.query(())?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(wal);
    // Temporary files have no place if the root file system is read-only.
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // SQLite's own checkpoints do not report errors.
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

/// A busy file is not a failure: another program reads it, such as a backup. The next checkpoint does the work.
fn or_busy(done: rusqlite::Result<()>) -> rusqlite::Result<()> {
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        done => done,
    }
}

/// Whether the file really has a write-ahead log.
fn has_log(conn: &Connection) -> Result<bool, Fault> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode == "wal")
}

/// Writes the log of an earlier process back to the file. If its disk has failed, the kernel may take unsynced pages of the
/// log for written, and everything after them would be lost.
fn write_back(conn: &Connection) -> Result<(), Fault> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
}
