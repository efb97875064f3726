//! Screens: what people see of each command, on terminals of two widths, in a CI system's log, and as JSON.
//!
//! The expected text of each is a file in `screens/`. Times, ids, durations and addresses are replaced. A file is compared word
//! by word, since a longer duration may break a line elsewhere; that lines fit the terminal is checked on its own.

mod scenes;
mod terminal;

use std::fmt::Write as _;
use std::process::Command;

use self::scenes::{SCENES, Scene};
use crate::lab::{EXPORT_ID, GROUP, Lab, path};

/// Where a scene is played.
struct Stage {
    title: &'static str,
    /// The width of the terminal, if it is one.
    columns: Option<usize>,
    variables: &'static str,
}

const STAGES: [Stage; 4] = [
    Stage { title: "terminal, 80 columns", columns: Some(80), variables: "TERM=xterm LANG=C.UTF-8" },
    Stage { title: "terminal, 100 columns", columns: Some(100), variables: "TERM=xterm LANG=C.UTF-8" },
    Stage { title: "GitHub Actions", columns: None, variables: "CI=true GITHUB_ACTIONS=true LANG=C.UTF-8" },
    Stage { title: "JSON", columns: None, variables: "SNYK_EXPORT_LOG_FORMAT=json" },
];

/// Short paces, as in the lab.
const SETTINGS: &str = "[pace]\ninitial-interval = '5ms'\nmax-interval = '20ms'\n[retry]\ninitial-interval = '5ms'\n\
                        max-interval = '20ms'\n";

#[test]
fn each_command_and_each_failure_has_its_screen() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("SKIPPED: there is no `script` here to make a terminal with");
        return;
    }
    let mut wrong = Vec::new();
    for scene in SCENES {
        let text = STAGES.iter().fold(String::new(), |text, stage| text + &played(scene, stage));
        let file = format!("{}/tests/it/screens/{}.txt", env!("CARGO_MANIFEST_DIR"), scene.name);
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if !text.split_whitespace().eq(expected.split_whitespace()) {
            let actual = format!("{}/{}.txt", env!("CARGO_TARGET_TMPDIR"), scene.name);
            std::fs::write(&actual, &text).unwrap();
            wrong.push(format!("{file} is not {actual}, which has:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a scene shows on a stage.
fn played(scene: &Scene, stage: &Stage) -> String {
    let Stage { title, columns, variables } = *stage;
    let lab = Lab::start(scene.scenario);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("settings.toml"), SETTINGS.to_owned() + scene.settings).unwrap();
    let words = scene.command.replace("{export}", &path(EXPORT_ID)).replace("{group}", GROUP);
    let call = format!("{} {words}", env!("CARGO_BIN_EXE_snyk-export"));
    let mut command = match columns {
        Some(columns) => {
            let mut command = Command::new("script");
            command.args(["-qec", &format!("stty cols {columns} rows 50; exec {call}"), "/dev/null"]);
            command
        }
        None => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec {call} 2>&1")]);
            command
        }
    };
    let variables = variables.split_whitespace().filter_map(|pair| pair.split_once('='));
    command.env_clear().envs(variables).env("HOME", home.path()).env("TZ", "UTC");
    command.envs([("SNYK_API", lab.url().as_str()), ("SNYK_TOKEN", scene.token)]);
    command.env("SNYK_EXPORT_CONFIG", home.path().join("settings.toml")).current_dir(home.path());
    let done = command.output().unwrap();
    let output = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(scene.code), "{} on {title}:\n{output}", scene.name);
    let rows = match columns {
        Some(columns) => {
            let rows = terminal::shown(&output);
            let too_long = rows.iter().filter(|row| row.chars().count() > columns);
            // Commands to copy are left whole, and clap wraps by itself.
            let too_long: Vec<&String> =
                too_long.filter(|row| !row.contains("snyk-export ") && !row.starts_with("error: ")).collect();
            assert!(too_long.is_empty(), "{} on {title}: {too_long:?}", scene.name);
            rows
        }
        None => output.lines().map(str::to_owned).collect(),
    };
    let mut text = format!("=== {title}, exit {}\n", scene.code);
    for row in rows {
        let row = row.replace(&home.path().display().to_string(), "HOME");
        let _ = writeln!(text, "{}", settled(&row));
    }
    text.trim_end().to_owned() + "\n\n"
}

/// A row with words in the place of what differs from run to run.
fn settled(row: &str) -> String {
    let is_part = |char: char| char.is_ascii_alphanumeric() || ".:_-".contains(char);
    let (mut text, mut rest) = (String::new(), row);
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|char| is_part(char) != is_part(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        text += &if is_part(first) { settled_word(run, &text) } else { run.to_owned() };
        rest = after;
    }
    text
}

fn settled_word(run: &str, before: &str) -> String {
    let begin = &run[..run.len() - run.trim_start_matches(':').len()];
    let word = run[begin.len()..].trim_end_matches([':', '.']);
    let end = &run[begin.len() + word.len()..];
    let is_uuid = word.len() == 36 && word.matches('-').count() == 4;
    let unit = word.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let is_number = word.starts_with(|char: char| char.is_ascii_digit());
    // Members of JSON that measure time.
    let is_measured = ["_ms\"", "waited_seconds\"", "\"polls\""].iter().any(|key| before.ends_with(key));
    let settled = match word {
        EXPORT_ID | GROUP => word,
        _ if is_uuid => "UUID",
        _ if word.starts_with("msg_") => "MESSAGE",
        _ if word.starts_with("127.0.0.1:") => "HOST",
        _ if word.len() >= 20 && word.ends_with('Z') && word.contains('T') && is_number => "MOMENT",
        _ if word.len() == 8 && is_number && word.matches(':').count() == 2 => "TIME",
        _ if is_number && ["ms", "s", "m", "h"].contains(&unit) => "PAUSE",
        _ if is_number && is_measured => "0",
        _ => word,
    };
    format!("{begin}{settled}{end}")
}
