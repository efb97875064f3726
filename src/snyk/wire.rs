//! Status documents. Only `data.attributes.status` is required. Other members are read if they make sense, and ignored if
//! they do not.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::sieve::{Listed, Sieve};
use crate::export::{Status, parse_id};
use crate::secret::Link;
use crate::text::{Text, has_our_secret};
use crate::watch::observation::{Part, Report};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    attributes: Attributes<'a>,
}

/// Members stay raw until each is read by itself, so that one that is wrong does not spoil the others.
#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    row_count: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPart<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    file_size: Option<&'a RawValue>,
    #[serde(borrow)]
    row_count: Option<&'a RawValue>,
}

/// Reads a status document; `None` if it holds no status word. Without `keeps_links` signed links are not kept.
#[must_use]
pub fn report(body: &[u8], keeps_links: bool) -> Option<Report> {
    let mut sieve = sieve(keeps_links);
    if !sieve.take(body) {
        return None;
    }
    let (rest, listed) = sieve.finish();
    report_of(&rest, listed)
}

/// Takes a status document while it arrives.
pub(super) fn sieve(keeps_links: bool) -> Sieve {
    Sieve::new(read_part, keeps_links)
}

/// Reads a status document whose results were read already.
pub(super) fn report_of(rest: &[u8], listed: Listed) -> Option<Report> {
    let rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    if !listed.is_sound() {
        return None;
    }
    let Document { data: Data { attributes } } = serde_json::from_slice(rest).ok()?;
    Some(Report {
        status: Status::new(&string(attributes.status)?)?,
        created: attributes.created.and_then(string).and_then(|created| utc(&created)),
        row_count: attributes.row_count.and_then(number),
        results: attributes
            .results
            .filter(|results| results.get().starts_with('['))
            .and_then(|_| listed.parts()),
        error: attributes.error.and_then(text),
    })
}

/// The id of the export in the answer to its start, and when it was created.
#[must_use]
pub fn created(body: &[u8]) -> Option<(Uuid, Option<String>)> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Created<'a>,
    }
    #[derive(Deserialize)]
    struct Created<'a> {
        id: String,
        #[serde(borrow)]
        attributes: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct When<'a> {
        #[serde(borrow)]
        created: Option<&'a RawValue>,
    }
    let Answer { data } = serde_json::from_slice(body).ok()?;
    let when: Option<When<'_>> = data.attributes.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let created = when.and_then(|when| when.created).and_then(string).and_then(|created| utc(&created));
    let id = parse_id(&data.id).filter(|id| !has_our_secret(&id.to_string()))?;
    Some((id, created))
}

/// A JSON string.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A JSON value as text: the content of a string; anything else as it is written, but not null or an empty value.
pub(super) fn text(raw: &RawValue) -> Option<Text> {
    match string(raw) {
        Some(string) => Text::non_empty(&string),
        None if matches!(raw.get(), "null" | "{}" | "[]") => None,
        None => Text::non_empty(raw.get()),
    }
}

/// A whole number, or one in a string.
fn number(raw: &RawValue) -> Option<u64> {
    serde_json::from_str(raw.get()).ok().or_else(|| string(raw)?.trim().parse().ok())
}

/// A timestamp in any form of ISO 8601, as RFC 3339 in UTC with milliseconds. Without a zone it is taken as UTC, as Snyk
/// means it. Times before the Unix epoch are ignored.
fn utc(created: &str) -> Option<String> {
    let created = created.trim();
    let without_zone = || TimeZone::UTC.to_timestamp(created.parse::<jiff::civil::DateTime>()?);
    let timestamp = created.parse::<Timestamp>().or_else(|_| without_zone()).ok()?;
    (timestamp >= Timestamp::UNIX_EPOCH).then(|| format!("{timestamp:.3}"))
}

/// A part: an object, or a bare link. `None` if it is not JSON.
fn read_part(bytes: &[u8], keeps_links: bool) -> Option<Part> {
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    let object: RawPart<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let link = string(object.url.unwrap_or(raw)).and_then(|url| Link::parse(&url));
    Some(Part {
        expires_at: link.as_ref().and_then(Link::expires_at),
        link: link.filter(|_| keeps_links),
        file_size: object.file_size.and_then(number),
        row_count: object.row_count.and_then(number),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sieve::{MAX_DEPTH, MAX_PARTS};
    use super::*;
    use crate::secret::Secret;

    fn status_of(body: &str) -> Option<String> {
        report(body.as_bytes(), true).map(|report| report.status.to_string())
    }

    #[test]
    fn needs_nothing_but_the_status() {
        assert_eq!(status_of(r#"{"data":{"attributes":{"status":"STARTED"}}}"#).as_deref(), Some("STARTED"));
        assert_eq!(status_of("\u{feff}{\"data\":{\"attributes\":{\"status\":\"X\"}}}").as_deref(), Some("X"));
        let odd = r#"{"data":{"id":5,"attributes":{"status":" finished ","created":7,"row_count":"x","results":{},
            "error":null,"formats":"csv"}},"links":[]}"#;
        let report = report(odd.as_bytes(), true).unwrap();
        assert_eq!(report.status.as_str(), "FINISHED");
        assert_eq!(
            (report.created, report.row_count, report.results, report.error),
            (None, None, None, None)
        );
    }

    #[test]
    fn finds_no_status_where_none_is() {
        let bodies = [
            "",
            " \n ",
            "null",
            "[]",
            "<html>ready</html>",
            r#"{"data":{"attributes":{"status":"FINISHED"}"#,
            r#"{"data":{"attributes":{}}}"#,
            r#"{"data":{"attributes":{"status":null}}}"#,
            r#"{"data":{"attributes":{"status":""}}}"#,
            r#"{"data":{"attributes":{"status":7}}}"#,
            r#"{"data":{"attributes":{"status":["FINISHED"]}}}"#,
            r#"{"data":[{"attributes":{"status":"FINISHED"}}]}"#,
            r#"{"status":"FINISHED"}"#,
            r#"{"data":{"attributes":{"status":"FINISHED"}}} trailing"#,
        ];
        for body in bodies {
            assert_eq!(status_of(body), None, "{body}");
        }
        let balanced = format!(
            r#"{{"data":{{"attributes":{{"status":"X","y":{}{}}}}}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        );
        assert_eq!(status_of(&balanced), None);
        assert_eq!(status_of(r#"{"data":{"attributes":{"status":"X","y":"[[\"["}}}"#).as_deref(), Some("X"));
        let deep = "[".repeat(100_000);
        assert_eq!(status_of(&format!(r#"{{"data":{{"attributes":{{"status":"X","y":{deep}"#)), None);
    }

    #[test]
    fn counts_levels_but_not_brackets_in_strings() {
        let with =
            |value: &str| status_of(&format!(r#"{{"data":{{"attributes":{{"status":"X","y":{value}}}}}}}"#));
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        let left = MAX_DEPTH - 3;
        assert!(with(&nested(left)).is_some());
        assert_eq!(with(&nested(left + 1)), None);
        assert!(with(&format!("[{}[]]", "[],{},".repeat(100))).is_some(), "side by side");
        let brackets = "[{".repeat(100);
        for text in [brackets.clone(), format!(r#"\"{brackets}"#), format!(r#"\\","z":"{brackets}"#)] {
            assert!(with(&format!("\"{text}\"")).is_some(), "{text}");
        }
    }

    #[test]
    fn reads_a_real_finished_document() {
        let body = r#"{"data":{"type":"export","id":"7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b","attributes":{
            "status":"FINISHED","row_count":1061,"results":[
            {"url":"https://bucket.example/x.csv?X-Goog-Signature=s","file_size":1328,"row_count":"3"},
            "https://bucket.example/y.csv", 7]}}}"#;
        let report = report(body.as_bytes(), true).unwrap();
        assert_eq!(report.row_count, Some(1061));
        let parts = report.results.unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!((parts[0].file_size, parts[0].row_count), (Some(1328), Some(3)));
        assert_eq!(parts[1].link.as_ref().unwrap().show(), "https://bucket.example/y.csv");
        assert_eq!(parts[2], Part::default());
        let hostile = r#"{"data":{"attributes":{"status":"FINISHED","results":["::warning::x","javascript:x",
            "https://b.example/\u001b[31m\u202e\n::x"]}}}"#;
        let hostile = super::report(hostile.as_bytes(), true).unwrap().results.unwrap();
        let urls: Vec<_> = hostile.iter().map(|part| part.link.as_ref().map(Link::show)).collect();
        assert_eq!(urls[..2], [None, None]);
        assert!(urls[2].as_ref().unwrap().chars().all(|char| char.is_ascii_graphic()), "{urls:?}");
        let without = super::report(body.as_bytes(), false).unwrap().results.unwrap();
        assert!(without.iter().all(|part| part.link.is_none()) && without[0].file_size == Some(1328));
    }

    #[test]
    fn knows_when_the_first_link_expires_even_if_links_are_not_kept() {
        let link = |seconds| {
            format!("\"https://b.example/x?X-Goog-Date=20260212T200947Z&X-Goog-Expires={seconds}\"")
        };
        let expiry = |results: &str| {
            let body = format!(r#"{{"data":{{"attributes":{{"status":"FINISHED","results":{results}}}}}}}"#);
            [true, false].map(|links| {
                report(body.as_bytes(), links).unwrap().links_expire_at().map(|at| at.to_string())
            })
        };
        let at = |text: &str| [Some(text.to_owned()), Some(text.to_owned())];
        let part = format!("{{\"url\":{},\"row_count\":3}}", link(60));
        assert_eq!(expiry(&format!("[{part}]")), at("2026-02-12T20:10:47.000Z"));
        let several = format!("[{}, {part}, \"https://b.example/unsigned\", 7]", link(3600));
        assert_eq!(expiry(&several), at("2026-02-12T20:10:47.000Z"));
        for none in
            ["[]", "null", "[\"https://b.example/unsigned\"]", "[7]", "[\"ftp://b/x?Expires=1770930587\"]"]
        {
            assert_eq!(expiry(none), [None, None], "{none}");
        }
    }

    #[test]
    fn finds_the_id_of_a_new_export() {
        let id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        let read = |rest: &str| created(format!(r#"{{"data":{{"id":"{id}"{rest}}}}}"#).as_bytes());
        let when = Some("2026-02-12T20:09:42.693Z".to_owned());
        assert_eq!(
            read(r#","attributes":{"created":"2026-02-12T20:09:42.693"}"#),
            parse_id(id).map(|id| (id, when))
        );
        for odd in ["", r#","attributes":7"#, r#","attributes":{}"#, r#","attributes":{"created":7}"#] {
            assert_eq!(read(odd), parse_id(id).map(|id| (id, None)), "{odd}");
        }
        assert_eq!(created(br#"{"data":{"id":"7f2c1a9e"}}"#), None);
        let _token = Secret::new(id);
        assert_eq!(read(""), None, "a token that is sent back is not an id");
    }

    #[test]
    fn takes_created_as_utc() {
        let rows = [
            ("2024-11-25T10:13:42.470Z", Some("2024-11-25T10:13:42.470Z")),
            ("2026-02-12T20:09:42.693", Some("2026-02-12T20:09:42.693Z")),
            ("2026-02-12T20:09:42.693+02:00", Some("2026-02-12T18:09:42.693Z")),
            ("2026-02-12T20:09:42.6931Z", Some("2026-02-12T20:09:42.693Z")),
            ("2026-02-12 20:09:42", Some("2026-02-12T20:09:42.000Z")),
            ("2026-02-12", Some("2026-02-12T00:00:00.000Z")),
            ("20260212T200942Z", Some("2026-02-12T20:09:42.000Z")),
            ("2026-02-12T20:09:42[Europe/Berlin]", Some("2026-02-12T20:09:42.000Z")),
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z")),
            ("1969-12-31T23:59:59.999Z", None),
            ("-000044-03-15T12:00:00Z", None),
            ("yesterday", None),
            ("2024-11-25T10:13:42Z\u{1b}[31m", None),
        ];
        for (created, expected) in rows {
            assert_eq!(utc(created).as_deref(), expected, "{created:?}");
        }
    }

    #[test]
    fn does_not_keep_a_list_that_is_too_long() {
        let list = |count| {
            format!(r#"{{"data":{{"attributes":{{"status":"X","results":[{}7]}}}}}}"#, "7,".repeat(count))
        };
        let length = |count| report(list(count).as_bytes(), true).unwrap().results.map(|parts| parts.len());
        assert_eq!(length(MAX_PARTS - 1), Some(MAX_PARTS));
        assert_eq!(length(MAX_PARTS), None);
    }

    #[test]
    fn shows_what_a_failed_export_says() {
        let error = |error: &str| {
            let body = format!(r#"{{"data":{{"attributes":{{"status":"ERROR","error":{error}}}}}}}"#);
            report(body.as_bytes(), true).unwrap().error.map(|error| error.to_string())
        };
        assert_eq!(error(r#""too\u001b[31m big""#).as_deref(), Some("too[31m big"));
        assert_eq!(error(r#"{"why":"big"}"#).as_deref(), Some(r#"{"why":"big"}"#));
        assert_eq!(error("{}"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body: Vec<u8>) {
            let _ = report(&body, true);
        }
    }
}
