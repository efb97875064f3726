//! The state file: the records of runs that are not over, written before a start is sent and again with the answer, so that a
//! run that was killed goes on with the export that it began.

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

/// How often a lock is tried that somebody has, and how far apart: another run may only look at the file for a moment.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// More than any state file has, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The form of the file. It is one record in the usual case.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    last: Record,
    /// What days before have left, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Record>,
}

/// The file that records are kept in, which nobody else has meanwhile.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    clock: Clock,
    /// The runs that are not over, oldest first. The last one is of this run, once there is one.
    records: Vec<Record>,
    /// What is written down of them.
    written: Vec<Record>,
    _lock: File,
}

impl Keeper {
    /// Opens the file at `path`, which need not be there. One that cannot be read and that nobody has written to for as long
    /// as Snyk keeps an export is put aside.
    pub(super) async fn open(path: PathBuf, clock: Clock) -> Result<Self, RecordError> {
        for _ in 1..TRIES {
            match Self::open_at_once(path.clone(), clock) {
                Err(RecordError::Busy(_)) => clock.sleep_until(clock.now().plus(BETWEEN_TRIES)).await,
                opened => return opened,
            }
        }
        Self::open_at_once(path, clock)
    }

    /// As [`Keeper::open`], where nobody waits for anybody.
    pub(super) fn open_at_once(path: PathBuf, clock: Clock) -> Result<Self, RecordError> {
        let unwritable = |source| RecordError::Unwritable { path: path.clone(), source };
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(unwritable(io::Error::other("what is there is no file")));
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

    /// What earlier calls have left, oldest first.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Takes on another run.
    pub(super) fn take_on(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Goes on with an export that somebody names, at this API: the record that tells of it, or of a start of which nothing is
    /// known.
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

    /// Whether a record can be asked for at this API.
    pub(super) fn check_api(&self, record: &Record, ours: &str) -> Result<(), RecordError> {
        if record.api == ours {
            return Ok(());
        }
        let (path, theirs) = (self.path.clone(), Text::new(&record.api));
        Err(RecordError::OtherApi { path, theirs, ours: ours.to_owned() })
    }

    /// Writes down what could not be written when it was to be, which has been told by then.
    pub(super) fn catch_up(&mut self) {
        if self.records != self.written {
            let _ = self.write_all();
        }
    }

    fn write_all(&mut self) -> io::Result<()> {
        self.write(self.records.clone())
    }

    /// Writes records down for good. If that cannot be done, what was written before is put back: a record that is not there for
    /// good, or gone for good, must not be what the next call finds.
    fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let written = write(&self.path, &records);
        match written {
            Ok(()) => self.written = records,
            Err(_) => drop(write(&self.path, &self.written)),
        }
        written
    }

    /// Forgets a run for good: it is over, and what follows it must not follow twice.
    pub(super) fn forget(&mut self, run: &Record) -> Result<(), RecordError> {
        self.records.retain(|record| !record.is_of_the_same_run(run));
        self.write_all().map_err(|source| self.lost(source))
    }

    /// Forgets the run that is under way.
    pub(super) fn forget_last(&mut self) -> Result<(), RecordError> {
        self.records.last().cloned().map_or(Ok(()), |last| self.forget(&last))
    }

    /// Writes down what becomes of the start of the run that is under way.
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
        // One that was refused may be sent again, and is known here until then.
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

/// The file that is locked while a run uses the one at `path`.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    disk::beside(path, ".lock")
}

fn write(path: &Path, records: &[Record]) -> io::Result<()> {
    let Some((last, earlier)) = records.split_last() else { return disk::remove_durably(path) };
    let kept = Kept { last: last.clone(), earlier: earlier.to_vec() };
    disk::replace_durably(path, &serde_json::to_vec_pretty(&kept)?, Readers::Owner)
}

/// The records in a file, oldest first; none where there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    let unreadable = |why: String| RecordError::Unreadable { path: path.to_owned(), why };
    let text = match disk::read(path, MAX_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let Kept { last, mut earlier } = serde_json::from_slice(&text)
        .map_err(|error| unreadable(format!("it is no record of a run ({error})")))?;
    earlier.push(last);
    if let Some(schema) = earlier.iter().map(|record| record.schema).find(|schema| *schema != SCHEMA) {
        return Err(unreadable(format!("its schema is {schema}, and {SCHEMA} is known here")));
    }
    match earlier.iter().find_map(Record::flaw) {
        Some(member) => Err(unreadable(format!("its member `{member}` is none that this program writes"))),
        None => Ok(earlier),
    }
}

/// Whether a file was not written to for as long as Snyk keeps an export.
fn is_outdated(path: &Path, now: Timestamp) -> bool {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let written = written.and_then(|written| Timestamp::try_from(written).ok());
    written.is_some_and(|written| now.duration_since(written) >= KEPT_BY_SNYK)
}

/// Renames a file that tells of nothing that can still be had.
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
