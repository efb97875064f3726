//! Where files go, and whether they can be put there.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::disk::{self, Directory, Readers, Safety};
use crate::text::Text;

/// The name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";

/// The index of the last part that there may be.
const LAST_INDEX: usize = 9999;

/// How many links in a row are followed.
const MAX_LINKS: usize = 40;

/// Where the files of an export go, and how.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// The file to merge the parts into, if any.
    pub merge: Option<&'a Path>,
    /// Whether existing files may be overwritten.
    pub force: bool,
    /// What the finished files must survive.
    pub safety: Safety,
    /// The directory, if it is locked already.
    pub held: Option<&'a Held>,
}

/// A directory that is locked: no other process downloads into it.
#[derive(Debug)]
pub struct Held(pub(super) Directory);

/// Why files cannot be put into a folder. Each message names the folder and the cure.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be created or written to.
    #[error("{option} {} cannot be written to; name another place", Text::of_path(path))]
    Unusable {
        /// The option that names it.
        option: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something would be overwritten.
    #[error("{} is there already: name another place, or overwrite it with --force", Text::of_path(.0))]
    Taken(PathBuf),
    /// The path exists and is not a file.
    #[error("--merge {}: this is not a file, and is not replaced by one: name another path", Text::of_path(.0))]
    NoFile(PathBuf),
    /// The merged file would have the name of another file.
    #[error("--merge {}: this is the name of one of the downloaded files: name another path", Text::of_path(.0))]
    Clash(PathBuf),
    /// There is a download of the same export, but it was merged in another way.
    #[error(
        "{} has a download of this export already, {}: leave --merge as it was, or download it anew with --force",
        Text::of_path(dir),
        merged.as_ref().map_or("not merged".to_owned(), |path| format!("merged into {path}"))
    )]
    OtherMerge {
        /// The folder.
        dir: PathBuf,
        /// The merged file, as the manifest says.
        merged: Option<Text>,
    },
    /// Another process downloads the same export.
    #[error("another snyk-export downloads this export into {} at this moment: wait until it has ended", Text::of_path(.0))]
    Busy(PathBuf),
    /// Another process downloads other files into it, or has locked it.
    #[error(
        "another snyk-export, or a program that has locked it, uses {} at this moment: wait until it has ended, or name another place",
        Text::of_path(.0)
    )]
    Locked(PathBuf),
}

impl FolderError {
    /// Whether the reason is in the folder, so that other files can be put elsewhere.
    #[must_use]
    pub const fn is_of_what_is_there(&self) -> bool {
        match self {
            Self::Taken(_) | Self::NoFile(_) | Self::Clash(_) | Self::OtherMerge { .. } => true,
            Self::Unusable { .. } | Self::Busy(_) | Self::Locked(_) => false,
        }
    }
}

impl Target<'_> {
    /// Checks that files can be put there, as [`Target::check`] does, and keeps other processes from putting some there.
    ///
    /// # Errors
    ///
    /// If they cannot, or if another process does so already.
    pub fn hold(&self) -> Result<Held, FolderError> {
        self.check()?;
        let path = self.dir.to_owned();
        match Directory::open(self.dir) {
            Ok(dir) if dir.try_lock() => Ok(Held(dir)),
            Ok(_) => Err(FolderError::Locked(path)),
            Err(source) => Err(FolderError::Unusable { option: "--dir", path, source }),
        }
    }

    /// Checks that files can be put there, and creates the directory if it is missing. Called before any request is sent.
    ///
    /// # Errors
    ///
    /// If it cannot be written to, or if something would be overwritten.
    pub fn check(&self) -> Result<(), FolderError> {
        let Self { dir, merge, force, .. } = *self;
        let unusable = |option: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| FolderError::Unusable { option, path, source }
        };
        // A name or a path that is too long is an error here, and not when the export is ready.
        let fits = |path: &Path| match path.symlink_metadata() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        fits(&dir.join(part_name(LAST_INDEX))).map_err(unusable("--dir", dir))?;
        disk::create_directories_durably(dir, Readers::Umask).map_err(unusable("--dir", dir))?;
        let is_writable = |path: &Path| Ok(access(path, Access::WRITE_OK | Access::EXEC_OK)?);
        is_writable(dir).map_err(unusable("--dir", dir))?;
        if let Some(merge) = merge {
            let parent = disk::parent(merge);
            is_writable(parent).and_then(|()| fits(merge)).map_err(unusable("--merge", merge))?;
            let is_other = merge.metadata().is_ok_and(|metadata| !metadata.is_file());
            if is_other || (force && merge.is_symlink()) {
                // A directory, or a device such as /dev/stdout, which a rename would replace; or a link that leads nowhere.
                return Err(FolderError::NoFile(merge.to_owned()));
            }
            let name = merge.file_name().unwrap_or_default().to_string_lossy();
            let is_theirs = name == MANIFEST || is_part_name(&name);
            if is_theirs && parent.canonicalize().ok() == dir.canonicalize().ok() {
                return Err(FolderError::Clash(merge.to_owned()));
            }
        }
        let entries = std::fs::read_dir(dir).map_err(unusable("--dir", dir))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let taken =
            names.filter(|name| name == MANIFEST || is_part_name(name)).min().map(|name| dir.join(name));
        let merged = merge.filter(|merge| merge.symlink_metadata().is_ok()).map(Path::to_owned);
        match taken.or(merged).filter(|_| !force) {
            Some(path) => Err(FolderError::Taken(path)),
            None => Ok(()),
        }
    }
}

/// The file that a path leads to, if it is a link to a file or to nothing; otherwise the path itself.
#[must_use]
pub fn behind_links(path: &Path) -> PathBuf {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return path.to_owned();
    }
    let mut behind = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&behind) {
            // Records and manifests hold no other paths.
            Ok(target) if target.to_str().is_none_or(|target| target.contains(char::is_control)) => break,
            Ok(target) => behind = disk::parent(&behind).join(target),
            Err(_) => return behind,
        }
    }
    path.to_owned()
}

/// The file name of a part.
pub(super) fn part_name(index: usize) -> String {
    format!("part-{:04}.csv", index + 1)
}

pub(super) fn is_part_name(name: &str) -> bool {
    let number = name.strip_prefix("part-").and_then(|name| name.strip_suffix(".csv"));
    number.is_some_and(|number| number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
}
