//! Files that hold secrets: warns if other users can read them.

use crate::text::Text;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The mode bit that lets every user read a file.
const READ_BY_OTHERS: u32 = 0o004;

/// Whether every user of this machine can read a file.
pub(crate) fn is_open(path: &Path) -> bool {
    let is_open = |metadata: std::fs::Metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0;
    // A file that cannot be read is reported when it is read.
    std::fs::metadata(path).is_ok_and(is_open)
}

/// Logs a warning if every user of this machine can read a file with a secret.
pub(crate) fn warn_if_open(path: &Path) {
    if is_open(path) {
        tracing::warn!(
            path = %Text::of_path(path),
            hint = format!("chmod o= {}", Text::of_path(path)),
            "every user of this machine can read a file with a secret"
        );
    }
}
