//! The folder that files come into. While they come they are in a hidden folder within it; when all are there they are
//! renamed, the manifest last. Killed at any moment, the next call goes on where this one was.

mod check;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::check::{check_files, check_merge, read_manifest, written};
use super::links::object;
use super::merge::{self, Merging};
use super::target::{FolderError, MANIFEST, check_target, is_part_name};
use super::writer::Whole;
use super::{DiskError, DownloadError, aside};
use crate::disk::{self, Readers};
use crate::export::ExportRef;
use crate::manifest::{Manifest, hexadecimal};
use crate::watch::observation::Part;

/// Which parts an earlier call was about.
const PLAN: &str = "plan.json";

/// The manifest of the files that are being replaced.
const REPLACED: &str = "replaced.json";

/// What a file is called until it is whole.
const PARTIAL: &str = ".partial";

/// A folder for the files of one export.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// Where files are until all are there.
    work: PathBuf,
    force: bool,
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

/// Where the files of an export are until all are there.
fn work(dir: &Path, export: &ExportRef) -> PathBuf {
    dir.join(format!(".snyk-export-{}", export.export_id))
}

impl Folder {
    /// Opens a folder for the files of an export.
    ///
    /// # Errors
    ///
    /// When it cannot be used, as [`check_target`] says, or somebody else uses it.
    pub fn open(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
        force: bool,
    ) -> Result<Self, FolderError> {
        check_target(dir, merge, force)?;
        Self::locked(dir, export, force)
    }

    fn locked(dir: &Path, export: &ExportRef, force: bool) -> Result<Self, FolderError> {
        let work = work(dir, export);
        let unusable = |source| FolderError::Unusable { option: "--dir", path: dir.to_owned(), source };
        std::fs::create_dir_all(&work).map_err(unusable)?;
        let lock = disk::lock(&work.join("lock")).map_err(unusable)?;
        let lock = lock.ok_or_else(|| FolderError::Busy(dir.to_owned()))?;
        Ok(Self { dir: dir.to_owned(), work, force, _lock: lock })
    }

    /// The manifest of a folder that holds the files of this very export: an earlier call has come to its end, or almost.
    /// With `force` other files may take their place, where they were merged otherwise.
    ///
    /// # Errors
    ///
    /// When they were merged otherwise than into `merge`, or are not what the manifest says.
    pub fn done(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
        force: bool,
    ) -> Result<Option<Manifest>, FolderError> {
        let manifest = read_manifest(&dir.join(MANIFEST)).filter(|manifest| manifest.export == *export);
        let Some(manifest) = manifest else { return Ok(None) };
        match check_merge(dir, merge, &manifest).and_then(|()| check_files(&[dir], &manifest)) {
            Err(_) if force => return Ok(None),
            checked => checked?,
        }
        // All that it may not have done; what cannot be removed is hidden, and no harm.
        let _ = std::fs::remove_dir_all(work(dir, export));
        Ok(Some(manifest))
    }

    /// Goes on giving files their names where an earlier call was killed at it, and gives their manifest. With `force` they
    /// are fetched anew where that cannot be done.
    ///
    /// # Errors
    ///
    /// When they were merged otherwise than into `merge`, are not what the manifest says, or cannot be renamed.
    pub fn name_unfinished(
        dir: &Path,
        merge: Option<&Path>,
        export: &ExportRef,
        force: bool,
    ) -> Result<Option<Manifest>, FolderError> {
        let path = work(dir, export).join(MANIFEST);
        let Some(manifest) = read_manifest(&path) else { return Ok(None) };
        let folder = Self::locked(dir, export, force)?;
        let unusable = |error: DiskError| {
            let DiskError { path, source, .. } = error;
            FolderError::Unusable { option: "--dir", path, source }
        };
        match check_merge(dir, merge, &manifest).and_then(|()| check_files(&[&folder.work, dir], &manifest)) {
            Err(_) if force => {
                disk::remove(&path).map_err(DiskError::because("remove", &path)).map_err(unusable)?;
                return Ok(None);
            }
            checked => checked?,
        }
        folder.give_names(&manifest).map_err(unusable)?;
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
        disk::replace(&path, &text, Readers::Umask).map_err(DiskError::because("write", &path))?;
        Ok(false)
    }

    /// Where a file is until it is whole.
    pub(super) fn partial(&self, name: &str) -> PathBuf {
        self.work.join(format!("{name}{PARTIAL}"))
    }

    /// Keeps a file that is whole, with a note of what it is.
    pub(super) fn keep(&self, name: &str, whole: &Whole) -> Result<(), DownloadError> {
        let (path, note) = (self.work.join(name), self.note(name));
        let text =
            serde_json::to_vec(whole).map_err(|error| DiskError::because("write", &note)(error.into()))?;
        std::fs::write(&note, text).map_err(DiskError::because("write", &note))?;
        Ok(std::fs::rename(self.partial(name), &path).map_err(DiskError::because("rename", &path))?)
    }

    /// A file that was kept, if it still is what it was.
    pub(super) fn whole(&self, name: &str) -> Option<Whole> {
        let noted: Whole = serde_json::from_slice(&std::fs::read(self.note(name)).ok()?).ok()?;
        let written = written(&self.work.join(name))?;
        (written == noted.written).then_some(noted)
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
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| DiskError::because("write", &path)(error.into()))?;
        text.push(b'\n');
        disk::replace(&path, &text, Readers::Umask).map_err(DiskError::because("write", &path))?;
        self.give_names(&manifest)?;
        Ok(manifest)
    }

    /// Gives all files their names, the manifest last.
    fn give_names(&self, manifest: &Manifest) -> Result<(), DiskError> {
        let named = self.dir.join(MANIFEST);
        if self.force && named.exists() {
            // It is the manifest of none of the new files. What it lists is removed when they are there.
            let replaced = self.work.join(REPLACED);
            std::fs::rename(&named, &replaced).map_err(DiskError::because("rename", &named))?;
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
    pub async fn sync(dir: PathBuf, manifest: Manifest) -> Result<(), DiskError> {
        aside(move || Self::write_through(&dir, &manifest)).await
    }

    fn write_through(dir: &Path, manifest: &Manifest) -> Result<(), DiskError> {
        let names = manifest.files.iter().map(|entry| entry.name.as_str()).chain([MANIFEST, "."]);
        let merged = manifest.merged.iter().map(|merged| PathBuf::from(&merged.path));
        let merged = merged.flat_map(|path| [disk::parent(&path).to_owned(), path]);
        let paths = names.map(|name| dir.join(name)).chain(merged).chain([disk::parent(dir).to_owned()]);
        for path in paths {
            File::open(&path).and_then(|file| file.sync_all()).map_err(DiskError::because("write", &path))?;
        }
        Ok(())
    }

    fn give_name(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
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
        let before = read_manifest(&self.work.join(REPLACED));
        let before = before.iter().flat_map(|before| &before.files).map(|entry| entry.name.as_str());
        for name in before.filter(|name| is_part_name(name) && !known(name)) {
            // Whether or not it can be removed, it is not in the manifest.
            let _ = std::fs::remove_file(self.dir.join(name));
        }
    }
}

#[cfg(test)]
mod tests;
