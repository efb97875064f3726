//! The content encoding of a body.

use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::text::Text;

/// The supported encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

impl Encoding {
    /// The encoding of a response. The error names an unsupported one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Text> {
        let word = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let word = word.unwrap_or_default();
        Self::of_word(&word).ok_or_else(|| Text::new(&word))
    }

    /// The encoding of this name, if it is supported.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word.trim() {
            "" => Some(Self::Plain),
            word if word.eq_ignore_ascii_case("identity") => Some(Self::Plain),
            word if ["gzip", "x-gzip"].iter().any(|gzip| word.eq_ignore_ascii_case(gzip)) => Some(Self::Gzip),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn encodings_are_plain_or_gzip() {
        let of = |text: &'static str| {
            Encoding::of(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert_eq!(Encoding::of(&HeaderMap::new()), Ok(Encoding::Plain));
        assert_eq!([of("identity"), of("IDENTITY ")], [Ok(Encoding::Plain), Ok(Encoding::Plain)]);
        assert_eq!([of("gzip"), of("X-Gzip")], [Ok(Encoding::Gzip), Ok(Encoding::Gzip)]);
        assert_eq!([of("br"), of("gzip, gzip")], ["br", "gzip, gzip"].map(|word| Err(Text::new(word))));
    }
}
