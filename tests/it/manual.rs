//! The manual: a page for each command, which other programs read without a warning.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::lab::Program;

const SECTIONS: [&str; 7] =
    ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "FILES"];

/// Writes all pages below a directory.
fn pages(directory: &Path) -> Vec<(String, String)> {
    let dir = directory.join("share/man1");
    Program::bare("man")
        .arg("--dir")
        .arg(&dir.display().to_string())
        .run()
        .exits(0)
        .stdout_is("")
        .stderr_is("");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let page = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    files.map(page).collect()
}

#[test]
fn each_command_has_a_page_with_every_section() {
    let directory = tempfile::tempdir().unwrap();
    let pages = pages(directory.path());
    let names: BTreeSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let help = Program::bare("-h").run();
    let commands =
        help.exits(0).stdout.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    for command in commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        let page = format!("snyk-export-{command}.1");
        assert!(
            command.is_empty() || command == "help" || names.contains(page.as_str()),
            "{page}: {names:?}"
        );
    }
    for (name, page) in &pages {
        let of = |section: &str| page.contains(&format!("\n.SH {section}\n"));
        let missing: Vec<&&str> = SECTIONS.iter().filter(|section| !of(section)).collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
        assert!(page.ends_with('\n') && page.is_ascii(), "{name}");
    }
    let wait = &pages.iter().find(|(name, _)| name == "snyk-export-wait.1").unwrap().1;
    for part in
        ["\n.SH EXAMPLES\n", "\\-\\-max\\-wait DURATION", "SNYK_EXPORT_MAX_WAIT", "SNYK_TOKEN", "\n.B 124\n"]
    {
        assert!(wait.contains(part), "{part}: {wait}");
    }
    let first = Program::bare("man").run().exits(0).stdout.clone();
    assert_eq!(pages.iter().find(|(name, _)| name == "snyk-export.1").unwrap().1, first);
}

#[test]
fn pages_are_replaced_and_a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pages(directory.path()).len(), pages(directory.path()).len());
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let run = Program::bare("man").arg("--dir").arg(&file.display().to_string()).run();
    run.exits(2).stderr_has(&format!("--dir {}: ", file.display()));
}

/// Runs a program on a page; its complaints. `None` if there is no such program.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so where tests speak")]
fn complaints(program: &str, args: &[&str], page: &Path) -> Option<String> {
    let Ok(output) = Command::new(program).args(args).arg(page).env("LC_ALL", "C.UTF-8").output() else {
        println!("SKIPPED: the manual cannot be checked, since {program} is not installed");
        return None;
    };
    let lint = if program == "mandoc" { output.stdout } else { Vec::new() };
    Some(String::from_utf8(lint).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

#[test]
fn other_programs_read_the_pages_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    for (name, _) in pages(directory.path()) {
        let page = directory.path().join("share/man1").join(&name);
        for (program, args) in
            [("mandoc", vec!["-T", "lint", "-W", "warning"]), ("man", vec!["--warnings", "-l"])]
        {
            let Some(said) = complaints(program, &args, &page) else { return };
            assert_eq!(said, "", "{program} of {name}");
        }
    }
}
