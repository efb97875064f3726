//! Compares a folder with its manifest. A manifest that is found is untrusted input: anybody may have written it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::super::target::{FolderError, Target, part_name};
use super::super::writer::{Sink, Written};
use crate::disk::Directory;
use crate::manifest::{Entry, Manifest, Merged, SCHEMA};
use crate::text::Text;

/// The largest manifest that is read, in bytes. One of ten thousand files has about two million.
const MAX_MANIFEST: u64 = 16 * 1024 * 1024;

/// What differs from the manifest. A power cut or a person may have changed files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Nothing,
    /// The merged file, which can be made again from the parts.
    Merged,
    /// This part.
    Part(PathBuf),
}

/// The manifest in a file. `None` if there is none, or one that we would not write.
pub(super) fn read_manifest(directory: &Directory, name: &str) -> Option<Manifest> {
    let text = directory.read(name.as_ref(), MAX_MANIFEST).ok()?;
    let manifest: Manifest = serde_json::from_slice(&text).ok()?;
    let rows: Option<u64> =
        manifest.files.iter().try_fold(0, |sum: u64, entry| entry.rows.map(|rows| sum.saturating_add(rows)));
    let is_complete = !manifest.files.is_empty() || matches!(manifest.row_count, None | Some(0));
    let mut names = manifest.files.iter().enumerate();
    let is_ours = manifest.schema == SCHEMA
        && is_complete
        && manifest.rows == rows
        && names.all(|(index, entry)| entry.name == part_name(index));
    is_ours.then_some(manifest)
}

/// Whether a directory has a file with this content.
pub(super) fn is_there(directory: &Directory, name: &OsStr, expected: &Written) -> bool {
    let Ok(mut file) = directory.open_file(name) else { return false };
    // A file of another size need not be read.
    if !file.metadata().is_ok_and(|metadata| metadata.len() == expected.file_size) {
        return false;
    }
    let mut sink = Sink::new(io::sink());
    io::copy(&mut file, &mut sink).is_ok() && sink.done().is_ok_and(|written| written == *expected)
}

/// Compares files with their manifest, each in the first of the directories that has it.
///
/// # Errors
///
/// If they were merged in another way than requested. Only a path that the user names is looked at.
pub(super) fn compare(
    directories: &[&Directory],
    target: &Target<'_>,
    manifest: &Manifest,
) -> Result<Damage, FolderError> {
    let merged = manifest.merged.as_ref();
    if merged.map(|merged| Path::new(&merged.path)) != target.merge {
        let merged = merged.map(|merged| Text::new(&merged.path));
        return Err(FolderError::OtherMerge { dir: target.dir.to_owned(), merged });
    }
    for entry in &manifest.files {
        let name: &OsStr = entry.name.as_ref();
        let has = |directory: &&&Directory| directory.has(name);
        let directory = directories.iter().find(has).or(directories.last());
        if let Some(directory) = directory.filter(|directory| !is_there(directory, name, &written(entry))) {
            return Ok(Damage::Part(directory.path(name)));
        }
    }
    Ok(match merged.zip(target.merge) {
        Some((merged, path)) if !is_merged(path, merged) => Damage::Merged,
        _ => Damage::Nothing,
    })
}

pub(super) fn is_merged(path: &Path, merged: &Merged) -> bool {
    let expected = Written { file_size: merged.file_size, sha256: merged.sha256.clone() };
    Directory::of(path).is_ok_and(|(directory, name)| is_there(&directory, name, &expected))
}

/// The content of a file, as a manifest says.
pub(super) fn written(entry: &Entry) -> Written {
    Written { file_size: entry.file_size, sha256: entry.sha256.clone() }
}
