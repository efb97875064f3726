//! The validity of a certificate (RFC 5280 §4.1.2.5), which the TLS verifier does not report.

use std::time::Duration;

use jiff::civil::DateTime;
use rustls::pki_types::UnixTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Validity {
    /// Reads it from a certificate in DER; `None` if the data is not a certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(certificate).expect(SEQUENCE)?);
        let mut to_be_signed = Reader(certificate.expect(SEQUENCE)?);
        // An optional version; then the serial number, the signature algorithm, and the issuer.
        if to_be_signed.0.first() == Some(&VERSION) {
            to_be_signed.next()?;
        }
        for _ in 0..3 {
            to_be_signed.next()?;
        }
        let mut validity = Reader(to_be_signed.expect(SEQUENCE)?);
        Some(Self { not_before: time(validity.next()?)?, not_after: time(validity.next()?)? })
    }
}

/// The rest of the data. Each value has a tag, a length, and that many bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // The length of the length, in bytes. Four are enough for every certificate.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

/// A time in UTC: `YYMMDDhhmmssZ` from 1950 to 2049, or with a year of four digits.
fn time((tag, text): (u8, &[u8])) -> Option<UnixTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        UTC_TIME if text.len() == 12 => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME if text.len() == 14 => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    let since_epoch = time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    // A time before 1970 counts as 1970: it is in the past anyway.
    Some(UnixTime::since_unix_epoch(Duration::try_from(since_epoch).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["x.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 2, 28), date_time_ymd(until, 12, 31));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn is_read_in_either_form_of_a_time() {
        // Midnight of 28 February, and of 31 December.
        for (from, until, not_before, not_after) in [
            (2024, 2026, 1_709_078_400, 1_798_675_200),
            (1999, 2049, 920_160_000, 2_524_521_600),
            (2050, 9999, 2_529_619_200, 253_402_214_400),
            (1950, 1970, 0, 31_449_600),
        ] {
            let validity = Validity::of(&certificate(from, until)).unwrap();
            let seconds = (validity.not_before.as_secs(), validity.not_after.as_secs());
            assert_eq!(seconds, (not_before, not_after), "{from} to {until}");
        }
    }

    #[test]
    fn what_is_cut_off_has_none() {
        let whole = certificate(2024, 2026);
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>, at: usize, byte: u8) {
            let _ = Validity::of(&bytes);
            bytes = certificate(2024, 2026);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Validity::of(&bytes);
        }
    }
}
