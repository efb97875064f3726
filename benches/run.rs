//! Runs programs, ours and others, and measures them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Our program: the one that `-- --program PATH` names, or the one that Cargo built. That has the profile of the artefact, but
/// the crates of tests enable features of shared crates, such as HTTP/2, so that it is larger than what users run.
pub(crate) fn program() -> String {
    let args: Vec<String> = std::env::args().collect();
    let named = args.iter().position(|arg| arg == "--program").and_then(|position| args.get(position + 1));
    named.cloned().unwrap_or_else(|| env!("CARGO_BIN_EXE_snyk-export").to_owned())
}

/// A program with its arguments.
pub(crate) struct Run {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    home: PathBuf,
}

impl Run {
    /// A program with a home directory of its own.
    pub(crate) fn new<Arg: AsRef<str>>(program: &str, args: &[Arg], home: &Path) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            home: home.to_owned(),
        }
    }

    /// Our program, against an API.
    pub(crate) fn ours<Arg: AsRef<str>>(args: &[Arg], api: &str, home: &Path) -> Self {
        Self::new(&program(), args, home).env("SNYK_API", api).env("SNYK_TOKEN", "x")
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        self.command_of(&self.program, &[])
    }

    fn command_of(&self, program: &str, before: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(before).args(&self.args).env("HOME", &self.home).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The wall time in milliseconds. `None` if the program is missing or fails.
    pub(crate) fn time(&self) -> Option<f64> {
        let start = now();
        let status = self.command().status().ok()?;
        status.success().then(|| start.elapsed().as_secs_f64() * 1e3)
    }

    /// The peak memory in KiB, measured by GNU time.
    pub(crate) fn peak_kib(&self) -> Option<f64> {
        let mut command = self.command_of("/usr/bin/time", &["-f", "%M", &self.program]);
        let output = command.stderr(Stdio::piped()).output().ok()?;
        String::from_utf8(output.stderr).ok()?.lines().last()?.trim().parse().ok()
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The median. NaN if there are no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
