//! Answers that repeat a secret of ours. The first three bytes of an input choose the secret, the inner encoding and the outer
//! one. The rest is the text before the secret, and after a zero byte the text behind it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use snyk_export::secret::Secret;
use snyk_export::snyk::problem::problem;
use snyk_export::snyk::wire::report;
use snyk_export::text::Text;
use snyk_export_fuzz::{ENCODINGS, assert_clean, assert_lacks};

const SECRETS: [&str; 5] = [
    "snyk_uat.1a2b3c4d.eyJoIjoieCJ9.x-y_zaa0Qd3fFGh",
    "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1eabcdef",
    "Zq-9/x+Y.w_v~u7Hh21kPmT",
    "Qr/s+t=u v&w<x>'7y8z\\\"%41",
    "hunter2!x",
];

fuzz_target!(|input: &[u8]| {
    // Held for the life of this process.
    static HELD: OnceLock<Vec<Secret>> = OnceLock::new();
    HELD.get_or_init(|| SECRETS.map(Secret::new).into());

    let [which, inner, outer, rest @ ..] = input else { return };
    let Ok(rest) = std::str::from_utf8(rest) else { return };
    let (before, after) = rest.split_once('\0').unwrap_or((rest, ""));
    let secret = SECRETS[usize::from(*which) % SECRETS.len()];
    let encoder = |index: &u8| ENCODINGS[usize::from(*index) % ENCODINGS.len()];
    // Capitals only as the inner encoding: Base64 in capitals cannot be decoded.
    let (inner, outer) = (encoder(inner), encoder(outer));
    let outer = if outer.0 == "capitals" { ENCODINGS[0] } else { outer };
    let said = format!("{before} {} {after}", (outer.1)(&(inner.1)(secret)));

    let check = |text: &Text| {
        assert_clean(text);
        assert_lacks(text.as_str(), secret);
    };
    check(&Text::new(&said));
    let quoted = serde_json::to_string(&said).expect("a text");
    let documents = [
        said.clone(),
        format!("<!doctype html><title>{said}"),
        format!(r#"{{"errors":[{{"title":{quoted},"detail":{quoted},"code":{quoted}}}]}}"#),
        format!(r#"{{"error":{{"a":[{quoted}]}},"message":{quoted}}}"#),
    ];
    for document in documents {
        let problem = problem(400, document.as_bytes());
        [&problem.code, &problem.title, &problem.detail].into_iter().flatten().for_each(check);
        assert_lacks(&problem.to_string(), secret);
    }
    let status = format!(r#"{{"data":{{"attributes":{{"status":{quoted},"error":{{"x":{quoted}}}}}}}}}"#);
    if let Some(report) = report(status.as_bytes(), true) {
        assert_lacks(report.status.as_str(), secret);
        report.error.iter().for_each(check);
    }
});
