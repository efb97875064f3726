//! The files that run an export every night, and what is in them.

use std::collections::BTreeMap;

pub(super) const CRONTAB: &str = include_str!("../../../config/crontab");

pub(super) const SERVICE: &str = include_str!("../../../config/snyk-export-nightly.service");

pub(super) const TIMER: &str = include_str!("../../../config/snyk-export-nightly.timer");

pub(super) const CRON_JOB: &str = include_str!("../../../config/kubernetes/nightly/cronjob.yaml");

pub(super) const DAEMON: &str = include_str!("../../../config/snyk-export.service");

/// A crontab with one line, as cron reads it.
pub(super) struct Crontab {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) schedule: String,
    pub(super) command: String,
}

impl Crontab {
    pub(super) fn read(text: &str) -> Crontab {
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
pub(super) fn key<'a>(unit: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    unit.lines().find_map(value).unwrap_or_else(|| panic!("no {name}="))
}

pub(super) fn command_of_the_unit() -> String {
    let joined = SERVICE.replace("\\\n", "");
    key(&joined, "ExecStart").split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn environment_of_the_unit() -> BTreeMap<String, String> {
    let settings = SERVICE.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn environment_of_the_cron_job() -> BTreeMap<String, String> {
    let lines: Vec<&str> = CRON_JOB.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        Some((pair[0].strip_prefix("- name: ")?.to_owned(), pair[1].strip_prefix("value: ")?.to_owned()))
    });
    pairs.collect()
}

pub(super) fn arguments_of_the_cron_job() -> Vec<&'static str> {
    let (_, rest) = CRON_JOB.split_once(" args:\n").unwrap();
    rest.lines().map_while(|line| line.trim_start().strip_prefix("- ")).collect()
}

/// The blocks of a page in which exports are started: of each, the commands that do so or go on with them.
pub(super) fn blocks_that_start_exports(page: &str) -> Vec<String> {
    const CALLS: [&str; 4] =
        ["snyk-export start ", "snyk-export run ", "snyk-export wait ", "snyk-export download "];
    const MARKS: [&str; 7] = ["$ ", "run: ", "- run: ", "- script: ", "command: ", "- ", "15 2 * * *  "];
    let command = |line: &str| {
        let line = line.trim();
        let line = match line.strip_prefix("sh '") {
            Some(line) => line.strip_suffix('\'')?,
            None => MARKS.iter().find_map(|mark| line.strip_prefix(mark))?,
        };
        let is_ours = !line.starts_with("docker ") && CALLS.iter().any(|call| line.contains(call));
        is_ours.then(|| format!("{line}\n"))
    };
    let blocks = page.split("```").skip(1).step_by(2);
    blocks
        .map(|block| block.lines().filter_map(command).collect())
        .filter(|it: &String| !it.is_empty())
        .collect()
}
