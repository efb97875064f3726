//! The files that run an export every night, and the README's commands that start one: each is taken out of its file and
//! run against the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::docs::{README, rows};
use crate::lab::{GROUP, Lab, TOKEN, until};

const CRONTAB: &str = include_str!("../../config/crontab");
const SERVICE: &str = include_str!("../../config/snyk-export-nightly.service");
const TIMER: &str = include_str!("../../config/snyk-export-nightly.timer");
const CRON_JOB: &str = include_str!("../../config/cronjob.yaml");
const DAEMON: &str = include_str!("../../config/snyk-export.service");

/// An export that is ready as soon as it is started.
const AT_ONCE: &str = "pending = '0s'\nstarted = '0s'\nstart-retry-after = '0s'\nrows = 3\nparts = 2\n";

/// What becomes of an export that has been started: its first poll hangs, and at the second it is ready.
const HANGS_ONCE: &str = "[[answers]]\nfault = 'hang'\n";

/// What becomes of the first start: nobody ever hears.
const START_HANGS: &str = "[[faults]]\nprobability = 1.0\non = 'start'\nfault = 'hang'\nat-most = 1\n";

/// The codes after which the same command may be run again at once: it goes on with the export that it began.
const GOES_ON: [u8; 2] = [124, 143];

#[test]
fn the_crontab_line_exports_a_day_and_writes_no_mail() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    let night = machine.cron(&lab).output().unwrap();
    assert_eq!((code(&night), text(&night).as_str()), (Some(0), ""), "{}", machine.log());
    machine.has_one_night(&lab);
    assert!(machine.log().contains("part-0002.csv"), "{}", machine.log());
}

#[test]
fn the_crontab_line_writes_one_line_of_mail_when_something_is_wrong() {
    let (lab, machine) = (Lab::start("token = 'another'"), Machine::new());
    let night = machine.cron(&lab).output().unwrap();
    let log = machine.place("/var/log/snyk-export/nightly.log");
    assert_eq!(code(&night), Some(4), "{}", machine.log());
    assert_eq!(text(&night), format!("the nightly export ended with 4, see {log}\n"));
    assert!(machine.log().contains("401") && !machine.log().contains(TOKEN), "{}", machine.log());
}

#[test]
fn the_crontab_line_keeps_a_second_run_out_and_goes_on_after_a_kill() {
    let (lab, machine) = (Lab::start(&[AT_ONCE, HANGS_ONCE].concat()), Machine::new());
    let first = Night::begin(machine.cron(&lab));
    lab.until_asked(2);
    let second = machine.cron(&lab).output().unwrap();
    assert_eq!(code(&second), Some(1), "that is what flock says: {}", machine.log());
    assert!(text(&second).starts_with("the nightly export ended with 1, see "), "{}", text(&second));
    assert_eq!(lab.requests(), 2, "nothing was asked");

    first.kill();
    let third = machine.cron(&lab).output().unwrap();
    assert_eq!((code(&third), text(&third).as_str()), (Some(0), ""), "{}", machine.log());
    machine.has_one_night(&lab);
}

#[test]
fn a_start_of_which_nobody_knows_is_reported_and_not_repeated() {
    let (lab, machine) = (Lab::start(&[AT_ONCE, START_HANGS].concat()), Machine::new());
    let first = Night::begin(machine.cron(&lab));
    lab.until_asked(1);
    first.kill();
    for _ in 0..2 {
        let next = machine.cron(&lab).output().unwrap();
        assert_eq!(code(&next), Some(69), "{}", machine.log());
    }
    assert_eq!(lab.requests(), 1, "it asked for an export once, and for nothing else");

    machine.a_night_passes();
    let next = machine.cron(&lab).output().unwrap();
    assert_eq!(code(&next), Some(0), "{}", machine.log());
    assert!(machine.log().contains("the run of an earlier day is given up"), "{}", machine.log());
    is_a_download(machine.nights().last().unwrap());
    machine.has_nothing_written_down();
    assert_eq!(posts(&lab), 2);
}

#[test]
fn what_a_night_has_left_the_next_one_brings_before_its_own() {
    let (lab, machine) = (Lab::start(&[AT_ONCE, HANGS_ONCE].concat()), Machine::new());
    let first = Night::begin(machine.cron(&lab));
    lab.until_asked(2);
    first.kill();
    machine.a_night_passes();
    // Its own hangs once, too.
    let next = machine.cron(&lab).env("SNYK_EXPORT_REQUEST_TIMEOUT", "1s").output().unwrap();
    assert_eq!((code(&next), text(&next).as_str()), (Some(0), ""), "{}", machine.log());
    let nights = machine.nights();
    assert_eq!(nights.len(), 2, "{nights:?}");
    nights.iter().for_each(|night| is_a_download(night));
    machine.has_nothing_written_down();
    assert_eq!(posts(&lab), 2);
}

#[test]
fn the_crontab_is_one_that_cron_can_read() {
    let Crontab { variables, schedule, command } = Crontab::read(CRONTAB);
    assert_eq!(schedule, "15 2 * * *");
    assert!(!command.contains('%'), "a % ends the command");
    // Cron would hand on a `$` as it is.
    assert!(variables.values().all(|value| !value.contains(['$', '~', '"', '\''])), "{variables:?}");
    assert!(CRONTAB.ends_with('\n'), "cron refuses a last line without an end");
}

#[test]
fn the_unit_exports_a_day() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    let night = machine.systemd(&lab).output().unwrap();
    assert_eq!(code(&night), Some(0), "{}", text(&night));
    machine.has_one_night(&lab);
}

#[test]
fn the_unit_starts_again_only_what_can_go_on() {
    let prevented: BTreeSet<u8> =
        key(SERVICE, "RestartPreventExitStatus").split(' ').map(|code| code.parse().unwrap()).collect();
    let codes = rows(README, "## Exit codes").into_iter().map(|row| row[0].parse::<u8>().unwrap());
    let others: BTreeSet<u8> = codes.filter(|code| *code != 0 && !GOES_ON.contains(code)).collect();
    assert_eq!(prevented, others);
    assert_eq!((key(SERVICE, "Type"), key(SERVICE, "Restart")), ("oneshot", "on-failure"));
    // Three starts at their longest, and so never a fourth; and another three in the next night.
    let hours = |name| key(SERVICE, name).strip_suffix('h').unwrap().parse::<u32>().unwrap();
    let all = key(SERVICE, "StartLimitBurst").parse::<u32>().unwrap() * hours("TimeoutStartSec");
    assert!((all + 1..=20).contains(&hours("StartLimitIntervalSec")), "{all} h");
}

#[test]
fn the_unit_has_the_walls_of_the_daemons() {
    let (_, walls) = DAEMON.split_once("AmbientCapabilities=").unwrap();
    let (walls, _) = walls.split_once("UMask=").unwrap();
    assert!(walls.lines().count() > 20 && SERVICE.contains(walls));
    for same in ["User", "Group", "StateDirectory", "StateDirectoryMode"] {
        assert_eq!(key(SERVICE, same), key(DAEMON, same));
    }
}

#[test]
fn systemd_accepts_the_unit_and_the_timer() {
    let machine = Machine::new();
    let verify = |service: &str| {
        fs::write(machine.path("snyk-export-nightly.service"), machine.place(service)).unwrap();
        fs::write(machine.path("snyk-export-nightly.timer"), TIMER).unwrap();
        let units =
            ["snyk-export-nightly.timer", "snyk-export-nightly.service"].map(|unit| machine.path(unit));
        tool(Command::new("systemd-analyze").arg("verify").args(units))
    };
    let Some(verified) = verify(SERVICE) else { return };
    assert!(!text(&verified).contains("nightly"), "{}", text(&verified));
    let wrong = verify(&SERVICE.replace("Restart=on-failure", "Restart=always")).unwrap();
    assert!(text(&wrong).contains("nightly"), "it has looked: {}", text(&wrong));

    let next = tool(Command::new("systemd-analyze").args(["calendar", key(TIMER, "OnCalendar")])).unwrap();
    assert!(next.status.success() && text(&next).contains("02:15:00 UTC"), "{}", text(&next));
}

#[test]
fn the_cron_job_exports_a_day() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    let night = machine.kubernetes(&lab).output().unwrap();
    assert_eq!(code(&night), Some(0), "{}", text(&night));
    machine.has_one_night(&lab);
    assert!(text(&night).lines().any(|line| line.starts_with('{')), "its log is JSON: {}", text(&night));
}

#[test]
fn the_cron_job_is_what_it_should_be() {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cronjob.yaml");
    let Some(documents) = tool(Command::new("python3").args(["-c", script]).arg(path)) else { return };
    let documents: Vec<Value> = match serde_json::from_slice(&documents.stdout) {
        Ok(documents) => documents,
        Err(_) if text(&documents).contains("No module named 'yaml'") => return skip("python3 has no yaml"),
        Err(error) => panic!("{error}: {}", text(&documents)),
    };
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["Secret", "PersistentVolumeClaim", "PersistentVolumeClaim", "CronJob", "NetworkPolicy"]
    );
    assert_eq!(documents[0]["stringData"], json!({ "snyk-token": "change-me" }));

    let spec = &documents[3]["spec"];
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    assert_eq!((&spec["schedule"], &spec["timeZone"]), (&json!("15 2 * * *"), &json!("Etc/UTC")));
    let job = &spec["jobTemplate"]["spec"];
    assert!(job["activeDeadlineSeconds"].as_u64() < Some(24 * 3600), "it is over before the next night");
    let fails = json!({ "action": "FailJob", "onExitCodes": {
        "containerName": "snyk-export", "operator": "NotIn", "values": [GOES_ON[0], 137, GOES_ON[1]],
    } });
    assert_eq!(job["podFailurePolicy"]["rules"][1], fails);

    let pod = &job["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never", "as a podFailurePolicy needs it");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!((&container["name"], &pod["containers"][1]), (&json!("snyk-export"), &Value::Null));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["args"], json!(arguments_of_the_cron_job()));
    let mounted = |mount: &Value| mount["mountPath"].as_str().unwrap().to_owned();
    let mounts: Vec<String> = container["volumeMounts"].as_array().unwrap().iter().map(mounted).collect();
    assert_eq!(mounts, ["/run/secrets/snyk-export", "/var/lib/snyk-export", "/srv/snyk-export"]);
}

#[test]
fn all_ask_for_the_same_at_the_same_time() {
    let crontab = Crontab::read(CRONTAB).command;
    let unit = command_of_the_unit();
    let job = arguments_of_the_cron_job().join(" ").replace('=', " ");
    for asked in
        ["--dataset issues", "--introduced-from -1d --introduced-to 0d", "--dir /srv/snyk-export/{date}"]
    {
        assert!([&crontab, &unit, &job].iter().all(|command| command.contains(asked)), "{asked}");
    }
    assert!(
        key(TIMER, "OnCalendar").ends_with(" 02:15:00 UTC") && CRON_JOB.contains("schedule: \"15 2 * * *\"")
    );
    for limit in ["MAX_WAIT", "MAX_OUTAGE"] {
        let variable = format!("SNYK_EXPORT_{limit}");
        let in_unit = environment_of_the_unit().remove(&variable).unwrap();
        assert_eq!(Crontab::read(CRONTAB).variables[&variable], in_unit);
        assert_eq!(environment_of_the_cron_job()[&variable], in_unit);
    }
}

#[test]
fn the_readmes_commands_do_what_they_say() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    let loader = machine.file("load-into-warehouse.sh", "#!/bin/sh\nenv > loaded\n");
    fs::set_permissions(&loader, fs::Permissions::from_mode(0o755)).unwrap();
    machine.file(".snyk-token", TOKEN);
    let blocks = blocks_that_start_exports(README);
    for script in &blocks {
        let run = machine
            .command(&lab, "/bin/sh", &["-euc", &machine.place(script)])
            .envs([("SNYK_TOKEN", TOKEN), ("SNYK_GROUP_ID", GROUP), ("GITHUB_ACTIONS", "true")])
            .env("GITHUB_OUTPUT", machine.path("outputs"))
            .output();
        let run = run.unwrap();
        assert_eq!(code(&run), Some(0), "{script}\n{}", text(&run));
    }
    assert_eq!(posts(&lab), blocks.concat().matches("--dataset").count());
    for directory in ["issues", "parts", "november", "recent"] {
        is_a_download(&machine.path(directory));
    }
    is_a_download(&machine.night());
    assert_eq!(fs::read_to_string(machine.path("issues.csv")).unwrap().lines().count(), 1 + 3);
    let said = |file: &str, text: &str| fs::read_to_string(machine.path(file)).unwrap().contains(text);
    assert!(said("loaded", "SNYK_EXPORT_RESULT_OUTCOME=finished\n"));
    assert!(said("outputs", "row-count") && said("outputs", "export-id"));
}

#[test]
fn the_readmes_crontab_line_writes_mail_only_when_something_is_wrong() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    machine.file(".snyk-token", TOKEN);
    let blocks = blocks_that_start_exports(README);
    let line = machine.place(blocks.iter().find(|block| block.starts_with("flock ")).unwrap());
    let night = |lab: &Lab| machine.command(lab, "/bin/sh", &["-c", &line]).output().unwrap();
    let good = night(&lab);
    assert_eq!((code(&good), text(&good).as_str()), (Some(0), ""));
    machine.has_one_night(&lab);
    let again = night(&lab);
    assert_eq!(code(&again), Some(2));
    assert!(text(&again).contains("manifest.json is there already"), "{}", text(&again));
}

/// What stands for a machine that a file is installed on: the places that the file names are in a directory of its own.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        for directory in ["lib/snyk-export", "srv/snyk-export", "log/snyk-export", "home"] {
            fs::create_dir_all(machine.0.path().join(directory)).unwrap();
        }
        fs::write(machine.0.path().join("token"), format!("{TOKEN}\n")).unwrap();
        machine
    }

    /// A path in the home directory.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("home").join(name)
    }

    /// Puts a file into the home directory.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The same text, with places of this machine.
    fn place(&self, text: &str) -> String {
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
    fn command(&self, lab: &Lab, program: &str, args: &[&str]) -> Command {
        let home = self.0.path().join("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(&home).stdin(Stdio::null()).env_clear();
        command.env("HOME", home).env("LOGNAME", "snyk-export").env("SHELL", "/bin/sh");
        command.env("PATH", self.place("/usr/local/bin:/usr/bin:/bin")).env("SNYK_API", lab.url());
        command
    }

    /// The line of the crontab, as cron runs it.
    fn cron(&self, lab: &Lab) -> Command {
        let Crontab { variables, command, .. } = Crontab::read(&self.place(CRONTAB));
        let mut line = self.command(lab, &variables["SHELL"], &["-c", &command]);
        self.with(&mut line, lab, variables);
        line
    }

    /// The command of the unit, as systemd runs it.
    fn systemd(&self, lab: &Lab) -> Command {
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
    fn kubernetes(&self, lab: &Lab) -> Command {
        assert!(include_str!("../../Dockerfile").contains("\nENV XDG_STATE_HOME=/var/lib\n"));
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
    fn with(&self, command: &mut Command, lab: &Lab, mut variables: BTreeMap<String, String>) {
        assert_eq!(variables.insert("SNYK_API".to_owned(), lab.url()).as_deref(), Some("eu"));
        assert_eq!(variables["SNYK_GROUP_ID"], GROUP);
        command.envs(variables.into_iter().map(|(name, value)| (name, self.place(&value))));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place("/var/log/snyk-export/nightly.log")).unwrap()
    }

    /// The directories of exported days, oldest first, each of which has a date as its name.
    #[track_caller]
    fn nights(&self) -> Vec<PathBuf> {
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
    fn night(&self) -> PathBuf {
        let nights = self.nights();
        assert_eq!(nights.len(), 1, "{nights:?}");
        nights[0].clone()
    }

    /// What is written down of runs that are not over.
    fn records(&self) -> Vec<PathBuf> {
        let state = fs::read_dir(self.place("/var/lib/snyk-export")).unwrap();
        let paths = state.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }

    #[track_caller]
    fn has_nothing_written_down(&self) {
        assert_eq!(self.records(), [""; 0].map(PathBuf::from));
    }

    /// Makes the only record a day older, and with it the directory that it names: so the next night finds them.
    #[track_caller]
    fn a_night_passes(&self) {
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
    fn has_one_night(&self, lab: &Lab) {
        is_a_download(&self.night());
        assert_eq!(posts(lab), 1);
        self.has_nothing_written_down();
    }
}

/// A run that is under way, with all the processes that it consists of.
struct Night(std::process::Child);

impl Night {
    fn begin(mut command: Command) -> Night {
        Night(command.process_group(0).spawn().unwrap())
    }

    /// SIGKILL for each of them, as when the machine loses its power.
    #[track_caller]
    fn kill(mut self) {
        self.send_kill();
        self.0.wait().unwrap();
        // Whoever has its lock is gone a moment later.
        let group = format!("-{}", self.0.id());
        until(|| !Command::new("kill").args(["-0", "--", &group]).output().unwrap().status.success());
    }

    fn send_kill(&self) {
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

/// A crontab with one line, as cron reads it.
struct Crontab {
    variables: BTreeMap<String, String>,
    schedule: String,
    command: String,
}

impl Crontab {
    fn read(text: &str) -> Crontab {
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let (line, settings) = lines.split_last().unwrap();
        let setting =
            |line: &&str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = settings.iter().map(|line| setting(line).unwrap()).collect();
        let (schedule, command) = line.split_once("  ").unwrap();
        Crontab { variables, schedule: schedule.to_owned(), command: command.to_owned() }
    }
}

/// What a unit sets a key to.
#[track_caller]
fn key<'a>(unit: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    unit.lines().find_map(value).unwrap_or_else(|| panic!("no {name}="))
}

fn command_of_the_unit() -> String {
    let joined = SERVICE.replace("\\\n", "");
    key(&joined, "ExecStart").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn environment_of_the_unit() -> BTreeMap<String, String> {
    let settings = SERVICE.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn environment_of_the_cron_job() -> BTreeMap<String, String> {
    let lines: Vec<&str> = CRON_JOB.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        Some((pair[0].strip_prefix("- name: ")?.to_owned(), pair[1].strip_prefix("value: ")?.to_owned()))
    });
    pairs.collect()
}

fn arguments_of_the_cron_job() -> Vec<&'static str> {
    let (_, rest) = CRON_JOB.split_once(" args:\n").unwrap();
    rest.lines().map_while(|line| line.trim_start().strip_prefix("- ")).collect()
}

/// The blocks of a page in which exports are started: of each, the commands that do so or go on with them.
fn blocks_that_start_exports(page: &str) -> Vec<String> {
    const CALLS: [&str; 3] = ["snyk-export start ", "snyk-export run ", "snyk-export download "];
    let command = |line: &str| {
        let line = line.trim();
        let line = ["$ ", "run: ", "- ", "15 2 * * *  "].iter().find_map(|mark| line.strip_prefix(mark))?;
        CALLS.iter().any(|call| line.contains(call)).then(|| format!("{line}\n"))
    };
    let blocks = page.split("```").skip(1).step_by(2);
    blocks
        .map(|block| block.lines().filter_map(command).collect())
        .filter(|it: &String| !it.is_empty())
        .collect()
}

#[track_caller]
fn is_a_download(directory: &Path) {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "part-0001.csv", "part-0002.csv"], "{}", directory.display());
}

/// How many exports were started.
fn posts(lab: &Lab) -> usize {
    lab.exchanges().iter().filter(|exchange| exchange.method == "POST").count()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Both outputs, one after the other.
fn text(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

/// What a tool says that not every machine has.
fn tool(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip(&format!("{:?}: {error}", command.get_program()));
            None
        }
    }
}

#[expect(clippy::print_stdout, reason = "what was not tested is said")]
fn skip(why: &str) {
    println!("SKIPPED: {why}");
}
