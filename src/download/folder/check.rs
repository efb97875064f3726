//! Whether what is in a folder is what its manifest says.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::merge::Merging;
use super::super::target::FolderError;
use super::super::writer::{Sink, Written};
use crate::manifest::{Entry, Manifest, Merged};

/// More than any manifest has, in bytes: one of ten thousand files has about two million.
const MAX_MANIFEST: u64 = 16 * 1024 * 1024;

/// The manifest in a file; nothing where there is none, or none of ours.
pub(super) fn read_manifest(path: &Path) -> Option<Manifest> {
    let length = path.metadata().ok()?.len();
    let text = (length <= MAX_MANIFEST).then(|| std::fs::read(path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// What a file holds.
pub(super) fn written(path: &Path) -> Option<Written> {
    let mut sink = Sink::new(io::sink());
    io::copy(&mut File::open(path).ok()?, &mut sink).ok()?;
    sink.done().ok()
}

/// Checks that the files of a manifest, the merged one among them, are what it says, each in the first of the places that
/// has it. A power cut may have taken something of them away, or a person.
pub(super) fn check_files(folders: &[&Path], manifest: &Manifest) -> Result<(), FolderError> {
    for Entry { name, file_size, sha256, .. } in &manifest.files {
        let paths = folders.iter().map(|folder| folder.join(name));
        check_file(paths.collect(), &Written { file_size: *file_size, sha256: sha256.clone() })?;
    }
    let Some(Merged { path, file_size, sha256, .. }) = &manifest.merged else { return Ok(()) };
    let Merging { path, partial } = Merging::into(Path::new(path), &manifest.export);
    check_file(vec![partial, path], &Written { file_size: *file_size, sha256: sha256.clone() })
}

fn check_file(mut paths: Vec<PathBuf>, listed: &Written) -> Result<(), FolderError> {
    let path = paths.iter().position(|path| path.exists()).map(|index| paths.swap_remove(index));
    let path = path.or_else(|| paths.pop()).unwrap_or_default();
    if written(&path).as_ref() == Some(listed) { Ok(()) } else { Err(FolderError::Changed(path)) }
}

pub(super) fn check_merge(dir: &Path, merge: Option<&Path>, manifest: &Manifest) -> Result<(), FolderError> {
    let merged = manifest.merged.as_ref().map(|merged| merged.path.clone());
    if merged.as_deref() == merge.and_then(Path::to_str) {
        return Ok(());
    }
    Err(FolderError::OtherMerge { dir: dir.to_owned(), merged })
}
