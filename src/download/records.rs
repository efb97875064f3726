//! Counting the records of a CSV file while it streams, by the rules of the `csv` crate, which reads parts that are merged:
//! RFC 4180, where a quoted line break does not end a record, and empty lines do not count.

use memchr::{memchr, memchr3};

/// Counts records, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Records {
    ended: u64,
    place: Place,
    /// Whether the record that is being read has any byte.
    has_begun: bool,
}

/// Where in a record the next byte is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field: only there a quote opens a quoted field.
    #[default]
    Beginning,
    /// Within a field, where a quote is a byte like any other.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: another one makes both a byte of the field.
    Quote,
}

impl Records {
    /// Takes the next bytes of the file. A byte order mark must not be among them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let taken = match (self.place, first) {
                (Place::Quoted, _) => {
                    let quote = memchr(b'"', bytes);
                    self.place = quote.map_or(Place::Quoted, |_| Place::Quote);
                    quote.map_or(bytes.len(), |at| at + 1)
                }
                (Place::Beginning | Place::Quote, b'"') => {
                    self.has_begun = true;
                    self.place = Place::Quoted;
                    1
                }
                (Place::Beginning | Place::Plain | Place::Quote, _) => self.take_plain(bytes),
            };
            bytes = &bytes[taken..];
        }
    }

    /// Takes bytes outside of quotes, up to a line break or a quote that opens a field. Returns how many.
    fn take_plain(&mut self, bytes: &[u8]) -> usize {
        let mut from = 0;
        while let Some(found) = memchr3(b'\n', b'\r', b'"', &bytes[from..]) {
            let at = from + found;
            if bytes[at] != b'"' {
                self.ended += u64::from(self.has_begun || at > 0);
                (self.has_begun, self.place) = (false, Place::Beginning);
                return at + 1;
            }
            if at > 0 && bytes[at - 1] == b',' {
                (self.has_begun, self.place) = (true, Place::Beginning);
                return at;
            }
            from = at + 1;
        }
        let is_at_beginning = bytes.last() == Some(&b',');
        (self.has_begun, self.place) = (true, if is_at_beginning { Place::Beginning } else { Place::Plain });
        bytes.len()
    }

    /// How many records there are if the file ends here: the last one needs no line break.
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
