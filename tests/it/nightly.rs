//! The files that run an export every night, and the README's commands that start one. Each command is taken from its file
//! and run against the simulator.

mod files;
mod machine;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use self::files::{
    CRON_JOB, CRONTAB, Crontab, DAEMON, SERVICE, TIMER, arguments_of_the_cron_job, blocks_that_start_exports,
    command_of_the_unit, environment_of_the_cron_job, environment_of_the_unit, key,
};
use self::machine::{Machine, Night, code, is_a_download, posts, text};
use crate::docs::{CI, README, rows};
use crate::lab::{GROUP, Lab, TOKEN};

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
fn the_crontab_line_allows_one_run_and_continues_after_a_kill() {
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
fn a_start_with_unknown_result_is_reported_and_not_repeated() {
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
fn the_next_night_completes_an_interrupted_one_first() {
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes/nightly/cronjob.yaml");
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
fn the_commands_of_the_readme_and_of_the_ci_page_do_what_they_say() {
    let (lab, machine) = (Lab::start(AT_ONCE), Machine::new());
    let loader = machine.file("load-into-warehouse.sh", "#!/bin/sh\nenv > loaded\n");
    fs::set_permissions(&loader, fs::Permissions::from_mode(0o755)).unwrap();
    machine.file(".snyk-token", TOKEN);
    let mut blocks = blocks_that_start_exports(README);
    blocks.extend(blocks_that_start_exports(CI));
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
    let of_ci = ["github", "gitlab", "jenkins", "circleci", "azure", "buildkite", "waited"];
    for directory in ["issues", "parts", "november", "recent"].into_iter().chain(of_ci) {
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
