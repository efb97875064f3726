//! The folder that files come into. While they come they are in a hidden folder within it; when all are there they are
//! renamed, the manifest last. Killed at any moment, the next call goes on where this one was.

mod check;
mod given;
mod left;
mod names;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::left::Left;

use self::check::is_there;
use super::merge::Merging;
use super::target::{FolderError, Target};
use super::writer::{Partial, Whole};
use super::{DiskError, DownloadError};
use crate::disk::{Directory, Readers, Safety};
use crate::export::ExportRef;
use crate::manifest::{Manifest, Merged, hexadecimal};
use crate::watch::observation::Part;

/// What a file is called until it is whole.
const PARTIAL: &str = ".partial";

/// What is locked while a call uses the folder.
const LOCK: &str = "lock";

/// More than any note has, in bytes.
const MAX_NOTE: u64 = 4096;

/// A folder for the files of one export.
#[derive(Debug)]
pub struct Folder {
    dir: Directory,
    /// Where files are until all are there.
    work: Arc<Directory>,
    name: OsString,
    force: bool,
    safety: Safety,
    _lock: File,
}

/// What is known of a file that is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The part that it is.
    part: AsListed,
    #[serde(flatten)]
    whole: Whole,
}

/// A part as it was listed: it tells whether a file of an earlier call is of this part.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AsListed {
    /// A digest of the object's name, which is nobody's business.
    object: Option<String>,
    announced_size: Option<u64>,
    announced_rows: Option<u64>,
}

impl AsListed {
    fn of(part: &Part) -> Self {
        let digest = |name: String| ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let object = part.link.as_ref().map(|link| hexadecimal(digest(link.object()).as_ref()));
        Self { object, announced_size: part.file_size, announced_rows: part.row_count }
    }
}

/// What the hidden folder of an export is called.
fn work_name(export: &ExportRef) -> OsString {
    format!(".snyk-export-{}", export.export_id).into()
}

/// Where a file is described that is whole.
fn note(name: &str) -> String {
    format!("{name}.json")
}

impl From<DiskError> for FolderError {
    fn from(error: DiskError) -> Self {
        match error.taken() {
            Some(path) => Self::Taken(path.clone()),
            None => Self::Unusable { option: "--dir", path: error.path, source: error.source },
        }
    }
}

impl Folder {
    /// Opens a folder for the files of an export.
    ///
    /// # Errors
    ///
    /// When it cannot be used, as [`Target::check`] says, or somebody else uses it.
    pub fn open(target: &Target<'_>, export: &ExportRef) -> Result<Self, FolderError> {
        target.check()?;
        Self::locked(target, export)
    }

    fn locked(target: &Target<'_>, export: &ExportRef) -> Result<Self, FolderError> {
        let Target { dir: path, force, safety, .. } = *target;
        let name = work_name(export);
        let work_path = path.join(&name);
        let unusable = |source| FolderError::Unusable { option: "--dir", path: work_path.clone(), source };
        let dir = Directory::open(path).map_err(unusable)?;
        loop {
            let work = dir.make_private_subdirectory(&name).map_err(unusable)?;
            match work.lock(LOCK.as_ref()) {
                Ok(Some(lock)) => {
                    work.take_over().map_err(unusable)?;
                    let folder = Self { dir, work: Arc::new(work), name, force, safety, _lock: lock };
                    if folder.dir.try_lock() {
                        return Ok(folder);
                    }
                    folder.tidy();
                    return Err(FolderError::Locked(path.to_owned()));
                }
                Ok(None) => return Err(FolderError::Busy(path.to_owned())),
                // The process that had it has just removed it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(error)),
            }
        }
    }

    /// Where a file is until it is whole.
    pub(super) fn partial(&self, name: &str) -> Partial {
        Partial { directory: Arc::clone(&self.work), name: format!("{name}{PARTIAL}") }
    }

    /// Keeps a file that is whole, with a note of what it is.
    pub(super) fn keep(&self, name: &str, part: &Part, whole: &Whole) -> Result<(), DownloadError> {
        let note = Note { part: AsListed::of(part), whole: whole.clone() };
        let note_name = self::note(name);
        let (path, note_path) = (self.work.path(name.as_ref()), self.work.path(note_name.as_ref()));
        // A note that is cut off is none, and the file is fetched again.
        let write = || {
            self.work.create_anew(note_name.as_ref(), Readers::Umask)?.write_all(&serde_json::to_vec(&note)?)
        };
        write().map_err(DiskError::because("write", note_path))?;
        let partial = self.partial(name).name;
        let renamed = self.work.rename(partial.as_ref(), &self.work, name.as_ref());
        Ok(renamed.map_err(DiskError::because("rename", path))?)
    }

    /// A file that was kept, if it is this part and still is what it was.
    pub(super) fn whole(&self, name: &str, part: &Part) -> Option<Whole> {
        let note = self.work.read(note(name).as_ref(), MAX_NOTE).ok()?;
        let Note { part: kept, whole } = serde_json::from_slice(&note).ok()?;
        let is_same = kept == AsListed::of(part) && is_there(&self.work, name.as_ref(), &whole.written);
        is_same.then_some(whole)
    }

    /// Where a file is: hidden, or under its name already.
    fn place_of(&self, name: &str) -> &Directory {
        if self.work.has(name.as_ref()) { &self.work } else { &self.dir }
    }

    /// Removes what is of no use to the next call, and the hidden folder if that leaves nothing in it.
    pub fn tidy(&self) {
        let is_of_use = |name: &OsStr| {
            let text = name.to_string_lossy();
            // A temporary one is hidden; a thread that was given up may create its file only now.
            text != LOCK && !text.ends_with(PARTIAL) && !text.starts_with('.')
        };
        let (useful, useless): (Vec<_>, Vec<_>) =
            self.work.names().unwrap_or_default().into_iter().partition(|name| is_of_use(name));
        if useful.is_empty() {
            return self.remove_work();
        }
        for name in useless.iter().filter(|name| *name != LOCK) {
            // What cannot be removed is written over.
            let _ = self.work.remove(name);
        }
    }

    /// Removes the hidden folder. What cannot be removed of it is hidden, and no harm.
    fn remove_work(&self) {
        for name in self.work.names().unwrap_or_default().iter().filter(|name| *name != LOCK) {
            let _ = self.work.remove(name);
        }
        // The lock goes last: as long as it is there, nobody else begins anything here.
        let _ = self.work.remove(LOCK.as_ref());
        let _ = self.dir.remove_subdirectory(&self.name);
        if self.safety == Safety::PowerCut {
            // A power cut that brings it back does no harm either, but nobody would remove it then.
            let _ = self.dir.sync();
        }
    }

    /// Merges the files if that is wanted, gives them their names, and puts the manifest beside them.
    pub(super) fn finish(
        &self,
        mut manifest: Manifest,
        merge: Option<&Path>,
    ) -> Result<Manifest, DownloadError> {
        let (merging, merged) = self.merge(&manifest, merge)?.unzip();
        manifest.merged = merged;
        self.conclude(&manifest, merging.as_ref())?;
        Ok(manifest)
    }

    /// Merges the files, wherever they are, if that is wanted.
    fn merge(
        &self,
        manifest: &Manifest,
        path: Option<&Path>,
    ) -> Result<Option<(Merging, Merged)>, DownloadError> {
        let Some(path) = path else { return Ok(None) };
        let names: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
        let open = |name: &str| self.place_of(name).open_file(name.as_ref());
        Merging::of(&names, open, path, &manifest.export).map(Some)
    }
}

#[cfg(test)]
mod tests;
