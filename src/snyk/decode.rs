//! What an answer's body is once it is decoded, in no more memory than an answer may have.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::text::Text;

/// Takes a body as it comes, and keeps it decoded. We ask for no encoding, but what stands between Snyk and us may
/// answer everybody alike.
pub(super) enum Decoder {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

/// What there is of a body, up to a length.
pub(super) struct Capped {
    bytes: Vec<u8>,
    longest: usize,
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// It is in an encoding that is not known here.
    Encoding(Text),
    /// It is longer than it may be.
    TooLong,
    /// It is damaged.
    Damaged(Text),
}

impl Decoder {
    /// A decoder for the body that `headers` announce, which may have `longest` bytes, decoded too.
    pub(super) fn new(headers: &HeaderMap, longest: usize) -> Result<Self, Undecodable> {
        let capped = Capped { bytes: Vec::new(), longest };
        let encoding = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
        match encoding.as_deref().map(str::trim) {
            None | Some("") => Ok(Self::Plain(capped)),
            Some(word) if word.eq_ignore_ascii_case("identity") => Ok(Self::Plain(capped)),
            Some(word) if ["gzip", "x-gzip"].iter().any(|gzip| word.eq_ignore_ascii_case(gzip)) => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(capped))))
            }
            Some(word) => Err(Undecodable::Encoding(Text::new(word))),
        }
    }

    /// Makes room for a body of this length, so that it need not move while it grows.
    pub(super) fn expect(&mut self, length: usize) {
        if let Self::Plain(capped) = self {
            capped.bytes.reserve_exact(length.min(capped.longest));
        }
    }

    /// Takes what comes next.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Undecodable> {
        let taken = match self {
            Self::Plain(capped) => capped.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        taken.map_err(|error| self.why(&error))
    }

    /// All that came, which was all.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Undecodable> {
        if let Self::Gzip(decoder) = &mut self {
            let ended = decoder.try_finish();
            ended.map_err(|error| self.why(&error))?;
        }
        Ok(self.rest())
    }

    /// As much as could be decoded.
    pub(super) fn rest(self) -> Vec<u8> {
        match self {
            Self::Plain(capped) => capped.bytes,
            Self::Gzip(mut decoder) => {
                // What it has decoded it hands on with the next that it is given.
                let _ = decoder.flush();
                std::mem::take(&mut decoder.get_mut().bytes)
            }
        }
    }

    fn why(&self, error: &std::io::Error) -> Undecodable {
        let capped = match self {
            Self::Plain(capped) => capped,
            Self::Gzip(decoder) => decoder.get_ref(),
        };
        match capped.bytes.len() >= capped.longest {
            true => Undecodable::TooLong,
            false => Undecodable::Damaged(Text::new(&error.to_string())),
        }
    }
}

impl std::io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.longest - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        match (taken.len(), bytes.len()) {
            (0, 1..) => Err(std::io::ErrorKind::FileTooLarge.into()),
            (taken, _) => Ok(taken),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;

    use super::*;

    const LONGEST: usize = 1000;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))])
    }

    /// What comes of a body that comes in pieces of so many bytes.
    fn decoded(encoding: &'static str, body: &[u8], pieces: usize) -> Result<Vec<u8>, Undecodable> {
        let mut decoder = Decoder::new(&headers(encoding), LONGEST)?;
        body.chunks(pieces).try_for_each(|piece| decoder.take(piece))?;
        decoder.finish()
    }

    #[test]
    fn gzip_is_decoded_however_it_comes_in_pieces() {
        let body = b"a status document, say".repeat(20);
        for pieces in [1, 7, 1000] {
            for encoding in ["gzip", "x-gzip", " GZIP "] {
                assert_eq!(decoded(encoding, &gzip(&body), pieces).as_deref(), Ok(&*body));
            }
            assert_eq!(decoded("identity", &body, pieces).as_deref(), Ok(&*body));
        }
        assert_eq!(decoded("br", b"x", 1), Err(Undecodable::Encoding(Text::new("br"))));
    }

    #[test]
    fn nothing_grows_beyond_its_cap() {
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 100 * LONGEST] {
            let body = vec![b' '; length];
            for pieces in [1, 10, 100_000] {
                let both = [decoded("gzip", &gzip(&body), pieces), decoded("", &body, pieces)];
                for decoded in both {
                    let length_or_why = decoded.map(|body| body.len());
                    let expected = if length > LONGEST { Err(Undecodable::TooLong) } else { Ok(length) };
                    assert_eq!(length_or_why, expected, "{length} in {pieces}");
                }
            }
        }
    }

    #[test]
    fn what_is_damaged_says_so_and_keeps_what_came_before() {
        let whole = gzip(b"a status document");
        assert!(matches!(decoded("gzip", b"no gzip at all", 4), Err(Undecodable::Damaged(_))));
        assert!(matches!(decoded("gzip", &whole[..whole.len() - 9], 4), Err(Undecodable::Damaged(_))));
        let mut decoder = Decoder::new(&headers("gzip"), LONGEST).unwrap();
        decoder.take(&whole[..whole.len() - 8]).unwrap();
        assert_eq!(decoder.rest(), b"a status document");
    }

    proptest::proptest! {
        #[test]
        fn never_panics_or_keeps_more_than_the_cap(body: Vec<u8>, pieces in 1_usize..50) {
            let mut decoder = Decoder::new(&headers("gzip"), LONGEST).unwrap();
            let mut bytes = gzip(&[]);
            bytes.truncate(10);
            bytes.extend(body);
            let _ = bytes.chunks(pieces).try_for_each(|piece| decoder.take(piece));
            proptest::prop_assert!(decoder.rest().len() <= LONGEST);
        }
    }
}
