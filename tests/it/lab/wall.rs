//! A wall clock that a test sets: for programs that are linked dynamically, by a library that is loaded first.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Program;

/// Answers for the system's clock of wall time, and for no other: with as many seconds more as a file says.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("WALL_CLOCK_OFFSET");
    if (failed || clock != CLOCK_REALTIME || !path) return failed;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) > 0) time->tv_sec += atoll(text);
    close(file);
    return 0;
}
"#;

/// A clock for programs.
pub(crate) struct WallClock(TempDir);

impl WallClock {
    /// A clock that is right. `None`, and it says why, if there is no compiler, or the programs cannot be given a library.
    #[expect(clippy::print_stdout, reason = "what was not tested is said")]
    pub(crate) fn new() -> Option<WallClock> {
        let clock = WallClock(tempfile::tempdir().unwrap());
        std::fs::write(clock.path("shim.c"), SHIM).unwrap();
        clock.step(0);
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(clock.path("shim.so")).arg(clock.path("shim.c"));
        let made = compiler.output();
        if cfg!(not(all(target_os = "linux", target_env = "gnu")))
            || !made.as_ref().is_ok_and(|it| it.status.success())
        {
            println!("SKIPPED: the clock of a program cannot be set here: {made:?}");
            return None;
        }
        Some(clock)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// The clock says from now on that it is so many seconds later than it is.
    pub(crate) fn step(&self, seconds: i64) {
        std::fs::write(self.path("new"), seconds.to_string()).unwrap();
        std::fs::rename(self.path("new"), self.path("offset")).unwrap();
    }

    /// A program that reads this clock.
    pub(crate) fn shown_to(&self, program: Program) -> Program {
        let text = |path: &Path| path.display().to_string();
        program
            .env("LD_PRELOAD", &text(&self.path("shim.so")))
            .env("WALL_CLOCK_OFFSET", &text(&self.path("offset")))
    }
}
