//! Which modules may import which, and the bans in clippy.toml that imports do not show.
//!
//! Unit tests and the simulation may import everything: code below `#[cfg(test)]`, files called `tests.rs` and comments are
//! left out.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::sources::{
    Module, between_siblings, circles, code_of, module_of, named, paths, read, root, sources,
};

/// The rules and their words. They import only each other.
const CORE: [&str; 7] = ["watch", "export", "moment", "text", "secret", "exit", "duration"];

/// The core and its documents: nothing here sends, stores, prints, or reads the time.
const PURE: [&str; 12] = [
    "watch", "export", "moment", "text", "secret", "exit", "duration", "event", "document", "manifest",
    "request", "words",
];

/// Modules that must not import each other.
const STRANGERS: [&str; 5] = ["snyk", "store", "notify", "observe", "download"];

/// The parts that other programs can use as well as our commands.
const ENGINE: [&str; 11] = [
    "daemon", "download", "health", "http", "notify", "process", "runner", "server", "snyk", "store", "tasks",
];

#[test]
fn the_core_imports_only_itself() {
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
fn the_core_has_no_side_effects() {
    const ACTING: [&str; 6] = ["tokio::", "reqwest::", "std::fs", "std::net", "std::env", "tracing::"];
    for (path, code) in sources().into_iter().filter(|(path, _)| PURE.contains(&top(path).as_str())) {
        for acting in ACTING {
            assert!(!code.contains(acting), "{} names {acting}", path.display());
        }
    }
}

#[test]
fn client_store_notifications_and_observers_do_not_import_each_other() {
    for (module, named) in modules().into_iter().filter(|(module, _)| STRANGERS.contains(&module.as_str())) {
        let others = STRANGERS.into_iter().filter(|other| *other != module);
        assert_none(&module, &named, others);
    }
}

#[test]
fn only_the_engine_and_the_commands_import_the_store() {
    for (module, named) in modules() {
        if !["runner", "tasks", "daemon", "commands", "server", "store"].contains(&module.as_str()) {
            assert_none(&module, &named, ["store"]);
        }
    }
}

#[test]
fn the_runner_imports_neither_notifications_nor_a_database() {
    assert_none("runner", &modules()["runner"], ["notify", "snyk", "daemon", "server"]);
    for (path, code) in sources().into_iter().filter(|(path, _)| path.starts_with("runner")) {
        assert!(!code.contains("Sqlite"), "{} names SQLite", path.display());
    }
}

#[test]
fn the_engine_has_no_console() {
    const CONSOLE: [&str; 5] = ["cli", "commands", "output", "signals", "telemetry"];
    for (module, named) in modules().into_iter().filter(|(module, _)| ENGINE.contains(&module.as_str())) {
        assert_none(&module, &named, CONSOLE);
    }
    for (path, code) in sources().into_iter().filter(|(path, _)| ENGINE.contains(&top(path).as_str())) {
        for stream in ["io::stdout", "io::stderr", "io::stdin"] {
            assert!(!code.contains(stream), "{} names {stream}", path.display());
        }
    }
}

/// Circles that are left, with their modules. Do not add any.
const CIRCLES_LEFT: [(&str, &[&str]); 3] = [
    ("", &["secret", "text"]),
    ("download", &["checksum", "inspect", "writer"]),
    ("settings", &["daemon", "layers", "mistake", "places", "sources"]),
];

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let files: Vec<(Module, String)> =
        sources().into_iter().map(|(path, code)| (module_of(&path), code)).collect();
    for (parent, edges) in between_siblings(&files) {
        let parent = parent.join("::");
        let left = CIRCLES_LEFT.iter().find(|(place, _)| *place == parent).map_or(&[][..], |(_, left)| left);
        let mut circles = circles(edges);
        circles.retain(|module, _| !left.contains(&module.as_str()));
        assert!(circles.is_empty(), "in `{parent}` there is a circle: {circles:?}");
    }
}

#[test]
fn a_circle_is_found_at_every_depth() {
    let files = |files: &[(&str, &str)]| -> Vec<(Module, String)> {
        files.iter().map(|(path, code)| (module_of(Path::new(path)), (*code).to_owned())).collect()
    };
    let left = |written: &[(&str, &str)]| {
        let levels = between_siblings(&files(written)).into_iter();
        let circles = levels.map(|(parent, edges)| (parent.join("::"), circles(edges)));
        let circles = circles.filter(|(_, circle)| !circle.is_empty());
        circles.map(|(parent, circle)| (parent, circle.into_keys().collect())).collect::<Vec<(_, Vec<_>)>>()
    };
    // A parent and its child may import each other, and a chain is not a circle.
    assert_eq!(left(&[("a.rs", "use self::b::X; use crate::c;"), ("a/b.rs", "super::Y"), ("c.rs", "")]), []);
    let top =
        [("a.rs", ""), ("a/b.rs", "use crate::{d, c::X};"), ("c.rs", "crate::a::Y"), ("d.rs", "crate::c")];
    assert_eq!(left(&top), [(String::new(), vec!["a".to_owned(), "c".to_owned(), "d".to_owned()])]);
    let deep =
        [("a.rs", ""), ("a/b.rs", "super::{self, c::X}"), ("a/c.rs", ""), ("a/c/d.rs", "super::super::b::Y")];
    assert_eq!(left(&deep), [("a".to_owned(), vec!["b".to_owned(), "c".to_owned()])]);
}

#[test]
fn only_the_store_knows_which_database_is_behind_it() {
    for (path, code) in sources().into_iter().filter(|(path, _)| top(path) != "store") {
        for database in ["rusqlite", "Sqlite"] {
            assert!(!code.contains(database), "{} names {database}: it must use a contract", path.display());
        }
    }
}

#[test]
fn no_module_imports_the_commands_and_only_they_import_the_command_line() {
    for (module, named) in modules() {
        if module != "commands" {
            assert_none(&module, &named, ["cli"]);
        }
        assert_none(&module, &named, ["commands"]);
    }
}

#[test]
fn the_simulator_imports_nothing_else() {
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
fn only_chosen_places_are_exempt_from_a_ban() {
    let let_off: Vec<String> = sources()
        .iter()
        .filter(|(_, code)| code.contains("disallowed_methods"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    // `backoff` needs an Instant, and gets one that does not advance.
    let chosen = ["clock.rs", "main.rs", "settings/environment.rs", "simulator/timeline.rs", "watch/pace.rs"];
    assert_eq!(let_off, chosen);
}

#[test]
fn only_disk_changes_files() {
    // Tests need these too, so clippy.toml cannot ban them.
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
    for (path, code) in sources().into_iter().filter(|(path, _)| top(path) != "disk") {
        for changing in CHANGING {
            assert!(!code.contains(changing), "{} names {changing}: that is for src/disk", path.display());
        }
    }
}

#[test]
fn only_one_module_knows_what_linux_alone_has() {
    let is_test = |path: &Path| path.iter().any(|part| part == "tests");
    for (path, code) in sources().into_iter().filter(|(path, _)| !is_test(path) && top(path) != "platform") {
        for word in ["target_os", "os::linux", "\"/proc", "set_dumpable"] {
            assert!(!code.contains(word), "{} names {word}: that is for src/platform.rs", path.display());
        }
    }
}

#[test]
fn no_path_is_shown_as_it_is() {
    // A file name may hold control characters, which a terminal would obey.
    let is_test = |path: &Path| path.iter().any(|part| part == "tests");
    for (path, code) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        assert!(!code.contains(".display()"), "{}: messages show Text::of_path or of_file", path.display());
    }
}

#[test]
fn only_chosen_places_read_secrets_or_foreign_text() {
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
        "commands/remote.rs",
        "download/storage.rs",
        "notify/ping.rs",
        "notify/slack.rs",
        "secret.rs",
        "server/session.rs",
        "settings/daemon/endpoints.rs",
        "settings/daemon/entry.rs",
        "settings/daemon/server.rs",
        "snyk/credential.rs",
        "snyk/credentials.rs",
    ];
    assert_eq!(places(".expose()"), exposers);
}

#[test]
fn imports_are_found_in_every_spelling() {
    let code = "use crate::watch::{Policy, outcome::Outcome};\nuse crate::{store, snyk::Client as C, text};\n\
        fn x() { crate::runner::poll_within(); }\n// crate::comment\n/// [`X`](crate::doc)\n\
        #[cfg(test)]\nuse crate::fixtures;\nuse crate::{\n    cli::Cli,\n    exit::{self, ExitCode},\n};\n\
        #[cfg(test)]\nmod tests { use crate::settings; }";
    let named: BTreeSet<String> =
        paths(&code_of(code)).into_iter().filter_map(|path| path.into_iter().nth(1)).collect();
    let expected = ["cli", "exit", "runner", "snyk", "store", "text", "watch"];
    assert_eq!(named.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(module_of(Path::new("snyk/wire.rs")), ["snyk", "wire"]);
    assert_eq!(module_of(Path::new("clock.rs")), ["clock"]);
}

/// The modules at the top, with the modules at the top that they import.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let all: BTreeSet<Module> = sources.iter().map(|(path, _)| module_of(path)).collect();
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, code) in &sources {
        let named =
            named(code, &module_of(path), &all).into_iter().filter_map(|named| named.into_iter().next());
        modules.entry(top(path)).or_default().extend(named);
    }
    for (module, named) in &mut modules {
        named.remove(module);
    }
    for module in CORE.iter().chain(&PURE).chain(&["snyk", "store", "runner", "daemon", "commands"]) {
        assert!(modules.contains_key(*module), "{module} has been renamed: change this test too");
    }
    modules
}

/// The module at the top that a file is in.
fn top(path: &Path) -> String {
    module_of(path).into_iter().next().unwrap_or_default()
}

#[track_caller]
fn assert_within(module: &str, named: &BTreeSet<String>, allowed: &[&str]) {
    let others: Vec<&String> = named.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{module} must not import {others:?}");
}

#[track_caller]
fn assert_none<'a>(module: &str, named: &BTreeSet<String>, forbidden: impl IntoIterator<Item = &'a str>) {
    for name in forbidden {
        assert!(!named.contains(name), "{module} must not import {name}");
    }
}
