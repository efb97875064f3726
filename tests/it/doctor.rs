//! `doctor`: what is found, its cure, and the exit code that a wait would end with.

mod broken;

use serde_json::Value;

use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY, path};

const PERSONAL: &str = "snyk_uat.1a2b3c4d.eyJoIjoiYSJ9.hunter2";

fn doctor(lab: &Lab) -> Program {
    Program::asking("doctor", &lab.url())
}

/// The finding about `topic`.
#[track_caller]
fn finding(document: &Value, topic: &str) -> (String, String, String) {
    let found = document["findings"].as_array().unwrap().iter().find(|finding| finding["topic"] == topic);
    let found = found.unwrap_or_else(|| panic!("nothing about {topic}: {document}"));
    let of = |member: &str| found[member].as_str().unwrap_or_default().to_owned();
    (of("grade"), of("found"), of("cure"))
}

#[test]
fn all_is_well() {
    let lab = Lab::start(&format!("{READY}requests-per-minute = 100"));
    let run = doctor(&lab).export(EXPORT_ID).run();
    let document = run.exits(0).stderr_is("").document();
    assert_eq!((&document["schema"], &document["exit_code"]), (&1.into(), &0.into()));
    for topic in [
        "credential",
        "region",
        "proxy",
        "certificates",
        "answer",
        "export",
        "clock",
        "API version",
        "rate limit",
        "state directory",
        "pace",
    ] {
        let (grade, found, cure) = finding(&document, topic);
        assert!(grade == "good" && !found.is_empty() && cure.is_empty(), "{topic}: {document}");
    }
    assert!(finding(&document, "credential").1.starts_with("SNYK_TOKEN: "), "{document}");
    assert!(finding(&document, "export").1.contains("FINISHED"), "{document}");
    assert_eq!(lab.starts(), 0, "it starts nothing");
}

#[test]
fn text_has_a_mark_for_each_finding_and_a_line_for_each_cure() {
    let lab = Lab::start("token = 'another'");
    for (locale, [good, bad, cure]) in [("C.UTF-8", ["✔ ", "✘ ", "→ "]), ("C", ["+ ", "x ", "-> "])] {
        let run = doctor(&lab).text().env("LC_ALL", locale).env("SNYK_GROUP_ID", GROUP).run();
        let text = &run.exits(4).stderr_is("").stdout;
        for mark in [good, bad] {
            assert!(text.lines().any(|line| line.starts_with(mark)), "{mark}: {text}");
        }
        assert!(text.lines().any(|line| line.trim_start().starts_with(cure)), "{text}");
        assert!(locale != "C" || text.is_ascii(), "{text}");
    }
}

#[test]
fn the_exit_code_is_that_of_a_wait() {
    let always = |code: u16| format!("{NEVER}then = 'last'\nanswers = [{{ status-code = {code} }}]");
    let rows = [
        (READY.to_owned(), 0),
        (NEVER.to_owned(), 0),
        (format!("{READY}ends-as = 'ERRORED'"), 3),
        (format!("{READY}token = 'another'"), 4),
        (always(403), 4),
        (always(404), 5),
        (always(409), 6),
        (always(400), 7),
        (always(407), 7),
        (format!("{READY}ends-as = 'ODD'"), 8),
        (always(429), 0),
        (always(503), 69),
        (include_str!("../../config/scenarios/proxy-page.toml").to_owned(), 4),
    ];
    for (scenario, code) in rows {
        let lab = Lab::start(&scenario);
        let run = doctor(&lab).export(EXPORT_ID).run();
        let document = run.exits(code).document();
        assert_eq!(document["exit_code"], code, "{scenario}");
        let bad = document["findings"].as_array().unwrap().iter().filter(|finding| finding["grade"] == "bad");
        assert_eq!(bad.count(), usize::from(code != 0), "{scenario}: {document}");
    }
    Program::asking("doctor", "http://127.0.0.1:1").export(EXPORT_ID).run().exits(69);
}

#[test]
fn a_personal_token_is_reported_two_weeks_before_its_end() {
    for (ends, grade) in [("20days", "good"), ("5days", "warning")] {
        let lab = Lab::start(&format!("{READY}token-ends = '{ends}'"));
        let document = doctor(&lab).env("SNYK_TOKEN", PERSONAL).run().exits(0).document();
        let (found_grade, found, _) = finding(&document, "credential");
        assert!(found_grade == grade && found.contains("a personal access token, until "), "{document}");
        assert_eq!(lab.asked_for("/rest/self/personal_access_tokens").len(), 1);
    }
}

#[test]
fn without_an_export_a_group_is_looked_at_if_there_is_one() {
    let lab = Lab::start(&format!("{READY}unknown-exports = 'not-found'"));
    let document = doctor(&lab).run().exits(0).document();
    assert_eq!(finding(&document, "group or org").0, "warning");
    let document = doctor(&lab).env("SNYK_GROUP_ID", GROUP).run().exits(0).document();
    assert_eq!(finding(&document, "group or org").0, "good");
    let lab = Lab::start(include_str!("../../config/scenarios/forbidden.toml"));
    let document = doctor(&lab).env("SNYK_GROUP_ID", GROUP).run().exits(4).document();
    assert!(finding(&document, "group or org").2.contains("permission"), "{document}");
}

#[test]
fn a_secret_is_never_shown() {
    let lab = Lab::start("token = 'another'");
    let run = doctor(&lab)
        .env("SNYK_TOKEN", PERSONAL)
        .env("HTTPS_PROXY", "http://u:hunter2@p:1")
        .arg(&path(EXPORT_ID))
        .run();
    assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{run}");
    let run = doctor(&lab)
        .env("SNYK_API", "https://api.snyk.invalid")
        .env("HTTPS_PROXY", "http://u:hunter2@127.0.0.1:1")
        .run();
    let document = run.exits(69).document();
    assert_eq!(finding(&document, "proxy").1, "http://127.0.0.1:1 (HTTPS_PROXY)");
    assert!(!run.stdout.contains("hunter2"), "{run}");
}
