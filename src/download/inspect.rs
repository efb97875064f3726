//! Inspects a file while it is written: whether it starts like the requested format, and how many rows it has.

use std::io::{self, Write};
use std::sync::Arc;

use super::records::Records;
use super::room::Share;
use super::writer::{Sink, Written};
use crate::secret::Link;
use crate::text::Text;
use crate::watch::observation::{Part, Problem};

/// The byte order mark that a file in UTF-8 may start with.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// How many bytes show what a file starts as.
const TELLING: usize = 16;

/// The file name extensions of other formats.
const OTHER_ENDINGS: [&str; 8] = ["json", "jsonl", "ndjson", "parquet", "avro", "orc", "tsv", "xml"];

/// How files start that are not CSV, in lower case, with a name for it. No column's name starts so.
const NOT_CSV: [(&[u8], &str); 13] = [
    (b"\x1f\x8b", "gzip data that storage does not declare"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"\0", "binary data"),
    (b"%pdf-", "a PDF document"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<head", "an HTML page"),
    (b"<body", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"<", "an XML or HTML document"),
];

/// What a file is that starts like this, if that is certainly not CSV.
pub(super) fn beginning_of_other(head: &[u8]) -> Option<&'static str> {
    let head = head.to_ascii_lowercase();
    NOT_CSV.iter().find(|(beginning, _)| head.starts_with(beginning)).map(|(_, kind)| *kind)
}

/// Why a complete file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It is not CSV.
    #[error("it begins as {0}")]
    NotCsv(&'static str),
    /// It has no rows.
    #[error("{0} rows were announced")]
    Empty(u64),
    /// It was changed on its way.
    #[error("its {0} is not what storage says")]
    Damaged(&'static str),
}

impl Unfit {
    /// The problem and its cure.
    pub(super) fn problem(&self) -> Problem {
        let elsewhere = "look at what answers in place of storage, such as a proxy that wants a login";
        let on_the_way = "look at what may change files on their way, such as a proxy";
        let (title, cure) = match self {
            Self::NotCsv(kind) if kind.ends_with("document") || kind.ends_with("page") => {
                ("the file is not CSV", elsewhere)
            }
            Self::NotCsv(_) => ("the file is not CSV", on_the_way),
            Self::Empty(_) => ("the file has no rows", elsewhere),
            Self::Damaged(_) => ("the file is damaged", on_the_way),
        };
        Problem { cure: Text::non_empty(cure), ..Problem::new(title, &self.to_string()) }
    }
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::InvalidData, unfit)
    }
}

/// The format of a file, according to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    /// The name does not say. Snyk exports CSV.
    Unsaid,
    Other,
}

impl Format {
    /// The format of a part, according to the name in its link.
    pub(super) fn of(part: &Part) -> Self {
        let name = part.link.as_ref().map_or("", Link::file_name).to_ascii_lowercase();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.') {
            Some((_, "csv")) => Self::Csv,
            Some((_, ending)) if OTHER_ENDINGS.contains(&ending) => Self::Other,
            Some(_) | None => Self::Unsaid,
        }
    }
}

/// What is known of a file before it arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) format: Format,
    /// How many rows were announced: of this part, or of all parts together.
    pub(super) rows: Option<u64>,
    pub(super) is_of_part: bool,
}

/// A file that is inspected while it is written.
pub(super) struct Inspected<W> {
    sink: Sink<W>,
    /// The room that the file takes.
    share: Arc<Share>,
    expected: Expected,
    /// The first bytes that are neither blank nor a byte order mark.
    head: Vec<u8>,
    /// How many bytes of a byte order mark may have arrived.
    mark: usize,
    /// Counts records, as long as the file may be CSV.
    records: Option<Records>,
}

impl<W: Write> Inspected<W> {
    pub(super) fn new(sink: Sink<W>, expected: Expected, share: Arc<Share>) -> Self {
        let records = (expected.format != Format::Other).then(Records::default);
        Self { sink, share, expected, head: Vec::new(), mark: 0, records }
    }

    /// Finishes the file: what was written, and the number of rows below the header, if it is CSV.
    pub(super) fn done(mut self) -> io::Result<(Written, Option<u64>)> {
        if self.head.len() < TELLING {
            self.judge()?;
        }
        let written = self.sink.done()?;
        let records = self.records.map(|records| records.count());
        let rows = records.map(|records| records.saturating_sub(1));
        // One of several parts may have only a header.
        let counted = if self.expected.is_of_part { rows } else { records };
        match self.expected.rows {
            Some(announced) if announced > 0 && counted.unwrap_or(written.file_size) == 0 => {
                Err(Unfit::Empty(announced).into())
            }
            _ => Ok((written, rows)),
        }
    }

    fn inspect(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.mark < MARK.len() && bytes.first() == Some(&MARK[self.mark]) {
            bytes = &bytes[1..];
            self.mark += 1;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.mark = MARK.len();
        if self.head.len() < TELLING {
            let is_telling = |byte: &&u8| !byte.is_ascii_whitespace();
            let skipped =
                if self.head.is_empty() { bytes.iter().position(|byte| is_telling(&byte)) } else { Some(0) };
            let telling = skipped.map_or(&[][..], |skipped| &bytes[skipped..]);
            self.head.extend(telling.iter().take(TELLING - self.head.len()));
            if self.head.len() == TELLING {
                self.judge()?;
            }
        }
        if let Some(records) = &mut self.records {
            records.take(bytes);
        }
        Ok(())
    }

    /// Checks how the file starts.
    fn judge(&mut self) -> Result<(), Unfit> {
        if self.expected.format == Format::Other {
            return Ok(());
        }
        if let Some(kind) = beginning_of_other(&self.head) {
            return Err(Unfit::NotCsv(kind));
        }
        if matches!(self.head.first(), Some(b'{' | b'[')) {
            if self.expected.format == Format::Csv {
                return Err(Unfit::NotCsv("a JSON document"));
            }
            self.records = None;
        }
        Ok(())
    }
}

impl<W: Write> Write for Inspected<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inspect(bytes)?;
        self.share.grow(bytes.len())?;
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_link_says_the_format() {
        for (name, expected) in [
            ("data_1_1_0.csv", Format::Csv),
            ("data_1_1_0.CSV", Format::Csv),
            ("data_1_1_0.csv.gz", Format::Csv),
            ("data_1_1_0.json", Format::Other),
            ("data_1_1_0.json.gz", Format::Other),
            ("data_1_1_0", Format::Unsaid),
            ("data.1", Format::Unsaid),
            ("", Format::Unsaid),
        ] {
            let link = Link::parse(&format!("https://s.example/x.csv/{name}?X-Goog-Signature=a.json"));
            assert_eq!(Format::of(&Part { link, ..Part::default() }), expected, "{name}");
        }
        assert_eq!(Format::of(&Part::default()), Format::Unsaid);
    }
}
