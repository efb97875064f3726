//! `-- COMMAND` replaces the program, once, and only after every export has finished.

use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY, SECOND_ID, full_pipe};

// Bits of signals, as Linux shows them.
const HUP: u64 = 1;
const INT: u64 = 1 << 1;
const PIPE: u64 = 1 << 12;
const TERM: u64 = 1 << 14;
const XFSZ: u64 = 1 << 24;

#[test]
fn the_command_replaces_the_program_and_gets_the_result() {
    let lab = Lab::start(READY);
    let script = "echo pid=$$; env | grep ^SNYK_EXPORT_RESULT_ | sort";
    let wait = Program::wait(&lab).text().export(EXPORT_ID).export(SECOND_ID).arg("-q");
    let running = wait.args("-- sh -c").arg(script).spawn();
    let id = running.id();
    let run = running.end();
    let lines: Vec<&str> = run.exits(0).stdout.lines().skip(2).collect();
    let expected = [
        format!("pid={id}"),
        format!("SNYK_EXPORT_RESULT_EXPORT_ID={EXPORT_ID},{SECOND_ID}"),
        "SNYK_EXPORT_RESULT_OUTCOME=finished".to_owned(),
        "SNYK_EXPORT_RESULT_ROW_COUNT=1061,1061".to_owned(),
        "SNYK_EXPORT_RESULT_SCOPE=group,group".to_owned(),
        format!("SNYK_EXPORT_RESULT_SCOPE_ID={GROUP},{GROUP}"),
    ];
    let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
    // Two exports that end at once are named in the order of their ends.
    lines[1] = lines[1].replace(&format!("{SECOND_ID},{EXPORT_ID}"), &format!("{EXPORT_ID},{SECOND_ID}"));
    assert_eq!(lines, expected, "{run}");
}

#[test]
fn the_command_inherits_what_was_ignored_and_nothing_of_ours() {
    let lab = Lab::start(READY);
    for (script, ignored) in [("trap '' HUP; exec \"$@\"", HUP), ("exec \"$@\"", 0)] {
        let wait = Program::wait(&lab).text().export(EXPORT_ID).args("-- grep ^Sig /proc/self/status");
        let run = wait.under_script("sh -c", script).run();
        let mask = |name: &str| {
            let line = run.exits(0).stdout.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap() & (HUP | INT | PIPE | TERM | XFSZ)
        };
        assert_eq!((mask("SigIgn:"), mask("SigBlk:")), (ignored, 0), "{run}");
    }
}

#[test]
fn a_signal_before_the_command_keeps_it_from_running() {
    let lab = Lab::start(READY);
    let (mut reader, writer) = full_pipe();
    let wait = Program::wait(&lab).export(EXPORT_ID).stdout(writer).args("--log-format json");
    let waiting = wait.args("-- sh -c").arg("echo it ran >&2").spawn();
    // Its document is on the way, into a pipe that is full.
    waiting.until_told("watch.finished", 1);
    waiting.signal("TERM");
    let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    waiting.end().exits(143).stderr_lacks("it ran");
    reading.join().unwrap().unwrap();
}

#[test]
fn the_commands_own_code_is_the_code() {
    let lab = Lab::start(READY);
    Program::wait(&lab).export(EXPORT_ID).args("-- sh -c").arg("exit 42").run().exits(42);
}

#[test]
fn nothing_runs_unless_every_export_has_finished() {
    let rows = [("status = 'ERRORED'", 3), ("status-code = 403", 4), ("status = 'ODD'", 8)];
    for (fault, code) in rows {
        let fault = format!("[[faults]]\nprobability = 1\nat-most = 1\n{fault}\non = 'status'");
        let lab = Lab::start(&format!("{READY}{fault}"));
        let wait = Program::wait(&lab).text().export(EXPORT_ID).export(SECOND_ID);
        let run = wait.args("-- echo it ran").run();
        assert!(!run.exits(code).stdout.contains("it ran"), "{run}");
    }
}

#[test]
fn nothing_runs_after_a_signal() {
    let lab = Lab::start(NEVER);
    let waiting = Program::wait(&lab).text().export(EXPORT_ID).args("-- echo it ran").spawn();
    lab.until_asked(2);
    waiting.signal("TERM");
    let run = waiting.end();
    run.exits(143).stdout_is(&format!("{EXPORT_ID} interrupted\n"));
}

#[test]
fn a_command_that_cannot_be_run_is_reported_before_the_wait() {
    let lab = Lab::start(READY);
    for command in ["no-such-command", "./no-such-command", "/etc/passwd", "/tmp"] {
        let run = Program::wait(&lab).export(EXPORT_ID).args("--").arg(command).run();
        run.exits(2).stderr_is(&format!(
            "error: COMMAND: `{command}` cannot be run: it is not an executable file here or in PATH\n"
        ));
    }
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_command_that_fails_to_start_in_the_end_exits_with_1() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::start(READY);
    let wait = Program::wait(&lab).export(EXPORT_ID).args("-- ./broken");
    let path = wait.file("broken", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    wait.run().exits(1).stderr_has("error: failed to run `./broken`: ");
}

#[test]
fn a_command_is_found_in_the_path_of_the_environment() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::start(READY);
    let wait = Program::wait(&lab).text().export(EXPORT_ID).args("-- tell --it 'so'");
    let path = wait.file("bin/tell", "#!/bin/sh\necho \"$0 $@\"\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let directory = path.parent().unwrap().display().to_string();
    let run = wait.env("PATH", &format!("/nowhere:{directory}")).run();
    assert!(run.exits(0).stdout.ends_with("tell --it 'so'\n"), "{run}");
}
