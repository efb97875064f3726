//! The faults that the simulation must find can still be put into the program: `.ci/simulate-known` does.

use serde::Deserialize;

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    name: String,
    file: String,
    #[serde(default)]
    after: String,
    old: String,
}

#[test]
fn what_a_fault_replaces_stands_in_the_program_once() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let Faults { fault: faults } = toml::from_str(&read("tests/simulation/known.toml")).unwrap();
    for Fault { name, file, after, old } in faults {
        assert_eq!(read(&file).matches(&(after + &old)).count(), 1, "{name}: in {file}");
    }
}
