//! The folder that files come into. While they come they are in a hidden folder within it; when all are there they are
//! renamed, the manifest last. Killed at any moment, the next call goes on where this one was.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::links::object;
use super::merge::{self, Merging};
use super::target::{FolderError, MANIFEST, check_target, is_part_name};
use super::writer::{Sink, Written, hexadecimal};
use super::{DiskError, DownloadError};
use crate::disk;
use crate::export::ExportRef;
use crate::manifest::Manifest;
use crate::watch::observation::Part;

/// More than any manifest has, in bytes: one of ten thousand files has about two million.
const MAX_MANIFEST: u64 = 16 * 1024 * 1024;

/// Which parts an earlier call was about.
const PLAN: &str = "plan.json";

/// What a file is called until it is whole.
const PARTIAL: &str = ".partial";

/// A folder for the files of one export.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// Where files are until all are there.
    work: PathBuf,
    force: bool,
    /// What was there before, if it is to be overwritten.
    before: Option<Manifest>,
    _lock: File,
}

/// What tells whether a file of an earlier call is one of these.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Planned {
    /// A digest of the object's name, which is nobody's business.
    object: Option<String>,
    file_size: Option<u64>,
    row_count: Option<u64>,
}

/// The manifest in a file; nothing where there is none, or none of ours.
fn read_manifest(path: &Path) -> Option<Manifest> {
    let length = path.metadata().ok()?.len();
    let text = (length <= MAX_MANIFEST).then(|| std::fs::read(path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

fn write_manifest(manifest: &Manifest, path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    std::fs::write(path, text)
}

fn check_merge(dir: &Path, merge: Option<&Path>, manifest: &Manifest) -> Result<(), FolderError> {
    let merged = manifest.merged.as_ref().map(|merged| merged.path.clone());
    if merged.as_deref() == merge.and_then(Path::to_str) {
        return Ok(());
    }
    Err(FolderError::OtherMerge { dir: dir.to_owned(), merged })
}

/// Where the files of an export are until all are there.
fn work(dir: &Path, export: &ExportRef) -> PathBuf {
    dir.join(format!(".snyk-export-{}", export.export_id))
}

impl Folder {
    /// Looks whether the files of an export can be put into a folder, as [`check_target`] does, unless an earlier call was
    /// about to give these very files their names.
    ///
    /// # Errors
    ///
    /// When they cannot.
    pub fn check(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
        force: bool,
    ) -> Result<(), FolderError> {
        match work(dir, export).join(MANIFEST).exists() {
            true => Ok(()),
            false => check_target(dir, merge, force),
        }
    }

    /// Opens a folder for the files of an export.
    ///
    /// # Errors
    ///
    /// When it cannot be used, as [`Folder::check`] says, or somebody else uses it.
    pub fn open(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
        force: bool,
    ) -> Result<Self, FolderError> {
        Self::check(dir, merge, export, force)?;
        let work = work(dir, export);
        let unusable = |source| FolderError::Unusable { option: "--dir", path: dir.to_owned(), source };
        std::fs::create_dir_all(&work).map_err(unusable)?;
        let lock = disk::lock(&work.join("lock")).map_err(unusable)?;
        let lock = lock.ok_or_else(|| FolderError::Busy(dir.to_owned()))?;
        let before = force.then(|| read_manifest(&dir.join(MANIFEST))).flatten();
        Ok(Self { dir: dir.to_owned(), work, force, before, _lock: lock })
    }

    /// The manifest of a folder that holds the files of this very export: an earlier call has come to its end, or almost.
    ///
    /// # Errors
    ///
    /// When they were merged otherwise than into `merge`.
    pub fn done(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
    ) -> Result<Option<Manifest>, FolderError> {
        let manifest = read_manifest(&dir.join(MANIFEST)).filter(|manifest| manifest.export == *export);
        let Some(manifest) = manifest else { return Ok(None) };
        check_merge(dir, merge, &manifest)?;
        // All that it may not have done; what cannot be removed is hidden, and no harm.
        let _ = std::fs::remove_dir_all(work(dir, export));
        Ok(Some(manifest))
    }

    /// The manifest that an earlier call has come to, if it was killed while it gave files their names.
    ///
    /// # Errors
    ///
    /// When they were merged otherwise than into `merge`.
    pub fn unfinished(&self, merge: Option<&Path>) -> Result<Option<Manifest>, FolderError> {
        let Some(manifest) = read_manifest(&self.work.join(MANIFEST)) else { return Ok(None) };
        check_merge(&self.dir, merge, &manifest)?;
        Ok(Some(manifest))
    }

    /// Takes note of the parts, and says whether whole files of an earlier call are theirs.
    pub(super) fn plan(&self, parts: &[Part]) -> Result<bool, DownloadError> {
        let digest = |name: String| ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let plan = parts.iter().map(|part| Planned {
            object: object(part).map(|name| hexadecimal(digest(name).as_ref())),
            file_size: part.file_size,
            row_count: part.row_count,
        });
        let plan: Vec<Planned> = plan.collect();
        let path = self.work.join(PLAN);
        let before = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if before.as_ref() == Some(&plan) {
            return Ok(true);
        }
        self.remove(|name| is_part_name(name) || name.ends_with(PARTIAL));
        let text =
            serde_json::to_vec(&plan).map_err(|error| DiskError::because("write", &path)(error.into()))?;
        disk::replace(&path, &text).map_err(DiskError::because("write", &path))?;
        Ok(false)
    }

    /// Where a file is until it is whole.
    pub(super) fn partial(&self, name: &str) -> PathBuf {
        self.work.join(format!("{name}{PARTIAL}"))
    }

    /// Keeps a file that is whole, with a note of what it is.
    pub(super) fn keep(&self, name: &str, written: &Written) -> Result<(), DownloadError> {
        let (path, note) = (self.work.join(name), self.note(name));
        let text =
            serde_json::to_vec(written).map_err(|error| DiskError::because("write", &note)(error.into()))?;
        std::fs::write(&note, text).map_err(DiskError::because("write", &note))?;
        std::fs::rename(self.partial(name), &path).map_err(DiskError::because("rename", &path))
    }

    /// A file that was kept, if it still is what it was.
    pub(super) fn whole(&self, name: &str) -> Option<Written> {
        let mut file = File::open(self.work.join(name)).ok()?;
        let mut sink = Sink::new(io::sink());
        io::copy(&mut file, &mut sink).ok()?;
        let noted: Written = serde_json::from_slice(&std::fs::read(self.note(name)).ok()?).ok()?;
        sink.done().ok().filter(|written| *written == noted)
    }

    fn note(&self, name: &str) -> PathBuf {
        self.work.join(format!("{name}.json"))
    }

    /// Removes what is of no use to the next call, and the hidden folder if that leaves nothing in it.
    pub fn tidy(&self) {
        self.remove(|name| name.ends_with(PARTIAL));
        let names = std::fs::read_dir(&self.work).into_iter().flatten().flatten();
        let is_empty = names.map(|entry| entry.file_name()).all(|name| name == "lock" || name == PLAN);
        if is_empty {
            // What cannot be removed is hidden, and no harm.
            let _ = std::fs::remove_dir_all(&self.work);
        }
    }

    fn remove(&self, is_meant: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(&self.work).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(&is_meant) {
                // What cannot be removed is written over.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Merges the files if that is wanted, gives them their names, and puts the manifest beside them.
    pub(super) fn finish(
        &self,
        mut manifest: Manifest,
        merge: Option<&Path>,
    ) -> Result<Manifest, DownloadError> {
        let merging = merge.map(|path| Merging::into(path, &manifest.export));
        if let Some(merging) = &merging {
            let parts: Vec<PathBuf> =
                manifest.files.iter().map(|entry| self.work.join(&entry.name)).collect();
            manifest.merged = Some(merge::merge(&parts, merging)?);
        }
        let path = self.work.join(MANIFEST);
        let new = disk::beside(&path, PARTIAL);
        write_manifest(&manifest, &new).map_err(DiskError::because("write", &new))?;
        std::fs::rename(&new, &path).map_err(DiskError::because("rename", &path))?;
        self.give_names(&manifest)?;
        Ok(manifest)
    }

    /// Gives all files their names, the manifest last; goes on where an earlier call was killed at it.
    ///
    /// # Errors
    ///
    /// When a file cannot be renamed.
    pub fn give_names(&self, manifest: &Manifest) -> Result<(), DownloadError> {
        let named = self.dir.join(MANIFEST);
        if self.force {
            // The old one is none of the new files.
            disk::remove(&named).map_err(DiskError::because("remove", &named))?;
        }
        for entry in &manifest.files {
            self.give_name(&self.work.join(&entry.name), &self.dir.join(&entry.name))?;
        }
        if let Some(merged) = &manifest.merged {
            let Merging { path, partial } = Merging::into(Path::new(&merged.path), &manifest.export);
            self.give_name(&partial, &path)?;
        }
        self.remove_obsolete(manifest);
        self.give_name(&self.work.join(MANIFEST), &named)?;
        // All is there: what cannot be removed of the hidden folder is hidden, and no harm.
        let _ = std::fs::remove_dir_all(&self.work);
        Ok(())
    }

    /// Writes what is in a folder through to the disk, so that a power cut takes nothing of it away.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn sync(dir: &Path, manifest: &Manifest) -> Result<(), DownloadError> {
        let names = manifest.files.iter().map(|entry| entry.name.as_str()).chain([MANIFEST, "."]);
        let merged = manifest.merged.iter().map(|merged| PathBuf::from(&merged.path));
        for path in names.map(|name| dir.join(name)).chain(merged) {
            File::open(&path).and_then(|file| file.sync_all()).map_err(DiskError::because("write", &path))?;
        }
        Ok(())
    }

    fn give_name(&self, from: &Path, to: &Path) -> Result<(), DownloadError> {
        let renamed = if self.force { std::fs::rename(from, to) } else { disk::rename_to_free(from, to) };
        match renamed {
            // An earlier call was killed after it had done this.
            Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => Ok(()),
            renamed => renamed.map_err(DiskError::because("rename a file to", to)),
        }
    }

    /// Removes the files of a download that this one takes the place of: the manifest does not know them any more.
    fn remove_obsolete(&self, manifest: &Manifest) {
        let known = |name: &str| manifest.files.iter().any(|entry| entry.name == name);
        let before = self.before.iter().flat_map(|before| &before.files).map(|entry| entry.name.as_str());
        for name in before.filter(|name| is_part_name(name) && !known(name)) {
            // Whether or not it can be removed, it is not in the manifest.
            let _ = std::fs::remove_file(self.dir.join(name));
        }
    }
}

#[cfg(test)]
mod tests;
