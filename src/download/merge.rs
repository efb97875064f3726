//! Merges parts into one CSV with one header: record by record, since a value may contain line breaks.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Writer};

use super::writer::Sink;
use super::{DiskError, DownloadError};
use crate::disk::{Directory, Readers};
use crate::export::ExportRef;
use crate::manifest::Merged;
use crate::text::path_as_data;

/// The longest record that is accepted, in bytes.
const LONGEST_RECORD: usize = 8 * 1024 * 1024;

/// The merged file, before it has its final name.
#[derive(Debug)]
pub(super) struct Merging {
    /// The directory that it is in.
    pub(super) directory: Directory,
    /// Its final name.
    pub(super) name: OsString,
    /// Its temporary name.
    pub(super) partial: OsString,
}

impl Merging {
    /// Merges parts for a file at `path`. All parts have the same header, except empty ones.
    pub(super) fn of(
        parts: &[impl AsRef<str>],
        open: impl Fn(&str) -> io::Result<File>,
        path: &Path,
        export: &ExportRef,
    ) -> Result<(Self, Merged), DownloadError> {
        let failed = |error| DiskError::because("write", path)(error);
        let (directory, name) = Directory::of(path).map_err(failed)?;
        let ending = format!(".{}.partial", export.export_id);
        directory.remove_temporaries(name, &ending);
        let (partial, file) = directory.create_temporary(name, &ending, Readers::Umask).map_err(failed)?;
        let merging = Self { name: name.to_owned(), directory, partial };
        match merge(parts, open, file, &merging.path()) {
            Ok(merged) => Ok((merging, Merged { path: path_as_data(path), ..merged })),
            Err(error) => {
                merging.remove();
                Err(error)
            }
        }
    }

    /// Its path until it has its final name.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path(&self.partial)
    }

    /// Removes the temporary file. If that fails, the next call tries again.
    pub(super) fn remove(&self) {
        let _ = self.directory.remove(&self.partial);
    }
}

fn merge(
    parts: &[impl AsRef<str>],
    open: impl Fn(&str) -> io::Result<File>,
    file: File,
    partial: &Path,
) -> Result<Merged, DownloadError> {
    let since_record = Rc::new(Cell::new(0));
    let mut writer = Writer::from_writer(Sink::new(file));
    let mut header: Option<ByteRecord> = None;
    let mut row_count = 0;
    let mut record = ByteRecord::new();
    for part in parts {
        let part = part.as_ref();
        let file = open(part).map_err(DiskError::because("read", Path::new(part)))?;
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
                return Err(DownloadError::Merge(format!("{part} has other columns than the parts before")));
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
    let written = sink.done().map_err(DiskError::because("write", partial))?;
    Ok(Merged { path: String::new(), file_size: written.file_size, row_count, sha256: written.sha256 })
}

/// A file that fails if a record is too long. A quote that is never closed makes one record of the rest of the file, which
/// would be held in memory.
struct Bounded {
    file: File,
    /// How many bytes were read since the last complete record.
    since_record: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_record.get() > LONGEST_RECORD {
            return Err(io::Error::other("a record is longer than 8 MiB: perhaps a quote is never closed"));
        }
        let read = self.file.read(buffer)?;
        self.since_record.set(self.since_record.get() + read);
        Ok(read)
    }
}

fn read(reader: &mut Reader<Bounded>, record: &mut ByteRecord, part: &str) -> Result<bool, DownloadError> {
    reader.read_byte_record(record).map_err(unread(part))
}

fn write(writer: &mut Writer<Sink<File>>, record: &ByteRecord, partial: &Path) -> Result<(), DownloadError> {
    let written = writer.write_byte_record(record).map_err(io::Error::from);
    Ok(written.map_err(DiskError::because("write", partial))?)
}

/// A part that cannot be read, or that is not CSV.
fn unread(part: &str) -> impl FnOnce(csv::Error) -> DownloadError {
    move |error| {
        let of_disk = |error: &io::Error| error.raw_os_error().is_some();
        if matches!(error.kind(), csv::ErrorKind::Io(error) if of_disk(error)) {
            return DiskError::because("read", Path::new(part))(error.into()).into();
        }
        let why = error.to_string();
        let why = why.strip_prefix("CSV error: ").unwrap_or(&why);
        DownloadError::Merge(format!("{part} is not CSV: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::export::Scope;

    fn merged(parts: &[&str]) -> (Result<Merged, DownloadError>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..parts.len()).map(|number| format!("part-{number}.csv")).collect();
        for (name, text) in names.iter().zip(parts) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::nil() };
        let open = |name: &str| File::open(folder.path().join(name));
        let merged = Merging::of(&names, open, &folder.path().join("all.csv"), &export);
        let text = merged.as_ref().ok().map(|(merging, _)| std::fs::read_to_string(merging.path()).unwrap());
        let left = std::fs::read_dir(folder.path()).unwrap().count() - parts.len();
        assert_eq!(left, usize::from(text.is_some()), "nothing else is left");
        (merged.map(|(_, merged)| merged), text)
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
            assert!(merged.path.ends_with("/all.csv"));
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_an_error() {
        let text = format!("a,b\n1,\"{}", "x,y\n".repeat(LONGEST_RECORD / 2));
        let (merged, written) = merged(&["a,b\n1,2\n", &text]);
        let Err(DownloadError::Merge(why)) = merged else { panic!("{merged:?}") };
        assert!(why.starts_with("part-1.csv is not CSV: a record is longer than 8 MiB"), "{why}");
        assert_eq!(written, None);
    }

    #[test]
    fn parts_that_do_not_fit_are_named_and_nothing_is_left() {
        let rows: [(&[&str], &str); 2] = [
            (&["a,b\n1,2\n", "a,c\n3,4\n"], "part-1.csv has other columns than the parts before"),
            (
                &["a,b\n1,2\n1,2,3\n"],
                "part-0.csv is not CSV: record 2 (line: 3, byte: 8): found record with 3 fields, but the previous record has 2 fields",
            ),
        ];
        for (parts, expected) in rows {
            let (merged, written) = merged(parts);
            let Err(DownloadError::Merge(why)) = merged else { panic!("{merged:?}") };
            assert_eq!((why.as_str(), written), (expected, None));
        }
    }
}
