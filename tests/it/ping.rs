//! `--ping`: what a dead man's switch hears.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lab::{EXPORT_ID, Lab, NEVER, Notice, Program, READY, Receiver, Run, TOKEN};

const ID: &str = "1c9e66aa-0f4b-4d8f-9a3e-7d2b5c8e1f60";

/// A switch that takes every ping.
fn switch() -> Receiver {
    Receiver::start(|_| Some(200))
}

/// The URL of a check, with an id that is a secret.
fn check(switch: &Receiver) -> String {
    format!("{}/{ID}?create=1", switch.url())
}

/// The last parts of the paths of the pings, in order. `ok` is a ping without one.
fn signs(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(sign).collect()
}

fn sign(notice: &Notice) -> &str {
    let rest = notice.target.strip_prefix("/hook/").and_then(|rest| rest.strip_prefix(ID));
    match rest.and_then(|rest| rest.strip_suffix("?create=1")).unwrap() {
        "" => "ok",
        rest => &rest[1..],
    }
}

#[track_caller]
fn hears(switch: &Receiver, expected: &[&str]) -> Vec<Notice> {
    let notices = switch.until(|notices| notices.len() >= expected.len());
    assert_eq!(signs(&notices), expected, "{notices:?}");
    notices
}

#[track_caller]
fn hides_the_id(run: &Run) {
    assert!(!format!("{}{}", run.stdout, run.stderr).contains(ID), "{run}");
}

#[test]
fn a_run_pings_its_start_and_its_success() {
    let (lab, switch) = (Lab::start(READY), switch());
    let run = Program::whole_run(&lab).args("-v --ping").arg(&check(&switch)).run();
    hides_the_id(run.exits(0));
    let heard = hears(&switch, &["start", "ok"]);
    assert_eq!(heard[0].body, "started\n");
    assert_eq!(heard[1].header("content-type"), "text/plain; charset=utf-8");
    for words in ["Started  issues", "Ready    ", "Saved    ", "exit code 0\n"] {
        assert!(heard[1].body.contains(words), "{:?}", heard[1]);
    }
}

#[test]
fn a_failure_pings_its_exit_code_with_the_reason() {
    let rows = [
        ("ends-as = 'ERRORED'", "", "3", "ERRORED"),
        ("[[faults]]\non = 'status'\nprobability = 1\nstatus-code = 401", "", "4", "HTTP 401"),
        ("", "--token-file /there/is/none", "2", "/there/is/none"),
    ];
    for (scenario, args, code, words) in rows {
        let (lab, switch) = (Lab::start(&format!("{READY}{scenario}")), switch());
        let program =
            Program::wait(&lab).export(EXPORT_ID).args(args).env("SNYK_EXPORT_PING", &check(&switch));
        hides_the_id(program.run().exits(code.parse().unwrap()));
        let heard = hears(&switch, &["start", code]);
        assert!(heard[1].body.contains(words), "{:?}", heard[1]);
        assert!(!heard[1].body.contains(TOKEN), "{:?}", heard[1]);
    }
}

/// A wait that is interrupted once the switch has heard so many pings. The later ones are about its end.
fn interrupted(switch: &Receiver, pings: usize) -> Run {
    let lab = Lab::start(NEVER);
    let program = Program::wait(&lab).export(EXPORT_ID).args("--log-format json --ping");
    let wait = program.arg(&check(switch)).spawn();
    lab.until_asked(1);
    switch.until(|notices| notices.len() == pings);
    wait.signal("TERM");
    wait.end()
}

#[test]
fn an_interrupted_wait_pings_its_exit_code() {
    let switch = switch();
    interrupted(&switch, 1).exits(143);
    let heard = hears(&switch, &["start", "143"]);
    assert!(heard[1].body.contains("SIGTERM"), "{:?}", heard[1]);
}

#[test]
fn the_success_is_pinged_before_the_command_runs() {
    let home = tempfile::tempdir().unwrap();
    let (file, ran_before) = (home.path().join("ran"), Arc::new(AtomicBool::default()));
    let switch = Receiver::start({
        let (file, ran_before) = (file.clone(), Arc::clone(&ran_before));
        move |_| {
            ran_before.fetch_or(file.exists(), Ordering::Relaxed);
            Some(200)
        }
    });
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).args("--ping").arg(&check(&switch));
    let script = format!("touch {}; exit 7", file.display());
    program.args("-- sh -c").arg(&script).run().exits(7);
    hears(&switch, &["start", "ok"]);
    assert!(file.exists() && !ran_before.load(Ordering::Relaxed));
    let program = Program::wait(&lab).export(EXPORT_ID).args("--ping").arg(&check(&switch));
    let no_program = program.file("no-program", "");
    std::fs::set_permissions(&no_program, Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&no_program, "#!/there/is/none\n").unwrap();
    program.args("--").arg(no_program.to_str().unwrap()).run().exits(1);
    hears(&switch, &["start", "ok", "start", "ok", "1"]);
}

#[test]
fn a_switch_that_fails_changes_nothing_but_two_warnings() {
    for status in [500, 302, 404] {
        let switch = Receiver::start(move |_| Some(status));
        let run = interrupted(&switch, 3);
        hides_the_id(run.exits(143).stderr_has(&format!("HTTP {status}")));
        let warnings = run.logs().iter().filter(|line| line["message"] == "the ping failed").count();
        assert_eq!(warnings, 2, "{run}");
        hears(&switch, &["start", "start", "start", "143", "143", "143"]);
    }
}

#[test]
fn a_switch_that_hangs_is_given_up() {
    let switch = Receiver::start(|_| {
        std::thread::park();
        None
    });
    interrupted(&switch, 1).exits(143).stderr_has("no answer");
}

#[test]
fn a_ping_that_works_at_the_third_attempt_is_no_failure() {
    let switch = Receiver::start(|time| [None, Some(503), Some(200)][time % 3]);
    interrupted(&switch, 3).exits(143).stderr_lacks("the ping failed");
    hears(&switch, &["start", "start", "start", "143", "143", "143"]);
}

#[test]
fn its_url_may_be_in_a_file_and_is_checked_without_being_shown() {
    let (lab, switch) = (Lab::start(READY), switch());
    let program = || Program::wait(&lab).export(EXPORT_ID);
    let with = program();
    let home = with.file("ping", &check(&switch)).parent().unwrap().display().to_string();
    let settings = "[report]\nping-file = '${CREDENTIALS_DIRECTORY}/ping'\n";
    with.config(settings).env("CREDENTIALS_DIRECTORY", &home).run().exits(0);
    hears(&switch, &["start", "ok"]);
    let two = program();
    let two_lines = two.file("two", "https://h.example/a\nHIDDEN\n").display().to_string();
    let two_lines = format!("[report]\nping-file = '{two_lines}'\n");
    let rows = [
        (two_lines.as_str(), "ping-file: it has white space or a line break inside"),
        ("[report]\nping = 'https://h.example/a HIDDEN'\n", ", ping: it has white space"),
        ("[report]\nping = 'HIDDEN'\n", ", ping: it is not a valid URL"),
        ("[report]\nping = 'ftp://h/HIDDEN'\n", "neither https nor http"),
        ("[report]\nping = 'http://h.example/HIDDEN'\n", "others could read over plain http"),
        ("[report]\nping = 'https://h/HIDDEN'\nping-file = 'x'\n", "give either `ping` or `ping-file`"),
        ("[report]\nping-file = '/there/is/none'\n", "failed to read /there/is/none"),
    ];
    for (settings, why) in rows {
        let asked = lab.requests();
        let run = program().config(settings).run();
        run.exits(2).stderr_has(why).stderr_lacks("HIDDEN");
        assert_eq!(lab.requests(), asked, "nothing is sent");
        let check = Program::bare("watch").args("--check").env("SNYK_TOKEN", TOKEN).config(settings).run();
        check.exits(2).stderr_has(why).stderr_lacks("HIDDEN");
    }
    program().args("--ping ftp://h/HIDDEN").run().exits(2).stderr_has("--ping: ").stderr_lacks("HIDDEN");
    hears(&switch, &["start", "ok"]);
}

#[test]
fn only_commands_that_follow_exports_ping() {
    let (lab, switch) = (Lab::start(READY), switch());
    Program::status(&lab).export(EXPORT_ID).env("SNYK_EXPORT_PING", &check(&switch)).run().exits(0);
    let check_of_settings = Program::bare("watch").args("--check").env("SNYK_TOKEN", TOKEN);
    check_of_settings.env("SNYK_EXPORT_PING", &check(&switch)).run().exits(0);
    Program::wait(&lab).export(EXPORT_ID).env("SNYK_EXPORT_PING", &check(&switch)).run().exits(0);
    hears(&switch, &["start", "ok"]);
}
