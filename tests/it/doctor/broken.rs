//! Broken surroundings: each fault is a finding with a cure, and the rest is looked at all the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use serde_json::Value;
use tempfile::TempDir;

use super::{doctor, finding};
use crate::lab::{EXPORT_ID, GROUP, Lab, Program, READY, TOKEN};

/// One broken thing: the program, the topic that reports it with a grade, and parts of what is found and of its cure.
type Row = (Program, &'static str, &'static str, &'static str, &'static str);

/// Each row exits with `code`, and looks at the rest all the same.
#[track_caller]
fn check(code: i32, rows: impl IntoIterator<Item = Row>) {
    for (program, topic, grade, part, cure) in rows {
        let run = program.run();
        let document = run.exits(code).stderr_is("").document();
        let findings = document["findings"].as_array().unwrap();
        let is_it = |finding: &&Value| {
            let has = |member: &str, part: &str| {
                finding[member].as_str().unwrap_or_default().to_lowercase().contains(&part.to_lowercase())
            };
            finding["topic"] == topic
                && finding["grade"] == grade
                && has("found", part)
                && has("cure", cure)
                && finding["cure"].is_string()
        };
        assert!(findings.iter().any(|finding| is_it(&finding)), "{topic}: {part}, {cure}: {document}");
        for topic in ["credential", "proxy", "certificates", "answer", "state directory"] {
            assert!(findings.iter().any(|finding| finding["topic"] == topic), "{topic}: {document}");
        }
        assert!(!run.stdout.contains("hunter2"), "{run}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_findings_with_exit_code_2_and_the_others_are_looked_at_too() {
    let lab = Lab::start(READY);
    let program = || doctor(&lab).no_config();
    check(
        2,
        [
            (program().no_env("SNYK_TOKEN"), "credential", "bad", "no credential", "set SNYK_TOKEN"),
            (program().env("SNYK_TOKEN", "$TOKEN"), "credential", "bad", "not replaced", "SNYK_TOKEN"),
            (
                program().no_env("SNYK_TOKEN").env("SNYK_CLIENT_ID", "x"),
                "credential",
                "bad",
                "SNYK_CLIENT_SECRET is not",
                "set SNYK_CLIENT_SECRET too",
            ),
            (program().args("--token-file /nowhere"), "credential", "bad", "/nowhere", "--token-file"),
            (program().env("SNYK_API", "mars"), "region", "bad", "`mars` is not an API", "use us, us2"),
            (program().env("SNYK_API", "http://snyk.invalid"), "region", "bad", "plain http", "use https"),
            (program().env("SNYK_EXPORT_MAX_WAIT", "soon"), "settings", "bad", "'soon'", "leave it out"),
            (program().env("SNYK_EXPORT_CONFIG", "/nowhere"), "settings", "bad", "/nowhere", "--config"),
            (program().config("max = 1"), "settings", "bad", "column 1, [retry] max", "correct this line"),
            (
                program().env("SNYK_ORG_ID", GROUP).env("SNYK_GROUP_ID", GROUP),
                "group or org",
                "bad",
                "both set",
                "say",
            ),
            (program().env("SNYK_GROUP_ID", "garbage"), "group or org", "bad", "not a UUID", "--group-id"),
            (program().arg(EXPORT_ID), "export", "bad", "has no scope", ""),
            (program().env("HTTPS_PROXY", "socks5://u:hunter2@p:1"), "proxy", "bad", "SOCKS", "unset it"),
            (program().env("HTTP_PROXY", "u:hunter2@p:x"), "proxy", "bad", "port", "unset it"),
            (program().args("--ca-cert /nowhere"), "certificates", "bad", "/nowhere", "PEM file"),
            (
                program().env("SNYK_EXPORT_INITIAL_INTERVAL", "1h"),
                "pace",
                "bad",
                "initial-interval",
                "correct it",
            ),
        ],
    );
    // Nobody is asked if it is not known who is meant.
    let asked = lab.asked_for("/rest/self/personal_access_tokens").len();
    let document = program().env("SNYK_API", "mars").run().exits(2).document();
    assert_eq!(finding(&document, "answer").1, "Snyk was not asked");
    assert_eq!(lab.asked_for("/rest/self/personal_access_tokens").len(), asked);
}

/// Files beside each other.
struct Files(TempDir);

impl Files {
    /// The path of a file with this text.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Files of certificates: empty, without one, damaged, and with a good one and a damaged one.
    fn certificates(&self) -> [String; 4] {
        let damaged = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let good = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        [
            self.file("empty.pem", ""),
            self.file("text.pem", "no certificate"),
            self.file("damaged.pem", damaged),
            self.file("mixed.pem", &format!("{good}{damaged}")),
        ]
    }
}

#[test]
fn what_a_wait_would_only_warn_of_is_a_finding_too() {
    let (lab, files) = (Lab::start(READY), Files(tempfile::tempdir().unwrap()));
    let (open, not_a_directory) = (files.file("token", TOKEN), files.file("file", ""));
    let near = "SNYK_EXPORT_MAX_WAIT?";
    let with = |name: &str, value: &str| doctor(&lab).env(name, value);
    let of_open = doctor(&lab).args(&format!("--token-file {open}"));
    check(
        0,
        [
            (with("SNYK_EXPORT_MAXWAIT", "1m"), "settings", "warning", "MAXWAIT", near),
            (with("NO_PROXY", "10.*"), "proxy", "warning", "10.*", "10.0.0.0/8"),
            (of_open, "credential", "warning", "every user", "chmod o="),
            (
                with("XDG_STATE_HOME", &not_a_directory),
                "state directory",
                "warning",
                "cannot be written",
                "XDG_STATE_HOME",
            ),
            // Its permissions let root write.
            (with("XDG_STATE_HOME", "/proc"), "state directory", "warning", "cannot be written", ""),
        ],
    );
}

#[test]
fn files_of_certificates_that_cannot_be_used_are_named() {
    let (lab, files) = (Lab::start(READY), Files(tempfile::tempdir().unwrap()));
    let [empty, text, damaged, mixed] = files.certificates();
    let (extra, file, directory) = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR");
    let row = |code: i32, program: Program, grade: &'static str, part: &'static str, cure: &'static str| {
        check(code, [(program, "certificates", grade, part, cure)]);
    };
    // Plain http needs none.
    let with = |name: &str, value: &str| doctor(&lab).env(name, value);
    row(0, with(extra, "/nowhere"), "warning", "No such file", extra);
    row(0, with(extra, &empty), "warning", "it is empty", extra);
    row(0, with(extra, &text), "warning", "no certificate", extra);
    row(0, with(file, &damaged), "warning", "damaged", file);
    row(0, with(directory, "/nowhere"), "warning", "/nowhere", directory);
    // Over https, something has to be trusted.
    let with = |name: &str, value: &str| with(name, value).env("SNYK_API", "https://localhost:1");
    row(2, with(file, &text), "bad", "no certificate", file);
    row(69, with(file, &mixed), "warning", "1 certificate, and 1", "damaged");
    row(69, with(file, &text).env(extra, &mixed), "warning", "is ignored: it has no certificate", file);
}

#[test]
fn looking_at_the_state_directory_leaves_no_trace() {
    let lab = Lab::start(READY);
    let state = tempfile::tempdir().unwrap();
    let there = state.path().join("snyk-export");
    let program = || doctor(&lab).env("XDG_STATE_HOME", state.path().to_str().unwrap());
    let found = finding(&program().run().exits(0).document(), "state directory").1;
    assert!(
        found.ends_with("is not there yet, and can be made")
            && state.path().read_dir().unwrap().next().is_none()
    );
    std::fs::create_dir(&there).unwrap();
    let found = finding(&program().run().exits(0).document(), "state directory").1;
    assert!(found.ends_with("can be written") && there.read_dir().unwrap().next().is_none(), "{found}");
}

/// A server whose clock is wrong, and that refuses the credential.
fn refusing_at(date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!(
                "HTTP/1.1 401 Unauthorized\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    url
}

#[test]
fn a_clock_that_is_wrong_is_reported_even_if_the_credential_is_refused() {
    for (date, part) in
        [("Sun, 06 Nov 1994 08:49:37 GMT", "ahead of"), ("Thu, 06 Nov 2194 08:49:37 GMT", "behind")]
    {
        let document = Program::asking("doctor", &refusing_at(date)).run().exits(4).document();
        let (grade, found, cure) = finding(&document, "clock");
        assert!(grade == "warning" && found.contains(part) && cure.contains("clock"), "{document}");
        assert_eq!(finding(&document, "answer").0, "bad", "{document}");
    }
}
