//! The manifest: what was downloaded, so that others can tell that it is all there and as it was.

use serde::{Deserialize, Serialize};

use crate::export::ExportRef;

/// The form of the document.
pub const SCHEMA: u8 = 1;

/// What is in a folder of downloads (an interface: the README shows one).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this document.
    pub schema: u8,
    /// The export that the files are of.
    pub export: ExportRef,
    /// When all was there: RFC 3339 in UTC.
    pub downloaded_at: String,
    /// How many rows the export has, as Snyk says.
    pub row_count: Option<u64>,
    /// How many rows the files have, counted; none where one of them is not CSV.
    pub rows: Option<u64>,
    /// The files, in the order of the parts.
    pub files: Vec<Entry>,
    /// The file into which they were merged, if they were.
    pub merged: Option<Merged>,
}

/// A file in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its size in bytes, decompressed.
    pub file_size: u64,
    /// Its number of rows, as Snyk says.
    pub row_count: Option<u64>,
    /// Its number of rows, counted: the records of a CSV file without its header. None where it is not CSV.
    pub rows: Option<u64>,
    /// The SHA-256 of what it holds, in hexadecimal digits.
    pub sha256: String,
}

/// The parts in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its number of rows, counted.
    pub row_count: u64,
    /// The SHA-256 of what it holds, in hexadecimal digits.
    pub sha256: String,
}

/// Bytes in hexadecimal digits, as digests are written.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
