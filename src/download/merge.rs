//! Merges parts into one CSV with one header. Records are copied as bytes, so that quoting, empty fields and empty records
//! stay as they are. The first part decides about a byte order mark and about line breaks.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use super::inspect::{MARK, beginning_of_other};
use super::records::{Met, Records};
use super::writer::Sink;
use super::{DiskError, DownloadError};
use crate::disk::{Directory, Readers};
use crate::export::ExportRef;
use crate::manifest::{Entry, Manifest, Merged};
use crate::text::path_as_data;

/// The longest header that is accepted, in bytes. It is kept in memory.
const LONGEST_HEADER: usize = 8 * 1024 * 1024;

/// How many bytes are read and written in one step.
const BUFFER: usize = 64 * 1024;

/// Where the rows that were counted contradict those that were announced: in a part, or in all parts together if none has
/// a number of its own. Otherwise the sum need not match.
pub(super) fn contradiction(manifest: &Manifest) -> Option<String> {
    let Manifest { files, rows, row_count, .. } = manifest;
    let parts = files.iter().map(|part| (part.name.as_str(), part.rows, part.row_count));
    let total =
        files.iter().all(|part| part.row_count.is_none()).then_some(("the export", *rows, *row_count));
    parts.chain(total).find_map(|(name, rows, row_count)| {
        let (rows, announced) = (rows?, row_count?);
        (rows != announced).then(|| format!("{name} has {rows} rows, and Snyk announced {announced}"))
    })
}

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
    /// Merges parts for a file at `path`. All parts have the same header, except empty ones, and as many rows as were counted
    /// when they arrived.
    pub(super) fn of(
        parts: &[Entry],
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
    parts: &[Entry],
    open: impl Fn(&str) -> io::Result<File>,
    file: File,
    partial: &Path,
) -> Result<Merged, DownloadError> {
    let unwritten = |error| DiskError::because("write", partial)(error);
    let mut output = Output::new(file);
    let mut expected: u64 = 0;
    for Entry { name, rows, .. } in parts {
        let unread = |error| DiskError::because("read", Path::new(name))(error);
        let file = open(name).map_err(unread)?;
        let Some(rows) = rows else { return Err(not_csv(name, file).map_err(unread)?) };
        expected = expected.saturating_add(*rows);
        match output.add(file) {
            Ok(counted) if counted == *rows => {}
            Ok(counted) => {
                let why = format!("{name} has {counted} rows, and had {rows} when it arrived");
                return Err(DownloadError::Merge(why));
            }
            Err(Trouble::Part(error)) => return Err(unread(error).into()),
            Err(Trouble::Output(error)) => return Err(unwritten(error).into()),
            Err(Trouble::Csv(why)) => return Err(DownloadError::Merge(format!("{name} {why}"))),
        }
    }
    let (sink, row_count) = output.finish().map_err(unwritten)?;
    if row_count != expected {
        let why = format!("the merged file has {row_count} rows, and its parts have {expected}");
        return Err(DownloadError::Merge(why));
    }
    let written = sink.done().map_err(unwritten)?;
    Ok(Merged { path: String::new(), file_size: written.file_size, row_count, sha256: written.sha256 })
}

/// A part whose rows could not be counted when it arrived.
fn not_csv(name: &str, file: File) -> io::Result<DownloadError> {
    let mut head = Vec::new();
    file.take(64).read_to_end(&mut head)?;
    let kind = beginning_of_other(&head).map(|kind| format!(": it begins as {kind}")).unwrap_or_default();
    Ok(DownloadError::Merge(format!("{name} is not CSV{kind}")))
}

/// Why a part was not added.
enum Trouble {
    /// It cannot be read.
    Part(io::Error),
    /// The merged file cannot be written.
    Output(io::Error),
    /// It is not like the parts before, or not CSV.
    Csv(String),
}

/// The merged file while it is written.
struct Output {
    file: BufWriter<Recount>,
    header: Option<ByteRecord>,
    /// How lines end, once a part has shown it.
    line_break: Option<&'static [u8]>,
    /// Whether that was a carriage return, which a line feed may follow.
    may_be_longer: bool,
    /// Whether the last record still needs its line break.
    is_pending: bool,
}

/// What is written to the file, counted once more.
struct Recount {
    sink: Sink<File>,
    records: Records,
}

impl Write for Recount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.records.take(bytes);
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Output {
    fn new(file: File) -> Self {
        let recount = Recount { sink: Sink::new(file), records: Records::default() };
        let file = BufWriter::with_capacity(BUFFER, recount);
        Self { file, header: None, line_break: None, may_be_longer: false, is_pending: false }
    }

    /// Adds the records of a part. Returns how many rows it has.
    fn add(&mut self, mut part: File) -> Result<u64, Trouble> {
        let mut start = Vec::new();
        (&mut part).take(MARK.len() as u64).read_to_end(&mut start).map_err(Trouble::Part)?;
        let has_mark = start == MARK;
        if has_mark {
            start.clear();
        }
        let mut part = BufReader::with_capacity(BUFFER, io::Cursor::new(start).chain(part));
        let mut reading = Reading { records: Records::strict(), header: Some(Vec::new()), has_mark };
        loop {
            let bytes = part.fill_buf().map_err(Trouble::Part)?;
            if bytes.is_empty() {
                break;
            }
            self.take(&mut reading, bytes)?;
            let length = bytes.len();
            part.consume(length);
        }
        if reading.records.is_open() {
            return Err(Trouble::Csv("is not CSV: a quote is never closed".to_owned()));
        }
        if reading.records.has_begun() {
            reading.records.end();
            self.end_record(&mut reading)?;
        }
        Ok(reading.records.count().saturating_sub(1))
    }

    fn take(&mut self, reading: &mut Reading, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let was_begun = reading.records.has_begun();
            let (length, met) = reading.records.step(bytes);
            let (taken, rest) = bytes.split_at(length);
            let (content, last) = match (met, taken.split_last()) {
                (Met::Nothing, _) | (_, None) => (taken, b'\n'),
                (_, Some((last, content))) => (content, *last),
            };
            if met == Met::SecondHalf && self.may_be_longer {
                self.line_break = Some(b"\r\n");
            }
            self.may_be_longer = false;
            match &mut reading.header {
                Some(header) => header.extend_from_slice(content),
                None => self.copy(content, was_begun)?,
            }
            if matches!(met, Met::Record | Met::EmptyRecord) {
                if self.line_break.is_none() {
                    self.line_break = Some(if last == b'\r' { b"\r" } else { b"\n" });
                    self.may_be_longer = last == b'\r';
                }
                if met == Met::EmptyRecord {
                    self.end_line()?;
                }
                self.end_record(reading)?;
            }
            if reading.header.as_ref().is_some_and(|header| header.len() > LONGEST_HEADER) {
                let why =
                    "is not CSV: its header is longer than 8 MiB, perhaps since a quote is never closed";
                return Err(Trouble::Csv(why.to_owned()));
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Copies a piece of a record; its first one unless the record has begun.
    fn copy(&mut self, content: &[u8], has_begun: bool) -> Result<(), Trouble> {
        if content.is_empty() {
            return Ok(());
        }
        if !has_begun {
            self.end_line()?;
        }
        self.file.write_all(content).map_err(Trouble::Output)
    }

    /// Writes the line break of the last record.
    fn end_line(&mut self) -> Result<(), Trouble> {
        if std::mem::take(&mut self.is_pending) {
            self.file.write_all(self.line_break.unwrap_or(b"\n")).map_err(Trouble::Output)?;
        }
        Ok(())
    }

    /// A record has ended: the header, or a row.
    fn end_record(&mut self, reading: &mut Reading) -> Result<(), Trouble> {
        if let Some(header) = reading.header.take() {
            return self.end_header(&header, reading.has_mark);
        }
        self.is_pending = true;
        match reading.records.misfit() {
            None => Ok(()),
            Some((fields, columns)) => {
                let row = reading.records.count().saturating_sub(1);
                let why = format!("is not CSV: row {row} has {fields} fields, and the header {columns}");
                Err(Trouble::Csv(why))
            }
        }
    }

    fn end_header(&mut self, header: &[u8], has_mark: bool) -> Result<(), Trouble> {
        let mut fields = ByteRecord::new();
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(header);
        reader.read_byte_record(&mut fields).map_err(|error| Trouble::Csv(format!("is not CSV: {error}")))?;
        match &self.header {
            None => {
                if has_mark {
                    // The buffer is still empty. A mark is not part of the first record.
                    self.file.get_mut().sink.write_all(MARK).map_err(Trouble::Output)?;
                }
                self.file.write_all(header).map_err(Trouble::Output)?;
                (self.header, self.is_pending) = (Some(fields), true);
                Ok(())
            }
            Some(first) if *first != fields => {
                Err(Trouble::Csv("has other columns than the parts before".to_owned()))
            }
            Some(_) => Ok(()),
        }
    }

    /// Ends the last line. Returns the file, and how many rows it has.
    fn finish(mut self) -> io::Result<(Sink<File>, u64)> {
        if self.is_pending {
            self.file.write_all(self.line_break.unwrap_or(b"\n"))?;
        }
        let Recount { sink, records } = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((sink, records.count().saturating_sub(1)))
    }
}

/// A part that is being read.
struct Reading {
    records: Records,
    /// What has arrived of the header, until it is complete.
    header: Option<Vec<u8>>,
    has_mark: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::export::Scope;

    /// A part as it was counted when it arrived.
    fn entry(name: &str, bytes: &[u8]) -> Entry {
        let mut records = Records::default();
        records.take(bytes.strip_prefix(MARK).unwrap_or(bytes));
        let rows = Some(records.count().saturating_sub(1));
        Entry { name: name.to_owned(), file_size: 0, row_count: None, rows, sha256: String::new() }
    }

    fn merged_of(parts: &[(Entry, Vec<u8>)]) -> (Result<Merged, DownloadError>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        for (Entry { name, .. }, bytes) in parts {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let entries: Vec<Entry> = parts.iter().map(|(entry, _)| entry.clone()).collect();
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::nil() };
        let open = |name: &str| File::open(folder.path().join(name));
        let merged = Merging::of(&entries, open, &folder.path().join("all.csv"), &export);
        let bytes = merged.as_ref().ok().map(|(merging, _)| std::fs::read(merging.path()).unwrap());
        let left = std::fs::read_dir(folder.path()).unwrap().count() - parts.len();
        assert_eq!(left, usize::from(bytes.is_some()), "nothing else is left");
        (merged.map(|(_, merged)| merged), bytes)
    }

    fn parts_of(texts: &[impl AsRef<[u8]>]) -> Vec<(Entry, Vec<u8>)> {
        let part = |(number, text): (usize, _)| {
            let bytes = AsRef::<[u8]>::as_ref(text).to_vec();
            (entry(&format!("part-{number}.csv"), &bytes), bytes)
        };
        texts.iter().enumerate().map(part).collect()
    }

    fn merged(texts: &[&str]) -> (Result<Merged, DownloadError>, Option<String>) {
        let (merged, bytes) = merged_of(&parts_of(texts));
        (merged, bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn one_header_stands_above_all_records() {
        let rows: [(&[&str], &str, u64); 15] = [
            (&[], "", 0),
            (&["", "\n"], "", 0),
            (&["a,b\n1,2\n"], "a,b\n1,2\n", 1),
            (&["a,b\n1,2\n", "a,b\n3,4"], "a,b\n1,2\n3,4\n", 2),
            (&["a,b\n", "a,b\n"], "a,b\n", 0),
            (&["a,b\n1,\"x\ny\"\n", "a,b\n\"q\"\"q\",\"c,d\"\n"], "a,b\n1,\"x\ny\"\n\"q\"\"q\",\"c,d\"\n", 2),
            // Quotes stay, whether they are needed or not.
            (&["\"a\",b\n\"1\",\"\"\n", "a,\"b\"\n,\n"], "\"a\",b\n\"1\",\"\"\n,\n", 2),
            // The first part decides about line breaks and about a byte order mark.
            (&["a,b\r\n1,2\r\n", "", "a,b\n3,4\n5,6"], "a,b\r\n1,2\r\n3,4\r\n5,6\r\n", 3),
            (&["a,b\n1,2\n", "\u{feff}a,b\r\n3,\"4\r\n\"\r\n"], "a,b\n1,2\n3,\"4\r\n\"\n", 2),
            (&["\u{feff}a,b\n1,2", "\u{feff}a,b\n3,4", "a,b\n5,6"], "\u{feff}a,b\n1,2\n3,4\n5,6\n", 3),
            (&["a,b", "a,b\r\n1,2\r\n"], "a,b\r\n1,2\r\n", 1),
            (&["a,b\r1,2\r\r", "a,b\n3,4\n"], "a,b\r1,2\r3,4\r", 2),
            // An empty line is not a record, unless there is only one column.
            (&["\na,b\n\n1,2\n\n", "\n\na,b\n3,4\n"], "a,b\n1,2\n3,4\n", 2),
            (&["X\n1\n\n2\n"], "X\n1\n\n2\n", 3),
            (&["X\r\n\r\n1", "\r\nX\n\"\"\n\n\n"], "X\r\n\r\n1\r\n\"\"\r\n\r\n\r\n", 5),
        ];
        for (parts, text, row_count) in rows {
            let (merged, written) = merged(parts);
            let merged = merged.unwrap();
            assert_eq!(written.as_deref(), Some(text), "{parts:?}");
            assert_eq!((merged.file_size, merged.row_count), (text.len() as u64, row_count), "{parts:?}");
            assert!(merged.path.ends_with("/all.csv"));
        }
    }

    #[test]
    fn a_record_may_be_longer_than_what_is_read_in_one_step() {
        let long = format!("1,\"{}\"\r\n", "x,y\r\n\"\"".repeat(BUFFER));
        let (merged, written) = merged(&["a,b\r\n", &format!("a,b\r\n{long}"), &format!("a,b\n{long}3,4")]);
        assert_eq!(merged.unwrap().row_count, 3);
        assert_eq!(written.unwrap(), format!("a,b\r\n{long}{long}3,4\r\n"));
    }

    #[test]
    fn parts_that_do_not_fit_are_named_and_nothing_is_left() {
        let long = format!("a,\"{}", "x".repeat(LONGEST_HEADER + BUFFER));
        let rows: [(&[&str], &str); 5] = [
            (&["a,b\n1,2\n", "a,c\n3,4\n"], "part-1.csv has other columns than the parts before"),
            (&["a,b\n1,2\n1,2,3\n"], "part-0.csv is not CSV: row 2 has 3 fields, and the header 2"),
            (&["X\n1\n1,2"], "part-0.csv is not CSV: row 2 has 2 fields, and the header 1"),
            (&["a,b\n1,\"2\n", "a,b\n3,\"4\n"], "part-0.csv is not CSV: a quote is never closed"),
            (
                &["a,b\n1,2\n", &long],
                "part-1.csv is not CSV: its header is longer than 8 MiB, perhaps since a quote is never closed",
            ),
        ];
        for (parts, expected) in rows {
            let (merged, written) = merged(parts);
            let Err(DownloadError::Merge(why)) = merged else { panic!("{merged:?}") };
            assert_eq!((why.as_str(), written), (expected, None));
        }
    }

    #[test]
    fn a_part_that_is_not_what_was_counted_is_refused() {
        let refused = |rows, bytes: &[u8]| {
            let mut parts = parts_of(&[b"a,b\n1,2\n", bytes]);
            parts[1].0.rows = rows;
            match merged_of(&parts) {
                (Err(DownloadError::Merge(why)), None) => why,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(Some(2), b"a,b\n3,4\n"), "part-1.csv has 1 rows, and had 2 when it arrived");
        let gzip = "part-1.csv is not CSV: it begins as gzip data that storage does not declare";
        assert_eq!(refused(None, b"\x1f\x8b\x08\0\0\0\0\0"), gzip);
        assert_eq!(refused(None, b"[{\"a\":1}]"), "part-1.csv is not CSV");
    }

    #[test]
    fn rows_that_were_announced_otherwise_contradict() {
        /// The announced rows of each part, which have one row each, and of the export; the contradiction.
        type Row<'a> = (&'a [Option<u64>], Option<u64>, Option<&'a str>);
        let rows: [Row<'_>; 8] = [
            (&[], Some(0), None),
            (&[None, None], None, None),
            (&[Some(1), Some(1)], Some(2), None),
            (&[Some(1), Some(2)], Some(2), Some("part-1.csv has 1 rows, and Snyk announced 2")),
            (&[None, Some(0)], None, Some("part-1.csv has 1 rows, and Snyk announced 0")),
            (&[None, None], Some(5), Some("the export has 2 rows, and Snyk announced 5")),
            // The sum that Snyk gives need not match.
            (&[Some(1), Some(1)], Some(5), None),
            (&[Some(1), None], Some(5), None),
        ];
        for (announced, row_count, expected) in rows {
            let mut files: Vec<Entry> =
                parts_of(&vec!["a,b\n1,2\n"; announced.len()]).into_iter().map(|(entry, _)| entry).collect();
            for (entry, announced) in files.iter_mut().zip(announced) {
                entry.row_count = *announced;
            }
            let rows = files.iter().map(|entry| entry.rows).sum();
            let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::nil() };
            let (schema, downloaded_at) = (crate::manifest::SCHEMA, String::new());
            let manifest = Manifest { schema, export, downloaded_at, row_count, rows, files, merged: None };
            assert_eq!(contradiction(&manifest).as_deref(), expected, "{announced:?}, {row_count:?}");
        }
    }

    /// A value of a field, and whether it is quoted though it need not be.
    fn field() -> impl Strategy<Value = (String, bool)> {
        let values = proptest::sample::select(vec![
            "",
            "",
            "1",
            "a b",
            ",",
            "\"",
            "\n",
            "\r\n",
            "x\"\",\r\ny",
            "\u{feff}",
        ]);
        (values.prop_map(str::to_owned), any::<bool>())
    }

    fn written(row: &[(String, bool)]) -> String {
        let field = |(value, is_quoted): &(String, bool)| match *is_quoted
            || value.contains([',', '"', '\n', '\r'])
        {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value.clone(),
        };
        row.iter().map(field).collect::<Vec<_>>().join(",")
    }

    proptest! {
        #[test]
        fn the_merged_file_has_the_records_of_its_parts(
            columns in 1_usize..4,
            parts in proptest::collection::vec(
                (
                    proptest::collection::vec(proptest::collection::vec(field(), 3), 0..6),
                    proptest::sample::select(vec!["\n", "\r\n"]),
                    any::<bool>(),
                    any::<bool>(),
                ),
                0..5,
            ),
        ) {
            let header = ["A", "B", "C"][..columns].join(",");
            let mut texts = Vec::new();
            let mut expected: Vec<Vec<u8>> = Vec::new();
            for (rows, line_break, has_mark, is_ended) in &parts {
                let rows: Vec<String> = rows.iter().map(|row| written(&row[..columns])).collect();
                expected.extend(rows.iter().map(|row| row.clone().into_bytes()));
                let lines = [vec![header.clone()], rows].concat().join(line_break);
                // A last record needs no line break, unless it is empty.
                let is_ended = *is_ended || lines == header;
                let end = if is_ended || lines.ends_with(line_break) { line_break } else { "" };
                texts.push(format!("{}{lines}{end}", if *has_mark { "\u{feff}" } else { "" }));
            }
            let (merged, text) = merged(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let text = text.unwrap();
            prop_assert_eq!(merged.unwrap().row_count, expected.len() as u64);

            let reader = |text: &str| {
                let reader = ReaderBuilder::new().from_reader(text.as_bytes());
                reader.into_byte_records().map(Result::unwrap).collect::<Vec<_>>()
            };
            let of_parts: Vec<ByteRecord> = texts.iter().flat_map(|text| reader(text)).collect();
            prop_assert_eq!(reader(&text), of_parts, "by the csv crate");

            // The csv crate drops empty records and quotes: the bytes are the same too.
            let (line_break, has_mark) = parts.first().map_or(("\n", false), |(_, line_break, has_mark, _)| (*line_break, *has_mark));
            let begin = if has_mark { "\u{feff}" } else { "" };
            let lines = expected.into_iter().map(|row| String::from_utf8(row).unwrap());
            let whole: String = std::iter::once(header).chain(lines).map(|line| line + line_break).collect();
            let whole = if parts.is_empty() { String::new() } else { begin.to_owned() + &whole };
            prop_assert_eq!(text, whole);
        }
    }
}
