//! Counts the records of a CSV file while it is written, by the rules of the `csv` crate, which merges parts: RFC 4180, where
//! a quoted line break does not end a record, and empty lines do not count.

use memchr::memchr3_iter;

/// Counts records, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Records {
    ended: u64,
    place: Place,
    /// Whether the record that is being read has any byte.
    has_begun: bool,
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

impl Records {
    /// Takes the next bytes of the file. A byte order mark must not be among them.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for at in memchr3_iter(b'\n', b'\r', b'"', bytes) {
            self.pass(&bytes[from..at]);
            self.meet(bytes[at]);
            from = at + 1;
        }
        self.pass(&bytes[from..]);
    }

    /// Skips bytes that are neither quotes nor line breaks.
    fn pass(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last().filter(|_| self.place != Place::Quoted) else { return };
        self.has_begun = true;
        self.place = if *last == b',' { Place::Beginning } else { Place::Plain };
    }

    /// Handles a quote or a line break.
    fn meet(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::Plain, b'"') => Place::Plain,
            (Place::Beginning | Place::Quote, b'"') => {
                self.has_begun = true;
                Place::Quoted
            }
            (Place::Beginning | Place::Plain | Place::Quote, _) => {
                self.ended += u64::from(self.has_begun);
                self.has_begun = false;
                Place::Beginning
            }
        };
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
            ("a\n\n\n1\n", 2),
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
            let expected = reader.byte_records().map(Result::unwrap).count() as u64;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(count(&chunks), expected);
        }
    }
}
