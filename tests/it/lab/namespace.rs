//! A PID namespace, as a container has one.

use std::process::Command;

use super::{Program, Spawned};

/// Makes a program PID 1 of a namespace of its own, which ends with `unshare`.
const AS_PID_1: &str = "unshare --fork --pid --mount-proc --kill-child";

/// Whether there can be such a namespace here; says so if not.
#[expect(clippy::print_stdout, reason = "what was not tested is said")]
pub(crate) fn can_be_pid_one() -> bool {
    let mut words = AS_PID_1.split_whitespace();
    let allowed = Command::new(words.next().unwrap()).args(words).arg("true").output();
    let can_be = allowed.as_ref().is_ok_and(|output| output.status.success());
    if !can_be {
        println!("SKIPPED: no PID namespace can be made here: {allowed:?}");
    }
    can_be
}

/// The program as PID 1.
pub(crate) fn as_pid_one(program: Program) -> Program {
    program.under(AS_PID_1)
}

/// The id here of a program that is PID 1 where it lives.
#[track_caller]
pub(crate) fn pid_one(wrapped: &Spawned) -> u32 {
    let id = wrapped.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let id = children.trim().parse().unwrap_or_else(|_| panic!("not one child: {children:?}"));
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert_eq!(ids.split_whitespace().last(), Some("1"), "it is PID 1 where it lives");
    id
}
