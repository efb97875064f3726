//! Finds the records of a CSV file by the rules of the `csv` crate: RFC 4180, where a quoted line break does not end a record,
//! and empty lines do not count. There is one exception: in a file with one column an empty line is a record, because that is
//! how an empty value is written.

use memchr::{memchr_iter, memchr3_iter};

/// Counts records, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Records {
    ended: u64,
    place: Place,
    /// Whether the record that is being read has any byte.
    has_begun: bool,
    /// Whether the last byte was a carriage return that ended a line. A line feed after it belongs to it.
    after_return: bool,
    /// The separators in the record that is being read: counted in the header, and in all records if this is strict.
    separators: u64,
    is_strict: bool,
    /// The number of fields in the header.
    columns: Option<u64>,
    /// The number of fields of the last record, if it differs from the header's and this is strict.
    misfit: Option<u64>,
}

/// The place of the next byte in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// At the start of a field. Only there a quote opens a quoted field.
    #[default]
    Beginning,
    /// In a field without quotes. A quote is an ordinary byte there.
    Plain,
    /// In a quoted field.
    Quoted,
    /// After a quote in a quoted field. A second quote would make both an ordinary byte.
    Quote,
}

/// What the last byte of a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// No line break: the bytes were at their end.
    Nothing,
    /// The line break after a record.
    Record,
    /// The line break of an empty line that is a record.
    EmptyRecord,
    /// The line break of an empty line that is not a record.
    EmptyLine,
    /// The line feed after a carriage return.
    SecondHalf,
}

impl Records {
    /// Also counts the fields of each record.
    pub(super) fn strict() -> Self {
        Self { is_strict: true, ..Self::default() }
    }

    /// Takes the next bytes of the file. A byte order mark must not be among them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes).0..];
        }
    }

    /// Takes the next bytes up to a line break outside of quotes. Returns how many that were, and what the line break ends.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Met) {
        let mut from = 0;
        for at in memchr3_iter(b'\n', b'\r', b'"', bytes) {
            self.pass(&bytes[from..at]);
            from = at + 1;
            let met = self.meet(bytes[at]);
            if met != Met::Nothing {
                return (from, met);
            }
        }
        self.pass(&bytes[from..]);
        (bytes.len(), Met::Nothing)
    }

    /// Skips bytes that are neither quotes nor line breaks.
    fn pass(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last().filter(|_| self.place != Place::Quoted) else { return };
        (self.has_begun, self.after_return) = (true, false);
        if self.is_strict || self.columns.is_none() {
            self.separators += memchr_iter(b',', bytes).count() as u64;
        }
        self.place = if *last == b',' { Place::Beginning } else { Place::Plain };
    }

    /// Handles a quote or a line break.
    fn meet(&mut self, byte: u8) -> Met {
        match (self.place, byte) {
            (Place::Quoted, b'"') => self.place = Place::Quote,
            (Place::Quoted, _) | (Place::Plain, b'"') => {}
            (Place::Beginning | Place::Quote, b'"') => {
                (self.has_begun, self.after_return) = (true, false);
                self.place = Place::Quoted;
            }
            (Place::Beginning | Place::Plain | Place::Quote, _) => return self.end_line(byte),
        }
        Met::Nothing
    }

    fn end_line(&mut self, byte: u8) -> Met {
        if std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n' {
            return Met::SecondHalf;
        }
        if self.has_begun {
            self.end();
            return Met::Record;
        }
        if self.columns != Some(1) {
            return Met::EmptyLine;
        }
        self.ended += 1;
        self.misfit = None;
        Met::EmptyRecord
    }

    /// Ends the record that is being read. The last one of a file needs no line break.
    pub(super) fn end(&mut self) {
        let fields = std::mem::take(&mut self.separators) + 1;
        let columns = *self.columns.get_or_insert(fields);
        self.misfit = Some(fields).filter(|_| self.is_strict && fields != columns);
        self.ended += 1;
        (self.has_begun, self.place) = (false, Place::Beginning);
    }

    /// Whether a record has begun that has not ended.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether a quote is not closed yet.
    pub(super) fn is_open(&self) -> bool {
        self.place == Place::Quoted
    }

    /// The number of fields of the last record, and that of the header, if they differ.
    pub(super) fn misfit(&self) -> Option<(u64, u64)> {
        self.misfit.zip(self.columns)
    }

    /// The number of records if the file ends here. The last one needs no line break.
    pub(super) fn count(&self) -> u64 {
        self.ended + u64::from(self.has_begun)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(chunks: &[&[u8]]) -> u64 {
        let mut records = Records::default();
        chunks.iter().for_each(|chunk| records.take(chunk));
        records.count()
    }

    #[test]
    fn records_are_those_of_rfc_4180() {
        for (text, expected) in [
            ("", 0),
            ("a,b", 1),
            ("a,b\n1,2", 2),
            ("a,b\r\n1,2\r\n", 2),
            ("a,b\n1,\"x\ny\"\n", 2),
            ("a,b\r\n\"x\r\ny\",\"\"\"\n\"\"\"\r\n3,4\r\n", 3),
            ("a,b\n\n\n1,2\n", 2),
            ("\r\n\na\n1\n", 2),
            ("a\n\n\n1\n", 4),
            ("X\n1\n\n2\n", 4),
            ("X\r\n1\r\n\r\n", 3),
            ("X\r\n\n\r1", 4),
            ("\"X\"\n\"\"\n\n", 3),
            ("\"\"\n", 1),
            ("a\n1,5\" wide\n2,x\n", 3),
            ("a\n\"a quote that never closes\n1\n2\n", 2),
        ] {
            assert_eq!(count(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_count_is_the_csv_crates(
            bytes in proptest::collection::vec(proptest::sample::select(b"a ,\"\n\r\xc3".to_vec()), 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..4),
        ) {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
            let records: Vec<_> = reader.byte_records().map(Result::unwrap).collect();
            // The exception is tested above, and where parts are merged.
            prop_assume!(records.first().is_none_or(|header| header.len() > 1));
            let expected = records.len() as u64;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(count(&chunks), expected);
        }
    }
}
