//! Faults of storage: errors, wrong files, checksums.

use std::path::Path;

use serde_json::{Value, json};

use super::{check_files, names, rows};
use crate::lab::{EXPORT_ID, Lab, Program, READY};

/// Faults of storage, one after the other.
pub(super) fn faults(faults: &[&str]) -> String {
    let fault = |fault: &&str| format!("[[faults]]\non = 'storage'\nprobability = 1\n{fault}\n");
    faults.iter().map(fault).collect()
}

fn manifest(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap()
}

/// How many rows a directory of one file has.
pub(super) fn rows_of(dir: &Path) -> usize {
    rows(&check_files(dir, 1))
}

#[test]
fn faults_that_pass_are_survived() {
    let cut = "at-most = 2\nfault = 'cut'\nbytes = 700";
    let rows_of_moods: [(&str, &[&str]); 20] = [
        (
            "",
            &["at-most = 1\nfault = 'reset'", "at-most = 1\nfault = 'close'", "at-most = 1\nfault = 'junk'"],
        ),
        ("", &["at-most = 2\nfault = 'reset'\nbytes = 500"]),
        ("", &["at-most = 1\nfault = 'hang'", "at-most = 1\nfault = 'hang'\nbytes = 300"]),
        (
            "",
            &[
                "at-most = 1\nstatus-code = 503\nheaders = { Retry-After = '0' }",
                "at-most = 1\nstatus-code = 500",
            ],
        ),
        ("", &["at-most = 1\nstatus-code = 429\nheaders = { Retry-After = '0' }"]),
        ("", &["at-most = 1\nstatus-code = 403"]),
        ("", &["at-most = 1\nstatus-code = 400"]),
        ("", &["at-most = 1\nstatus-code = 404"]),
        ("storage-ranges = false", &[cut]),
        ("storage-etag = false", &[cut]),
        ("storage-framing = 'close'", &[cut]),
        ("storage-framing = 'chunked'", &[cut]),
        ("storage-framing = 'close'\nfile-size = 'missing'", &[]),
        ("file-size = 'missing'", &[cut]),
        ("storage-encoding = 'gzip'", &[]),
        ("storage-encoding = 'gzip'", &[cut]),
        ("storage-encoding = 'gzip'\nfile-size = 'encoded'", &[cut]),
        ("storage-encoding = 'gzip'\nfile-size = 'missing'\nstorage-ranges = false", &[cut]),
        ("storage-encoding = 'gzip'\nstorage-framing = 'close'\nfile-size = 'encoded'", &[]),
        ("url-expired-status-code = 400", &["at-most = 1\nstatus-code = 401"]),
    ];
    for (scenario, moods) in rows_of_moods {
        let lab = Lab::start(&format!("{READY}parts = 2\n{scenario}\n{}", faults(moods)));
        let run = Program::download(&lab).export(EXPORT_ID).args("--request-timeout 300ms").run();
        assert_eq!(run.code, Some(0), "{scenario} {moods:?}: {run}");
        assert_eq!(rows(&check_files(&run.home().join("files"), 2)), 1061, "{scenario} {moods:?}");
    }
}

#[test]
fn what_never_passes_ends_with_its_code_and_leaves_no_file() {
    let rows: [(&str, &str, i32, &str); 10] = [
        ("", "status-code = 403", 69, "the credential is not to blame"),
        ("", "status-code = 401", 69, "the credential is not to blame"),
        ("url-expiration = '0s'", "at-most = 0\nstatus-code = 500", 69, "HTTP 403, ExpiredToken"),
        ("", "status-code = 404", 5, "HTTP 404"),
        ("", "status-code = 400", 7, "HTTP 400"),
        ("", "status-code = 503\nheaders = { Retry-After = '0' }", 69, "HTTP 503"),
        ("", "fault = 'cut'\nbytes = 0", 69, "cut off"),
        ("file-size-error = 5", "at-most = 0\nstatus-code = 500", 69, "the file is not as announced"),
        ("file-size-error = -5", "at-most = 0\nstatus-code = 500", 69, "the file is not as announced"),
        ("", "status-code = 200\nbody = 'x'\nheaders = { content-encoding = 'br' }", 7, "encoding"),
    ];
    for (scenario, fault, code, words) in rows {
        let lab = Lab::start(&format!("{READY}{scenario}\n{}", faults(&[fault])));
        let run = Program::download(&lab).export(EXPORT_ID).args("--max-outage 300ms").run();
        assert_eq!(run.code, Some(code), "{scenario} {fault}: {run}");
        assert_eq!(run.document()["exit_code"], code);
        run.stderr_has(words).stderr_has("to go on: snyk-export download /groups/").stderr_lacks("X-Goog");
        assert_eq!(names(&run.home().join("files")).len(), 0, "{scenario} {fault}");
    }
}

#[test]
fn another_thing_than_the_file_is_no_download() {
    // No size is announced: nothing but the content tells.
    let html = "status-code = 200\nbody = '<!DOCTYPE html><title>Log in</title>'";
    let rows: [(&str, &str, &str); 8] = [
        ("", html, "the file is not CSV: it begins as an HTML page"),
        ("", "status-code = 200\nbody = \"\\ufeff\\n <html>\"", "it begins as an HTML page"),
        ("", "status-code = 200\nbody = '<?xml version=\"1.0\"?><Error/>'", "it begins as an XML document"),
        ("", "status-code = 200\nbody = '{\"error\":1}'", "it begins as a JSON document"),
        ("", "status-code = 200\nbody = ''", "the file has no rows: 1061 rows were announced"),
        (
            "storage-encoding = 'gzip'",
            "headers = { content-encoding = 'identity' }",
            "it begins as gzip data",
        ),
        ("", "headers = { x-goog-hash = 'crc32c=AAAAAA==' }", "the file is damaged: its CRC-32C is not what"),
        (
            "storage-hash = false",
            "headers = { content-md5 = 'AAAAAAAAAAAAAAAAAAAAAA==' }",
            "the file is damaged: its MD5 is not what",
        ),
    ];
    for (scenario, fault, words) in rows {
        let lab = |times: &str| {
            let faults = faults(&[&format!("{times}{fault}")]);
            Lab::start(&format!("{READY}file-size = 'missing'\n{scenario}\n{faults}"))
        };
        let always = lab("");
        let run = Program::download(&always).export(EXPORT_ID).args("--max-outage 30s").run();
        assert_eq!(run.code, Some(69), "{fault}: {run}");
        run.stderr_has(words)
            .stderr_has("next    look at what ")
            .stderr_has("; to go on: snyk-export download /groups/");
        let is_changed = words.contains("gzip") || words.contains("damaged");
        assert_eq!(run.stderr.contains("a proxy that wants a login"), !is_changed, "{run}");
        assert_eq!(names(&run.home().join("files")).len(), 0, "{fault}");
        assert_eq!(always.asked_for("/storage").len(), 2, "{fault}");
        assert_eq!(always.asked_for("/rest").len(), 2, "the second link is a new one");
        let once = lab("at-most = 1\n");
        let run = Program::download(&once).export(EXPORT_ID).run();
        assert_eq!(rows_of(&run.exits(0).home().join("files")), 1061, "{fault}");
        run.stderr_has(words.rsplit(": ").next().unwrap());
    }
}

#[test]
fn the_scenario_of_wrong_files_ends_well() {
    let scenario = include_str!("../../../config/scenarios/wrong-files.toml").replace("1s", "0s");
    let run = Program::download(&Lab::start(&scenario)).export(EXPORT_ID).run();
    assert_eq!(rows(&check_files(&run.exits(0).home().join("files"), 5)), 5000);
    for words in ["an HTML page", "an XML document", "gzip data", "the file has no rows", "its CRC-32C"] {
        run.stderr_has(words);
    }
}

#[test]
fn an_error_page_that_is_shorter_than_the_file_is_no_cut_file() {
    let html = "status-code = 200\nbody = '<html>'\nheaders = { content-length = '6' }";
    for framing in ["length", "close", "chunked"] {
        let lab = Lab::start(&format!("{READY}storage-framing = '{framing}'\n{}", faults(&[html])));
        let run = Program::download(&lab).export(EXPORT_ID).args("--max-outage 30s").run();
        run.exits(69).stderr_has("it begins as an HTML page").stderr_lacks("cut off");
    }
}

#[test]
fn rows_are_counted_and_a_difference_is_logged() {
    let lab = Lab::start(&format!("{READY}parts = 3"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_lacks("rows that were counted").stderr_has(" 1,061 rows, ");
    let manifest = manifest(&run.home().join("files"));
    assert_eq!((&manifest["rows"], &manifest["row_count"]), (&json!(1061), &json!(1061)));
    for file in manifest["files"].as_array().unwrap() {
        assert_eq!(file["rows"], file["row_count"]);
    }

    let short = "status-code = 200\nbody = \"A,B\\r\\n1,'2\\n3'\\r\\n4,5\"";
    let lab = Lab::start(&format!("{READY}file-size = 'missing'\n{}", faults(&[short])));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_has("the rows that were counted are not as many as Snyk announced");
    assert_eq!(run.stderr.matches("rows that were counted").count(), 1, "{run}");
    let manifest = self::manifest(&run.home().join("files"));
    assert_eq!((&manifest["rows"], &manifest["row_count"]), (&json!(3), &json!(1061)));
    assert_eq!((&manifest["files"][0]["rows"], &run.document()["row_count"]), (&json!(3), &json!(1061)));
}

#[test]
fn a_checksum_of_other_bytes_is_not_checked_which_is_logged() {
    let other = "headers = { x-goog-stored-content-encoding = 'gzip', x-goog-hash = 'crc32c=AAAAAA==' }";
    let lab = Lab::start(&format!("{READY}{}", faults(&[other])));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_has("the checksum was not checked");
}

#[test]
fn no_part_of_a_link_and_no_row_is_logged() {
    let bodies = [
        "status-code = 403\nbody = '<Error><Code>AccessDenied</Code><Message>X-Goog-Signature=5ec7e7</Message></Error>'",
        "status-code = 503\nheaders = { Retry-After = '0' }\nbody = '/storage/x?X-Goog-Signature=5ec7e7'",
        "status-code = 206\nbody = 'a row of a customer, 5ec7e7'",
        "status-code = 204",
    ];
    for body in bodies {
        let lab = Lab::start(&format!("{READY}{}", faults(&[&format!("at-most = 2\n{body}")])));
        for format in ["json", "text"] {
            let download = Program::download(&lab).export(EXPORT_ID).env("GITHUB_ACTIONS", "true");
            let run = download.args(&format!("--max-outage 50ms --log-format {format} -v")).run();
            for secret in ["X-Goog", "5ec7e7", "customer"] {
                assert!(!format!("{}{}", run.stdout, run.stderr).contains(secret), "{body}: {run}");
            }
        }
    }
}

#[test]
fn a_redirect_is_followed_where_a_link_may_lead() {
    let target = Lab::start(READY);
    let redirect = |location: &str| {
        faults(&[&format!("at-most = 1\nstatus-code = 302\nheaders = {{ Location = '{location}' }}")])
    };
    // The other simulator does not know the link: by that we know that it was asked.
    let lab = Lab::start(&format!("{READY}{}", redirect(&format!("{}/storage/elsewhere", target.url()))));
    Program::download(&lab).export(EXPORT_ID).run().exits(0);
    assert_eq!(target.requests(), 1);
    assert!(target.exchanges()[0].authorization.is_none());
    let refused = format!("{READY}{}", redirect("http://192.0.2.1/x").replace("at-most = 1\n", ""));
    let lab = Lab::start(&refused);
    Program::download(&lab).export(EXPORT_ID).run().exits(7).stderr_has("the redirect is not followed");
}

#[test]
fn a_body_longer_than_announced_is_left() {
    let lab = Lab::start(&format!("{READY}rows = 400000\nfile-size-error = -30000000"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(69).stderr_has("the file is not as announced");
    assert_eq!(names(&run.home().join("files")).len(), 0);
}

#[test]
fn a_slow_file_holds_up_no_other() {
    let slow = faults(&["at-most = 1\nfault = 'hang'"]);
    let lab = Lab::start(&format!("{READY}parts = 20\n{slow}"));
    let home = tempfile::tempdir().unwrap();
    let download = Program::download(&lab).export(EXPORT_ID).living_in(home.path()).spawn();
    lab.until_heard(|exchanges| {
        exchanges.iter().filter(|exchange| exchange.target.starts_with("/storage")).count() == 20
    });
    download.signal("TERM");
    download.end().exits(143);
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let lab = Lab::start(&format!("{READY}rows = 600000\nparts = 1"));
    let download = Program::download(&lab).export(EXPORT_ID).spawn();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", download.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
    };
    let mut most = 0;
    // It ends by itself, and is looked at until then.
    while !download.has_ended() {
        most = most.max(peak());
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    let run = download.end();
    let size = run.exits(0).document()["download"]["files"][0]["file_size"].as_u64().unwrap();
    assert!(size > 50_000_000, "{size}");
    assert!((1..60_000).contains(&most), "{most} KiB at the peak, for {size} bytes");
    assert_eq!(run.document()["row_count"], json!(600_000));
}
