//! Status documents, and the answer to the start of an export. What serde_json's `Value` makes of the same bytes
//! is the second opinion.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use snyk_export::export::{Status, parse_id};
use snyk_export::snyk::wire::{created_id, report};
use snyk_export::watch::observation::Report;
use snyk_export_fuzz::{assert_clean, assert_is_one_line};

fuzz_target!(|body: &[u8]| {
    let report = report(body);
    if let Some(report) = &report {
        check(report);
    }
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return };
    let status = document.pointer("/data/attributes/status").and_then(Value::as_str).and_then(Status::new);
    if let Some(report) = &report {
        assert_eq!(Some(&report.status), status.as_ref());
    }
    let id = document.pointer("/data/id").and_then(Value::as_str).and_then(parse_id);
    if let Some(created) = created_id(body) {
        assert_eq!(Some(created), id);
    }
    // Written again, no key is there twice: now both must see the same.
    let again = document.to_string();
    let read_again = snyk_export::snyk::wire::report(again.as_bytes());
    assert_eq!(read_again.as_ref().map(|report| &report.status), status.as_ref(), "{again}");
    assert_eq!(created_id(again.as_bytes()), id, "{again}");
    if let (Some(report), Some(again)) = (report, read_again) {
        assert_eq!((report.created, report.row_count), (again.created, again.row_count));
    }
});

fn check(report: &Report) {
    assert!(!report.status.as_str().is_empty());
    assert_is_one_line(report.status.as_str());
    assert_eq!(Status::new(report.status.as_str()).as_ref(), Some(&report.status));
    if let Some(created) = &report.created {
        assert!(
            created.ends_with('Z') && humantime::parse_rfc3339(created).is_ok(),
            "not RFC 3339: {created:?}"
        );
    }
    if let Some(error) = &report.error {
        assert_clean(error);
        assert!(!error.as_str().is_empty());
    }
    for part in report.results.iter().flatten() {
        let shown = format!("{part:?}");
        let link = part.url.as_ref().map(|url| url.expose()).filter(|link| link.len() > 40);
        assert!(link.is_none_or(|link| !shown.contains(link)), "a signed link is shown: {shown}");
    }
}
