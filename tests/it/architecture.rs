//! Who may know whom, by what each file names; and the bans of clippy.toml that keep what names do not show.
//!
//! Unit tests and the simulation may name what they like: what stands below `#[cfg(test)]`, in files called `tests.rs`
//! and in `simulation` is left out, and so are comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rules and their words. They know only each other.
const CORE: [&str; 6] = ["watch", "export", "moment", "text", "secret", "exit"];

/// The core, and what is said of it: nothing here asks, stores, shows, or reads the time.
const PURE: [&str; 10] =
    ["watch", "export", "moment", "text", "secret", "exit", "event", "document", "manifest", "request"];

/// Modules that must not know each other.
const STRANGERS: [&str; 5] = ["snyk", "store", "notify", "observe", "download"];

#[test]
fn the_core_knows_nobody() {
    for (module, named) in modules() {
        if CORE.contains(&module.as_str()) {
            assert_within(&module, &named, &CORE);
        }
        if PURE.contains(&module.as_str()) {
            assert_within(&module, &named, &PURE);
        }
    }
}

#[test]
fn the_core_names_nothing_that_acts() {
    const ACTING: [&str; 6] = ["tokio::", "reqwest::", "std::fs", "std::net", "std::env", "tracing::"];
    for (path, code) in sources().into_iter().filter(|(path, _)| PURE.contains(&module_of(path).as_str())) {
        for acting in ACTING {
            assert!(!code.contains(acting), "{} names {acting}", path.display());
        }
    }
}

#[test]
fn client_store_notifications_and_observers_never_know_each_other() {
    for (module, named) in modules().into_iter().filter(|(module, _)| STRANGERS.contains(&module.as_str())) {
        let others = STRANGERS.into_iter().filter(|other| *other != module);
        assert_none(&module, &named, others);
    }
}

#[test]
fn the_runner_alone_puts_store_and_poller_together() {
    for (module, named) in modules() {
        if !["runner", "tasks", "commands", "server", "store"].contains(&module.as_str()) {
            assert_none(&module, &named, ["store"]);
        }
    }
}

#[test]
fn nobody_imports_the_commands_and_only_they_import_the_command_line() {
    for (module, named) in modules() {
        if module != "commands" {
            assert_none(&module, &named, ["cli"]);
        }
        assert!(!named.contains("commands") || ["commands", "lib"].contains(&module.as_str()), "{module}");
    }
}

#[test]
fn the_simulator_stands_alone() {
    let modules = modules();
    assert_within("simulator", &modules["simulator"], &["simulator"]);
    for (module, named) in
        modules.iter().filter(|(module, _)| !["simulator", "commands"].contains(&module.as_str()))
    {
        assert_none(module, named, ["simulator"]);
    }
}

#[test]
fn every_ban_is_in_clippy_toml() {
    const BANNED: [&str; 8] = [
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "tokio::time::Instant::now",
        "std::env::var",
        "std::env::var_os",
        "std::env::vars",
        "std::env::vars_os",
        "std::process::exit",
    ];
    let settings: toml::Table = toml::from_str(&read(&root().join("clippy.toml"))).unwrap();
    let bans = settings["disallowed-methods"].as_array().unwrap();
    let banned: BTreeSet<&str> = bans.iter().map(|ban| ban["path"].as_str().unwrap()).collect();
    for path in BANNED {
        assert!(banned.contains(path), "{path} is not banned");
    }
    assert!(bans.iter().all(|ban| !ban["reason"].as_str().unwrap().is_empty()));
}

#[test]
fn only_the_places_that_were_chosen_are_let_off_a_ban() {
    let let_off: Vec<String> = sources()
        .iter()
        .filter(|(_, code)| code.contains("disallowed_methods"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    // `backoff` wants an Instant, and gets one that stands still.
    let chosen = ["clock.rs", "main.rs", "settings/environment.rs", "simulator/timeline.rs", "watch/pace.rs"];
    assert_eq!(let_off, chosen);
}

#[test]
fn only_disk_changes_files() {
    // Tests need these too, and so clippy.toml cannot ban them.
    const CHANGING: [&str; 20] = [
        "fs::write(",
        "fs::rename",
        "fs::remove_",
        "fs::create_dir",
        "fs::copy",
        "fs::hard_link",
        "fs::symlink",
        "fs::set_permissions",
        "fs::DirBuilder",
        "fs::OpenOptions",
        "OpenOptions::",
        "File::create",
        "File::options",
        "DirBuilder::",
        ".set_len(",
        ".sync_data(",
        "openat(",
        "renameat",
        "unlinkat",
        "mkdirat",
    ];
    for (path, code) in sources().into_iter().filter(|(path, _)| module_of(path) != "disk") {
        for changing in CHANGING {
            assert!(!code.contains(changing), "{} names {changing}: that is for src/disk", path.display());
        }
    }
}

#[test]
fn only_the_places_that_were_chosen_read_secrets_or_what_others_wrote() {
    let is_ours = |path: &Path| !path.starts_with("simulator") && !path.iter().any(|part| part == "tests");
    let places = |word: &str| -> Vec<String> {
        let sources = sources().into_iter().filter(|(path, code)| code.contains(word) && is_ours(path));
        sources.map(|(path, _)| path.display().to_string()).collect()
    };
    // Each makes a `Text` of it, or compares it; metrics are our own.
    let readers = [
        "commands/healthcheck.rs",
        "download/storage.rs",
        "http/encoding.rs",
        "http.rs",
        "notify/command.rs",
        "observe/metrics.rs",
        "snyk/transport.rs",
    ];
    assert_eq!(places("from_utf8_lossy"), readers);
    // Each sends it, or checks what it looks like. Who shows one uses `show`.
    let exposers = [
        "download/storage.rs",
        "notify/slack.rs",
        "secret.rs",
        "server/guard.rs",
        "settings/daemon/endpoints.rs",
        "settings/daemon/entry.rs",
        "settings/daemon/server.rs",
        "snyk/credential.rs",
        "snyk/credentials.rs",
    ];
    assert_eq!(places(".expose()"), exposers);
}

#[test]
fn what_a_file_names_is_found_in_every_spelling() {
    let code = "use crate::watch::{Policy, outcome::Outcome};\nuse crate::{store, snyk::Client, text};\n\
        fn x() { crate::runner::poll_within(); }\n// crate::comment\n/// [`X`](crate::doc)\n\
        use crate::{\n    cli::Cli,\n    exit::{self, ExitCode},\n};\n#[cfg(test)]\nmod tests { use crate::settings; }";
    let expected = ["cli", "exit", "runner", "snyk", "store", "text", "watch"];
    assert_eq!(names(&code_of(code)).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(module_of(Path::new("snyk/wire.rs")), "snyk");
    assert_eq!(module_of(Path::new("clock.rs")), "clock");
}

/// The modules at the top with all that they name of the crate.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, code) in sources() {
        modules.entry(module_of(&path)).or_default().extend(names(&code));
    }
    for module in CORE.iter().chain(&PURE).chain(&["snyk", "store", "runner", "commands"]) {
        assert!(modules.contains_key(*module), "{module} has been renamed: this test has to follow");
    }
    modules
}

/// The files below `src` by their paths in it, without comments and tests, in their order.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root().join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_of_tests(&path) {
                found.push((path.strip_prefix(&root).unwrap().to_owned(), code_of(&read(&path))));
            }
        }
    }
    found.sort();
    found
}

fn is_of_tests(path: &Path) -> bool {
    let is_simulation =
        path.starts_with(root().join("src/simulation")) || path.ends_with("src/simulation.rs");
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests") || is_simulation
}

fn code_of(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The modules at the top that `crate::` paths lead to.
fn names(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let Some(list) = path.strip_prefix('{') else {
            names.insert(word(path));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for char in list.chars().take_while(|char| *char != ';') {
            match char {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => names.extend([word(&std::mem::take(&mut item))]),
                char if depth == 0 => item.push(char),
                _ => {}
            }
        }
        names.insert(word(&item));
    }
    names.remove("");
    names
}

/// The identifier at the start of a path.
fn word(path: &str) -> String {
    path.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

fn module_of(path: &Path) -> String {
    path.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[track_caller]
fn assert_within(module: &str, named: &BTreeSet<String>, allowed: &[&str]) {
    let others: Vec<&String> = named.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{module} must not know {others:?}");
}

#[track_caller]
fn assert_none<'a>(module: &str, named: &BTreeSet<String>, forbidden: impl IntoIterator<Item = &'a str>) {
    for name in forbidden {
        assert!(!named.contains(name), "{module} must not know {name}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
