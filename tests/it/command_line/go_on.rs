//! The command in a hint continues where the last one stopped. It works from any directory, as printed.

use std::path::Path;
use std::process::{Command, Output};

use crate::lab::{EXPORT_ID, GROUP, Lab, Program, READY, Run, TOKEN, until};

/// Not ready at the first poll and at the one at the deadline.
const LATER: &str = "answers = [{ status = 'PENDING', repeat = 2 }]";

/// Ended by its limit after one poll and the last one, or after one alone on a slow machine: then the next command polls again
/// soon.
const SHORT: &str = "--max-wait 100ms --initial-interval 300ms --max-interval 300ms";

/// Where a person types: nothing of what the program needs is in the environment.
struct Shell {
    home: tempfile::TempDir,
}

impl Shell {
    fn new(lab: &Lab) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("to ken"), TOKEN).unwrap();
        let settings = format!("[snyk]\napi = '{}'\n[statuses]\nfinished-status = ['DONE']\n", lab.url());
        std::fs::write(home.path().join("settings.toml"), settings).unwrap();
        Self { home }
    }

    /// A command with its API, its credential and its settings in options.
    fn program(&self, command: &str) -> Program {
        let program = Program::bare(command).living_in(self.home.path());
        program.args("--config settings.toml --token-file").arg("to ken")
    }

    /// Runs the command that stands behind `words` in what was printed, in another directory.
    fn paste(run: &Run, words: &str) -> Output {
        let (_, command) = run.stderr.split_once(words).unwrap_or_else(|| panic!("no {words:?}: {run}"));
        let command = command.lines().next().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_snyk-export")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", program.display());
        Command::new("sh")
            .args(["-c", command])
            .env_clear()
            .env("PATH", path)
            .current_dir("/")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn goes_on(run: &Run, words: &str) -> String {
        let output = Self::paste(run, words);
        assert!(output.status.success(), "{output:?}\n{run}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn wait_prints_a_command_that_waits() {
    let lab = Lab::start(&format!("{READY}ends-as = 'DONE'\n{LATER}"));
    let shell = Shell::new(&lab);
    let wait = shell.program("wait").export(EXPORT_ID).args(SHORT).args("--output json -- echo it ran");
    let run = wait.run();
    run.exits(124).stderr_has("allow more with --max-wait; to go on waiting: snyk-export wait /groups/");
    run.stderr_lacks("--max-wait=");
    let stdout = Shell::goes_on(&run, "to go on waiting: ");
    assert!(stdout.starts_with('{') && stdout.ends_with("it ran\n"), "{stdout}");
}

#[test]
fn the_command_in_a_hint_keeps_the_api() {
    for is_typed in [true, false] {
        let lab = Lab::start(&format!("{READY}{LATER}"));
        let shell = Shell::new(&lab);
        std::fs::write(shell.home.path().join("settings.toml"), "").unwrap();
        let wait = shell.program("wait").export(EXPORT_ID).args(SHORT);
        let wait =
            if is_typed { wait.arg("--api").arg(&lab.url()) } else { wait.env("SNYK_API", &lab.url()) };
        Shell::goes_on(wait.run().exits(124), "to go on waiting: ");
    }
}

#[test]
fn status_prints_a_command_that_waits() {
    let fault = "[[faults]]\nprobability = 1\nat-most = 1\nstatus-code = 503";
    let lab = Lab::start(&format!("{READY}{fault}"));
    let shell = Shell::new(&lab);
    let run = shell.program("status").export(EXPORT_ID).run();
    let stdout = Shell::goes_on(run.exits(69), "to go on waiting: ");
    assert!(stdout.starts_with(&format!("{EXPORT_ID} finished")), "{stdout}");
}

#[test]
fn start_prints_a_command_that_waits() {
    let lab = Lab::start(READY);
    let shell = Shell::new(&lab);
    let start = shell.program("start").args("--dataset issues --updated-from -1d --group-id");
    let run = start.arg(GROUP).run();
    let id = run.exits(0).stdout.trim_end().to_owned();
    assert!(Shell::goes_on(&run, "to wait for it: ").starts_with(&format!("{id} finished")));
}

#[test]
fn download_prints_a_command_that_continues() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    let shell = Shell::new(&lab);
    let run = shell.program("download").export(EXPORT_ID).args("--dir files").run();
    Shell::goes_on(run.exits(75), "to wait for it: ");

    let fault = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 1\nfault = 'hang'\nbytes = 100";
    let lab = Lab::start(&format!("{READY}parts = 2\n{fault}"));
    let shell = Shell::new(&lab);
    let downloading = shell.program("download").export(EXPORT_ID).args("--dir files --merge all.csv").spawn();
    // The first request hangs, and so the fault is over when the other file is whole.
    let work = shell.home.path().join(format!("files/.snyk-export-{EXPORT_ID}"));
    let is_csv = |path: &Path| path.extension().is_some_and(|end| end == "csv");
    let is_whole = |entries: std::fs::ReadDir| entries.flatten().any(|entry| is_csv(&entry.path()));
    until(|| std::fs::read_dir(&work).is_ok_and(is_whole));
    downloading.signal("TERM");
    Shell::goes_on(downloading.end().exits(143), "to go on: ");
    assert!(shell.home.path().join("files/manifest.json").exists());
    assert!(shell.home.path().join("all.csv").exists());
}

#[test]
fn run_prints_a_command_that_continues() {
    let lab = Lab::start(&format!("{READY}{LATER}"));
    let shell = Shell::new(&lab);
    let run =
        shell.program("run").args("--dataset issues --updated-from -1d --dir files --group-id").arg(GROUP);
    let run = run.args(SHORT).args("-- echo it ran").run();
    run.exits(124).stderr_has("to go on: snyk-export run --resume /groups/").stderr_lacks("--max-wait=");
    let stdout = Shell::goes_on(&run, "to go on: ");
    assert!(stdout.ends_with("it ran\n"), "{stdout}");
    assert!(shell.home.path().join("files/manifest.json").exists());
    assert_eq!(lab.starts(), 1);
}
