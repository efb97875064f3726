//! What an earlier call has left.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::super::DownloadError;
use super::super::target::{FolderError, MANIFEST, Target};
use super::check::{Damage, compare, read_manifest};
use super::given::Given;
use super::names::remove_merged;
use super::{Folder, work_name};
use crate::disk::{Directory, Safety};
use crate::export::ExportRef;
use crate::manifest::Manifest;

/// What an earlier call has left.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing complete.
    Nothing,
    /// All files with their manifest.
    Done(Manifest),
    /// The same, after this call did what was left to do.
    Completed(Manifest),
    /// A manifest, but this file differs from it: the files must be downloaded again.
    Damaged(PathBuf),
}

impl Folder {
    /// Completes what an earlier call has left, if nothing must be downloaded for that: gives files their final names, and makes
    /// the merged file again if it differs from the manifest. If a part differs, the files are hidden again. With `force` other
    /// files may replace them.
    ///
    /// # Errors
    ///
    /// If they were merged in another way, if another process uses the folder, or if something cannot be written.
    pub fn settle(target: &Target<'_>, export: &ExportRef) -> Result<Left, FolderError> {
        let dir = match Directory::open(target.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Left::Nothing),
            opened => opened.map_err(unusable(target.dir))?,
        };
        let manifest = read_manifest(&dir, MANIFEST).filter(|manifest| manifest.export == *export);
        if !dir.has(&work_name(export)) {
            let Some(manifest) = manifest else { return Ok(Left::Nothing) };
            match compare(&[&dir], target, &manifest) {
                Ok(Damage::Nothing) if target.safety == Safety::Process => return Ok(Left::Done(manifest)),
                Ok(_) => {}
                Err(_) if target.force => return Ok(Left::Nothing),
                Err(error) => return Err(error),
            }
        }
        let folder = Self::locked(target, export)?;
        let left = folder.settle_what_is_there(target, export);
        folder.tidy();
        left
    }

    fn settle_what_is_there(&self, target: &Target<'_>, export: &ExportRef) -> Result<Left, FolderError> {
        let manifest = |directory, name| {
            read_manifest(directory, name).filter(|manifest: &Manifest| manifest.export == *export)
        };
        if let Some(manifest) = manifest(&self.dir, MANIFEST) {
            match compare(&[&self.dir], target, &manifest) {
                Ok(Damage::Nothing) => {
                    if self.safety == Safety::PowerCut {
                        self.sync_named(&manifest)?;
                    }
                    self.remove_work();
                    return Ok(Left::Done(manifest));
                }
                Ok(Damage::Part(_)) | Err(_) if self.force => return Ok(Left::Nothing),
                Ok(Damage::Part(_) | Damage::Merged) => {
                    self.hide_manifest(&manifest).map_err(unusable(target.dir))?;
                }
                Err(error) => return Err(error),
            }
        }
        let Some(manifest) = manifest(&self.work, MANIFEST) else { return Ok(Left::Nothing) };
        match compare(&[&self.work, &self.dir], target, &manifest) {
            Ok(Damage::Part(_)) | Err(_) if self.force => {
                self.work.remove_durably(MANIFEST.as_ref()).map_err(unusable(target.dir))?;
                Ok(Left::Nothing)
            }
            Ok(Damage::Nothing) => {
                self.conclude(&manifest, None)?;
                Ok(Left::Completed(manifest))
            }
            Ok(Damage::Merged) => self.merge_again(target, manifest),
            Ok(Damage::Part(path)) => {
                self.take_back(&manifest, true).map_err(unusable(target.dir))?;
                Ok(Left::Damaged(path))
            }
            Err(error) => Err(error),
        }
    }

    fn merge_again(&self, target: &Target<'_>, mut manifest: Manifest) -> Result<Left, FolderError> {
        match self.merge(&manifest, target.merge) {
            Ok(Some((merging, merged))) => {
                // The damaged file is ours.
                let given = Given::read(&self.work);
                if let Some(before) = manifest.merged.as_ref().filter(|before| given.has_merged(before)) {
                    remove_merged(before).map_err(unusable(target.dir))?;
                }
                manifest.merged = Some(merged);
                self.conclude(&manifest, Some(&merging))?;
                Ok(Left::Completed(manifest))
            }
            Err(DownloadError::Disk(error)) => Err(error.into()),
            // Parts that cannot be merged never were: somebody has changed the manifest.
            Ok(None) | Err(_) => {
                self.take_back(&manifest, false).map_err(unusable(target.dir))?;
                Ok(Left::Damaged(target.dir.join(MANIFEST)))
            }
        }
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Unusable { option: "--dir", path: path.to_owned(), source }
}
