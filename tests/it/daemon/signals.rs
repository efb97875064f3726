//! Signals at a bad moment, and log readers that do not read.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;

use super::home::{DaemonHome, asking, reload, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, Receiver, TOKEN, Watched, fifo, full_pipe, until};

const RELOADED: &str = "the settings were reloaded";

#[test]
fn a_hangup_while_it_starts_is_not_lost() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let token = bed.path("token");
    std::fs::remove_file(&token).unwrap();
    fifo(&token);
    let daemon = bed.program("watch").spawn();
    // When this returns, the daemon reads its token.
    let mut writer = File::options().write(true).open(&token).unwrap();
    daemon.signal("HUP");
    std::fs::remove_file(&token).unwrap();
    bed.file("token", TOKEN);
    writer.write_all(TOKEN.as_bytes()).unwrap();
    drop(writer);
    daemon.until_said(RELOADED, 1);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_reload_that_hangs_does_not_keep_it_from_ending() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let settings = bed.path("daemon.toml");
    std::fs::remove_file(&settings).unwrap();
    fifo(&settings);
    daemon.signal("HUP");
    // When this returns, the daemon reads its settings.
    let writer = File::options().write(true).open(&settings).unwrap();
    daemon.signal("TERM");
    daemon.end().exits(0).stderr_lacks("the settings cannot be used");
    drop(writer);
}

#[test]
fn settings_from_a_pipe_are_read_again_only_by_a_restart_and_the_files_that_they_name_by_a_reload() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "the-first-token-of-all");
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let (path, settings) = (bed.path("daemon.toml"), bed.settings());
    std::fs::remove_file(&path).unwrap();
    fifo(&path);
    let writer = std::thread::spawn(move || std::fs::write(path, settings).unwrap());
    let daemon = bed.start();
    writer.join().unwrap();
    bed.file("api-token", "the-second-token-of-all");
    reload(&daemon);
    daemon.until_said("the settings file is a pipe: only a restart reads it again", 1);
    assert_eq!(bed.seen("/v1/watches")["data"].as_array().unwrap().len(), 1);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn polls_go_on_while_a_reload_waits_for_a_slow_file() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let (path, settings) = (bed.path("daemon.toml"), bed.settings());
    std::fs::remove_file(&path).unwrap();
    fifo(&path);
    daemon.signal("HUP");
    // When this returns, the daemon reads its settings.
    let mut writer = File::options().write(true).open(&path).unwrap();
    let before = lab.requests();
    lab.until_asked(before + 20);
    assert!(daemon.until_said(RELOADED, 0).is_empty());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &settings).unwrap();
    writer.write_all(settings.as_bytes()).unwrap();
    drop(writer);
    daemon.until_said(RELOADED, 1);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_reload_names_what_it_waited_for() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let other = rusqlite::Connection::open(bed.path("watches.db")).unwrap();
    other.busy_timeout(crate::lab::PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    daemon.signal("HUP");
    let refused = daemon.until_said("cannot use the new settings, keeping the previous ones", 1);
    let reason = refused[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the store did not answer within 10s"), "{reason}");
    other.execute_batch("ROLLBACK").unwrap();
    reload(&daemon);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn what_is_being_delivered_when_it_stops_is_delivered_once() {
    let (lab, gate) = (Lab::start(READY), Watched::<bool>::default());
    let receiver = {
        let gate = gate.clone();
        Receiver::start(move |_| gate.try_until(|is_open| *is_open).map(|_| 204))
    };
    let bed = DaemonHome::new("");
    let (begun, go_on) = (bed.path("begun"), bed.path("go-on"));
    let script = format!(
        "#!/bin/sh\ntrap '' TERM\necho begun >> {}\nwhile ! test -e {}; do sleep 0.02; done\n",
        begun.display(),
        go_on.display()
    );
    bed.file("program", &script);
    std::fs::set_permissions(bed.path("program"), PermissionsExt::from_mode(0o700)).unwrap();
    let command = "[[notify]]\nname = 'program'\nkind = 'command'\nargv = ['@program']\n".to_owned();
    bed.set(&[asking(&lab), webhook("platform", &receiver), command, watch("default", EXPORT_ID)].concat());
    let with_path = |program: crate::lab::Program| program.env("PATH", "/usr/bin:/bin");
    let daemon = DaemonHome::begin(with_path(bed.program("watch")));
    receiver.until(|notices| notices.len() == 1);
    until(|| begun.exists());
    daemon.signal("TERM");
    daemon.until_told("daemon.stopping", 1);
    bed.file("go-on", "");
    gate.change(|is_open| *is_open = true);
    let run = daemon.end();
    let sent = run.exits(0).events().iter().filter(|event| *event == "delivery.sent").count();
    assert_eq!(sent, 2, "{run}");

    with_path(bed.program("watch")).arg("--until-idle").run().exits(0).stderr_lacks("delivery.sent");
    assert_eq!(receiver.until(|_| true).len(), 1);
    assert_eq!(std::fs::read_to_string(begun).unwrap(), "begun\n");
}

#[test]
fn a_command_is_asked_to_end_when_the_daemon_stops() {
    let lab = Lab::start(READY);
    let bed = DaemonHome::new("");
    let (begun, asked) = (bed.path("begun"), bed.path("asked"));
    let (begins, is_asked) = (format!("touch {}", begun.display()), format!("touch {}", asked.display()));
    bed.file(
        "program",
        &format!("#!/bin/sh\ntrap '{is_asked}; exit 3' TERM\n{begins}\nwhile :; do sleep 0.02; done\n"),
    );
    std::fs::set_permissions(bed.path("program"), PermissionsExt::from_mode(0o700)).unwrap();
    let command = "[[notify]]\nname = 'program'\nkind = 'command'\nargv = ['@program']\n".to_owned();
    bed.set(&[asking(&lab), command, watch("default", EXPORT_ID)].concat());
    let daemon = DaemonHome::begin(bed.program("watch").env("PATH", "/usr/bin:/bin"));
    until(|| begun.exists());
    daemon.signal("TERM");
    daemon.end().exits(0).stderr_has("/program` ended with exit status: 3");
    assert!(asked.exists());
}

#[test]
fn a_second_signal_kills_the_commands_that_run() {
    let lab = Lab::start(READY);
    let bed = DaemonHome::new("");
    let begun = bed.path("begun");
    let script =
        format!("#!/bin/sh\ntrap '' TERM\necho $$ > {}\nwhile :; do sleep 0.02; done\n", begun.display());
    bed.file("program", &script);
    std::fs::set_permissions(bed.path("program"), PermissionsExt::from_mode(0o700)).unwrap();
    let command = "[[notify]]\nname = 'program'\nkind = 'command'\nargv = ['@program']\n".to_owned();
    bed.set(&[asking(&lab), command, watch("default", EXPORT_ID)].concat());
    let daemon = DaemonHome::begin(bed.program("watch").env("PATH", "/usr/bin:/bin"));
    let id = || std::fs::read_to_string(&begun).unwrap_or_default();
    until(|| id().ends_with('\n'));
    daemon.signal("TERM");
    daemon.until_told("daemon.stopping", 1);
    daemon.signal("TERM");
    assert_eq!(daemon.end().code, Some(143));
    // Nobody may have reaped it yet.
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", id().trim())).unwrap_or_default();
    until(|| stat().is_empty() || stat().contains(") Z "));
}

#[test]
fn the_daemon_works_with_a_full_log_pipe() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let (_reader, writer) = full_pipe();
    let daemon = bed.program("watch").arg("-v").stderr(writer).spawn();
    lab.until_asked(5);
    assert_eq!(bed.get("/healthz").status, 200);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_reload_takes_on_how_the_log_is_written() {
    let lab = Lab::start(NEVER);
    let settings = [asking(&lab), watch("default", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&settings);
    let file = bed.path("daemon.toml").display().to_string();
    let daemon = crate::lab::Program::bare("watch").arg("--config").arg(&file).spawn();
    daemon.until_stderr_has("INFO asking Snyk");
    lab.until_asked(1);
    bed.set(&format!("{settings}[log]\nlog-format = 'json'\n"));
    daemon.signal("HUP");
    daemon.until_said(RELOADED, 1);
    bed.set(&settings);
    daemon.signal("HUP");
    daemon.until_stderr_has(&format!("INFO {RELOADED}"));
    daemon.signal("TERM");
    daemon.end().exits(0);
}
