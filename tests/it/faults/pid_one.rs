//! As PID 1, as in a container, a process without handlers ignores SIGTERM: eight of nine tools do.

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, as_pid_one, can_be_pid_one, pid_one, signal};

#[test]
fn sigterm_ends_it_as_pid_1() {
    if !can_be_pid_one() {
        return;
    }
    let lab = Lab::start(NEVER);
    let waiting = as_pid_one(Program::wait(&lab)).export(EXPORT_ID).spawn();
    lab.until_asked(1);
    signal("TERM", pid_one(&waiting));
    let run = waiting.end();
    assert_eq!(run.exits(143).document()["outcome"], "interrupted");
}
