//! Merging parts into one CSV with one header: record by record, since a value may hold line breaks.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Writer};

use super::writer::Sink;
use super::{DiskError, DownloadError};
use crate::disk;
use crate::export::ExportRef;
use crate::manifest::Merged;

/// The longest record that is taken for one, in bytes.
const LONGEST_RECORD: usize = 8 * 1024 * 1024;

/// The file that the parts become.
#[derive(Debug)]
pub(super) struct Merging {
    pub(super) path: PathBuf,
    /// Where it is until it is whole.
    pub(super) partial: PathBuf,
}

impl Merging {
    pub(super) fn into(path: &Path, export: &ExportRef) -> Self {
        Self { path: path.to_owned(), partial: disk::beside(path, &format!(".{}.partial", export.export_id)) }
    }
}

/// Merges `parts`, of which all have the same header; empty ones have none.
pub(super) fn merge(parts: &[PathBuf], merging: &Merging) -> Result<Merged, DownloadError> {
    let Merging { path, partial } = merging;
    let merged = merge_into(parts, partial);
    if merged.is_err() {
        // The next call writes it anew.
        let _ = std::fs::remove_file(partial);
    }
    let (sink, row_count) = merged?;
    let written = sink.done().map_err(DiskError::because("write", partial))?;
    let path = path.display().to_string();
    Ok(Merged { path, file_size: written.file_size, row_count, sha256: written.sha256 })
}

fn merge_into(parts: &[PathBuf], partial: &Path) -> Result<(Sink<File>, u64), DownloadError> {
    let since_record = Rc::new(Cell::new(0));
    let file = File::create(partial).map_err(DiskError::because("write", partial))?;
    let mut writer = Writer::from_writer(Sink::new(file));
    let mut header: Option<ByteRecord> = None;
    let mut row_count = 0;
    let mut record = ByteRecord::new();
    for part in parts {
        let file = File::open(part).map_err(DiskError::because("read", part))?;
        let file = Bounded { file, since_record: Rc::clone(&since_record) };
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(file);
        if !read(&mut reader, &mut record, part)? {
            continue;
        }
        match &header {
            None => {
                write(&mut writer, &record, partial)?;
                header = Some(record.clone());
            }
            Some(header) if *header != record => {
                return Err(DownloadError::Merge(format!(
                    "{} has other columns than the parts before",
                    name(part)
                )));
            }
            Some(_) => {}
        }
        since_record.set(0);
        while read(&mut reader, &mut record, part)? {
            since_record.set(0);
            write(&mut writer, &record, partial)?;
            row_count += 1;
        }
    }
    let sink =
        writer.into_inner().map_err(|error| DiskError::because("write", partial)(error.into_error()))?;
    Ok((sink, row_count))
}

/// A file that is read up to the end of a record, but not for ever: a quote that never closes makes one record of all the
/// rest, which would be held in memory.
struct Bounded {
    file: File,
    /// How many bytes were read since a record was complete.
    since_record: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_record.get() > LONGEST_RECORD {
            return Err(io::Error::other("a record is longer than 8 MiB: perhaps a quote that never closes"));
        }
        let read = self.file.read(buffer)?;
        self.since_record.set(self.since_record.get() + read);
        Ok(read)
    }
}

fn read(reader: &mut Reader<Bounded>, record: &mut ByteRecord, part: &Path) -> Result<bool, DownloadError> {
    reader.read_byte_record(record).map_err(unread(part))
}

fn write(writer: &mut Writer<Sink<File>>, record: &ByteRecord, partial: &Path) -> Result<(), DownloadError> {
    let written = writer.write_byte_record(record).map_err(io::Error::from);
    Ok(written.map_err(DiskError::because("write", partial))?)
}

/// A part that cannot be read, or is no CSV.
fn unread(part: &Path) -> impl FnOnce(csv::Error) -> DownloadError {
    move |error| {
        let of_disk = |error: &io::Error| error.raw_os_error().is_some();
        if matches!(error.kind(), csv::ErrorKind::Io(error) if of_disk(error)) {
            return DiskError::because("read", part)(error.into()).into();
        }
        let why = error.to_string();
        let why = why.strip_prefix("CSV error: ").unwrap_or(&why);
        DownloadError::Merge(format!("{} is no CSV: {why}", name(part)))
    }
}

fn name(part: &Path) -> String {
    part.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(parts: &[&str]) -> (Result<Merged, DownloadError>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts.iter().enumerate().map(|(number, text)| {
            let path = folder.path().join(format!("part-{number}.csv"));
            std::fs::write(&path, text).unwrap();
            path
        });
        let parts: Vec<PathBuf> = parts.collect();
        let merging = Merging { path: "all.csv".into(), partial: folder.path().join("all") };
        let merged = merge(&parts, &merging);
        (merged, std::fs::read_to_string(&merging.partial).ok())
    }

    #[test]
    fn one_header_stands_above_all_records() {
        let rows: [(&[&str], &str, u64); 6] = [
            (&[], "", 0),
            (&["a,b\n1,2\n"], "a,b\n1,2\n", 1),
            (&["a,b\n1,2\n", "a,b\n3,4"], "a,b\n1,2\n3,4\n", 2),
            (&["a,b\r\n1,2\r\n", "", "\"a\",\"b\"\n3,\"4\"\n"], "a,b\n1,2\n3,4\n", 2),
            (
                &["\u{feff}a,b\n1,\"x\ny\"\n", "a,b\n\"q\"\"q\",\"c,d\"\n"],
                "a,b\n1,\"x\ny\"\n\"q\"\"q\",\"c,d\"\n",
                2,
            ),
            (&["a,b\n", "a,b\n"], "a,b\n", 0),
        ];
        for (parts, text, row_count) in rows {
            let (merged, written) = merged(parts);
            assert_eq!(written.as_deref(), Some(text));
            let merged = merged.unwrap();
            assert_eq!((merged.file_size, merged.row_count), (text.len() as u64, row_count));
            assert_eq!(merged.path, "all.csv");
        }
    }

    #[test]
    fn a_quote_that_never_closes_is_no_record() {
        let text = format!("a,b\n1,\"{}", "x,y\n".repeat(LONGEST_RECORD / 2));
        let (merged, written) = merged(&["a,b\n1,2\n", &text]);
        let Err(DownloadError::Merge(why)) = merged else { panic!("{merged:?}") };
        assert!(why.starts_with("part-1.csv is no CSV: a record is longer than 8 MiB"), "{why}");
        assert_eq!(written, None);
    }

    #[test]
    fn what_does_not_fit_is_named_and_leaves_nothing() {
        let rows: [(&[&str], &str); 2] = [
            (&["a,b\n1,2\n", "a,c\n3,4\n"], "part-1.csv has other columns than the parts before"),
            (
                &["a,b\n1,2\n1,2,3\n"],
                "part-0.csv is no CSV: record 2 (line: 3, byte: 8): found record with 3 fields, but the previous record has 2 fields",
            ),
        ];
        for (parts, expected) in rows {
            let (merged, written) = merged(parts);
            let Err(DownloadError::Merge(why)) = merged else { panic!("{merged:?}") };
            assert_eq!((why.as_str(), written), (expected, None));
        }
    }
}
