//! Gives files their final names. Their content is durable before the hidden manifest is written, and their names are durable
//! before the manifest gets its own.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::super::DiskError;
use super::super::merge::Merging;
use super::super::target::{MANIFEST, is_part_name};
use super::check::{is_merged, is_there, read_manifest, written};
use super::given::Given;
use super::{Folder, note};
use crate::disk::{Directory, Readers, Safety};
use crate::manifest::{Entry, Manifest, Merged};

/// The copy of the manifest that gets the final name. The other one stays in the hidden folder until the end.
const NAMED: &str = "named.json";

/// The manifest of the files that are being replaced.
const REPLACED: &str = "replaced.json";

impl Folder {
    /// Writes the hidden manifest, gives all files their final names, and adds the manifest. `merging` is the merged file, if it
    /// does not have its final name yet.
    pub(super) fn conclude(&self, manifest: &Manifest, merging: Option<&Merging>) -> Result<(), DiskError> {
        if let Some(path) = self.foreign(manifest).filter(|_| !self.force) {
            merging.into_iter().for_each(Merging::remove);
            // Files of a call that was killed are hidden again. None of this call's has its final name.
            let _ = self.take_back(manifest, merging.is_none());
            return Err(DiskError::because("rename a file to", path)(ErrorKind::AlreadyExists.into()));
        }
        let concluded = self.commit(manifest, merging).and_then(|()| self.give_names(manifest, merging));
        let is_merged_named = merging.is_none_or(|merging| !merging.directory.has(&merging.partial));
        let Err(error) = concluded else {
            self.remove_work();
            return Ok(());
        };
        // It can be made again from the parts.
        merging.into_iter().for_each(Merging::remove);
        if error.is_of_sync {
            self.discard(manifest, is_merged_named);
        } else if error.taken().is_some() {
            // What somebody else has just put there stays. This error is reported, even if hiding fails.
            let _ = self.take_back(manifest, is_merged_named);
        }
        Err(error)
    }

    /// Writes the hidden manifest. After this, a call that is killed leaves only names to be given.
    pub(super) fn commit(&self, manifest: &Manifest, merging: Option<&Merging>) -> Result<(), DiskError> {
        if self.safety == Safety::PowerCut {
            self.sync_files(manifest, merging)?;
        }
        let path = self.work.path(MANIFEST.as_ref());
        let given = Given::of(self, manifest, merging).write(&self.work);
        let text = given.and_then(|()| Ok(serde_json::to_vec_pretty(manifest)?));
        let text = [text.map_err(DiskError::because("write", &path))?, b"\n".to_vec()].concat();
        for name in [NAMED, MANIFEST] {
            let replaced = self.work.replace_durably(name.as_ref(), &text, Readers::Umask);
            replaced.map_err(|error| {
                // It may exist, but not durably.
                let _ = self.work.remove(name.as_ref());
                DiskError::because("write", &path)(error)
            })?;
        }
        Ok(())
    }

    /// A file with one of our names that this download has not put there.
    fn foreign(&self, manifest: &Manifest) -> Option<PathBuf> {
        let given = Given::read(&self.work);
        let is_foreign = |entry: &&Entry| self.dir.has(entry.name.as_ref()) && !given.has_named(self, entry);
        let part = manifest.files.iter().find(is_foreign).map(|entry| entry.name.as_str());
        let name = part.or_else(|| self.dir.has(MANIFEST.as_ref()).then_some(MANIFEST))?;
        Some(self.dir.path(name.as_ref()))
    }

    /// Makes all files durable, in whichever folder they are.
    fn sync_files(&self, manifest: &Manifest, merging: Option<&Merging>) -> Result<(), DiskError> {
        for entry in &manifest.files {
            let (directory, name) = (self.place_of(&entry.name), entry.name.as_ref());
            let synced = directory.open_file(name).and_then(|file| file.sync_all());
            synced.map_err(|error| DiskError::unsynced((directory.path(name), error)))?;
        }
        for directory in [&*self.work, &self.dir] {
            directory.sync_files_then_directory([]).map_err(DiskError::unsynced)?;
        }
        match (merging, &manifest.merged) {
            (Some(Merging { directory, partial, .. }), _) => {
                directory.sync_files_then_directory([partial.as_os_str()]).map_err(DiskError::unsynced)
            }
            (None, Some(merged)) => {
                let path = Path::new(&merged.path);
                let (directory, name) =
                    Directory::of(path).map_err(|error| DiskError::unsynced((path.to_owned(), error)))?;
                directory.sync_files_then_directory([name]).map_err(DiskError::unsynced)
            }
            (None, None) => Ok(()),
        }
    }

    /// Makes files with final names and their manifest durable. If that fails, they are removed.
    pub(super) fn sync_named(&self, manifest: &Manifest) -> Result<(), DiskError> {
        let named = self.dir.sync_files_then_directory([MANIFEST.as_ref()]).map_err(DiskError::unsynced);
        let synced = named.and_then(|()| self.sync_files(manifest, None));
        synced.inspect_err(|_| self.discard(manifest, true))
    }

    /// Gives all files their final names, the manifest last.
    fn give_names(&self, manifest: &Manifest, merging: Option<&Merging>) -> Result<(), DiskError> {
        let sync = |directory: &Directory| match self.safety {
            Safety::PowerCut => directory.sync_files_then_directory([]).map_err(DiskError::unsynced),
            Safety::Process => Ok(()),
        };
        let named = self.dir.path(MANIFEST.as_ref());
        if self.force && self.dir.has(MANIFEST.as_ref()) {
            // The old manifest does not list the new files. The files that it lists are removed later.
            let replaced = self.dir.rename(MANIFEST.as_ref(), &self.work, REPLACED.as_ref());
            replaced.map_err(DiskError::because("rename", named))?;
            sync(&self.work)?;
            sync(&self.dir)?;
        }
        // A file that is not in the hidden folder got its name from an earlier call.
        for entry in manifest.files.iter().filter(|entry| self.work.has(entry.name.as_ref())) {
            let name = entry.name.as_ref();
            if is_there(&self.dir, name, &written(entry)) {
                // A power cut may have left it under both names.
                self.work.remove(name).map_err(DiskError::because("remove", self.work.path(name)))?;
            } else {
                self.give_name((&self.work, name), (&self.dir, name), self.force)?;
            }
        }
        if let Some(Merging { directory, name, partial }) = merging {
            self.give_name((directory, partial), (directory, name), self.force)?;
            sync(directory)?;
        }
        sync(&self.dir)?;
        self.remove_obsolete(manifest);
        self.give_name((&self.work, NAMED.as_ref()), (&self.dir, MANIFEST.as_ref()), self.force)?;
        sync(&self.dir)
    }

    fn give_name(
        &self,
        (from, hidden): (&Directory, &OsStr),
        (to, name): (&Directory, &OsStr),
        replaces: bool,
    ) -> Result<(), DiskError> {
        let renamed = match replaces {
            true => from.rename(hidden, to, name),
            false => from.rename_to_free(hidden, to, name),
        };
        renamed.map_err(DiskError::because("rename a file to", to.path(name)))
    }

    /// Removes files of the download that was replaced, if the manifest does not list them.
    fn remove_obsolete(&self, manifest: &Manifest) {
        let known = |name: &str| manifest.files.iter().any(|entry| entry.name == name);
        let before = read_manifest(&self.work, REPLACED);
        let before = before.iter().flat_map(|before| &before.files).map(|entry| entry.name.as_str());
        for name in before.filter(|name| is_part_name(name) && !known(name)) {
            // A file that cannot be removed is not in the manifest.
            let _ = self.dir.remove(name.as_ref());
        }
    }

    /// Hides the manifest of a damaged download. Damaged files are removed first: until then the manifest shows that they are of
    /// this download.
    pub(super) fn hide_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        for entry in &manifest.files {
            if !is_there(&self.dir, entry.name.as_ref(), &written(entry)) {
                self.dir.remove(entry.name.as_ref())?;
            }
        }
        if let Some(merged) = &manifest.merged
            && !is_merged(Path::new(&merged.path), merged)
        {
            remove_merged(merged)?;
        }
        self.dir.rename(MANIFEST.as_ref(), &self.work, MANIFEST.as_ref())?;
        self.work.sync()?;
        self.dir.sync()
    }

    /// Hides the files that this download has given their final names, and removes the hidden manifest, because not all files
    /// are intact. Damaged files are removed, and so is the merged file if it has its final name. Other people's files stay.
    pub(super) fn take_back(&self, manifest: &Manifest, is_merged_named: bool) -> io::Result<()> {
        let given = Given::read(&self.work);
        let has_name = |entry: &&Entry| !self.work.has(entry.name.as_ref()) && given.has_named(self, entry);
        for entry in manifest.files.iter().filter(has_name) {
            let name = entry.name.as_ref();
            match is_there(&self.dir, name, &written(entry)) {
                true => self.dir.rename(name, &self.work, name)?,
                false => self.dir.remove(name)?,
            }
        }
        if let Some(merged) =
            manifest.merged.as_ref().filter(|merged| is_merged_named && given.has_merged(merged))
        {
            remove_merged(merged)?;
        }
        self.work.sync()?;
        self.dir.sync()?;
        self.work.remove_durably(MANIFEST.as_ref())
    }

    /// Removes all files, with final names or not. After a power cut, one that could not be removed shows as damaged.
    fn discard(&self, manifest: &Manifest, is_merged_named: bool) {
        let given = Given::read(&self.work);
        let named: Vec<&Entry> = manifest.files.iter().filter(|entry| given.has_named(self, entry)).collect();
        if read_manifest(&self.dir, MANIFEST).as_ref() == Some(manifest) {
            let _ = self.dir.remove(MANIFEST.as_ref());
        }
        for entry in named {
            let _ = self.dir.remove(entry.name.as_ref());
        }
        for entry in &manifest.files {
            let _ = self.work.remove(entry.name.as_ref());
            let _ = self.work.remove(note(&entry.name).as_ref());
        }
        if let Some(merged) =
            manifest.merged.as_ref().filter(|merged| is_merged_named && given.has_merged(merged))
        {
            let _ = remove_merged(merged);
        }
        let _ = self.work.remove(NAMED.as_ref());
        let _ = self.work.remove(MANIFEST.as_ref());
    }
}

pub(super) fn remove_merged(merged: &Merged) -> io::Result<()> {
    let (directory, name) = Directory::of(Path::new(&merged.path))?;
    directory.remove(name)
}
