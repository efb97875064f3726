//! The files that deploy the daemon, and the health check that they call.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use crate::lab::Program;

const EXAMPLE: &str = include_str!("../../config/watch.example.toml");
const COMPOSE: &str = include_str!("../../config/compose.yaml");
const KUBERNETES: &str = include_str!("../../config/kubernetes/base/daemon.yaml");
const UNIT: &str = include_str!("../../config/snyk-export.service");

/// What stands for each secret that the files name.
fn secret(name: &str) -> &'static str {
    match name {
        "hook-key" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
        "hook-headers" => "Authorization: Bearer 0123456789abcdef",
        "slack-url" => "https://hooks.slack.com/services/T/B/X",
        _ => "0123456789abcdef",
    }
}

/// `watch --check` with a settings file, and with the files that it names in its home directory.
fn check(settings: &str) -> Program {
    let program = Program::bare("watch").arg("--check");
    let mut settings = settings.to_owned();
    for path in settings.clone().split('"').filter(|text| text.starts_with("/run/secrets/")) {
        let name = path.rsplit('/').next().unwrap();
        let file = program.file(name, secret(name)).display().to_string();
        settings = settings.replace(&format!("\"{path}\""), &format!("\"{file}\""));
    }
    // A program that every machine has.
    settings = settings.replace("/usr/local/bin/load-into-warehouse", "/bin/true");
    // `--check` listens on the address for a moment, and another program may have it. The whole address is replaced: a
    // port that is free on one address of loopback may be taken on another, and so on 0.0.0.0.
    let address = crate::lab::free_address();
    settings = match settings.contains("listen = \"0.0.0.0:8686\"") {
        true => settings.replace("0.0.0.0:8686", &address.to_string()),
        false => format!("{settings}[server]\nlisten = '{address}'\n"),
    };
    let path = program.file("watch.toml", &settings).display().to_string();
    program.args("--config").arg(&path)
}

#[test]
fn the_example_is_a_daemons_settings() {
    let run = check(EXAMPLE).run();
    run.exits(0).stderr_has("the settings are valid: 3 accounts, 2 watches, 3 endpoints, store");
}

#[test]
fn the_settings_in_the_manifest_are_valid() {
    let (_, rest) = KUBERNETES.split_once("watch.toml: |\n").unwrap();
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let settings: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
    check(&settings).run().exits(0).stderr_has("1 account, 0 watches");
}

#[test]
fn the_secrets_in_the_manifest_must_be_changed() {
    let (_, rest) = KUBERNETES.split_once("stringData:\n").unwrap();
    let secrets: Vec<&str> = rest.lines().take_while(|line| line.starts_with("  ")).collect();
    assert!(secrets.len() == 3 && secrets.iter().all(|line| line.contains(": change-me")), "{secrets:?}");
    for name in ["api-token", "hook-key"] {
        let settings = "[server]\ntoken-file = \"@api-token\"\n\
            [[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://x.example\"\nsecret-file = \"@hook-key\"";
        let program = Program::bare("watch").arg("--check").env("SNYK_TOKEN", "t");
        for secret_name in ["api-token", "hook-key"] {
            program.file(secret_name, if secret_name == name { "change-me" } else { secret(secret_name) });
        }
        let settings = settings.replace('@', &format!("{}/", program.home().display()));
        let path = program.file("watch.toml", &settings).display().to_string();
        program.args("--config").arg(&path).run().exits(2).stderr_has(name);
    }
}

#[test]
fn they_call_only_commands_that_there_are() {
    let is_call = |line: &&str| {
        let words = ["command: [", "test: [", "args: [", "ExecStart="];
        words.iter().any(|word| line.starts_with(word))
    };
    let lines = [COMPOSE, KUBERNETES, UNIT].into_iter().flat_map(str::lines).map(str::trim);
    let mut called = BTreeSet::new();
    for line in lines.filter(is_call) {
        let words = line.split(|char: char| "=[]\", ".contains(char)).filter(|word| !word.is_empty());
        let is_command =
            |word: &&str| !word.ends_with(':') && !word.contains('/') && !["CMD", "ExecStart"].contains(word);
        let words: Vec<&str> = words.filter(is_command).collect();
        let run =
            Command::new(env!("CARGO_BIN_EXE_snyk-export")).args(&words).arg("--help").output().unwrap();
        assert!(run.status.success(), "{line}");
        called.insert(words.join(" "));
    }
    assert_eq!(called, BTreeSet::from(["healthcheck".to_owned(), "watch".to_owned()]));
}

#[test]
fn the_readmes_daemon_has_valid_settings() {
    let (_, rest) = include_str!("../../README.md").split_once("$ cat watch.toml\n").unwrap();
    let settings: String =
        rest.lines().take_while(|line| !line.starts_with('$')).map(|line| format!("{line}\n")).collect();
    check(&settings).env("SNYK_TOKEN", "t").run().exits(0).stderr_has("1 account, 0 watches, 1 endpoint");
}

#[test]
fn all_name_the_store_and_the_settings_in_the_same_places() {
    for file in [COMPOSE, KUBERNETES, UNIT] {
        assert!(file.contains("SNYK_EXPORT_CONFIG") && file.contains("/etc/snyk-export/watch.toml"));
    }
    for file in [COMPOSE, KUBERNETES, EXAMPLE, include_str!("../../Dockerfile")] {
        assert!(file.contains("/var/lib/snyk-export"));
    }
    assert!(KUBERNETES.contains("type: Recreate") && KUBERNETES.contains("replicas: 1"));
    assert!(UNIT.contains("Type=notify") && UNIT.contains("StateDirectory=snyk-export"));
}

#[test]
fn units_leave_no_core_and_pods_talk_to_whom_they_must() {
    for unit in [UNIT, include_str!("../../config/snyk-export-nightly.service")] {
        assert!(unit.lines().any(|line| line == "LimitCORE=0"));
    }
    let cronjob = include_str!("../../config/kubernetes/nightly/cronjob.yaml");
    for (manifest, name, kind, hears) in [
        (KUBERNETES, "snyk-export", "kind: Deployment", true),
        (cronjob, "snyk-export-nightly", "kind: CronJob", false),
    ] {
        let documents: Vec<&str> = manifest.split("\n---\n").collect();
        let policies = documents.iter().filter(|document| document.contains("kind: NetworkPolicy"));
        let [policy] = policies.collect::<Vec<_>>()[..] else { panic!("one policy") };
        // It is about the very pods that there are.
        let labels = format!("matchLabels: {{app.kubernetes.io/name: {name}}}\n");
        assert!(policy.contains(&format!("podSelector:\n    {labels}")), "{policy}");
        let workload = documents.iter().find(|document| document.contains(kind)).unwrap();
        assert!(workload.contains(&format!("labels: {{app.kubernetes.io/name: {name}}}\n")), "{workload}");
        assert!(policy.contains("policyTypes: [Ingress, Egress]"));
        let (before, egress) = policy.split_once("  egress:\n").unwrap();
        let ports: Vec<&str> =
            egress.lines().filter_map(|line| line.trim().strip_prefix("- {protocol: ")).collect();
        assert_eq!(ports, ["UDP, port: 53}", "TCP, port: 53}", "TCP, port: 443}"]);
        assert_eq!(egress.matches("169.254.0.0/16").count(), 1);
        // It hears pods of its namespace where it listens, or nobody.
        assert_eq!(before.contains("  ingress:\n"), hears);
        assert_eq!(
            before.contains("podSelector: {}\n      ports:\n        - {protocol: TCP, port: 8686}"),
            hears
        );
    }
    assert!(KUBERNETES.contains("containerPort: 8686") && KUBERNETES.contains("listen = \"0.0.0.0:8686\""));
}

#[test]
fn the_gate_installs_only_what_it_has_hashes_of() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci");
    let mut lists = BTreeSet::new();
    let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| line.contains("/pip\" install")) {
            let (_, list) = line.split_once("--require-hashes --only-binary=:all: -r .ci/").expect(line);
            lists.insert(list.to_owned());
        }
    }
    assert_eq!(lists, BTreeSet::from(["api.txt", "notify.txt", "places.txt"].map(str::to_owned)));
    for list in lists {
        let text = std::fs::read_to_string(root.join(list)).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 2 && lines[0].contains("=="), "{text}");
        for pair in lines.windows(2).filter(|pair| pair[0].contains("==")) {
            assert!(pair[1].starts_with("    --hash=sha256:"), "{pair:?}");
        }
    }
    let locked: serde_json::Value =
        serde_json::from_str(include_str!("../../.ci/npm/package-lock.json")).unwrap();
    let packages = locked["packages"].as_object().unwrap();
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].as_str().unwrap().starts_with("sha512-"), "{name}");
    }
}

/// Answers one request on loopback with `answer`, and gives its address and then what was asked.
fn answering(answer: &str) -> (String, thread::JoinHandle<String>) {
    let answer = answer.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, asked)
}

fn healthcheck(listen: &str) -> Program {
    let program =
        Program::bare("healthcheck").env("HTTP_PROXY", "http://127.0.0.1:9").env("SNYK_TOKEN", "a b");
    // Nothing else in the file matters.
    let settings = format!("[server]\nlisten = '{listen}'\ntoken-file = '/nowhere'\nnonsense = 1\n[half");
    let path = program.file("watch.toml", &settings).display().to_string();
    program.env("SNYK_EXPORT_CONFIG", &path)
}

#[test]
fn the_health_check_asks_where_the_daemon_listens() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    let run = healthcheck(&everywhere).run();
    run.exits(0).stderr_has(&format!("the daemon is well: http://{address}/healthz answered 200"));
    let asked = asked.join().unwrap();
    assert!(
        asked.starts_with("GET /healthz HTTP/1.1\r\n") && asked.contains(&format!("host: {address}\r\n")),
        "{asked}"
    );
    assert!(!asked.to_lowercase().contains("authorization"), "{asked}");
}

#[test]
fn the_health_check_says_what_is_wrong() {
    const TROUBLE: &str = "HTTP/1.1 503 X\r\nconnection: close\r\n\r\n\
        {\"errors\":[{\"status\":\"503\",\"detail\":\"the runner has made no pass recently\"}]}";
    let (address, asked) = answering(TROUBLE);
    let run = healthcheck(&address).run();
    run.exits(69).stderr_has(&format!(
        "error: the daemon is not well: http://{address}/healthz: it answered 503: the runner has made no pass recently"
    ));
    asked.join().unwrap();
    healthcheck(&crate::lab::free_address().to_string()).run().exits(69).stderr_has("connection failed");
    // Nobody accepts: the system takes the connection, and that is all.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    healthcheck(&deaf.local_addr().unwrap().to_string()).run().exits(69).stderr_has("no answer within 5s");
}

#[test]
fn a_health_check_shows_no_token_of_the_server() {
    const TOKENS: [&str; 2] = ["first-Server-token-0123456789", "second-Server-token-0123456789"];
    let detail = TOKENS.join(" and ");
    let answer = format!("HTTP/1.1 503 X\r\nconnection: close\r\n\r\nwrong: {detail}");
    let (address, asked) = answering(&answer);
    let program = Program::bare("healthcheck");
    let tokens = program.file("tokens", &TOKENS.join("\n")).display().to_string();
    let settings = format!("[server]\nlisten = '{address}'\ntoken-file = '{tokens}'\n");
    let path = program.file("watch.toml", &settings).display().to_string();
    let run = program.env("SNYK_EXPORT_CONFIG", &path).run();
    run.exits(69).stderr_has("it answered 503: wrong: *** and ***");
    asked.join().unwrap();
}

#[test]
fn the_health_check_needs_settings_only_for_another_address() {
    let run = Program::bare("healthcheck").args("--config /nowhere/x.toml").run();
    run.exits(2).stderr_has("failed to read the settings file /nowhere/x.toml");
    healthcheck("x").run().exits(2).stderr_has("[server] listen: expected an address such as");
}
