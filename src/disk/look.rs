//! How a file looks, to notice that it has changed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// How a file looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is none.
    Missing,
    /// It is a pipe or a device. What can be read only once is not read again because it has changed.
    NotAFile,
    /// Its device and inode, its size, and when it was modified, in seconds and nanoseconds.
    File((u64, u64), u64, (i64, i64)),
}

impl Look {
    /// How the file at `path` looks; links are followed.
    pub(crate) fn at(path: &Path) -> Self {
        std::fs::metadata(path).map_or(Self::Missing, |it| Self::of(&it))
    }

    pub(super) fn of(it: &Metadata) -> Self {
        match it.is_file() {
            true => Self::File((it.dev(), it.ino()), it.size(), (it.mtime(), it.mtime_nsec())),
            false => Self::NotAFile,
        }
    }
}
