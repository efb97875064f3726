//! Everything that the program writes to files, except standard output and standard error.
//!
//! A function whose name says "durable" returns when a power cut cannot undo its work. The others only promise that readers
//! never see half a file.
//!
//! The last part of a path is never followed if it is a symbolic link, and only regular files are opened. Files are created
//! with their final mode. A [`Directory`] is an open handle: it stays the same directory even if its path changes.

mod directory;
mod durable;
mod input;
mod look;
mod pipes;
mod temporary;

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

pub(crate) use self::directory::{Directory, Identity};
pub(crate) use self::durable::{
    create_directories_durably, create_parent_durably, create_private_durably, remove_durably,
    rename_durably, replace_durably,
};
pub(crate) use self::input::{Input, can_be_read_once, read_text};
pub(crate) use self::look::Look;
pub(crate) use self::pipes::Pipes;

/// What a write survives. Every write survives the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// A power cut may undo it, or leave files empty.
    Process,
    /// A power cut does not undo it.
    PowerCut,
}

/// Who may read a new file or directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Readers {
    /// Only this user.
    Owner,
    /// Everyone that the umask allows.
    Umask,
}

/// The path with `ending` appended to the file name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsStr::to_owned);
    name.push(ending);
    path.with_file_name(name)
}

/// The limit on the size of files, as text, if this process has one.
pub(crate) fn size_limit() -> Option<String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current?;
    Some(format!("no file may grow beyond {limit} bytes here (ulimit -f)"))
}

/// The directory that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The absolute path, or the path unchanged if the system cannot tell.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads an existing regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (directory, name) = Directory::of(path)?;
    directory.read(name, limit)
}

/// Locks a file for as long as the result lives. `None` if another process has locked it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let (directory, name) = Directory::of(path)?;
    directory.lock(name)
}

/// Whether a process has locked a file. This takes the lock for a moment, so another process may fail to lock it.
pub(crate) fn is_locked(path: &Path) -> bool {
    let opened = Directory::of(path).and_then(|(directory, name)| directory.open_file(name));
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether a directory can be written, or made where it is not there yet. A directory is made and removed to see that: not every
/// file system has what the permissions promise.
pub(crate) fn may_write(path: &Path) -> io::Result<()> {
    let path = absolute(path);
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let probe = existing.join(format!(".snyk-export.{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&probe)?;
    std::fs::remove_dir(&probe)
}

/// Opens an existing file for writing, only to see whether that works.
pub(crate) fn try_to_write(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

/// Opens a file that others write to as well, such as those of a CI system. Links in its path are followed. A pipe without
/// a reader is an error: what is written to it would be lost.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    // Opened for reading too, a pipe would have a reader, and opening it would never fail.
    let is_pipe = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().create(true).append(true).read(!is_pipe).custom_flags(nonblocking).open(path)
}

/// Removes a directory if it is empty.
pub(crate) fn remove_empty_directory(path: &Path) -> io::Result<()> {
    std::fs::remove_dir(path)
}

/// Removes a directory with everything in it. Links in it are removed, not followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
