//! Everything that the program writes to files, but for standard output and standard error. Each function says in its name
//! what survives a power cut when it returns: what is not called durable is whole for others to read, and no more.
//!
//! Nothing is opened through a link in its last place, and nothing that is no regular file is opened at all; files are created
//! where there is none, with their mode from the first byte. [`Directory`] is a handle: what is done in it is done there,
//! whatever becomes of its path meanwhile.

mod directory;
mod durable;
mod input;

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
pub(crate) use self::input::{Input, read_text};

/// What survives once something has been written. All survives the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// A power cut may take it back, or leave files without what was written to them.
    Process,
    /// A power cut takes nothing of it.
    PowerCut,
}

/// Who may read what is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Readers {
    /// This user only.
    Owner,
    /// Whomever the umask leaves, as with any other file.
    Umask,
}

/// The path with `ending` after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsStr::to_owned);
    name.push(ending);
    path.with_file_name(name)
}

/// What to know of a file that may not grow any more: the limit that this process has been given, if it has one.
pub(crate) fn size_limit() -> Option<String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current?;
    Some(format!("no file may grow beyond {limit} bytes here (ulimit -f)"))
}

/// The directory that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path as it can be used from anywhere; as it is where the system cannot say.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What a file holds that is there already, if it is a regular one of `limit` bytes at most and no link.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (directory, name) = Directory::of(path)?;
    directory.read(name, limit)
}

/// Locks a file for as long as the result lives; nothing where somebody else has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let (directory, name) = Directory::of(path)?;
    directory.lock(name)
}

/// Whether somebody has locked a file. Whoever locks it at this very moment may find it locked by us.
pub(crate) fn is_locked(path: &Path) -> bool {
    let opened = Directory::of(path).and_then(|(directory, name)| directory.open_file(name));
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Why a file that is there cannot be written to.
pub(crate) fn try_to_write(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

/// Opens a file that others have named and write to as well, such as those of a CI system: wherever its path leads. What is
/// written to a pipe that nobody reads would be lost, so that opening one fails.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    // Whoever opens a pipe to read it too is a reader, and hears nothing of there being no other.
    let is_pipe = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().create(true).append(true).read(!is_pipe).custom_flags(nonblocking).open(path)
}

/// Removes a directory if there is nothing in it.
pub(crate) fn remove_empty_directory(path: &Path) -> io::Result<()> {
    std::fs::remove_dir(path)
}

/// Removes a directory with all that is in it. A link in it is removed, and not what it leads to.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
