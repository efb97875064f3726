//! Files that hold secrets: who else can read them.

use crate::text::Text;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What lets every user of a machine read a file.
const READ_BY_OTHERS: u32 = 0o004;

/// Warns of a file with a secret that every user of this machine can read.
pub(crate) fn warn_if_open(path: &Path) {
    let is_open = |metadata: std::fs::Metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0;
    // What cannot be looked at is an error where it is read.
    if std::fs::metadata(path).is_ok_and(is_open) {
        tracing::warn!(
            path = %Text::of_path(path),
            hint = format!("chmod o= {}", Text::of_path(path)),
            "every user of this machine can read a file with a secret"
        );
    }
}
