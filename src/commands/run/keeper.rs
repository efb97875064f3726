//! The state file with the records of unfinished runs. A record is written before a start is sent and again with the
//! answer, so that a run that was killed continues with its export.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{KEPT_BY_SNYK, Record, RecordError, SCHEMA};
use crate::clock::Clock;
use crate::commands::start::now;
use crate::disk::{self, Directory, Readers};
use crate::export::ExportRef;
use crate::tasks::start::Sent;
use crate::text::Text;

/// How often and how far apart a lock is tried: another run may hold it for a moment only.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// An upper bound for the size of a state file, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The content of the file: usually one record.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    last: Record,
    /// Unfinished runs of earlier days, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Record>,
}

/// The state file, locked.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    clock: Clock,
    /// The unfinished runs, oldest first. The last one is the current run, once it has begun.
    records: Vec<Record>,
    /// The records as the file has them.
    written: Vec<Record>,
    _lock: File,
}

impl Keeper {
    /// Opens the file at `path`, which need not exist. An unreadable file is renamed if it is older than any export
    /// that Snyk keeps.
    pub(super) async fn open(path: PathBuf, clock: Clock) -> Result<Self, RecordError> {
        for _ in 1..TRIES {
            match Self::open_at_once(path.clone(), clock) {
                Err(RecordError::Busy(_)) => clock.sleep_until(clock.now().plus(BETWEEN_TRIES)).await,
                opened => return opened,
            }
        }
        Self::open_at_once(path, clock)
    }

    /// Like [`Keeper::open`], without waiting for the lock.
    pub(super) fn open_at_once(path: PathBuf, clock: Clock) -> Result<Self, RecordError> {
        let unwritable = |source| RecordError::Unwritable { path: path.clone(), source };
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(unwritable(io::Error::other("it is not a file")));
        }
        disk::create_directories_durably(disk::parent(&path), Readers::Owner).map_err(unwritable)?;
        let lock = disk::lock(&lock_of(&path)).map_err(unwritable)?;
        let lock = lock.ok_or_else(|| RecordError::Busy(path.clone()))?;
        if let Ok((directory, name)) = Directory::of(&path) {
            directory.remove_replacements(name);
        }
        let records = match read(&path) {
            Err(RecordError::Unreadable { why, .. }) if is_outdated(&path, now(clock)) => {
                put_aside(&path, &why).map_err(unwritable)?;
                Vec::new()
            }
            read => read?,
        };
        Ok(Self { path, clock, written: records.clone(), records, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The unfinished runs of earlier calls, oldest first.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds a run.
    pub(super) fn take_on(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Continues with a named export at this API. Its record becomes the last one; otherwise the record of a start
    /// without a known export.
    pub(super) fn resume(&mut self, export: ExportRef, api: &str) -> Result<(), RecordError> {
        let position =
            |wanted: Option<ExportRef>| self.records.iter().rposition(|record| record.export == wanted);
        let Some(index) = position(Some(export)).or_else(|| position(None)) else {
            let other = self.records.iter().find_map(|record| record.export);
            let other =
                other.map(|other| RecordError::Other { path: self.path.clone(), export: Box::new(other) });
            return other.map_or(Ok(()), Err);
        };
        self.check_api(&self.records[index], api)?;
        let mut record = self.records.remove(index);
        record.export = Some(export);
        self.records.push(record);
        self.write_all().map_err(|source| RecordError::Unwritable { path: self.path.clone(), source })
    }

    /// Checks that a record is of this API.
    pub(super) fn check_api(&self, record: &Record, ours: &str) -> Result<(), RecordError> {
        if record.api == ours {
            return Ok(());
        }
        let (path, theirs) = (self.path.clone(), Text::new(&record.api));
        Err(RecordError::OtherApi { path, theirs, ours: ours.to_owned() })
    }

    /// Writes records that could not be written before; that failure was already reported.
    pub(super) fn catch_up(&mut self) {
        if self.records != self.written {
            let _ = self.write_all();
        }
    }

    fn write_all(&mut self) -> io::Result<()> {
        self.write(self.records.clone())
    }

    /// Writes the records durably. If that fails, the earlier content is restored: the next call must not find a record
    /// that is neither durably there nor durably gone.
    fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let written = write(&self.path, &records);
        match written {
            Ok(()) => self.written = records,
            Err(_) => drop(write(&self.path, &self.written)),
        }
        written
    }

    /// Removes a finished run durably: what runs after it must not run twice.
    pub(super) fn forget(&mut self, run: &Record) -> Result<(), RecordError> {
        self.records.retain(|record| !record.is_of_the_same_run(run));
        self.write_all().map_err(|source| self.lost(source))
    }

    /// Removes the current run.
    pub(super) fn forget_last(&mut self) -> Result<(), RecordError> {
        self.records.last().cloned().map_or(Ok(()), |last| self.forget(&last))
    }

    /// Records the state of the current run's start.
    pub(super) fn keep(&mut self, sent: Sent<'_>) -> Result<(), RecordError> {
        let now = self.clock.now().to_string();
        if let Some(record) = self.records.last_mut() {
            match sent {
                Sent::Sending => (record.sent_at, record.export, record.problem) = (now, None, None),
                Sent::Started(started) => record.export = Some(started.export),
                Sent::Unsure(problem) => record.problem = Some(problem.to_string()),
                Sent::Refused => {}
            }
        }
        // A refused start may be sent again, so it stays in memory.
        let kept = self.records.len().saturating_sub(usize::from(matches!(sent, Sent::Refused)));
        let (path, written) = (self.path.clone(), self.write(self.records[..kept].to_vec()));
        written.map_err(|source| match sent {
            Sent::Sending => RecordError::Unwritable { path, source },
            Sent::Started(_) | Sent::Unsure(_) | Sent::Refused => RecordError::Lost { path, source },
        })
    }

    fn lost(&self, source: io::Error) -> RecordError {
        RecordError::Lost { path: self.path.clone(), source }
    }
}

/// The lock file of the state file at `path`.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    disk::beside(path, ".lock")
}

fn write(path: &Path, records: &[Record]) -> io::Result<()> {
    let Some((last, earlier)) = records.split_last() else { return disk::remove_durably(path) };
    let kept = Kept { last: last.clone(), earlier: earlier.to_vec() };
    disk::replace_durably(path, &serde_json::to_vec_pretty(&kept)?, Readers::Owner)
}

/// The records in a file, oldest first; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    let unreadable = |why: String| RecordError::Unreadable { path: path.to_owned(), why };
    let text = match disk::read(path, MAX_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let Kept { last, mut earlier } = serde_json::from_slice(&text)
        .map_err(|error| unreadable(format!("it is not a record of a run ({error})")))?;
    earlier.push(last);
    if let Some(schema) = earlier.iter().map(|record| record.schema).find(|schema| *schema != SCHEMA) {
        return Err(unreadable(format!("its schema is {schema}, and {SCHEMA} is known here")));
    }
    match earlier.iter().find_map(Record::flaw) {
        Some(member) => {
            Err(unreadable(format!("its member `{member}` has a value that this program never writes")))
        }
        None => Ok(earlier),
    }
}

/// Whether a file is older than any export that Snyk keeps.
fn is_outdated(path: &Path, now: Timestamp) -> bool {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let written = written.and_then(|written| Timestamp::try_from(written).ok());
    written.is_some_and(|written| now.duration_since(written) >= KEPT_BY_SNYK)
}

/// Renames a file whose exports are gone.
fn put_aside(path: &Path, why: &str) -> io::Result<()> {
    let aside = disk::beside(path, ".unreadable");
    disk::rename_durably(path, &aside)?;
    tracing::error!(
        path = %Text::of_file(path),
        reason = why,
        renamed_to = %Text::of_file(&aside),
        "a state file that cannot be read is put aside: it is older than three days, and Snyk keeps no export longer"
    );
    Ok(())
}
