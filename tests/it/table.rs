//! The tests themselves: the table in `README.md` lists each file, and none is too long to read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::docs::{files_in, first_cells};

#[test]
fn the_table_lists_every_file() {
    let listed: BTreeSet<String> = first_cells(include_str!("README.md"), "in this table.")
        .into_iter()
        .filter(|cell| cell.ends_with(".rs"))
        .collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files =
        files_in(&["tests/it"]).into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    let files = files.map(|file| file.strip_prefix(&here).unwrap().display().to_string());
    assert_eq!(listed, files.collect());
}

#[test]
fn no_file_of_tests_has_more_than_300_lines_of_code() {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let is_of_tests = |path: &Path| {
        path.iter().any(|part| part == "tests" || part == "tests.rs")
            && path.extension().is_some_and(|end| end == "rs")
    };
    for file in files_in(&["src", "tests"]).iter().filter(|file| is_of_tests(file)) {
        let lines = std::fs::read_to_string(file).unwrap().lines().filter(is_code).count();
        assert!(lines <= 300, "{} has {lines} lines of code", file.display());
    }
}
