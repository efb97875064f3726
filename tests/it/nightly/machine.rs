//! A directory that stands for a machine on which the files are installed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::files::{
    CRONTAB, Crontab, SERVICE, arguments_of_the_cron_job, command_of_the_unit, environment_of_the_cron_job,
    environment_of_the_unit, key,
};
use crate::lab::{GROUP, Lab, TOKEN, until};

/// What stands for a machine that a file is installed on: the places that the file names are in a directory of its own.
pub(super) struct Machine(TempDir);

impl Machine {
    pub(super) fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        for directory in ["lib/snyk-export", "srv/snyk-export", "log/snyk-export", "home"] {
            fs::create_dir_all(machine.0.path().join(directory)).unwrap();
        }
        fs::write(machine.0.path().join("token"), format!("{TOKEN}\n")).unwrap();
        machine
    }

    /// A path in the home directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("home").join(name)
    }

    /// Puts a file into the home directory.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The same text, with places of this machine.
    pub(super) fn place(&self, text: &str) -> String {
        let here = self.0.path().display();
        let program = Path::new(env!("CARGO_BIN_EXE_snyk-export")).parent().unwrap().display();
        text.replace("/usr/local/bin", &program.to_string())
            .replace("/var/lib/", &format!("{here}/lib/"))
            .replace("/srv/", &format!("{here}/srv/"))
            .replace("/var/log/", &format!("{here}/log/"))
            .replace("/etc/snyk-export/token", &format!("{here}/token"))
            .replace("/run/secrets/snyk-export/snyk-token", &format!("{here}/token"))
    }

    /// A command as cron starts one, but that the program is found and asks `lab`.
    pub(super) fn command(&self, lab: &Lab, program: &str, args: &[&str]) -> Command {
        let home = self.0.path().join("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(&home).stdin(Stdio::null()).env_clear();
        command.env("HOME", home).env("LOGNAME", "snyk-export").env("SHELL", "/bin/sh");
        command.env("PATH", self.place("/usr/local/bin:/usr/bin:/bin")).env("SNYK_API", lab.url());
        command
    }

    /// The line of the crontab, as cron runs it.
    pub(super) fn cron(&self, lab: &Lab) -> Command {
        let Crontab { variables, command, .. } = Crontab::read(&self.place(CRONTAB));
        let mut line = self.command(lab, &variables["SHELL"], &["-c", &command]);
        self.with(&mut line, lab, variables);
        line
    }

    /// The command of the unit, as systemd runs it.
    pub(super) fn systemd(&self, lab: &Lab) -> Command {
        let (source, credential) = key(SERVICE, "LoadCredential").split_once(':').unwrap();
        let credentials = self.0.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        fs::copy(self.place(credential), credentials.join(source)).unwrap();
        let line = self.place(&command_of_the_unit());
        let line = line.replace("${CREDENTIALS_DIRECTORY}", &credentials.display().to_string());
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.command(lab, words[0], &words[1..]);
        self.with(&mut command, lab, environment_of_the_unit());
        let state = self.place(&format!("/var/lib/{}", key(SERVICE, "StateDirectory")));
        command.env("STATE_DIRECTORY", state);
        command
    }

    /// The container of the `CronJob`.
    pub(super) fn kubernetes(&self, lab: &Lab) -> Command {
        assert!(include_str!("../../../Dockerfile").contains("\nENV XDG_STATE_HOME=/var/lib\n"));
        let args: Vec<String> =
            arguments_of_the_cron_job().into_iter().map(|word| self.place(word)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.command(lab, env!("CARGO_BIN_EXE_snyk-export"), &args);
        // All that an image from scratch has.
        command.env_clear().env("XDG_STATE_HOME", self.0.path().join("lib"));
        self.with(&mut command, lab, environment_of_the_cron_job());
        command
    }

    /// Gives a command the variables of its file, which must name a region and the group.
    pub(super) fn with(&self, command: &mut Command, lab: &Lab, mut variables: BTreeMap<String, String>) {
        assert_eq!(variables.insert("SNYK_API".to_owned(), lab.url()).as_deref(), Some("eu"));
        assert_eq!(variables["SNYK_GROUP_ID"], GROUP);
        command.envs(variables.into_iter().map(|(name, value)| (name, self.place(&value))));
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.place("/var/log/snyk-export/nightly.log")).unwrap()
    }

    /// The directories of exported days, oldest first, each of which has a date as its name.
    #[track_caller]
    pub(super) fn nights(&self) -> Vec<PathBuf> {
        let nights = fs::read_dir(self.place("/srv/snyk-export")).unwrap();
        let mut nights: Vec<PathBuf> = nights.map(|entry| entry.unwrap().path()).collect();
        for night in &nights {
            let name = night.file_name().unwrap().to_str().unwrap();
            assert!(name.parse::<jiff::civil::Date>().is_ok(), "{name}");
        }
        nights.sort();
        nights
    }

    /// The only one of them.
    #[track_caller]
    pub(super) fn night(&self) -> PathBuf {
        let nights = self.nights();
        assert_eq!(nights.len(), 1, "{nights:?}");
        nights[0].clone()
    }

    /// What is written down of runs that are not over.
    pub(super) fn records(&self) -> Vec<PathBuf> {
        let state = fs::read_dir(self.place("/var/lib/snyk-export")).unwrap();
        let paths = state.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }

    #[track_caller]
    pub(super) fn has_nothing_written_down(&self) {
        assert_eq!(self.records(), [""; 0].map(PathBuf::from));
    }

    /// Makes the only record a day older, and with it the directory that it names: so the next night finds them.
    #[track_caller]
    pub(super) fn a_night_passes(&self) {
        let [path] = &self.records()[..] else { panic!("not one record") };
        let text = fs::read_to_string(path).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        let date = record["date"].as_str().unwrap();
        let before = date.parse::<jiff::civil::Date>().unwrap().yesterday().unwrap().to_string();
        fs::write(path, text.replace(date, &before)).unwrap();
        let directory = |date: &str| self.place(&format!("/srv/snyk-export/{date}"));
        fs::rename(directory(date), directory(&before)).unwrap();
    }

    /// There is one whole download, of one export, and nothing is left of how it came to be.
    #[track_caller]
    pub(super) fn has_one_night(&self, lab: &Lab) {
        is_a_download(&self.night());
        assert_eq!(posts(lab), 1);
        self.has_nothing_written_down();
    }
}

/// A run that is under way, with all the processes that it consists of.
pub(super) struct Night(std::process::Child);

impl Night {
    pub(super) fn begin(mut command: Command) -> Night {
        Night(command.process_group(0).spawn().unwrap())
    }

    /// SIGKILL for each of them, as when the machine loses its power.
    #[track_caller]
    pub(super) fn kill(mut self) {
        self.send_kill();
        self.0.wait().unwrap();
        // Whoever has its lock is gone a moment later.
        let group = format!("-{}", self.0.id());
        until(|| !Command::new("kill").args(["-0", "--", &group]).output().unwrap().status.success());
    }

    pub(super) fn send_kill(&self) {
        let group = format!("-{}", self.0.id());
        // It may have ended at this very moment.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).output();
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.send_kill();
        }
    }
}

#[track_caller]
pub(super) fn is_a_download(directory: &Path) {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "part-0001.csv", "part-0002.csv"], "{}", directory.display());
}

/// How many exports were started.
pub(super) fn posts(lab: &Lab) -> usize {
    lab.exchanges().iter().filter(|exchange| exchange.method == "POST").count()
}

pub(super) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Both outputs, one after the other.
pub(super) fn text(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}
