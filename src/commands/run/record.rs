//! The record of a run: written before its start is sent and again with the answer, so that a run that was killed goes on
//! with the export that it began.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::commands::CommandError;
use crate::commands::download::Place;
use crate::commands::start::Keep;
use crate::disk::{self, Readers};
use crate::export::{ExportRef, ScopeRef};
use crate::manifest::hexadecimal;
use crate::request::StartRequest;
use crate::snyk::Started;
use crate::watch::observation::Problem;

/// The form of the document.
const SCHEMA: u8 = 1;

/// A record that cannot be kept. Each message names the file and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum RecordError {
    /// It cannot be written, and without it nothing is started.
    #[error("{} cannot be written, where the start would be recorded; name another file with --state", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// It cannot be read, and may tell of an export.
    #[error(
        "{}: {why}; it may tell of an export that was started: look at it, and remove it or name another file with --state",
        path.display()
    )]
    Unreadable { path: PathBuf, why: String },
    /// Somebody else is at it.
    #[error("another run uses {} at this moment: wait for its end, or name another file with --state", .0.display())]
    Busy(PathBuf),
    /// It tells of another export than the one to go on with.
    #[error("{} tells of another export, {export}: leave --resume out to go on with that one, or --state", path.display())]
    Other { path: PathBuf, export: Box<ExportRef> },
    /// It tells of an export at another API, where it cannot be asked for.
    #[error(
        "{} tells of a run at {theirs}, and this one asks {ours}: end that one first, or name another file with --state",
        path.display()
    )]
    OtherApi { path: PathBuf, theirs: String, ours: String },
    /// It tells of another run of the same day.
    #[error(
        "{} tells of another run of today: call that one again, which ends it, or name another file with --state",
        .0.display()
    )]
    OtherCall(PathBuf),
    /// What has come of a start cannot be written down.
    #[error("{} could not be written, where the start is recorded", path.display())]
    Lost { path: PathBuf, source: io::Error },
}

/// What one run is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    schema: u8,
    /// A digest of the call as it was typed: the same tonight and tomorrow.
    call: String,
    /// The day on which it began.
    pub(super) date: String,
    /// Whom it asks.
    api: String,
    scope: ScopeRef,
    /// The document that started it.
    body: Value,
    pub(super) dir: PathBuf,
    pub(super) merge: Option<PathBuf>,
    /// When the start was sent: RFC 3339 in UTC.
    pub(super) sent_at: String,
    /// The export that came of it; none as long as that is not known.
    pub(super) export: Option<ExportRef>,
    /// Why it is not known, where there was somebody left to write it down.
    pub(super) problem: Option<String>,
}

impl Record {
    /// The record of a run that is about to begin.
    pub(super) fn new(call: &Call<'_>, date: String, place: &Place) -> Self {
        let StartRequest { scope, body, .. } = call.request.clone();
        Self {
            schema: SCHEMA,
            call: call.digest(),
            date,
            api: call.api.to_owned(),
            scope,
            body,
            dir: place.dir.clone(),
            merge: place.merge.clone(),
            sent_at: String::new(),
            export: None,
            problem: None,
        }
    }

    /// Whether two runs are the same: the same call on the same day.
    pub(super) fn is_of_the_same_run(&self, other: &Self) -> bool {
        (&self.call, &self.date) == (&other.call, &other.date)
    }

    /// Whether this run's files are the ones that another wants, in the place where it wants them.
    pub(super) fn has_what_is_wanted(&self, wanted: &Self) -> bool {
        (&self.scope, &self.body, &self.dir) == (&wanted.scope, &wanted.body, &wanted.dir)
    }

    /// What it has started, or was about to, for those who tell of it.
    pub(super) fn request(&self) -> StartRequest {
        let (scope, body) = (self.scope, self.body.clone());
        StartRequest { scope, body, include_deleted: false, include_deactivated: false }
    }
}

/// A call as it was typed: what is relative in it stays so.
pub(super) struct Call<'a> {
    pub(super) api: &'a str,
    pub(super) request: &'a StartRequest,
    pub(super) args: &'a RunArgs,
}

impl Call<'_> {
    /// The call in a few digits.
    pub(super) fn digest(&self) -> String {
        let Self { api, request, args: RunArgs { wanted, place, .. } } = self;
        let asked = &wanted.request;
        let dates = [&asked.introduced_from, &asked.introduced_to, &asked.updated_from, &asked.updated_to];
        let dates = dates.map(|date| date.as_ref().map(ToString::to_string));
        let filters: Vec<String> = asked.filters.iter().map(ToString::to_string).collect();
        let body = asked.body.is_some().then_some(&request.body);
        let flags = [request.include_deleted, request.include_deactivated];
        let url_expiration = asked.url_expiration_seconds.map(|seconds| seconds.0);
        // However it was spelt: `d/` is `d`.
        let absolute = |path: &PathBuf| disk::absolute(path).components().collect::<PathBuf>();
        let places = (absolute(&place.dir), place.merge.as_ref().map(absolute));
        let zone = wanted.zone.time_zone.to_string();
        let what = json!([asked.dataset, asked.formats, asked.columns, dates, filters, url_expiration, body]);
        let whole = json!([api, request.scope, what, flags, places, zone]);
        hexadecimal(&digest(&SHA256, whole.to_string().as_bytes()).as_ref()[..8])
    }
}

/// The file that a record is kept in, which nobody else has meanwhile.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    clock: Clock,
    /// What is written down.
    record: Option<Record>,
    _lock: File,
}

impl Keeper {
    /// Opens the file at `path`, which need not be there.
    pub(super) fn open(path: PathBuf, clock: Clock) -> Result<Self, RecordError> {
        let unwritable = |source| RecordError::Unwritable { path: path.clone(), source };
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(unwritable(io::Error::other("what is there is no file")));
        }
        disk::make_directories(disk::parent(&path)).map_err(unwritable)?;
        let lock = disk::lock(&disk::beside(&path, ".lock")).map_err(unwritable)?;
        let lock = lock.ok_or_else(|| RecordError::Busy(path.clone()))?;
        let record = read(&path)?;
        Ok(Self { path, clock, record, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier call has left.
    pub(super) const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether what an earlier call has left can be asked for at this API.
    pub(super) fn check_api(&self, ours: &str) -> Result<(), RecordError> {
        match self.record.as_ref().map(|record| record.api.clone()).filter(|theirs| theirs != ours) {
            Some(theirs) => {
                Err(RecordError::OtherApi { path: self.path.clone(), theirs, ours: ours.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Takes on another run.
    pub(super) fn take_on(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// Goes on with an export that somebody names.
    pub(super) fn resume(&mut self, export: ExportRef) -> Result<(), RecordError> {
        let Some(record) = &mut self.record else { return Ok(()) };
        if let Some(other) = record.export.filter(|other| *other != export) {
            return Err(RecordError::Other { path: self.path.clone(), export: Box::new(other) });
        }
        record.export = Some(export);
        self.write().map_err(|source| RecordError::Unwritable { path: self.path.clone(), source })
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.record)?;
        disk::replace(&self.path, &text, Readers::Owner)
    }

    /// Forgets the run: it is over. Nothing waits for the disk here: a record that a power cut brings back tells of files
    /// that are all there, and is forgotten again.
    pub(super) fn forget(&mut self) -> Result<(), RecordError> {
        self.record = None;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.lost(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn lost(&self, source: io::Error) -> RecordError {
        RecordError::Lost { path: self.path.clone(), source }
    }
}

impl Keep for Keeper {
    fn sending(&mut self) -> Result<(), CommandError> {
        let now = self.clock.now().to_string();
        if let Some(record) = &mut self.record {
            (record.sent_at, record.export, record.problem) = (now, None, None);
        }
        let written = self.write();
        Ok(written.map_err(|source| RecordError::Unwritable { path: self.path.clone(), source })?)
    }

    fn started(&mut self, started: &Started) -> Result<(), CommandError> {
        if let Some(record) = &mut self.record {
            record.export = Some(started.export);
        }
        Ok(self.write().map_err(|source| self.lost(source))?)
    }

    fn unsure(&mut self, problem: &Problem) -> Result<(), CommandError> {
        if let Some(record) = &mut self.record {
            record.problem = Some(problem.to_string());
        }
        Ok(self.write().map_err(|source| self.lost(source))?)
    }

    fn refused(&mut self) -> Result<(), CommandError> {
        // It may be sent again, and is known here until then.
        Ok(disk::remove(&self.path).map_err(|source| self.lost(source))?)
    }
}

/// The record in a file; nothing where there is no file.
fn read(path: &Path) -> Result<Option<Record>, RecordError> {
    let unreadable = |why: String| RecordError::Unreadable { path: path.to_owned(), why };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let record: Record = serde_json::from_slice(&text)
        .map_err(|error| unreadable(format!("it is no record of a run ({error})")))?;
    if record.schema != SCHEMA {
        return Err(unreadable(format!("its schema is {}, and {SCHEMA} is known here", record.schema)));
    }
    Ok(Some(record))
}
