//! The files of exports as storage keeps them: rendered, encoded, and with an `ETag` of their content.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use super::csv::Table;

/// How much is kept, so that a download in many ranges does not render its file for each of them.
const KEPT_BYTES: usize = 128 * 1024 * 1024;
/// As many files as an export can have.
const KEPT_FILES: usize = 100;

/// How storage keeps and serves files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

/// What listings announce as the size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FileSize {
    /// Its size as a client has it in the end.
    Decoded,
    /// Its size as it is stored and sent, which is what Google lists.
    Encoded,
    /// `null`.
    Missing,
}

/// One file.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) encoding: Encoding,
    /// With its quotes. Depends on the encoded bytes only.
    pub(super) etag: String,
    /// The CRC-32C of the encoded bytes.
    pub(super) crc32c: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) decoded_size: u64,
}

/// The files that were used recently.
#[derive(Debug, Default)]
pub(super) struct Files {
    kept: Mutex<VecDeque<Arc<StoredFile>>>,
}

impl Files {
    /// A part of a table, if the table has it.
    pub(super) fn part(&self, table: &Table, part: usize, encoding: Encoding) -> Option<Arc<StoredFile>> {
        let rows = table.part(part)?;
        let mut hasher = DefaultHasher::new();
        (table, part, encoding).hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|file| file.etag == etag) {
            return Some(Arc::clone(known));
        }
        let file = Arc::new(StoredFile::new(table.render(rows), encoding, etag));
        kept.push_back(Arc::clone(&file));
        forget_beyond(&mut kept, KEPT_FILES, KEPT_BYTES);
        Some(file)
    }
}

/// Drops the oldest files if there are too many or they are too large. Always keeps the newest.
fn forget_beyond(kept: &mut VecDeque<Arc<StoredFile>>, files: usize, bytes: usize) {
    let mut sum: usize = kept.iter().map(|file| file.bytes.len()).sum();
    while kept.len() > 1 && (kept.len() > files || sum > bytes) {
        sum -= kept.pop_front().map_or(0, |file| file.bytes.len());
    }
}

impl StoredFile {
    fn new(text: String, encoding: Encoding, etag: String) -> StoredFile {
        let decoded_size = text.len() as u64;
        let bytes = match encoding {
            Encoding::Identity => text.into_bytes(),
            Encoding::Gzip => gzipped(text.as_bytes()),
        };
        StoredFile { encoding, etag, crc32c: crc32c::crc32c(&bytes), bytes, decoded_size }
    }

    /// What a listing says of the size, wrong by `error`.
    pub(super) fn announced_size(&self, which: FileSize, error: i64) -> Option<u64> {
        let size = match which {
            FileSize::Decoded => self.decoded_size,
            FileSize::Encoded => self.bytes.len() as u64,
            FileSize::Missing => return None,
        };
        Some(size.saturating_add_signed(error))
    }
}

/// The same bytes each time: the header contains no name and no time.
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn table(rows: u32) -> Table {
        Table::new(Vec::new(), rows, 2)
    }

    #[test]
    fn a_gzipped_file_is_the_file_and_always_the_same() {
        let plain = Files::default().part(&table(100), 1, Encoding::Identity).unwrap();
        let first = Files::default().part(&table(100), 1, Encoding::Gzip).unwrap();
        let again = Files::default().part(&table(100), 1, Encoding::Gzip).unwrap();
        assert_eq!((&first.bytes, &first.etag), (&again.bytes, &again.etag));
        assert_ne!(first.etag, plain.etag, "they are other bytes");
        let mut decoded = Vec::new();
        GzDecoder::new(&first.bytes[..]).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, plain.bytes);
        assert_eq!(first.decoded_size, plain.bytes.len() as u64);
    }

    #[test]
    fn etags_tell_files_apart() {
        let files = Files::default();
        let etag = |rows, part| files.part(&table(rows), part, Encoding::Identity).unwrap().etag.clone();
        assert_eq!(etag(100, 0), etag(100, 0));
        assert_ne!(etag(100, 0), etag(100, 1));
        assert_ne!(etag(100, 0), etag(102, 0));
        assert!(files.part(&table(100), 2, Encoding::Identity).is_none());
    }

    #[test]
    fn a_file_is_rendered_once_and_kept_within_bounds() {
        let files = Files::default();
        let file = |rows| files.part(&table(rows), 0, Encoding::Identity).unwrap();
        assert!(Arc::ptr_eq(&file(10), &file(10)));
        let mut kept: VecDeque<_> = [file(10), file(12), file(14)].into();
        let (two, one) = (kept[1].bytes.len() + kept[2].bytes.len(), kept[2].bytes.len());
        forget_beyond(&mut kept, 3, two);
        assert_eq!(kept.len(), 2);
        forget_beyond(&mut kept, 1, one);
        assert_eq!(kept.len(), 1);
        forget_beyond(&mut kept, 1, 0);
        assert!(Arc::ptr_eq(&kept[0], &file(14)), "the newest stays, however large");
    }

    #[test]
    fn announced_sizes_are_those_of_either_form_and_wrong_at_will() {
        let file = Files::default().part(&table(100), 0, Encoding::Gzip).unwrap();
        let encoded = file.bytes.len() as u64;
        assert!(encoded < file.decoded_size);
        assert_eq!(file.announced_size(FileSize::Encoded, 0), Some(encoded));
        assert_eq!(file.announced_size(FileSize::Decoded, 5), Some(file.decoded_size + 5));
        assert_eq!(file.announced_size(FileSize::Decoded, i64::MIN), Some(0));
        assert_eq!(file.announced_size(FileSize::Missing, 5), None);
    }
}
