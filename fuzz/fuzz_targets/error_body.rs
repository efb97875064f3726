//! Bodies of answers without a status word. The first line of an input is the HTTP status, the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snyk_export::snyk::problem::problem;
use snyk_export_fuzz::{assert_clean, assert_is_one_line};

fuzz_target!(|input: &[u8]| {
    let mut halves = input.splitn(2, |byte| *byte == b'\n');
    let status = halves.next().and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok());
    let (status, body) = (status.unwrap_or(500), halves.next().unwrap_or_default());

    let problem = problem(status, body);
    assert_eq!(problem.http_status, Some(status));
    assert_eq!(problem.request_id, None, "the request id is not in the body");
    for text in [&problem.code, &problem.title, &problem.detail].into_iter().flatten() {
        assert_clean(text);
        assert!(!text.as_str().is_empty());
    }
    if body.is_empty() {
        assert_eq!((&problem.code, &problem.detail), (&None, &None));
    }
    if http::StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some()) {
        assert!(problem.title.is_some(), "a known HTTP status has a title");
    }
    let line = problem.to_string();
    assert_is_one_line(&line);
    assert!(line.starts_with(&format!("HTTP {status}")), "{line}");
});
