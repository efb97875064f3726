//! Words of a request: known ones, unknown ones that are sent with a warning, and wrong ones.

use serde_json::{Value, json};

use super::body;
use crate::lab::{GROUP, Lab, Program, READY, Receiver};

/// The words that Snyk has added in 2026.
const NEWER: &str = "--dataset prevention_events --event-from 2026-07-06 --filter is_suppressed=false \
     --filter git_repo=a --filter git_repo=b --filter sdlc_stage:=[\"build\"]";

#[test]
fn the_newer_words_are_known() {
    let lab = Lab::start(READY);
    let run = Program::asking("start", &lab.url()).args("--group-id").arg(GROUP).args(NEWER).run();
    run.exits(0).stderr_lacks("WARN");
    let receiver = Receiver::start(|_| Some(400));
    Program::asking("start", &receiver.url()).args("--group-id").arg(GROUP).args(NEWER).run().exits(7);
    let attributes = receiver.until(|notices| !notices.is_empty())[0].event()["data"]["attributes"].clone();
    assert_eq!(attributes["dataset"], "prevention_events");
    let filters = json!({
        "event": { "from": "2026-07-06T00:00:00Z" }, "is_suppressed": false, "git_repo": ["a", "b"],
        "sdlc_stage": ["build"],
    });
    assert_eq!(attributes["filters"], filters);
}

#[test]
fn what_is_not_known_is_sent_with_a_warning_that_names_it() {
    const WORDS: &str = "--dataset sbom --format parquet --columns a.b --filter newKey=x --filter other:=5";
    let receiver = Receiver::start(|_| Some(400));
    let start = || {
        let start = Program::asking("start", &receiver.url()).args("--log-format json --group-id");
        start.arg(GROUP)
    };
    let unknown = "sending a word of the start that this version does not know";
    let warnings = |run: &crate::lab::Run| -> Vec<[String; 3]> {
        let warnings = run.logs().into_iter().filter(|line| line["level"] == "WARN");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = ["message", "request.member", "request.word"];
        warnings.map(|line| fields.map(|field| text(&line[field]))).collect()
    };
    let run = start().args(WORDS).run();
    let named = [
        ["dataset", "sbom"],
        ["formats", "parquet"],
        ["columns", "a.b"],
        ["filters", "newKey"],
        ["filters", "other"],
    ];
    assert_eq!(
        warnings(run.exits(7)),
        named.map(|[member, word]| [unknown, member, word].map(str::to_owned))
    );
    let attributes = json!({
        "formats": ["parquet"], "dataset": "sbom", "columns": ["a.b"], "filters": { "newKey": ["x"], "other": 5 },
    });
    assert_eq!(receiver.until(|notices| notices.len() == 1)[0].event()["data"]["attributes"], attributes);
    // A whole body is looked at in the same way.
    let mut body = body();
    body["data"]["attributes"]["destination"] = json!({ "type": "snyk", "file_name": "x" });
    let run = start().arg("--body=-").stdin(&body.to_string()).run();
    let removed = "sending a member of the start that Snyk has removed";
    let expected = [[removed, "destination", ""], [unknown, "data.attributes", "new"]];
    assert_eq!(warnings(run.exits(7)), expected.map(|warning| warning.map(str::to_owned)));
    assert_eq!(receiver.until(|notices| notices.len() == 2)[1].event(), body);
}

#[test]
fn a_word_that_is_mistyped_is_sent_with_the_nearest_one() {
    let receiver = Receiver::start(|_| Some(400));
    let start = Program::asking("start", &receiver.url()).args("--log-format json --group-id").arg(GROUP);
    let run = start.args("--dataset isues --introduced-from -1d --filter is_supressed:=true").run();
    let hints: Vec<Value> = run.exits(7).logs().into_iter().filter(|line| line["level"] == "WARN").collect();
    let hints: Vec<&Value> = hints.iter().map(|line| &line["hint"]).collect();
    assert_eq!(hints, ["did you mean issues?", "did you mean is_suppressed?"]);
}

#[test]
fn what_is_wrong_is_refused_before_anything_is_sent() {
    let lab = Lab::start(READY);
    let start = || Program::asking("start", &lab.url());
    let group = || start().args("--group-id").arg(GROUP);
    let issues = || group().args("--dataset issues");
    let with_body = |text: &str| group().args("--body -").stdin(text);
    let no_dates =
        json!({ "data": { "type": "x", "attributes": { "formats": ["csv"], "dataset": "issues" } } });
    let rows = [
        (start().args("--dataset issues --introduced-from -1d"), "give --group-id or --org-id"),
        (issues().env("SNYK_TOKEN", ""), "no date filter"),
        (issues(), "no date filter, without which Snyk exports nothing of `issues`: give --introduced-from"),
        (issues().args("--event-from -1d"), "no date filter"),
        (group().args("--dataset prevention_events --introduced-from -1d"), "give --event-from, --event-to"),
        (group().args("--introduced-from -1d"), "no dataset: give --dataset, such as one of issues, usage"),
        (issues().args("--updated-from -1d --filter is_suppressed=yes"), "`yes` is neither true nor false"),
        (
            issues().args("--updated-from -1d --filter sdlc_stage:=[x]"),
            "sdlc_stage: what follows := is not JSON",
        ),
        (issues().args("--updated-from -1d --filter sdlc_stage:=[x]"), "line 1 column 2"),
        (
            issues().args("--introduced-from -1d --introduced-to -2d"),
            "the `introduced` dates end before they begin",
        ),
        (issues().args("--updated-from 2025-02-30"), "'2025-02-30'"),
        (issues().args("--updated-from 3d"), "that is in the future"),
        (
            issues().args("--updated-from -1d --time-zone Mars"),
            "not a time zone such as UTC or Europe/Berlin",
        ),
        (issues().args("--updated-from -1d --columns a,,b"), "ISSUE_SEVERITY"),
        (issues().args("--updated-from -1d --filter orgs=acme"), "`acme` is not a UUID"),
        (issues().args("--updated-from -1d --filter updated=1"), "--updated-from and --updated-to"),
        (issues().args("--updated-from -1d --url-expiration-seconds 3601"), "from 0 to 3600"),
        (
            start()
                .args("--dataset issues --updated-from -1d --org-id")
                .arg(GROUP)
                .arg(&format!("--filter=orgs={GROUP}")),
            "the filter `orgs` is for the export of a group",
        ),
        (
            start().args("--dataset prevention_events --event-from -1d --org-id").arg(GROUP),
            "the filter `event` is for the export of a group",
        ),
        (issues().args("--body -"), "cannot be used with"),
        (with_body("{"), "standard input is not JSON"),
        (with_body("{}"), "`data.attributes` is missing"),
        (with_body(&no_dates.to_string()), "no date filter"),
        (group().args("--body nowhere.json"), "--body nowhere.json: it cannot be read"),
        (issues().args("--updated-from -1d").env("SNYK_TOKEN", ""), "no credential"),
    ];
    for (program, expected) in rows {
        let run = program.run();
        run.exits(2).stderr_has(expected).stdout_is("");
    }
    let both = start().args("--dataset issues --updated-from -1d").env("SNYK_GROUP_ID", GROUP);
    both.env("SNYK_ORG_ID", GROUP).run().exits(2).stderr_has("both set");
    assert_eq!(lab.requests(), 0);
}
