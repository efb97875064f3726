//! Durable operations on paths.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::{Directory, Readers, absolute, parent};

impl Readers {
    const fn of_directories(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Umask => 0o777,
        }
    }
}

/// See [`Directory::replace_durably`].
pub(crate) fn replace_durably(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let (directory, name) = Directory::of(path)?;
    directory.replace_durably(name, bytes, readers)
}

/// Removes a file; a power cut does not bring it back. A missing file is not an error.
pub(crate) fn remove_durably(path: &Path) -> io::Result<()> {
    match Directory::of(path) {
        Ok((directory, name)) => directory.remove_durably(name),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames a file within its directory.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    let (directory, name) = Directory::of(from)?;
    directory.rename(name, &directory, to.file_name().ok_or(ErrorKind::IsADirectory)?)?;
    directory.sync()
}

/// Creates a directory and its missing ancestors. If one of them cannot be made durable, the new ones are removed again:
/// the next call would take them for durable.
pub(crate) fn create_directories_durably(path: &Path, readers: Readers) -> io::Result<()> {
    create_from_the_top(path, usize::MAX, readers)
}

/// Creates the parent directory of a file, for this user only. The grandparent must exist.
pub(crate) fn create_parent_durably(path: &Path) -> io::Result<()> {
    create_from_the_top(parent(path), 1, Readers::Owner)
}

/// Creates a directory and its missing ancestors, at most `limit` of them.
fn create_from_the_top(path: &Path, limit: usize, readers: Readers) -> io::Result<()> {
    let path = absolute(path);
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).take(limit).collect();
    if missing.is_empty() {
        if !path.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        return match sync(parent(&path)) {
            // A killed call may have created it without syncing it. If we may not sync, it is older than that.
            Err(error)
                if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) =>
            {
                Ok(())
            }
            synced => synced,
        };
    }
    let mut made = Vec::new();
    let created = missing.into_iter().rev().try_for_each(|path| {
        match DirBuilder::new().mode(readers.of_directories()).create(path) {
            Ok(()) => made.push(path),
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(error),
        }
        sync(parent(path))
    });
    if created.is_err() {
        // A directory that is in use by now stays.
        made.iter().rev().for_each(|path| drop(super::remove_empty_directory(path)));
    }
    created
}

/// Creates an empty file for this user only, unless it exists. Its name is durable in both cases.
pub(crate) fn create_private_durably(path: &Path) -> io::Result<()> {
    let (directory, name) = Directory::of(path)?;
    let is_new = directory.create_private(name)?;
    let synced = directory.sync();
    if is_new && synced.is_err() {
        // The next call would take it for durable.
        let _ = directory.remove(name);
    }
    synced
}

fn sync(path: &Path) -> io::Result<()> {
    Directory::open(path)?.sync()
}
