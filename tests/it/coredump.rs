//! Secrets in memory: no core dumps, and no access for other processes.

use std::process::Command;

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY, TOKEN};

/// What begins a test's processes with a limit of cores.
fn with_limit(program: Program, limit: &str) -> Program {
    program.under_script("sh -c", &format!("ulimit -S -c {limit}; exec \"$@\""))
}

#[test]
fn no_signal_leads_to_a_core_dump() {
    let lab = Lab::start(NEVER);
    let waiting = with_limit(Program::wait(&lab).export(EXPORT_ID), "unlimited").spawn();
    lab.until_asked(1);
    waiting.signal("QUIT");
    let run = waiting.end();
    assert_eq!(run.signal, Some(3), "{run}");
    let entries = std::fs::read_dir(run.home()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with("core")), "{names:?}");
}

#[test]
fn nobody_reads_the_environment_of_a_process_with_secrets() {
    // Root's capabilities open everything; a daemon that runs as it should has none, and nor have its commands.
    let is_root = rustix::process::geteuid().is_root();
    let without = if is_root { "setpriv --inh-caps=-all --bounding-set=-all" } else { "env" };
    let lab = Lab::start(NEVER);
    let waiting = Program::wait(&lab).export(EXPORT_ID).under(without).spawn();
    lab.until_asked(1);
    let mut words = without.split(' ');
    let mut reader = Command::new(words.next().unwrap());
    let read = reader.args(words).arg("cat").arg(format!("/proc/{}/environ", waiting.id())).output().unwrap();
    assert!(!String::from_utf8_lossy(&read.stdout).contains(TOKEN), "{read:?}");
    assert!(String::from_utf8_lossy(&read.stderr).contains("Permission denied"), "{read:?}");
    waiting.signal("TERM");
    waiting.end().exits(143);
}

#[test]
fn a_command_that_takes_our_place_gets_back_its_limit_of_cores() {
    let lab = Lab::start(READY);
    for limit in ["unlimited", "0", "7"] {
        let wait = Program::wait(&lab).text().export(EXPORT_ID).args("-- sh -c").arg("ulimit -S -c");
        let run = with_limit(wait, limit).run();
        assert!(run.exits(0).stdout.ends_with(&format!("\n{limit}\n")), "{run}");
    }
}
