//! The faults in `tests/simulation/known.toml` can still be put into the program, as `.ci/simulate-known` does.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    name: String,
    file: PathBuf,
    #[serde(default)]
    after: String,
    old: String,
}

/// How often a text occurs in a file, or in the files of a directory.
fn count(path: &Path, text: &str) -> usize {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.filter(|path| path.extension().is_some()).map(|path| count(&path, text)).sum();
    }
    std::fs::read_to_string(path).unwrap().matches(text).count()
}

#[test]
fn the_text_that_a_fault_replaces_occurs_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("tests/simulation/known.toml")).unwrap();
    let Faults { fault: faults } = toml::from_str(&list).unwrap();
    for Fault { name, file, after, old } in faults {
        let found = count(&root.join(&file), &(after + &old));
        assert_eq!(found, 1, "{name}: in {}", file.display());
    }
}
