//! `download`: complete files, as announced; no partial file gets its final name.

mod bounds;
mod folder;
mod pieces;
mod storage;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::lab::{EXPORT_ID, Lab, Program, READY};

/// The names of what is in a directory, in their order.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Checks that a directory holds the files of its manifest, whole, and nothing else; gives their contents in a row.
#[track_caller]
pub(crate) fn check_files(dir: &Path, parts: usize) -> String {
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["schema"], 1);
    let mut expected = vec!["manifest.json".to_owned()];
    let mut all = String::new();
    let mode = |name: &str| dir.join(name).metadata().unwrap().permissions().mode();
    for entry in manifest["files"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        expected.push(name.to_owned());
        assert_eq!(mode(name), mode("manifest.json"), "who may read {name} may read what it is");
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let sha256: String =
            digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&entry["file_size"], &entry["sha256"]), (&json!(bytes.len()), &json!(sha256)), "{name}");
        all += std::str::from_utf8(&bytes).unwrap();
    }
    assert_eq!(names(dir), expected);
    assert_eq!(expected.len() - 1, parts);
    all
}

/// How many records there are, headers left out.
pub(crate) fn rows(text: &str) -> usize {
    let reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    reader.into_records().filter(|record| record.as_ref().unwrap().get(0) != Some("ISSUE_SEVERITY")).count()
}

#[test]
fn every_part_is_downloaded() {
    for (parts, inline) in [(1, true), (1, false), (7, true), (30, false)] {
        let lab = Lab::start(&format!("{READY}parts = {parts}\ninline-results = {inline}"));
        let run = Program::download(&lab).export(EXPORT_ID).args("--dir a/b").no_arg("--dir files").run();
        let document = run.exits(0).document();
        let dir = run.home().join("a/b");
        assert_eq!(rows(&check_files(&dir, parts)), 1061);
        assert_eq!(
            (&document["outcome"], &document["row_count"]),
            (&json!("finished"), &json!(1061)),
            "{run}"
        );
        assert_eq!(document["download"]["dir"], json!(dir.canonicalize().unwrap()));
        assert_eq!(document["download"]["files"].as_array().unwrap().len(), parts);
        assert!(lab.asked_for("/storage").iter().all(|exchange| exchange.authorization.is_none()));
        run.stderr_lacks("X-Goog").stderr_has(" Saved    1,061 rows, ");
    }
}

#[test]
fn text_names_the_files() {
    let lab = Lab::start(&format!("{READY}parts = 2"));
    let run = Program::download(&lab).text().export(EXPORT_ID).args("--merge all.csv").run();
    let home = run.exits(0).home().canonicalize().unwrap();
    let paths = ["files/part-0001.csv", "files/part-0002.csv", "all.csv"].map(|name| home.join(name));
    let expected: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    run.stdout_is(&expected);
}

#[test]
fn no_rows_are_a_success_too() {
    for scenario in ["rows = 0", "rows = 0\nno-results = true"] {
        let lab = Lab::start(&format!("{READY}{scenario}"));
        let run = Program::download(&lab).export(EXPORT_ID).args("--merge all.csv").run();
        check_files(&run.exits(0).home().join("files"), 0);
        assert_eq!(std::fs::read_to_string(run.home().join("all.csv")).unwrap(), "");
    }
    let lab = Lab::start(&format!("{READY}no-results = true"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(69).stderr_has("the results list no files: though there are 1061 rows");
}

#[test]
fn what_is_not_ready_is_not_there() {
    let rows = [
        ("pending = '1h'", 75, "not-ready", "to wait for it: snyk-export wait /groups/"),
        (
            "pending = '0s'\nstarted = '0s'\nends-as = 'ERRORED'\nerror-text = 'out of rows'",
            3,
            "failed",
            "out of rows",
        ),
        ("pending = '0s'\nstarted = '0s'\nends-as = 'ODD'", 8, "unknown-status", "--finished-status"),
    ];
    for (scenario, code, word, advice) in rows {
        let lab = Lab::start(scenario);
        let run = Program::download(&lab).export(EXPORT_ID).run();
        assert_eq!(run.exits(code).document()["download"], Value::Null);
        run.stderr_has(word).stderr_has(advice);
        assert_eq!(names(&run.home().join("files")).len(), 0, "nothing is left");
    }
    let lab = Lab::start(&format!("{READY}ends-as = 'DONE'"));
    Program::download(&lab).export(EXPORT_ID).args("--finished-status DONE").run().exits(0);
}

#[test]
fn the_listing_is_asked_for_until_it_comes() {
    let said = [("status", "check failed, retrying"), ("results", "listing the results failed, retrying")];
    for (endpoint, said) in said {
        let fault = format!("[[faults]]\non = '{endpoint}'\nprobability = 1\nat-most = 2\nstatus-code = 502");
        let lab = Lab::start(&format!("{READY}inline-results = false\n{fault}"));
        let run = Program::download(&lab).export(EXPORT_ID).run();
        run.exits(0).stderr_has(said);
    }
    // The status endpoint may know of the end first.
    let ahead = "[[faults]]\non = 'results'\nprobability = 1\nat-most = 2\nstatus-code = 200\n\
        body = '{\"data\":{\"attributes\":{\"status\":\"PENDING\",\"row_count\":0}}}'";
    let lab = Lab::start(&format!("{READY}inline-results = false\n{ahead}"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_has("the results are not there though the export has finished");
    check_files(&run.home().join("files"), 1);
    let after_all = "[[faults]]\non = 'results'\nprobability = 1\nstatus-code = 200\n\
        body = '{\"data\":{\"attributes\":{\"status\":\"ERRORED\"}}}'";
    let lab = Lab::start(&format!("{READY}inline-results = false\n{after_all}"));
    Program::download(&lab).export(EXPORT_ID).run().exits(3).stderr_has("Snyk stopped with a failure");
    let missing = "[[faults]]\non = 'results'\nprobability = 1\nat-most = 2\nstatus-code = 404";
    let lab = Lab::start(&format!("{READY}inline-results = false\n{missing}"));
    Program::download(&lab).export(EXPORT_ID).args("--api-version 2024-10-15").run().exits(0);
    for (status_code, code) in [(401, 4), (403, 4), (404, 5), (400, 7)] {
        let lab = Lab::start(&format!("{READY}[[faults]]\nprobability = 1\nstatus-code = {status_code}"));
        let run = Program::download(&lab).export(EXPORT_ID).run();
        run.exits(code).stderr_has("asking for the status of");
        assert_eq!(names(&run.home().join("files")).len(), 0, "nothing is left");
    }
}

#[test]
fn empty_records_of_one_column_are_rows_and_stay() {
    let part = "headers = { content-type = 'text/csv' }\nstatus-code = 200\nbody = \"X\\n1\\n\\n2\\n\"";
    let faults = format!("[[faults]]\non = 'storage'\nprobability = 1\n{part}");
    let lab = Lab::start(&format!("{READY}rows = 3\nfile-size = 'missing'\n{faults}"));
    let run = Program::download(&lab).export(EXPORT_ID).args("--merge all.csv").run();
    assert_eq!(std::fs::read_to_string(run.exits(0).home().join("all.csv")).unwrap(), "X\n1\n\n2\n");
    let download = &run.document()["download"];
    assert_eq!((&download["files"][0]["rows"], &download["merged"]["row_count"]), (&json!(3), &json!(3)));
    assert!(!run.stderr.contains("not as many as Snyk announced"), "{run}");
}

#[test]
fn a_merged_file_has_one_header_and_every_record() {
    let lab = Lab::start(&format!("{READY}parts = 5"));
    let run = Program::download(&lab).export(EXPORT_ID).args("--merge all.csv").run();
    let merged = std::fs::read_to_string(run.exits(0).home().join("all.csv")).unwrap();
    assert_eq!(csv::Reader::from_reader(merged.as_bytes()).records().filter(Result::is_ok).count(), 1061);
    assert!(
        merged.contains("\"Arbitrary Code Execution\nthrough deserialization\""),
        "it has values of two lines"
    );
    let whole = Lab::start(&format!("{READY}parts = 1"));
    let single = Program::download(&whole).export(EXPORT_ID).run();
    assert_eq!(merged, check_files(&single.home().join("files"), 1), "it is what one part would be");
    let entry = &run.document()["download"]["merged"];
    assert_eq!((&entry["file_size"], &entry["row_count"]), (&json!(merged.len()), &json!(1061)));
}

#[test]
fn one_export_at_a_time() {
    let lab = Lab::start(READY);
    let two = format!(
        "{{\"data\":{{\"id\":\"{EXPORT_ID}\"}}}}{{\"data\":{{\"id\":\"{}\"}}}}",
        crate::lab::SECOND_ID
    );
    let run = Program::download(&lab).arg("-").stdin(&two).env("SNYK_GROUP_ID", crate::lab::GROUP).run();
    run.exits(2).stderr_has("2 exports, and this command takes one");
    assert_eq!(lab.requests(), 0);
}
