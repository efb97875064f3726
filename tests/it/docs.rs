//! What the documents say, compared with what the code does.

mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use snyk_export::event::Event;
use snyk_export::exit::ExitCode;
use snyk_export::manifest::Manifest;
use snyk_export::observe::Metrics;
use snyk_export::watch::outcome::{Outcome, Signal};

pub(crate) const README: &str = include_str!("../../README.md");
pub(crate) const CI: &str = include_str!("../../docs/ci.md");
const DOCUMENTS: &str = include_str!("../../docs/reference/documents.md");
const EVENTS: &str = include_str!("../../docs/reference/events.md");
const DAEMON: &str = include_str!("../../docs/daemon.md");
const EXIT_CODES: &str = include_str!("../../docs/reference/exit-codes.md");
const METRICS: &str = include_str!("../../docs/reference/metrics.md");
const SETTINGS: &str = include_str!("../../docs/reference/settings.md");
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");
const SECURITY_MODEL: &str = include_str!("../../docs/SECURITY-MODEL.md");
const ALERTS: &str = include_str!("../../config/alerts.yaml");
const DASHBOARD: &str = include_str!("../../config/grafana.json");

#[test]
fn two_pages_list_every_outcome_with_its_exit_code() {
    let coded = Outcome::ALL.into_iter().filter(|outcome| !matches!(outcome, Outcome::Interrupted(_)));
    let signals = [Signal::Hangup, Signal::Interrupt, Signal::Terminate].map(Outcome::Interrupted);
    let in_code: BTreeSet<(u8, String)> =
        coded.chain(signals).filter_map(|o| Some((ExitCode::of(o)?.code(), format!("`{o}`")))).collect();
    let without_outcome = [ExitCode::UNFORESEEN, ExitCode::USAGE, ExitCode::IN_PROGRESS];
    let in_code: BTreeSet<_> =
        in_code.into_iter().chain(without_outcome.map(|code| (code.code(), String::new()))).collect();
    for (page, heading) in [(README, "## Exit codes"), (EXIT_CODES, "# Exit codes")] {
        let on_page: BTreeSet<_> = rows(page, heading)
            .into_iter()
            .map(|row| (row[0].parse().expect("a number"), row[1].clone()))
            .collect();
        assert_eq!(on_page, in_code);
    }
}

#[test]
fn the_help_lists_the_same_exit_codes() {
    let help = output(&["--help"]);
    for row in rows(README, "## Exit codes") {
        let help = help.split("Exit codes:").nth(1).expect("a list of exit codes");
        assert!(
            help.split(|char: char| !char.is_ascii_digit()).any(|word| word == row[0]),
            "{} is missing",
            row[0]
        );
    }
}

#[test]
fn the_events_page_lists_every_event() {
    let names: BTreeSet<String> = Event::NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(first_cells(EVENTS, "## Events"), names);
}

#[test]
fn the_pages_of_the_daemon_list_every_event_and_every_metric() {
    let of_a_daemon = |name: &&&str| {
        ["watch.", "delivery.", "account.", "daemon.", "api."].iter().any(|start| name.starts_with(start))
    };
    let names: BTreeSet<String> = Event::NAMES.iter().filter(of_a_daemon).map(ToString::to_string).collect();
    assert_eq!(first_cells(DAEMON, "## Events"), names);
    assert_eq!(first_cells(METRICS, "# Metrics"), Metrics::NAMES.map(str::to_owned).into());
}

#[test]
fn the_metrics_page_gives_metrics_the_types_that_they_have() {
    let rendered = Metrics::new().render();
    let types = rendered.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<&str, &str> = types.collect();
    for row in rows(METRICS, "# Metrics") {
        let name = row[0].trim_matches('`');
        // One without an account yet has no series, and so is not shown.
        assert!(types.get(name).is_none_or(|kind| *kind == row[1]), "{name} is not a {}", row[1]);
    }
}

/// The queries of the dashboard, without the choice of a daemon.
fn queries() -> String {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let of_all = |query: &str| {
        query.replace("{instance=~\"$instance\"}", "").replace(",instance=~\"$instance\"}", "}")
    };
    targets.map(|target| of_all(target["expr"].as_str().expect("a query")) + "\n").collect()
}

#[test]
fn the_dashboard_shows_every_metric() {
    let queries = queries();
    for name in Metrics::NAMES {
        assert!(queries.contains(name), "{name}");
    }
    assert!(!queries.contains("$instance"), "{queries}");
}

#[test]
fn alerts_and_dashboard_look_at_what_there_is() {
    let metrics = Metrics::new();
    metrics.set_accounts(&[Arc::from("acme")].into());
    metrics.set_endpoints(["platform".to_owned()].into());
    let rendered = metrics.render();
    let is_part = |char: char| char.is_ascii_lowercase() || char == '_';
    for page in [DAEMON, METRICS, TROUBLESHOOTING, ALERTS, &queries()] {
        for (at, _) in page.match_indices("snyk_export_") {
            let name: String = page[at..].chars().take_while(|char| is_part(*char)).collect();
            let base = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(Metrics::NAMES.contains(&base), "{name}");
            let Some(rest) = page[at + name.len()..].strip_prefix('{') else { continue };
            let (label, rest) = rest.split_once('=').expect("a label");
            let values = rest.trim_start_matches(['~', '"']).split('"').next().expect("values");
            for value in values.split('|') {
                let label = format!("{label}=\"{value}\"");
                let has = |line: &str| line.starts_with(&format!("{base}{{")) && line.contains(&label);
                assert!(rendered.lines().any(has), "{name} with {label}");
            }
        }
    }
}

#[test]
fn the_settings_on_their_page_are_valid() {
    let toml = block(SETTINGS, "toml");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("settings.toml");
    std::fs::write(&path, toml).expect("a file");
    let run = Command::new(env!("CARGO_BIN_EXE_snyk-export")).args(["wait", "--config"]).arg(&path).output();
    let stderr = String::from_utf8(run.expect("a run").stderr).expect("text");
    assert!(stderr.starts_with("error: no export"), "the settings should be read before that: {stderr}");
}

#[test]
fn the_manifest_among_the_documents_is_one() {
    let text =
        DOCUMENTS.split("```json\n").nth(2).and_then(|rest| rest.split("\n```").next()).expect("a block");
    let manifest: Manifest = serde_json::from_str(text).expect("a manifest");
    let shown: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(serde_json::to_value(manifest).expect("JSON"), shown, "all members are shown, and no other");
}

#[test]
fn the_set_up_is_two_commands() {
    let commands: Vec<&str> =
        README.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(commands, ["cargo run -- demo", "cargo test"]);
}

/// The files at these places in the repository, and below them.
pub(crate) fn files_in(places: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut places: Vec<PathBuf> =
        places.iter().map(|place| Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).collect();
    while let Some(place) = places.pop() {
        match std::fs::read_dir(&place) {
            Ok(entries) => places.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files.push(place),
        }
    }
    files
}

#[test]
fn every_test_that_the_security_model_names_exists() {
    let sources =
        files_in(&["src", "tests/it"]).into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let sources: String = sources.collect();
    let names: Vec<&str> = SECURITY_MODEL
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() > 1
                && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
        .collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "{name}");
    }
}

#[test]
fn every_document_that_is_cited_is_in_the_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files_in(&[
        "src",
        "tests",
        "benches",
        "fuzz/fuzz_targets",
        "config",
        "docs",
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "Cargo.toml",
        "clippy.toml",
        "deny.toml",
        "Dockerfile",
    ]);
    assert!(files.len() > 100, "the places are there");
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let is_part = |char: char| char.is_ascii_alphanumeric() || "_-./".contains(char);
        for word in text.split(|char| !is_part(char)).map(|word| word.trim_end_matches('.')) {
            let Some(name) = word.strip_suffix(".md").filter(|name| !name.is_empty()) else { continue };
            let is_there = [root, file.parent().unwrap(), &root.join("docs")]
                .iter()
                .any(|folder| folder.join(format!("{name}.md")).exists());
            assert!(is_there, "{} cites {word}", file.display());
        }
        // A section is one of an RFC: nobody else's numbers stay.
        for line in text.lines().filter(|line| line.contains(SECTION)) {
            assert!(line.contains("RFC "), "{} cites a section: {line}", file.display());
        }
    }
}

/// What stands before the number of a section.
const SECTION: char = '\u{a7}';

#[test]
fn every_relative_link_leads_somewhere() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let path = page.parent().expect("a folder").join(link);
            assert!(path.exists(), "{} leads to {link}", page.display());
        }
    }
}

/// The pages for readers.
fn pages() -> Vec<PathBuf> {
    let mut pages = files_in(&["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs"]);
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

fn output(args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_snyk-export")).args(args).output().expect("a run");
    String::from_utf8(run.stdout).expect("text")
}

/// What stands in the first column of the first table below a heading.
pub(crate) fn first_cells(page: &str, heading: &str) -> BTreeSet<String> {
    rows(page, heading).into_iter().map(|row| row[0].trim_matches('`').to_owned()).collect()
}

/// The cells of the first table below a heading, without its head.
pub(crate) fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.split(heading).nth(1).expect("the heading");
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = lines.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

/// The first fenced block of a language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let start = page.split(&format!("```{language}\n")).nth(1).expect("a block");
    start.split("\n```").next().expect("its end")
}
