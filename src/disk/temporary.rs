//! Temporary files: each has a hidden, random name until it replaces its target.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use uuid::Uuid;

use super::{Directory, Readers};

/// The longest name of a file, in bytes.
const LONGEST: usize = 255;

/// How many random digits a temporary name has.
const DIGITS: usize = 32;

/// How the temporary names of [`Directory::replace_durably`] end.
const NEW: &str = ".new";

impl Directory {
    /// Creates a file under a random name, to be renamed to `name` later.
    pub(crate) fn create_temporary(
        &self,
        name: &OsStr,
        ending: &str,
        readers: Readers,
    ) -> io::Result<(OsString, File)> {
        let mut temporary = beginning(name, ending);
        temporary.push(format!("{}{ending}", Uuid::new_v4().simple()));
        let file = self.create(&temporary, readers)?;
        Ok((temporary, file))
    }

    /// Removes temporary files that killed calls have left. The caller must hold the lock on `name`.
    pub(crate) fn remove_temporaries(&self, name: &OsStr, ending: &str) {
        let beginning = beginning(name, ending);
        let is_left = |left: &OsString| {
            let digits = left.as_bytes().strip_prefix(beginning.as_bytes());
            let digits = digits.and_then(|rest| rest.strip_suffix(ending.as_bytes()));
            digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
        };
        for left in self.names().unwrap_or_default().iter().filter(|left| is_left(left)) {
            // If it cannot be removed, it does no harm.
            let _ = self.remove(left);
        }
    }

    /// Removes what killed calls of [`Directory::replace_durably`] have left.
    pub(crate) fn remove_replacements(&self, name: &OsStr) {
        self.remove_temporaries(name, NEW);
    }

    /// Replaces a file's contents in one step. Readers, also after a power cut, find the old contents or the new ones, and the
    /// new ones once this returns. After an error it may be either.
    pub(crate) fn replace_durably(&self, name: &OsStr, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let (temporary, mut file) = self.create_temporary(name, NEW, readers)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let replaced = written.and_then(|()| self.rename(&temporary, self, name));
        if replaced.is_err() {
            // If this fails, the next call removes it.
            let _ = self.remove(&temporary);
        }
        replaced.and_then(|()| self.sync())
    }
}

/// The part of a temporary name that all temporary files for `name` share: as much of `name` as fits, since one that is
/// itself as long as a name may be needs a temporary name too.
fn beginning(name: &OsStr, ending: &str) -> OsString {
    let room = LONGEST - DIGITS - ending.len() - 2;
    let name = &name.as_bytes()[..name.len().min(room)];
    // Not every file system accepts half a character.
    let whole = std::str::from_utf8(name).map_or_else(|error| error.valid_up_to(), str::len);
    let name = if whole + 4 > name.len() { &name[..whole] } else { name };
    OsString::from_vec([b".", name, b"."].concat())
}
