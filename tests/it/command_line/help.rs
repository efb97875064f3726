//! Help, for people who look for the one option that they need.

use std::process::Command;

use crate::lab::Program;

const COMMANDS: [&str; 12] = [
    "doctor",
    "wait",
    "status",
    "start",
    "download",
    "run",
    "watch",
    "healthcheck",
    "simulate",
    "demo",
    "completions",
    "man",
];

fn help(command: &str, flag: &str) -> String {
    let run = Program::bare(command).arg(flag).env("COLUMNS", "80").run();
    run.exits(0).stderr_is("").stdout.clone()
}

#[test]
fn the_program_alone_shows_its_help_without_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_snyk-export")).env("COLUMNS", "80").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), help("-h", "-q"));
}

#[test]
fn short_help_fits_a_screen_and_has_examples() {
    let mut short = vec![("the program".to_owned(), help("-h", "-q"))];
    short.extend(COMMANDS.map(|command| (command.to_owned(), help(command, "-h"))));
    for (command, help) in short {
        let widest = help.lines().map(str::len).max().unwrap();
        assert!(
            help.lines().count() <= 40 && widest <= 80,
            "{command}: {} lines\n{help}",
            help.lines().count()
        );
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command}: {help}"));
        assert_eq!(examples.matches("  # ").count(), 2, "{command}: {help}");
    }
}

#[test]
fn help_has_the_defaults_of_the_command() {
    for (command, defaults) in [
        ("wait", ["[default: 50m]", "[default: 10m]"]),
        ("run", ["[default: 50m]", "[default: 10m]"]),
        ("start", ["[default: 10m]", "[default: text]"]),
    ] {
        let help = help(command, "-h");
        for default in defaults {
            assert!(help.contains(default), "{command}: {help}");
        }
    }
    let wait = help("wait", "--help");
    for default in
        ["[default: 500ms]", "[default: 1.1]", "[default: 10s]", "[default: 30s]", "[default: false]"]
    {
        assert!(wait.contains(default), "{default}: {wait}");
    }
    assert!(
        help("run", "--help").contains("[default: 30s] [env: SNYK_EXPORT_NOT_FOUND_GRACE]"),
        "a new export"
    );
}

#[test]
fn long_help_has_the_order_of_credentials_and_the_exit_codes() {
    for command in ["--help", "wait", "run", "watch"] {
        let help = help(command, "--help");
        let of = |word: &str| help.find(word).unwrap_or_else(|| panic!("{command}: {word}: {help}"));
        assert!(of("\n  SNYK_OAUTH_TOKEN") < of("\n  SNYK_TOKEN  "), "{command}");
        assert!(of("\n  SNYK_TOKEN  ") < of("\n  SNYK_CLIENT_ID"), "{command}");
        of("\n  124 ");
    }
}

#[test]
fn commands_that_ask_nobody_offer_no_credential() {
    for command in ["healthcheck", "simulate", "demo", "completions", "man"] {
        for flag in ["-h", "--help"] {
            let help = help(command, flag);
            for word in ["--token-file", "--api", "SNYK_TOKEN", "--dotenv"] {
                assert!(!help.contains(word), "{command} {flag}: {help}");
            }
        }
    }
    assert!(help("wait", "-h").contains("--token-file"));
}

/// The options of all commands, each with a value that it takes.
const GLOBAL: [&str; 10] = [
    "--api=eu",
    "--api-version=2024-10-15",
    "--token-file=x",
    "--ca-cert=x",
    "--allow-http",
    "--config=x",
    "--dotenv=x",
    "--no-progress",
    "--quiet",
    "--verbose",
];

#[test]
fn a_command_refuses_each_option_of_others_that_its_help_does_not_have() {
    // How many of these options each command uses.
    let rows = [
        ("wait", 10),
        ("run", 10),
        ("start", 10),
        ("download", 10),
        ("status", 8),
        ("watch", 8),
        ("doctor", 8),
        ("watches", 5),
        ("deliveries", 5),
        ("healthcheck", 3),
        ("simulate", 3),
        ("demo", 3),
        ("completions", 0),
        ("man", 0),
    ];
    for (command, used) in rows {
        let help = help(command, "--help");
        let is_unused = |option: &&&str| {
            let name = option.split('=').next().unwrap_or_default();
            !help.split_whitespace().any(|word| word.split('[').next() == Some(name))
        };
        let unused: Vec<&str> = GLOBAL.iter().filter(is_unused).copied().collect();
        assert_eq!(GLOBAL.len() - unused.len(), used, "{command} does not use {unused:?}");
        for option in unused {
            let name = option.split('=').next().unwrap_or_default();
            let more = match command {
                "completions" => "bash",
                "deliveries" => "list",
                _ => "",
            };
            let run = Program::bare(command).args(more).arg(option).run();
            run.exits(2).stdout_is("").stderr_has(&format!("`{command}` does not use {name}: leave it out"));
        }
    }
}

#[test]
fn a_command_stands_among_the_arguments() {
    for command in ["wait", "run"] {
        let help = help(command, "-h");
        let arguments = help.split("\nArguments:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        assert!(arguments.is_some_and(|arguments| arguments.contains("[COMMAND]...")), "{help}");
    }
}
