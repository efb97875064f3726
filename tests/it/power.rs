//! Power cuts and disks that fail. What the program does to files is read from its system calls, by `strace`; from these the
//! directories are rebuilt that a cut may leave, and the program is started on each. Faults are injected by `strace`, too.

mod cuts;
mod disk;
mod faults;
mod order;
mod trace;

use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Program};

/// Something of everything, in little time.
const COURSE: &str = "pending = '0s'\nstarted = '0s'\nparts = 2\nrows = 20\nstarts-per-hour = 100000\n";

/// Whether system calls can be read here; says so if not.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so where tests speak")]
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let can = traced.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        println!(
            "SKIPPED: system calls cannot be read here, since strace is missing or may not trace: {traced:?}"
        );
    }
    can
}

/// The run that is cut or fails: its files, its record and its merged file are all in `home`.
fn run(lab: &Lab, home: &Path) -> Program {
    Program::whole_run(lab).living_in(home).args("--state state/s.json --merge all.csv --max-outage 1s")
}
