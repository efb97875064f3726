//! The folder that files are downloaded into. Until all are complete they are in a hidden folder within it. Then they are
//! renamed, the manifest last. If the program is killed at any moment, the next call continues where it stopped.

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
use super::merge::{Merging, contradiction};
use super::target::{FolderError, Target};
use super::writer::{Partial, Whole};
use super::{DiskError, DownloadError};
use crate::disk::{Directory, Readers, Safety};
use crate::export::ExportRef;
use crate::manifest::{Manifest, Merged, hexadecimal};
use crate::watch::observation::Part;

/// The ending of the name of a file that is not complete.
const PARTIAL: &str = ".partial";

/// The file that is locked while a call uses the folder.
const LOCK: &str = "lock";

/// The largest note that is read, in bytes.
const MAX_NOTE: u64 = 4096;

/// A folder for the files of one export.
#[derive(Debug)]
pub struct Folder {
    dir: Directory,
    /// The hidden folder.
    work: Arc<Directory>,
    name: OsString,
    force: bool,
    safety: Safety,
    _lock: File,
}

/// What is noted about a complete file.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The part of the export.
    part: AsListed,
    #[serde(flatten)]
    whole: Whole,
}

/// A part as it was listed: it tells whether a file of an earlier call is of this part.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AsListed {
    /// A digest of the object's address, which is not written down itself.
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

/// The name of the hidden folder of an export.
fn work_name(export: &ExportRef) -> OsString {
    format!(".snyk-export-{}", export.export_id).into()
}

/// The name of the note about a complete file.
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
    /// If it cannot be used, as [`Target::check`] says, or if somebody else uses it.
    pub fn open(target: &Target<'_>, export: &ExportRef) -> Result<Self, FolderError> {
        target.check()?;
        Self::locked(target, export)
    }

    fn locked(target: &Target<'_>, export: &ExportRef) -> Result<Self, FolderError> {
        let Target { dir: path, force, safety, held, .. } = *target;
        let name = work_name(export);
        let work_path = path.join(&name);
        let unusable = |source| FolderError::Unusable { option: "--dir", path: work_path.clone(), source };
        let dir = match held.and_then(|held| held.0.again()) {
            Some(dir) => dir,
            None => Directory::open(path).map_err(unusable)?,
        };
        loop {
            let work = dir.make_private_subdirectory(&name).map_err(unusable)?;
            match work.lock(LOCK.as_ref()) {
                Ok(Some(lock)) => {
                    work.take_over(LOCK.as_ref()).map_err(unusable)?;
                    let folder = Self { dir, work: Arc::new(work), name, force, safety, _lock: lock };
                    if folder.dir.try_lock() {
                        return Ok(folder);
                    }
                    folder.tidy();
                    return Err(FolderError::Locked(path.to_owned()));
                }
                Ok(None) => return Err(FolderError::Busy(path.to_owned())),
                // The process that held the lock has just removed the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(error)),
            }
        }
    }

    /// The place of a file until it is complete.
    pub(super) fn partial(&self, name: &str) -> Partial {
        Partial { directory: Arc::clone(&self.work), name: format!("{name}{PARTIAL}") }
    }

    /// Keeps a complete file, with a note about it.
    pub(super) fn keep(&self, name: &str, part: &Part, whole: &Whole) -> Result<(), DownloadError> {
        let note = Note { part: AsListed::of(part), whole: whole.clone() };
        let note_name = self::note(name);
        let (path, note_path) = (self.work.path(name.as_ref()), self.work.path(note_name.as_ref()));
        // A note that is cut off does not count, and the file is downloaded again.
        let write = || {
            self.work.create_anew(note_name.as_ref(), Readers::Umask)?.write_all(&serde_json::to_vec(&note)?)
        };
        write().map_err(DiskError::because("write", note_path))?;
        let partial = self.partial(name).name;
        let renamed = self.work.rename(partial.as_ref(), &self.work, name.as_ref());
        Ok(renamed.map_err(DiskError::because("rename", path))?)
    }

    /// A file that was kept, if it is of this part and unchanged.
    pub(super) fn whole(&self, name: &str, part: &Part) -> Option<Whole> {
        let note = self.work.read(note(name).as_ref(), MAX_NOTE).ok()?;
        let Note { part: kept, whole } = serde_json::from_slice(&note).ok()?;
        let is_same = kept == AsListed::of(part) && is_there(&self.work, name.as_ref(), &whole.written);
        is_same.then_some(whole)
    }

    /// The folder that a file is in: the hidden one, or the final one.
    fn place_of(&self, name: &str) -> &Directory {
        if self.work.has(name.as_ref()) { &self.work } else { &self.dir }
    }

    /// Removes what the next call cannot use, and the hidden folder if nothing is left in it.
    pub fn tidy(&self) {
        let is_of_use = |name: &OsStr| {
            let text = name.to_string_lossy();
            // Temporary files start with a dot. A thread that was abandoned may create its file only now.
            text != LOCK && !text.ends_with(PARTIAL) && !text.starts_with('.')
        };
        let (useful, useless): (Vec<_>, Vec<_>) =
            self.work.names().unwrap_or_default().into_iter().partition(|name| is_of_use(name));
        if useful.is_empty() {
            return self.remove_work();
        }
        for name in useless.iter().filter(|name| *name != LOCK) {
            // A file that cannot be removed is overwritten later.
            let _ = self.work.remove(name);
        }
    }

    /// Removes the hidden folder. If that fails, what is left is hidden and harmless.
    fn remove_work(&self) {
        for name in self.work.names().unwrap_or_default().iter().filter(|name| *name != LOCK) {
            let _ = self.work.remove(name);
        }
        // The lock is removed last: until then no other process starts to use the folder.
        let _ = self.work.remove(LOCK.as_ref());
        let _ = self.dir.remove_subdirectory(&self.name);
        if self.safety == Safety::PowerCut {
            // If a power cut brought it back, nobody would remove it.
            let _ = self.dir.sync();
        }
    }

    /// Merges the files if requested, gives them their final names, and adds the manifest.
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

    /// Merges the files, in whichever folder they are, if requested.
    fn merge(
        &self,
        manifest: &Manifest,
        path: Option<&Path>,
    ) -> Result<Option<(Merging, Merged)>, DownloadError> {
        let Some(path) = path else { return Ok(None) };
        if let Some(why) = contradiction(manifest) {
            return Err(DownloadError::Merge(why));
        }
        let open = |name: &str| self.place_of(name).open_file(name.as_ref());
        Merging::of(&manifest.files, open, path, &manifest.export).map(Some)
    }
}

#[cfg(test)]
mod tests;
