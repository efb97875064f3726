//! Checksums that storage sends with a file. They are checked over the bytes as they are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use reqwest::header::{HeaderMap, HeaderName};

use super::inspect::Unfit;
use crate::http::Encoding;

/// Google's checksums. They are of the whole file as it is stored, even if only a part of it is sent.
const GOOG_HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// The encoding in which Google stores the file.
const GOOG_STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");

/// The MD5 of what is sent.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// The checksum that a file must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32c(u32),
    Md5([u8; 16]),
}

/// What an answer says about the checksum of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Announced {
    /// Nothing that this version knows.
    #[default]
    Nothing,
    /// This is its checksum.
    Checksum(Checksum),
    /// The checksum is of other bytes: the file is stored in another encoding than it is sent.
    OfOtherBytes,
}

impl Announced {
    /// What headers say. With `is_whole` the answer holds the whole file. CRC-32C is preferred: it costs almost nothing, and
    /// MD5 costs more than SHA-256.
    pub(super) fn in_headers(headers: &HeaderMap, encoding: Encoding, is_whole: bool) -> Self {
        let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let google = |name: &str| {
            let mut hashes = texts(GOOG_HASH).flat_map(|text| text.split(','));
            hashes.find_map(|hash| {
                hash.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, hash)| hash)
            })
        };
        let google = google("crc32c").and_then(crc32c).or_else(|| google("md5").and_then(md5));
        let stored = texts(GOOG_STORED_ENCODING).next().and_then(Encoding::of_word);
        match google {
            Some(_) if stored.is_some_and(|stored| stored != encoding) => Self::OfOtherBytes,
            Some(checksum) => Self::Checksum(checksum),
            None => {
                let sent = texts(CONTENT_MD5).next().filter(|_| is_whole);
                sent.and_then(md5).map_or(Self::Nothing, Self::Checksum)
            }
        }
    }

    /// The checksum, if there is one.
    pub(super) const fn checksum(self) -> Option<Checksum> {
        match self {
            Self::Checksum(checksum) => Some(checksum),
            Self::Nothing | Self::OfOtherBytes => None,
        }
    }
}

fn bytes<const N: usize>(base64: &str) -> Option<[u8; N]> {
    STANDARD.decode(base64.trim()).ok()?.try_into().ok()
}

fn crc32c(base64: &str) -> Option<Checksum> {
    bytes(base64).map(u32::from_be_bytes).map(Checksum::Crc32c)
}

fn md5(base64: &str) -> Option<Checksum> {
    bytes(base64).map(Checksum::Md5)
}

/// A checksum that is being checked.
pub(super) enum Check {
    Crc32c { expected: u32, sum: u32 },
    Md5 { expected: [u8; 16], sum: Md5 },
}

impl Check {
    pub(super) fn begin(checksum: Checksum) -> Self {
        match checksum {
            Checksum::Crc32c(expected) => Self::Crc32c { expected, sum: 0 },
            Checksum::Md5(expected) => Self::Md5 { expected, sum: Md5::new() },
        }
    }

    /// Takes the next bytes as they were sent.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32c { sum, .. } => *sum = crc32c::crc32c_append(*sum, bytes),
            Self::Md5 { sum, .. } => sum.update(bytes),
        }
    }

    /// Compares the sum with the expected one.
    pub(super) fn end(self) -> Result<(), Unfit> {
        let (is_right, name) = match self {
            Self::Crc32c { expected, sum } => (sum == expected, "CRC-32C"),
            Self::Md5 { expected, sum } => (sum.finalize()[..] == expected, "MD5"),
        };
        if is_right { Ok(()) } else { Err(Unfit::Damaged(name)) }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// Of `123456789`.
    const CRC32C: Checksum = Checksum::Crc32c(0xE306_9283);
    const MD5: &str = "JfnnlDI7RTiF9RgfG2JNCw==";

    fn announced(headers: &[(&'static str, &'static str)], encoding: Encoding, is_whole: bool) -> Announced {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Announced::in_headers(&map, encoding, is_whole)
    }

    #[test]
    fn the_checksum_is_found_wherever_it_stands() {
        let of_md5 = md5(MD5).unwrap();
        type Headers = &'static [(&'static str, &'static str)];
        let rows: [(Headers, Option<Checksum>); 9] = [
            (&[], None),
            (&[("x-goog-hash", "crc32c=4waSgw==")], Some(CRC32C)),
            (&[("x-goog-hash", "crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfG2JNCw==")], Some(CRC32C)),
            (&[("x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw==, crc32c=4waSgw==")], Some(CRC32C)),
            (
                &[("x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw=="), ("x-goog-hash", "crc32c=4waSgw==")],
                Some(CRC32C),
            ),
            (&[("x-goog-hash", "crc32c=odd,md5=JfnnlDI7RTiF9RgfG2JNCw==")], Some(of_md5)),
            (&[("content-md5", MD5)], Some(of_md5)),
            (&[("content-md5", MD5), ("x-goog-hash", "sha9=JfnnlDI7RTiF9RgfG2JNCw==")], Some(of_md5)),
            (&[("content-md5", "4waSgw==")], None),
        ];
        for (headers, expected) in rows {
            assert_eq!(announced(headers, Encoding::Plain, true).checksum(), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_checksum_of_other_bytes_is_not_compared() {
        let google = ("x-goog-hash", "crc32c=4waSgw==");
        let rows = [
            (
                &[google, ("x-goog-stored-content-encoding", "gzip")],
                Encoding::Gzip,
                Announced::Checksum(CRC32C),
            ),
            (&[google, ("x-goog-stored-content-encoding", "gzip")], Encoding::Plain, Announced::OfOtherBytes),
            (
                &[google, ("x-goog-stored-content-encoding", "identity")],
                Encoding::Gzip,
                Announced::OfOtherBytes,
            ),
            (
                &[google, ("x-goog-stored-content-encoding", "identity")],
                Encoding::Plain,
                Announced::Checksum(CRC32C),
            ),
        ];
        for (headers, encoding, expected) in rows {
            assert_eq!(announced(headers, encoding, true), expected, "{headers:?} {encoding:?}");
        }
        // `Content-MD5` is of the part that is sent; Google's checksums are of the whole file.
        assert_eq!(announced(&[("content-md5", MD5)], Encoding::Plain, false), Announced::Nothing);
        assert_eq!(announced(&[google], Encoding::Plain, false), Announced::Checksum(CRC32C));
    }

    #[test]
    fn a_byte_that_differs_is_found() {
        for checksum in [CRC32C, md5(MD5).unwrap()] {
            for (text, is_right) in
                [("123456789", true), ("123456780", false), ("12345678", false), ("", false)]
            {
                let mut check = Check::begin(checksum);
                let (head, tail) = text.as_bytes().split_at(text.len() / 2);
                check.take(head);
                check.take(tail);
                assert_eq!(check.end().is_ok(), is_right, "{checksum:?} {text}");
            }
        }
    }
}
