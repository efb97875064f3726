//! The manifest: a list of downloaded files, with which others can check that they are complete and unchanged.

use serde::{Deserialize, Serialize};

use crate::export::ExportRef;

/// The version of the document's form.
pub const SCHEMA: u8 = 1;

/// The files of a finished download. This is an interface: docs/reference/documents.md shows one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this document's form.
    pub schema: u8,
    /// The export.
    pub export: ExportRef,
    /// When the download finished: RFC 3339 in UTC.
    pub downloaded_at: String,
    /// The export's number of rows, as Snyk says.
    pub row_count: Option<u64>,
    /// The counted rows of all files. `None` if one of them is not CSV.
    pub rows: Option<u64>,
    /// The files, in the order of the parts.
    pub files: Vec<Entry>,
    /// The merged file, if there is one.
    pub merged: Option<Merged>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its size in bytes, decompressed.
    pub file_size: u64,
    /// Its number of rows, as Snyk says.
    pub row_count: Option<u64>,
    /// Its counted rows: the records of a CSV file without the header. `None` if it is not CSV.
    pub rows: Option<u64>,
    /// The SHA-256 of its contents, in hexadecimal digits.
    pub sha256: String,
}

/// A file with all parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its counted rows.
    pub row_count: u64,
    /// The SHA-256 of its contents, in hexadecimal digits.
    pub sha256: String,
}

/// Bytes in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
