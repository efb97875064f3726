//! Decodes the body of an answer, within the memory that an answer may take.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;
use reqwest::header::HeaderMap;

use super::sieve::{Listed, Sieve};
use crate::http::Encoding;
use crate::text::Text;
use crate::watch::observation::{Failure, Problem};

/// Takes a body chunk by chunk, and keeps it decoded. We request no encoding, but a proxy may encode all the same.
pub(super) enum Decoder {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

/// What is kept of a body, up to a length.
pub(super) struct Capped {
    sieve: Option<Sieve>,
    is_too_long: bool,
}

impl Decoder {
    /// A decoder for the body that `headers` announce. Decoded, it goes into `sieve`.
    pub(super) fn new(headers: &HeaderMap, sieve: Sieve) -> Result<Self, Failure> {
        let capped = Capped { sieve: Some(sieve), is_too_long: false };
        match Encoding::of(headers) {
            Ok(Encoding::Plain) => Ok(Self::Plain(capped)),
            Ok(Encoding::Gzip) => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(capped)))),
            Err(other) => {
                let title = "the answer comes in an encoding that was not asked for";
                Err(Failure::transient(title, other.as_str()))
            }
        }
    }

    /// Reserves memory for a body of this length.
    pub(super) fn expect(&mut self, length: usize) {
        if let Self::Plain(capped) = self {
            capped.sieve.iter_mut().for_each(|sieve| sieve.expect(length));
        }
    }

    /// Takes the next chunk.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let taken = match self {
            Self::Plain(capped) => capped.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        taken.map_err(|error| self.why(&error))
    }

    /// The whole body, after its last chunk.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Listed), Failure> {
        if let Self::Gzip(decoder) = &mut self {
            let ended = decoder.try_finish();
            ended.map_err(|error| self.why(&error))?;
        }
        Ok(self.rest())
    }

    /// What could be decoded of it.
    pub(super) fn rest(self) -> (Vec<u8>, Listed) {
        let sieve = match self {
            Self::Plain(capped) => capped.sieve,
            Self::Gzip(mut decoder) => {
                // Otherwise the decoder keeps its last output until more input comes.
                let _ = decoder.flush();
                decoder.get_mut().sieve.take()
            }
        };
        sieve.map(Sieve::finish).unwrap_or_default()
    }

    fn why(&self, error: &std::io::Error) -> Failure {
        let capped = match self {
            Self::Plain(capped) => capped,
            Self::Gzip(decoder) => decoder.get_ref(),
        };
        match capped.is_too_long {
            true => too_long(),
            false => Failure::transient("the answer is damaged", &error.to_string()),
        }
    }
}

/// The answer is longer than an answer may be.
pub(super) fn too_long() -> Failure {
    let detail = "over 1 MiB besides its list of files, or over 16 MiB with it, where a status document has about 1 KiB";
    let cure = "an answer of Snyk's is shorter: look at what answers in its place, such as a proxy; if it is Snyk's, start \
        an export of fewer rows";
    let failure = Failure::transient("the answer is too long", detail);
    Failure { problem: Problem { cure: Text::non_empty(cure), ..failure.problem }, ..failure }
}

impl std::io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.is_too_long |= !self.sieve.as_mut().is_some_and(|sieve| sieve.take(bytes));
        if self.is_too_long { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::{CONTENT_ENCODING, HeaderValue};

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

    /// A body, decoded from chunks of this size; or the title of the failure.
    fn decoded(encoding: &'static str, body: &[u8], pieces: usize) -> Result<Vec<u8>, String> {
        let title = |failure: Failure| failure.problem.title.unwrap().to_string();
        let decode = || {
            let mut decoder =
                Decoder::new(&headers(encoding), Sieve::new(|_, _| None, false).up_to(LONGEST))?;
            body.chunks(pieces).try_for_each(|piece| decoder.take(piece))?;
            decoder.finish().map(|(rest, _)| rest)
        };
        decode().map_err(title)
    }

    #[test]
    fn gzip_is_decoded_whatever_the_size_of_its_chunks() {
        let body = b"a status document, say".repeat(20);
        for pieces in [1, 7, 1000] {
            for encoding in ["gzip", "x-gzip", " GZIP "] {
                assert_eq!(decoded(encoding, &gzip(&body), pieces).as_deref(), Ok(&*body));
            }
            assert_eq!(decoded("identity", &body, pieces).as_deref(), Ok(&*body));
        }
        assert!(decoded("br", b"x", 1).unwrap_err().contains("encoding"));
    }

    #[test]
    fn nothing_grows_beyond_its_cap() {
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 100 * LONGEST] {
            let body = vec![b' '; length];
            for pieces in [1, 10, 100_000] {
                let both = [decoded("gzip", &gzip(&body), pieces), decoded("", &body, pieces)];
                for decoded in both {
                    let length_or_why = decoded.map(|body| body.len());
                    let expected =
                        if length > LONGEST { Err("the answer is too long".to_owned()) } else { Ok(length) };
                    assert_eq!(length_or_why, expected, "{length} in {pieces}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_body_is_reported_and_what_came_before_is_kept() {
        let whole = gzip(b"a status document");
        assert_eq!(decoded("gzip", b"no gzip at all", 4).unwrap_err(), "the answer is damaged");
        assert_eq!(decoded("gzip", &whole[..whole.len() - 9], 4).unwrap_err(), "the answer is damaged");
        let mut decoder =
            Decoder::new(&headers("gzip"), Sieve::new(|_, _| None, false).up_to(LONGEST)).unwrap();
        decoder.take(&whole[..whole.len() - 8]).unwrap();
        assert_eq!(decoder.rest().0, b"a status document");
    }

    proptest::proptest! {
        #[test]
        fn never_panics_or_keeps_more_than_the_cap(body: Vec<u8>, pieces in 1_usize..50) {
            let mut decoder = Decoder::new(&headers("gzip"), Sieve::new(|_, _| None, false).up_to(LONGEST)).unwrap();
            let mut bytes = gzip(&[]);
            bytes.truncate(10);
            bytes.extend(body);
            let _ = bytes.chunks(pieces).try_for_each(|piece| decoder.take(piece));
            proptest::prop_assert!(decoder.rest().0.len() <= LONGEST);
        }
    }
}
