//! The pages for users, compared with what the program does.

use std::collections::BTreeMap;
use std::process::Command;

use snyk_export::observe::Metrics;

use super::{EVENTS, METRICS, README, SETTINGS, TROUBLESHOOTING, files_in, output, rows};

#[test]
fn every_flag_on_the_pages_exists() {
    let commands = ["start", "wait", "download", "run", "watch", "healthcheck", "simulate"];
    let help: String = commands.map(|command| output(&[command, "--help"])).concat();
    let actions = [["watches", "add"], ["deliveries", "list"]];
    let help = help + &actions.map(|[command, action]| output(&[command, action, "--help"])).concat();
    let of_cargo = ["--path", "--profile", "--locked"];
    for (name, page) in pages_of_users() {
        // Of other programs' lines we know nothing.
        let ours = page.lines().filter(|line| !line.starts_with("$ docker")).collect::<Vec<_>>().join("\n");
        let words = ours.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-'));
        let is_flag = |word: &&str| {
            word.starts_with("--")
                && word.contains(char::is_alphabetic)
                && !of_cargo.contains(word)
                && !["--failed", "--signal"].contains(word)
        };
        for flag in words.filter(is_flag) {
            let known = [' ', '\n', '[', ','].iter().any(|end| help.contains(&format!("{flag}{end}")));
            assert!(known, "{name}: {flag}");
        }
    }
}

#[test]
fn the_readme_begins_with_one_short_sentence_and_a_command() {
    let count = |text: &str| text.split_whitespace().count();
    let sentence = README.split("\n\n").nth(1).expect("a sentence");
    assert!(count(sentence) <= 20 && sentence.matches('.').count() == 1, "{sentence}");
    let (before, _) = README.split_once("```").expect("a command");
    let before: String =
        before.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
    assert!(count(&before) <= 150, "{} words", count(&before));
}

#[test]
fn the_settings_page_lists_every_key_with_its_default() {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in include_str!("../../../config/default.toml").lines() {
        let (text, is_set) = line.strip_prefix("# ").map_or((line, true), |text| (text, false));
        let is_part = |char: char| char.is_ascii_lowercase() || "-.[]".contains(char);
        match text.split_once(" = ") {
            None if text.starts_with('[') && text.chars().all(is_part) => text.clone_into(&mut section),
            Some((key, value)) if !key.is_empty() && key.chars().all(is_part) => {
                let value = value.split(" #").next().expect("a value").trim();
                let default = if is_set { format!("`{value}`") } else { String::new() };
                keys.push(vec![format!("`{section}`"), format!("`{key}`"), default]);
            }
            _ => {}
        }
    }
    assert_eq!(rows(SETTINGS, "## All keys"), keys);
}

/// The source, with each text of several lines in one.
fn source() -> String {
    let source: String =
        files_in(&["src"]).iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| all + line.trim_start())
}

/// The messages of lines without an event, as their page has them, with their levels.
fn messages() -> Vec<(String, String)> {
    let lines = EVENTS.split("Lines without an `event`").nth(1).expect("lines");
    let messages = |row: Vec<String>| {
        let quoted: Vec<String> = row[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let is_message =
            |text: &String| text.contains(' ') && !text.contains("--") && !text.starts_with("37 ");
        quoted.into_iter().filter(is_message).map(move |text| (text, row[1].clone())).collect::<Vec<_>>()
    };
    rows(&format!("# Lines{lines}"), "# Lines").into_iter().flat_map(messages).collect()
}

/// A message up to what differs.
fn constant(message: &str) -> &str {
    message.trim_end_matches([' ', '…', ':'])
}

#[test]
fn every_message_of_the_events_page_is_in_the_source() {
    let source = source();
    for (message, _) in messages() {
        assert!(source.contains(constant(&message)), "no message is `{message}`");
    }
}

#[test]
fn every_message_that_asks_for_something_has_a_heading_with_what_to_do() {
    for (message, level) in messages() {
        let is_trouble = level.contains("warn") || level.contains("error");
        if is_trouble && message != "the settings were reloaded" {
            let is_there = TROUBLESHOOTING.contains(constant(&message));
            assert!(is_there, "docs/troubleshooting.md does not say what to do about `{message}`");
        }
    }
}

#[test]
fn every_heading_of_troubleshooting_is_a_message() {
    let source = source();
    let headings: Vec<&str> =
        TROUBLESHOOTING.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(headings.len() > 50, "{headings:?}");
    // Numbers differ, and one message is the system's.
    let others = ["No space left on device", "37 lines were lost: nobody read them"];
    for heading in headings.into_iter().filter(|heading| !others.contains(heading)) {
        // The parts between what differs, which stands as `…` on the page.
        for part in heading.split('…') {
            let part = part.trim_start_matches("'s certificate ").trim_matches([' ', ':']);
            assert!(source.contains(part), "no message is `{heading}`");
        }
    }
}

#[test]
fn the_metrics_page_lists_the_values_of_each_label() {
    let rendered = Metrics::new().render();
    let on_page: BTreeMap<String, String> = rows(METRICS, "## Values of labels")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
        .collect();
    let table: String = rows(METRICS, "# Metrics").into_iter().flatten().collect();
    let shown = rendered.lines().filter_map(|line| line.split_once('{')?.1.rsplit_once('}'));
    for (label, value) in
        shown.flat_map(|(labels, _)| labels.split("\",")).filter_map(|pair| pair.split_once("=\""))
    {
        let value = value.trim_end_matches('"');
        // The rest are exit codes' outcomes, codes of HTTP, the version, and bounds of histograms.
        if ["le", "version", "code", "outcome"].contains(&label) {
            continue;
        }
        let values = on_page.get(label).map_or(table.as_str(), String::as_str);
        assert!(values.contains(&format!("`{value}`")), "{label}=\"{value}\"");
    }
}

/// The pages that explain the program to those who use it, with their names.
fn pages_of_users() -> Vec<(String, String)> {
    let of_developers = ["ARCHITECTURE", "MUTANTS", "PERFORMANCE", "SECURITY-MODEL", "SIMULATION"];
    let mut found = files_in(&["README.md", "docs"]);
    found.retain(|page| {
        let name = page.file_stem().and_then(|name| name.to_str()).expect("a name");
        page.extension().is_some_and(|extension| extension == "md") && !of_developers.contains(&name)
    });
    assert!(found.len() > 10, "{found:?}");
    found
        .into_iter()
        .map(|page| (page.display().to_string(), std::fs::read_to_string(page).expect("a page")))
        .collect()
}

#[test]
fn the_table_of_other_clients_has_the_faults_that_the_script_tries() {
    let script = include_str!("../../../.ci/compare.py");
    let list =
        script.split_once("\nFAULTS = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    let faults: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let on_page: Vec<String> =
        rows(README, "## Why not a curl loop?").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(on_page, faults);
}

/// With each client that is installed, all but the memory, which takes too long here.
#[test]
fn the_table_of_other_clients_says_what_they_do() {
    let root = env!("CARGO_MANIFEST_DIR");
    let args = [".ci/compare.py", "--check", env!("CARGO_BIN_EXE_snyk-export")];
    let Ok(run) = Command::new("python3").args(args).current_dir(root).output() else { return };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// What the pictures show, and what the program writes to a terminal now: the same but for numbers, ids and times.
#[test]
fn the_pictures_show_what_the_demo_writes() {
    let script = |args: &[&str]| {
        let root = env!("CARGO_MANIFEST_DIR");
        let run = Command::new("python3").arg(".ci/picture.py").args(args).current_dir(root).output();
        let Ok(run) = run else { return None };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        Some(constant_words(&String::from_utf8(run.stdout).expect("text")))
    };
    let Some(now) = script(&["--screen", env!("CARGO_BIN_EXE_snyk-export")]) else { return };
    for theme in ["light", "dark"] {
        let shown = script(&["--text", &format!("docs/images/demo-{theme}.svg")]).expect("a text");
        assert_eq!(shown, now, "draw it again: python3 .ci/picture.py PROGRAM");
    }
}

/// The words of a screen of 80 columns without those that differ from run to run: all that have a digit.
fn constant_words(screen: &str) -> Vec<String> {
    let mut text = String::new();
    for row in screen.lines() {
        text.push_str(row);
        if row.chars().count() < 80 {
            text.push('\n');
        }
    }
    let words = text.split_whitespace().filter(|word| !word.contains(|char: char| char.is_ascii_digit()));
    words.map(str::to_owned).collect()
}
