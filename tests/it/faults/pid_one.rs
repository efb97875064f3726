//! As PID 1, as in a container, a process without handlers ignores SIGTERM: eight of nine tools do.

use std::process::Command;

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, signal};

/// Makes the program PID 1 of a namespace of its own, which ends with `unshare`.
const AS_PID_1: &str = "unshare --fork --pid --mount-proc --kill-child";

#[test]
fn sigterm_ends_it_as_pid_1() {
    let mut words = AS_PID_1.split_whitespace();
    let allowed = Command::new(words.next().unwrap()).args(words).arg("true").output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no PID namespace can be made here: {allowed:?}");
        return;
    }
    let lab = Lab::start(NEVER);
    let waiting = Program::wait(&lab).under(AS_PID_1).export(EXPORT_ID).spawn();
    lab.until_asked(1);
    let pid_one = only_child(waiting.id());
    let status = std::fs::read_to_string(format!("/proc/{pid_one}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert_eq!(ids.split_whitespace().last(), Some("1"), "it is PID 1 where it lives");
    signal("TERM", pid_one);
    let run = waiting.end();
    assert_eq!(run.exits(143).document()["outcome"], "interrupted");
}

fn only_child(id: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    children.trim().parse().unwrap_or_else(|_| panic!("not one child: {children:?}"))
}
