//! Which files get their final names. This is noted before, so that the next call renames or removes no others.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::merge::Merging;
use super::super::target::MANIFEST;
use super::Folder;
use super::check::{is_merged, is_there, read_manifest, written};
use crate::disk::{Directory, Identity, Readers};
use crate::manifest::{Entry, Manifest, Merged};

/// The name of the note.
const GIVEN: &str = "given.json";

/// The largest note that is read, in bytes.
const MAX_GIVEN: u64 = 16 * 1024 * 1024;

/// The files that get their names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Given {
    parts: BTreeMap<String, Identity>,
    merged: Option<Identity>,
}

impl Given {
    /// The files of a manifest, in whichever folder they are.
    pub(super) fn of(folder: &Folder, manifest: &Manifest, merging: Option<&Merging>) -> Self {
        let identity = |name: &str| folder.place_of(name).identity(name.as_ref());
        let parts =
            manifest.files.iter().filter_map(|Entry { name, .. }| Some((name.clone(), identity(name)?)));
        let merged = match (merging, &manifest.merged) {
            (Some(Merging { directory, partial, .. }), _) => directory.identity(partial),
            (None, Some(merged)) => identity_of(merged),
            (None, None) => None,
        };
        Self { parts: parts.collect(), merged }
    }

    /// What was noted before. Empty if that cannot be read.
    pub(super) fn read(work: &Directory) -> Self {
        let text = work.read(GIVEN.as_ref(), MAX_GIVEN).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self, work: &Directory) -> io::Result<()> {
        work.replace_durably(GIVEN.as_ref(), &serde_json::to_vec(self)?, Readers::Umask)
    }

    /// Whether this download has given a file its final name: it is the very same file, or it has the same content (perhaps
    /// after a restore from a backup) and there is no manifest of another download.
    pub(super) fn has_named(&self, folder: &Folder, entry: &Entry) -> bool {
        let name = entry.name.as_ref();
        let is_this = self.parts.get(&entry.name).is_some_and(|given| is_same(given, &folder.dir, name));
        is_this || (!folder.has_foreign_manifest() && is_there(&folder.dir, name, &written(entry)))
    }

    /// The same for the merged file.
    pub(super) fn has_merged(&self, merged: &Merged) -> bool {
        let is_this = self.merged.is_some() && self.merged == identity_of(merged);
        is_this || is_merged(Path::new(&merged.path), merged)
    }
}

fn is_same(given: &Identity, directory: &Directory, name: &std::ffi::OsStr) -> bool {
    directory.identity(name).as_ref() == Some(given)
}

fn identity_of(merged: &Merged) -> Option<Identity> {
    let (directory, name) = Directory::of(Path::new(&merged.path)).ok()?;
    directory.identity(name)
}

impl Folder {
    /// Whether the manifest beside the files is not of this export.
    fn has_foreign_manifest(&self) -> bool {
        let of_this = |manifest: Manifest| super::work_name(&manifest.export) == self.name;
        self.dir.has(MANIFEST.as_ref()) && !read_manifest(&self.dir, MANIFEST).is_some_and(of_this)
    }
}
