//! What survives a power cut when it returns, by paths.

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

/// As [`Directory::replace_durably`].
pub(crate) fn replace_durably(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let (directory, name) = Directory::of(path)?;
    directory.replace_durably(name, bytes, readers)
}

/// Removes a file, so that a power cut does not bring it back; that it is not there is as good.
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

/// Makes a directory and those above it that are not there, each of which is there after a power cut too. If that cannot be
/// done, those that were made are removed: the next call would take them for durable.
pub(crate) fn create_directories_durably(path: &Path, readers: Readers) -> io::Result<()> {
    create_from_the_top(path, usize::MAX, readers)
}

/// Makes the directory that a file is in, for this user only; the ones above it have to be there.
pub(crate) fn create_parent_durably(path: &Path) -> io::Result<()> {
    create_from_the_top(parent(path), 1, Readers::Owner)
}

/// Makes a directory and those above it, but no more than `limit` of them.
fn create_from_the_top(path: &Path, limit: usize, readers: Readers) -> io::Result<()> {
    let path = absolute(path);
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).take(limit).collect();
    if missing.is_empty() {
        if !path.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        return match sync(parent(&path)) {
            // A call that was killed may have made it and not come to this; but it may also have been there for ever.
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
        // One that somebody else has put something into meanwhile stays.
        made.iter().rev().for_each(|path| drop(super::remove_empty_directory(path)));
    }
    created
}

/// Creates an empty file that only this user may read, unless there is one. Its name is durable in either case.
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
