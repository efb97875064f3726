//! Signed download links and the files behind them, like those of Google Cloud Storage.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::strtime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::files::{Encoding, StoredFile};
use super::http::{Request, Response};
use super::scenario::Scenario;

const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Signs links and checks them. The signature is a keyed hash that detects tampering, nothing more: it
/// protects made-up rows on loopback.
#[derive(Debug)]
pub(super) struct Signer {
    secret: u64,
    /// The answer to an expired link.
    expired_status_code: u16,
}

impl Signer {
    pub(super) fn new(secret: u64, expired_status_code: u16) -> Signer {
        Signer { secret, expired_status_code }
    }

    /// A link to a part of an export, valid for `expires`, in whole seconds.
    pub(super) fn link(
        &self,
        base_url: &str,
        export_id: Uuid,
        part: usize,
        now: Timestamp,
        expires: Duration,
    ) -> String {
        let path = format!("/storage/{export_id}/data_1_1_{part}.csv");
        let (date, expires) = (now.strftime(DATE_FORMAT).to_string(), expires.as_secs().to_string());
        let credential = format!("simulator%2F{}%2Fauto%2Fstorage%2Fgoog4_request", &date[..8]);
        let signature = self.sign(&path, &date, &expires);
        format!(
            "{base_url}{path}?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential={credential}\
             &X-Goog-Date={date}&X-Goog-Expires={expires}&X-Goog-SignedHeaders=host\
             &X-Goog-Signature={signature}"
        )
    }

    /// Checks the link of a request; an answer is a refusal.
    pub(super) fn check(&self, request: &Request, now: Timestamp) -> Result<(), Response> {
        if request.header("authorization").is_some() {
            let message = "A signed link takes no Authorization header.";
            return Err(refusal(400, "InvalidArgument", message));
        }
        let parameter = |name: &str| request.parameter(name).unwrap_or_default();
        let (date, expires) = (parameter("X-Goog-Date"), parameter("X-Goog-Expires"));
        if parameter("X-Goog-Signature") != self.sign(request.path(), &date, &expires) {
            let message = "Access denied. The request signature we calculated does not match.";
            return Err(refusal(403, "SignatureDoesNotMatch", message));
        }
        match expiry(&date, &expires) {
            Some(expiry) if now < expiry => Ok(()),
            _ => Err(refusal(self.expired_status_code, "ExpiredToken", "The provided token has expired.")),
        }
    }

    fn sign(&self, path: &str, date: &str, expires: &str) -> String {
        let block = |round: u64| {
            let mut hasher = DefaultHasher::new();
            (self.secret, round, path, date, expires).hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        };
        (0..4).map(block).collect()
    }
}

/// Serves a file, or the requested range of it, as the scenario says.
pub(super) fn serve(request: &Request, file: &StoredFile, scenario: &Scenario) -> Response {
    let length = file.bytes.len();
    let unchanged =
        request.header("if-range").is_none_or(|known| scenario.storage_etag && known == file.etag);
    let wanted = request
        .header("range")
        .filter(|_| unchanged && scenario.storage_ranges)
        .and_then(|text| parse_range(text, length));
    let mut response = match wanted {
        None => Response::new(200, "text/csv", &file.bytes[..]).with_note(format!("{length} bytes")),
        Some(Ok((first, last))) => Response::new(206, "text/csv", &file.bytes[first..=last])
            .with_header("content-range", format!("bytes {first}-{last}/{length}"))
            .with_note(format!("bytes {first} to {last} of {length}")),
        Some(Err(Unsatisfiable)) => {
            return refusal(416, "InvalidRange", "The requested range cannot be satisfied.")
                .with_header("content-range", format!("bytes */{length}"));
        }
    };
    response.framing = scenario.storage_framing;
    if scenario.storage_ranges {
        response.set_header("accept-ranges", "bytes");
    }
    if scenario.storage_etag {
        response.set_header("etag", file.etag.as_str());
    }
    if file.encoding == Encoding::Gzip {
        response.set_header("content-encoding", file.encoding.as_str());
    }
    if scenario.storage_hash {
        let hash = STANDARD.encode(file.crc32c.to_be_bytes());
        response.set_header("x-goog-hash", format!("crc32c={hash}"));
        // Each file has its own, as at Google.
        response.set_header("x-goog-generation", file.crc32c.to_string());
        response.set_header("x-goog-stored-content-encoding", file.encoding.as_str());
    }
    response
}

/// Google's answer for a missing file.
pub(super) fn absent() -> Response {
    refusal(404, "NoSuchKey", "The specified key does not exist.")
}

/// Google's answer with a status code of a script.
pub(super) fn trouble(status_code: u16) -> Response {
    let (code, message) = match status_code {
        403 => ("AccessDenied", "Access denied."),
        404 => return absent(),
        400..=428 => ("InvalidArgument", "Invalid argument."),
        429 | 503 => ("SlowDown", "Please reduce your request rate."),
        _ => ("InternalError", "We encountered an internal error. Please try again."),
    };
    refusal(status_code, code, message)
}

fn refusal(status_code: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Response::new(status_code, "application/xml; charset=UTF-8", body).with_note(code)
}

fn expiry(date: &str, expires: &str) -> Option<Timestamp> {
    let date = strtime::parse(DATE_FORMAT, date).ok()?.to_datetime().ok()?;
    let signed = Offset::UTC.to_timestamp(date).ok()?;
    signed.checked_add(SignedDuration::from_secs(expires.parse().ok()?)).ok()
}

/// A range that lies beyond the end of the file.
#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// The first and last byte that a `Range` header means. Ranges that we do not serve (several at once, or
/// malformed) are ignored, as HTTP allows.
fn parse_range(text: &str, length: usize) -> Option<Result<(usize, usize), Unsatisfiable>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = if first.is_empty() {
        let count: usize = last.parse().ok()?;
        (length.saturating_sub(count), length.checked_sub(1).filter(|_| count > 0))
    } else {
        let last: usize = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
        (first.parse().ok()?, length.checked_sub(1).map(|end| end.min(last)))
    };
    Some(match range {
        (first, Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Unsatisfiable),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        let rows = [
            ("bytes=0-3", Some(Ok((0, 3)))),
            ("bytes=4-", Some(Ok((4, 9)))),
            ("bytes=8-99", Some(Ok((8, 9)))),
            ("bytes=-3", Some(Ok((7, 9)))),
            ("bytes=-99", Some(Ok((0, 9)))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=-0", Some(Err(Unsatisfiable))),
            ("bytes=0-1,4-5", None),
            ("lines=0-1", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Some(Err(Unsatisfiable)));
    }

    #[test]
    fn a_link_works_until_it_expires_and_only_as_it_was_signed() {
        let signer = Signer::new(7, 400);
        let now: Timestamp = "2026-02-12T20:09:47.5Z".parse().unwrap();
        let link = signer.link("", Uuid::nil(), 0, now, Duration::from_secs(60));
        let check = |target: &str, second: i64| {
            let request = Request { target: target.to_owned(), ..Request::default() };
            let later = now.checked_add(SignedDuration::from_secs(second)).unwrap();
            signer.check(&request, later).err().map(|response| response.note)
        };
        assert!(link.contains("X-Goog-Date=20260212T200947Z&X-Goog-Expires=60&"), "{link}");
        assert_eq!(check(&link, 59), None);
        assert_eq!(check(&link, 60).as_deref(), Some("ExpiredToken"));
        let request = Request { target: link.clone(), ..Request::default() };
        assert_eq!(signer.check(&request, Timestamp::MAX).unwrap_err().status_code, 400);
        for tampered in [link.replace("s=60", "s=61"), link.replace("_0.csv", "_1.csv")] {
            assert_eq!(check(&tampered, 1).as_deref(), Some("SignatureDoesNotMatch"));
        }
    }
}
