//! A directory that is held open, and operations in it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, chmodat, mkdirat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Readers, parent};

/// A directory that is held open. All names are names of its direct entries.
#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    path: PathBuf,
}

/// Distinguishes a file from others that had the same name. The inode alone does not: its number is reused after a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    inode: u64,
    /// When it was created, in nanoseconds since 1970, if the file system knows.
    created: Option<String>,
}

impl Readers {
    const fn of_files(self) -> Mode {
        match self {
            Self::Owner => Mode::from_raw_mode(0o600),
            Self::Umask => Mode::from_raw_mode(0o666),
        }
    }
}

impl Directory {
    /// Opens a directory that the user named. Links in its path are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = File::from(openat(CWD, path, flags, Mode::empty())?);
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Opens the directory of a file. Also returns the file's name.
    pub(crate) fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
        Ok((Self::open(parent(path))?, name))
    }

    /// Opens a directory in this one. A link to a directory is an error.
    pub(crate) fn subdirectory(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Self { handle: handle.into(), path: self.path.join(name) }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(not_a(&self.stat(name)?, "directory")),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Directory::subdirectory`], but creates a missing directory, for this user only. One that other users can write
    /// to is an error, because its contents will be trusted.
    pub(crate) fn make_private_subdirectory(&self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(&self.handle, name, Mode::RWXU) {
            // No check: not every file system keeps owners and modes.
            Ok(()) => self.subdirectory(name),
            Err(Errno::EXIST) => {
                let directory = self.subdirectory(name)?;
                directory.check_private()?;
                Ok(directory)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_private(&self) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.handle)?;
        let why = match Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            _ if !is_ours(&stat) => "it belongs to another user",
            true => "other users may write to it",
            false => return Ok(()),
        };
        let why = format!("{why}, and what is in it is not trusted: remove it");
        Err(io::Error::new(ErrorKind::PermissionDenied, why))
    }

    /// Takes over the files that earlier calls have left in a private directory: removes those of other users, and gives the
    /// others the mode of a new file, except `lock`.
    pub(crate) fn take_over(&self, lock: &OsStr) -> io::Result<()> {
        let (name, new) = self.create_temporary("mode".as_ref(), "", Readers::Umask)?;
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&new)?.st_mode);
        self.remove(&name)?;
        for name in self.names()? {
            match self.stat(&name) {
                Ok(stat) if !is_ours(&stat) => self.remove(&name)?,
                // Not every file system keeps modes.
                Ok(stat) if check_regular(&stat).is_ok() && name != lock => {
                    let _ = chmodat(&self.handle, &name, mode, AtFlags::empty());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The identity of the file with this name, if there is one.
    pub(crate) fn identity(&self, name: &OsStr) -> Option<Identity> {
        let file = self.open_file(name).ok()?.metadata().ok()?;
        let since = file.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
        Some(Identity { inode: file.ino(), created: since.map(|since| since.as_nanos().to_string()) })
    }

    /// The same directory, with its lock, if its path still leads there.
    pub(crate) fn again(&self) -> Option<Self> {
        let (ours, theirs) = (self.handle.metadata().ok()?, self.path.metadata().ok()?);
        let is_there = (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino());
        let handle = self.handle.try_clone().ok().filter(|_| is_there)?;
        Some(Self { handle, path: self.path.clone() })
    }

    /// Locks the directory itself for as long as this handle lives. False if another process has locked it; true if its
    /// file system cannot lock directories.
    pub(crate) fn try_lock(&self) -> bool {
        !matches!(self.handle.try_lock(), Err(TryLockError::WouldBlock))
    }

    pub(crate) fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = Dir::read_from(&self.handle)?;
        let names = entries.map(|entry| Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec())));
        names.filter(|name| name.as_ref().is_ok_and(|name| name != "." && name != "..")).collect()
    }

    /// Whether there is an entry with this name, even a broken link.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        self.stat(name).is_ok()
    }

    fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens a regular file for reading.
    pub(crate) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // Checked before opening too: opening a device can have effects.
        check_regular(&self.stat(name)?)?;
        self.open_checked(name, OFlags::RDONLY)
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(crate) fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let why = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    }

    /// Opens a regular file without following links, and without blocking on anything else.
    fn open_checked(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Readers::Owner.of_files()) {
            Ok(handle) => {
                let file = File::from(handle);
                check_regular(&rustix::fs::fstat(&file)?)?;
                Ok(file)
            }
            Err(Errno::LOOP) => Err(not_a(&self.stat(name)?, "regular file")),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a file. It is an error if the name is taken.
    pub(super) fn create(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, readers.of_files())?.into())
    }

    /// Creates a file after removing whatever has this name.
    pub(crate) fn create_anew(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
        self.remove(name)?;
        self.create(name, readers)
    }

    /// Creates a file, for this user only, unless it exists. Returns whether it is new.
    pub(crate) fn create_private(&self, name: &OsStr) -> io::Result<bool> {
        match self.create(name, Readers::Owner) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.open_file(name).map(|_| false),
            created => created.map(|_| true),
        }
    }

    /// Removes a file or a link. A missing one is not an error.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Directory::remove`]; a power cut does not bring the file back.
    pub(crate) fn remove_durably(&self, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        self.sync()
    }

    /// Removes a directory if it is empty.
    pub(crate) fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames a file and replaces the target.
    pub(crate) fn rename(&self, from: &OsStr, to: &Self, name: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &to.handle, name)?)
    }

    /// Renames a file. It is an error if the new name is taken.
    pub(crate) fn rename_to_free(&self, from: &OsStr, to: &Self, name: &OsStr) -> io::Result<()> {
        match renameat_with(&self.handle, from, &to.handle, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // Not every file system can: then check first.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match to.has(name) {
                true => Err(ErrorKind::AlreadyExists.into()),
                false => self.rename(from, to, name),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the contents of these files durable, and then their names.
    pub(crate) fn sync_files_then_directory<'a>(
        &self,
        names: impl IntoIterator<Item = &'a OsStr>,
    ) -> Result<(), (PathBuf, io::Error)> {
        for name in names {
            let synced = self.open_file(name).and_then(|file| file.sync_all());
            synced.map_err(|error| (self.path(name), error))?;
        }
        self.sync().map_err(|error| (self.path.clone(), error))
    }

    /// Makes the names of all entries durable, if the file system can.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.handle.sync_all() {
            Err(error) if [Errno::INVAL, Errno::OPNOTSUPP].contains(&errno(&error)) => Ok(()),
            synced => synced,
        }
    }

    /// Creates and locks a file for as long as the result lives. `None` if another process has locked it.
    pub(crate) fn lock(&self, name: &OsStr) -> io::Result<Option<File>> {
        loop {
            let file = self.open_checked(name, OFlags::RDWR | OFlags::CREATE)?;
            match file.try_lock() {
                Ok(()) if self.leads_to(&file.metadata()?, name) => return Ok(Some(file)),
                // The previous owner has removed the file: lock the one that has its name now.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether the name still belongs to this file.
    fn leads_to(&self, file: &Metadata, name: &OsStr) -> bool {
        self.stat(name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (file.dev(), file.ino()))
    }
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

fn check_regular(stat: &Stat) -> io::Result<()> {
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if is_regular { Ok(()) } else { Err(not_a(stat, "regular file")) }
}

/// An entry has the wrong type.
fn not_a(stat: &Stat, wanted: &str) -> io::Error {
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let why = match is_link {
        true => "it is a symbolic link, which is not followed".to_owned(),
        false => format!("it is not a {wanted}"),
    };
    io::Error::new(ErrorKind::InvalidInput, why)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
