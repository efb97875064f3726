//! Looking at a file while it streams: whether it begins as what was asked for, and how many rows it has.

use std::io::{self, Write};

use super::records::Records;
use super::writer::{Sink, Written};
use crate::secret::Link;
use crate::text::Text;
use crate::watch::observation::{Part, Problem};

/// The byte order mark that may stand at the beginning of a file in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How many bytes tell what a file begins as.
const TELLING: usize = 16;

/// What files of other formats are called.
const OTHER_ENDINGS: [&str; 8] = ["json", "jsonl", "ndjson", "parquet", "avro", "orc", "tsv", "xml"];

/// What a file begins as that is not CSV, in lower case, and what that is called. No column's name begins so.
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

/// Why a file is of no use though storage sent all of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It is something else.
    #[error("it begins as {0}")]
    NotCsv(&'static str),
    /// There is no row in it.
    #[error("{0} rows were announced")]
    Empty(u64),
    /// It has changed on its way.
    #[error("its {0} is not what storage says")]
    Damaged(&'static str),
}

impl Unfit {
    /// What is wrong, for people.
    pub(super) fn problem(&self) -> Problem {
        let elsewhere = "look at what answers in the place of storage, such as a proxy that wants a login";
        let (title, cure) = match self {
            Self::NotCsv(_) => ("the file is not CSV", elsewhere),
            Self::Empty(_) => ("the file has no rows", elsewhere),
            Self::Damaged(_) => {
                ("the file is damaged", "look at what may change it on its way, such as a proxy")
            }
        };
        Problem { cure: Text::non_empty(cure), ..Problem::new(title, &self.to_string()) }
    }
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::InvalidData, unfit)
    }
}

/// The format of a file, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    /// The name says nothing: CSV is what Snyk exports.
    Unsaid,
    Other,
}

impl Format {
    /// The format of a part, by the name in its link.
    pub(super) fn of(part: &Part) -> Self {
        let name = part.link.as_ref().map_or("", Link::file_name).to_ascii_lowercase();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.') {
            Some((_, "csv")) => Self::Csv,
            Some((_, ending)) if OTHER_ENDINGS.contains(&ending) => Self::Other,
            Some(_) | None => Self::Unsaid,
        }
    }
}

/// What is known of a file before it comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) format: Format,
    /// How many rows were announced: of this part, or of all parts together.
    pub(super) rows: Option<u64>,
    pub(super) is_of_part: bool,
}

/// A file that is looked at while it is written.
pub(super) struct Inspected<W> {
    sink: Sink<W>,
    expected: Expected,
    /// The first bytes that are neither blank nor a byte order mark.
    head: Vec<u8>,
    /// How much of a byte order mark may have come.
    mark: usize,
    /// What counts, as long as the file may be CSV.
    records: Option<Records>,
}

impl<W: Write> Inspected<W> {
    pub(super) fn new(sink: Sink<W>, expected: Expected) -> Self {
        let records = (expected.format != Format::Other).then(Records::default);
        Self { sink, expected, head: Vec::new(), mark: 0, records }
    }

    /// Ends the file: what was written, and how many rows it has below its header, if it is CSV.
    pub(super) fn done(mut self) -> io::Result<(Written, Option<u64>)> {
        if self.head.len() < TELLING {
            self.judge()?;
        }
        let written = self.sink.done()?;
        let records = self.records.map(|records| records.count());
        let rows = records.map(|records| records.saturating_sub(1));
        // One of several parts may have a header and nothing else.
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

    /// Looks at what the file begins as.
    fn judge(&mut self) -> Result<(), Unfit> {
        if self.expected.format == Format::Other {
            return Ok(());
        }
        let head = self.head.to_ascii_lowercase();
        if let Some((_, kind)) = NOT_CSV.iter().find(|(beginning, _)| head.starts_with(beginning)) {
            return Err(Unfit::NotCsv(kind));
        }
        if matches!(head.first(), Some(b'{' | b'[')) {
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
    fn a_links_name_says_the_format() {
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
