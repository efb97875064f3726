//! Status documents, and the answer to the start of an export. They are compared with what serde_json's `Value` reads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use snyk_export::export::{Status, parse_id};
use snyk_export::secret::Link;
use snyk_export::snyk::wire::{created, report};
use snyk_export::watch::observation::Report;
use snyk_export_fuzz::{assert_clean, assert_is_one_line};

/// More levels than a status document has, and fewer than are refused.
const DEEP_ENOUGH: usize = 60;

fuzz_target!(|body: &[u8]| {
    let with_links = report(body, true);
    if let Some(report) = &with_links {
        check(report);
        without_links(body, report);
    }
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return };
    let status = document.pointer("/data/attributes/status").and_then(Value::as_str).and_then(Status::new);
    if let Some(report) = &with_links {
        assert_eq!(Some(&report.status), status.as_ref());
    }
    let id = document.pointer("/data/id").and_then(Value::as_str).and_then(parse_id);
    if let Some((created, _)) = created(body) {
        assert_eq!(Some(created), id);
    }
    // In the document that is written again no key occurs twice, and both must read the same, except for documents that are
    // nested too deep.
    let again = document.to_string();
    let read_again = report(again.as_bytes(), true);
    if depth(&document) > DEEP_ENOUGH {
        return;
    }
    assert_eq!(read_again.as_ref().map(|report| &report.status), status.as_ref(), "{again}");
    assert_eq!(created(again.as_bytes()).map(|(created, _)| created), id, "{again}");
    if let (Some(report), Some(again)) = (with_links, read_again) {
        assert_eq!((report.created, report.row_count), (again.created, again.row_count));
    }
});

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Without links, everything else is the same.
fn without_links(body: &[u8], with: &Report) {
    let without = report(body, false).expect("the same document");
    assert_eq!(
        (&without.status, &without.created, without.row_count, without.links_expire_at()),
        (&with.status, &with.created, with.row_count, with.links_expire_at())
    );
    let sizes = |report: &Report| {
        let parts = report.results.as_deref();
        parts.map(|parts| parts.iter().map(|part| (part.file_size, part.row_count)).collect::<Vec<_>>())
    };
    assert_eq!(sizes(&without), sizes(with));
    assert!(without.results.iter().flatten().all(|part| part.link.is_none()));
}

fn check(report: &Report) {
    assert!(!report.status.as_str().is_empty());
    assert_is_one_line(report.status.as_str());
    let again = Status::new(report.status.as_str()).expect("a word");
    // It need not be the same word: without invisible characters it may be one that we know, and a link that was cut has less to
    // mask.
    assert_is_one_line(again.as_str());
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
        let link = part.link.as_ref().map(Link::show);
        let is_link =
            |link: &str| link.starts_with("http") && link.chars().all(|char| char.is_ascii_graphic());
        assert!(link.as_deref().is_none_or(is_link), "{link:?}");
        let link = link.filter(|link| link.len() > 40);
        assert!(link.is_none_or(|link| !shown.contains(&link)), "a signed link is shown: {shown}");
    }
}
