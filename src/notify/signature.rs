//! Signatures by the Standard Webhooks specification. A receiver checks with them who sent an event, and that nobody changed
//! it.

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

/// What a key begins with.
const PREFIX: &str = "whsec_";

/// Keys are decoded as the reference libraries decode them: with or without the `=` at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that sign events: one, or several while one replaces another.
#[derive(Clone)]
pub struct SigningKey(Vec<hmac::Key>);

/// A text is not a signing key. The text itself is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why}; a signing key is whsec_ and 24 to 64 bytes in Base64, as this makes one: \
     echo \"whsec_$(openssl rand -base64 32)\""
)]
pub struct SigningKeyError {
    why: String,
}

impl SigningKey {
    /// The keys in `text`, separated by blanks or lines. All of them sign, so that receivers can change from one to another at
    /// any time.
    ///
    /// # Errors
    ///
    /// If there is none, or one of them is not a key.
    pub fn new(text: &str) -> Result<Self, SigningKeyError> {
        let keys: Vec<&str> = text.split_whitespace().collect();
        let error = |why: String| SigningKeyError { why };
        if keys.is_empty() {
            return Err(error("there is no signing key".to_owned()));
        }
        let key = |(index, key): (usize, &&str)| {
            let which = if keys.len() == 1 { "the key".to_owned() } else { format!("key {}", index + 1) };
            let encoded = key.strip_prefix(PREFIX);
            let encoded = encoded.ok_or_else(|| error(format!("{which} does not begin with {PREFIX}")))?;
            let bytes = LENIENT.decode(encoded);
            let bytes =
                bytes.map_err(|_| error(format!("what follows {PREFIX} in {which} is not Base64")))?;
            if !(24..=64).contains(&bytes.len()) {
                return Err(error(format!("{which} has {} bytes", bytes.len())));
            }
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        keys.iter().enumerate().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The header `webhook-signature` for a `body` that is sent under `id` at `timestamp`, in seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let content = format!("{id}.{timestamp}.{body}");
        let signature =
            |key: &hmac::Key| format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(key, content.as_bytes())));
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn signs_as_the_reference_library_does() {
        // Made with standardwebhooks 1.1.0 for Python. The first is also the example of its documentation.
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(SigningKey::new(KEY).unwrap().sign(id, at, body), one);
        let two = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=";
        assert_eq!(SigningKey::new(OTHER).unwrap().sign(id, at, body), two);
        for separator in [" ", "\n", " \r\n\t"] {
            let both = SigningKey::new(&format!(" {KEY}{separator}{OTHER}\n")).unwrap();
            assert_eq!(both.sign(id, at, body), format!("{one} {two}"));
        }
        let unpadded = OTHER.trim_end_matches('=');
        assert_eq!(SigningKey::new(unpadded).unwrap().sign(id, at, body), two);
    }

    #[test]
    fn rejects_what_is_not_a_key_without_showing_it() {
        let of_length = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        let rows = [
            (" \n".to_owned(), "there is no signing key"),
            ("hunter2".to_owned(), "the key does not begin with whsec_"),
            ("WHSEC_MfKQ".to_owned(), "the key does not begin with whsec_"),
            ("whsec_hunter2!".to_owned(), "what follows whsec_ in the key is not Base64"),
            (of_length(23), "the key has 23 bytes"),
            (of_length(65), "the key has 65 bytes"),
            (format!("{KEY}\nhunter2"), "key 2 does not begin with whsec_"),
        ];
        for (text, why) in rows {
            let error = SigningKey::new(&text).unwrap_err().to_string();
            assert!(error.starts_with(why) && error.contains("openssl rand -base64 32"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!([24, 64].into_iter().all(|bytes| SigningKey::new(&of_length(bytes)).is_ok()));
        assert_eq!(format!("{:?}", SigningKey::new(KEY).unwrap()), "***");
    }
}
