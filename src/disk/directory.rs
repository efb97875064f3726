//! A directory that is held open, and what is done in it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, mkdirat, openat, renameat, renameat_with,
    statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Readers, parent};

/// How much of a file's name is in the name of a temporary one, in bytes: no name may be longer than 255.
const NAMED: usize = 200;

/// How many digits a temporary name has that nobody can guess.
const DIGITS: usize = 32;

/// How a temporary file ends that takes the place of another one.
const NEW: &str = ".new";

/// A directory that is held open. Names are of what is directly in it.
#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    path: PathBuf,
}

/// What tells a file from every other one that has had its name. A number alone is given again once a file is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    inode: u64,
    /// When it was created, in nanoseconds since 1970, where its file system knows.
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
    /// Opens a directory that somebody has named, wherever its path leads.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = File::from(openat(CWD, path, flags, Mode::empty())?);
        Ok(Self { handle, path: path.to_owned() })
    }

    /// The directory that a file is in, and the file's name.
    pub(crate) fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
        Ok((Self::open(parent(path))?, name))
    }

    /// Opens a directory in this one. A link is refused, and so is anything else.
    pub(crate) fn subdirectory(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Self { handle: handle.into(), path: self.path.join(name) }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(not_a(&self.stat(name)?, "directory")),
            Err(error) => Err(error.into()),
        }
    }

    /// The same; one that is not there is made, for this user only. One that others can write to is refused: what is in it
    /// would be believed.
    pub(crate) fn make_private_subdirectory(&self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(&self.handle, name, Mode::RWXU) {
            // Not every file system keeps owners and modes: it is ours, whatever it says.
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

    /// Removes the files that belong to other users.
    pub(crate) fn remove_foreign(&self) -> io::Result<()> {
        for name in self.names()? {
            match self.stat(&name) {
                Ok(stat) if !is_ours(&stat) => self.remove(&name)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Which file has this name, if any has.
    pub(crate) fn identity(&self, name: &OsStr) -> Option<Identity> {
        let file = self.open_file(name).ok()?.metadata().ok()?;
        let since = file.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
        Some(Identity { inode: file.ino(), created: since.map(|since| since.as_nanos().to_string()) })
    }

    /// Locks the directory itself for as long as this handle lives, and says whether nobody else has it. Where its file system
    /// has no locks for directories, nobody has.
    pub(crate) fn try_lock(&self) -> bool {
        !matches!(self.handle.try_lock(), Err(TryLockError::WouldBlock))
    }

    pub(crate) fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The names of all that is in it.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = Dir::read_from(&self.handle)?;
        let names = entries.map(|entry| Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec())));
        names.filter(|name| name.as_ref().is_ok_and(|name| name != "." && name != "..")).collect()
    }

    /// Whether something has this name, be it a link that leads nowhere.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        self.stat(name).is_ok()
    }

    fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens a regular file to read it.
    pub(crate) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // Opening a device may do something.
        check_regular(&self.stat(name)?)?;
        self.open_checked(name, OFlags::RDONLY)
    }

    /// What a regular file holds, if that is `limit` bytes at most.
    pub(crate) fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let why = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    }

    /// Opens what can only be a regular file then: nothing else is waited for or followed.
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

    /// Creates a file under a name that nothing has.
    fn create(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, readers.of_files())?.into())
    }

    /// Creates a file in the place of what has this name, which is removed.
    pub(crate) fn create_anew(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
        self.remove(name)?;
        self.create(name, readers)
    }

    /// Creates a file, for this user only, unless there is one. Says whether it did.
    pub(crate) fn create_private(&self, name: &OsStr) -> io::Result<bool> {
        match self.create(name, Readers::Owner) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.open_file(name).map(|_| false),
            created => created.map(|_| true),
        }
    }

    /// Creates a file beside the one of this name that takes its place later, under a name that nobody can guess.
    pub(crate) fn create_temporary(
        &self,
        name: &OsStr,
        ending: &str,
        readers: Readers,
    ) -> io::Result<(OsString, File)> {
        let mut temporary = beginning(name);
        temporary.push(format!("{}{ending}", Uuid::new_v4().simple()));
        let file = self.create(&temporary, readers)?;
        Ok((temporary, file))
    }

    /// Removes what calls that were killed have left of [`Directory::create_temporary`]; nobody else may be at it.
    pub(crate) fn remove_temporaries(&self, name: &OsStr, ending: &str) {
        let beginning = beginning(name);
        let is_left = |left: &OsString| {
            let digits = left.as_bytes().strip_prefix(beginning.as_bytes());
            let digits = digits.and_then(|rest| rest.strip_suffix(ending.as_bytes()));
            digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
        };
        for left in self.names().unwrap_or_default().iter().filter(|left| is_left(left)) {
            // What cannot be removed is hidden, and in nobody's way.
            let _ = self.remove(left);
        }
    }

    /// What calls that were killed have left of [`Directory::replace_durably`].
    pub(crate) fn remove_replacements(&self, name: &OsStr) {
        self.remove_temporaries(name, NEW);
    }

    /// Removes a file or a link; that it is not there is as good.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, and a power cut does not bring it back.
    pub(crate) fn remove_durably(&self, name: &OsStr) -> io::Result<()> {
        self.remove(name)?;
        self.sync()
    }

    /// Removes a directory if there is nothing in it.
    pub(crate) fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames a file, whatever it replaces.
    pub(crate) fn rename(&self, from: &OsStr, to: &Self, name: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &to.handle, name)?)
    }

    /// Renames a file to a name that nothing has; that something has it is an error.
    pub(crate) fn rename_to_free(&self, from: &OsStr, to: &Self, name: &OsStr) -> io::Result<()> {
        match renameat_with(&self.handle, from, &to.handle, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // Not every file system knows how: there a look before has to do.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match to.has(name) {
                true => Err(ErrorKind::AlreadyExists.into()),
                false => self.rename(from, to, name),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Puts `bytes` into the place of a file in one step: a reader, after a power cut too, finds the old or the new, and
    /// the new once this returns. After an error it may be either.
    pub(crate) fn replace_durably(&self, name: &OsStr, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let (temporary, mut file) = self.create_temporary(name, NEW, readers)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let replaced = written.and_then(|()| self.rename(&temporary, self, name));
        if replaced.is_err() {
            // It is hidden, and the next call removes it.
            let _ = self.remove(&temporary);
        }
        replaced.and_then(|()| self.sync())
    }

    /// Makes what files hold durable, and then that they have these names.
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

    /// Makes durable which names are in it, where its file system offers that at all.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.handle.sync_all() {
            Err(error) if [Errno::INVAL, Errno::OPNOTSUPP].contains(&errno(&error)) => Ok(()),
            synced => synced,
        }
    }

    /// Locks a file for as long as the result lives; nothing where somebody else has it.
    pub(crate) fn lock(&self, name: &OsStr) -> io::Result<Option<File>> {
        loop {
            let file = self.open_checked(name, OFlags::RDWR | OFlags::CREATE)?;
            match file.try_lock() {
                Ok(()) if self.leads_to(&file.metadata()?, name) => return Ok(Some(file)),
                // The process that had it before has removed it: then it is nobody's.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether this is still the file that the name leads to.
    fn leads_to(&self, file: &Metadata, name: &OsStr) -> bool {
        self.stat(name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (file.dev(), file.ino()))
    }
}

/// What the names of temporary files begin with that take the place of another one.
fn beginning(name: &OsStr) -> OsString {
    let name = &name.as_bytes()[..name.len().min(NAMED)];
    OsString::from_vec([b".", name, b"."].concat())
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

fn check_regular(stat: &Stat) -> io::Result<()> {
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if is_regular { Ok(()) } else { Err(not_a(stat, "regular file")) }
}

/// Something is not what it should be.
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
