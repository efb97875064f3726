//! The program, set up as users would: arguments, variables, a settings file, standard input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::run::Run;
use super::{Lab, Spawned, TOKEN, path};

/// Paces that suit a test. `[retry]` has no flags.
const SHORT_PACES: &str = "\
[pace]
initial-interval = '5ms'
max-interval = '20ms'
[retry]
initial-interval = '5ms'
max-interval = '20ms'
";

/// What to start an export with.
pub(crate) const ISSUES: &str =
    "--group-id 11111111-2222-4333-8444-555555555555 --dataset issues --introduced-from 2025-01-01";

/// One call of `snyk-export`. Its environment contains only what is set here.
pub(crate) struct Program {
    wrapper: Vec<String>,
    command: String,
    args: Vec<String>,
    variables: BTreeMap<String, String>,
    config: Option<String>,
    output: Option<&'static str>,
    input: Vec<u8>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    directory: Option<PathBuf>,
    home: TempDir,
}

impl Program {
    /// A command without any options.
    pub(crate) fn bare(command: &str) -> Program {
        Program {
            wrapper: Vec::new(),
            command: command.to_owned(),
            args: Vec::new(),
            variables: BTreeMap::new(),
            config: None,
            output: None,
            input: Vec::new(),
            stdin: Stdio::piped(),
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
            directory: None,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// `wait`, asking `lab` in short paces, with JSON documents on standard output.
    pub(crate) fn wait(lab: &Lab) -> Program {
        Program::asking("wait", &lab.url())
    }

    /// `status`, asking `lab`, with JSON documents on standard output.
    pub(crate) fn status(lab: &Lab) -> Program {
        Program::asking("status", &lab.url())
    }

    /// `start`, asking `lab` for the issues of the test bed's group, with a JSON document on standard output.
    pub(crate) fn start(lab: &Lab) -> Program {
        Program::asking("start", &lab.url()).args(ISSUES)
    }

    /// `download`, asking `lab`, into the directory `files` of its home.
    pub(crate) fn download(lab: &Lab) -> Program {
        Program::asking("download", &lab.url()).args("--dir files")
    }

    /// `run`, asking `lab` for the issues of the test bed's group, into the directory `files` of its home.
    pub(crate) fn whole_run(lab: &Lab) -> Program {
        Program::asking("run", &lab.url()).args(ISSUES).args("--dir files")
    }

    pub(crate) fn asking(command: &str, url: &str) -> Program {
        let program = Program::bare(command).env("SNYK_API", url).env("SNYK_TOKEN", TOKEN);
        Program { output: Some("json"), ..program }.config("")
    }

    /// An export of the test bed's group, by its id.
    pub(crate) fn export(self, export_id: &str) -> Program {
        self.arg(&path(export_id))
    }

    pub(crate) fn arg(mut self, arg: &str) -> Program {
        self.args.push(arg.to_owned());
        self
    }

    /// Arguments as typed, separated by blanks.
    pub(crate) fn args(mut self, args: &str) -> Program {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// Removes arguments, as typed.
    pub(crate) fn no_arg(mut self, args: &str) -> Program {
        let words: Vec<&str> = args.split_whitespace().collect();
        let at = self.args.windows(words.len()).position(|window| window == words);
        self.args.drain(at.unwrap()..at.unwrap() + words.len());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Program {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn no_env(mut self, name: &str) -> Program {
        self.variables.remove(name);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Program {
        self.input = text.into();
        self
    }

    /// Standard input from a file or pipe instead of a text.
    pub(crate) fn stdin_from(self, stdin: impl Into<Stdio>) -> Program {
        Program { stdin: stdin.into(), ..self }
    }

    /// Adds to the settings file, which has `[pace]` and `[retry]` already.
    pub(crate) fn config(mut self, text: &str) -> Program {
        self.config = Some(format!("{SHORT_PACES}{text}"));
        self
    }

    pub(crate) fn no_config(self) -> Program {
        Program { config: None, ..self }
    }

    /// Text for people on standard output.
    pub(crate) fn text(self) -> Program {
        Program { output: None, ..self }
    }

    /// Runs it under another program, such as `unshare`.
    pub(crate) fn under(mut self, wrapper: &str) -> Program {
        self.wrapper = wrapper.split_whitespace().map(str::to_owned).collect();
        self
    }

    /// Runs it in a script, as `"$@"`.
    pub(crate) fn under_script(self, shell: &str, script: &str) -> Program {
        let mut program = self.under(shell);
        program.wrapper.extend([script.to_owned(), "sh".to_owned()]);
        program
    }

    /// Standard output to a file or pipe. It cannot be checked afterwards.
    pub(crate) fn stdout(self, stdout: impl Into<Stdio>) -> Program {
        Program { stdout: stdout.into(), ..self }
    }

    /// Standard error to a file or pipe. It cannot be checked afterwards.
    pub(crate) fn stderr(self, stderr: impl Into<Stdio>) -> Program {
        Program { stderr: stderr.into(), ..self }
    }

    /// Uses another home directory, which later programs may use too.
    pub(crate) fn living_in(mut self, home: &Path) -> Program {
        self.variables.insert("HOME".to_owned(), home.display().to_string());
        Program { directory: Some(home.to_owned()), ..self }
    }

    /// Its home and working directory, which is removed with it.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Puts a file into its home directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Run {
        self.spawn().end()
    }

    /// Starts it.
    pub(crate) fn spawn(self) -> Spawned {
        let mut words = self.wrapper.clone();
        words.extend([env!("CARGO_BIN_EXE_snyk-export").to_owned(), self.command.clone()]);
        if let Some(config) = &self.config {
            let path = self.file("settings.toml", config);
            words.extend(["--config".to_owned(), path.display().to_string()]);
        }
        words.extend(self.output.map(|format| format!("--output={format}")));
        words.extend(self.args);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env("HOME", self.home.path()).envs(self.variables);
        let directory = self.directory.as_deref().unwrap_or(self.home.path());
        command.current_dir(directory).stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        Spawned::start(command, self.input, self.home)
    }
}
