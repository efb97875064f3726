//! `run`: start, wait and download in one command. After a kill, the same command continues.

mod earlier;
mod home;
mod kill;
mod records;
mod state;

use serde_json::{Value, json};

use self::home::HANGS_ONCE;
use crate::download::{check_files, rows};
use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY};

#[test]
fn a_run_is_one_document_with_its_files() {
    let lab = Lab::start("pending = '100ms'\nstarted = '100ms'\nparts = 3");
    let run = Program::whole_run(&lab).args("--merge all.csv").run();
    let document = run.exits(0).document();
    assert_eq!((&document["outcome"], &document["exit_code"]), (&json!("finished"), &json!(0)));
    assert_eq!(document["timeline"].as_array().unwrap().len(), 3, "{run}");
    assert_eq!(document["results"][0]["url"], Value::Null);
    assert_eq!(document["download"]["files"].as_array().unwrap().len(), 3);
    assert_eq!(rows(&check_files(&run.home().join("files"), 3)), 1061);
    assert_eq!(lab.starts(), 1);
    run.stderr_has("Started  issues")
        .stderr_has("Ready    ")
        .stderr_has("Saved    1,061 rows, ")
        .stderr_has(", 3 files");
    assert!(
        !run.home()
            .join(".local/state/snyk-export")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().path().extension().is_some_and(|end| end == "json") })
    );
}

#[test]
fn each_part_of_it_may_fail() {
    let rows = [
        ("ends-as = 'ERRORED'", 3, "failed"),
        ("ends-as = 'ODD'", 8, "unknown-status"),
        ("[[faults]]\non = 'start'\nprobability = 1\nstatus-code = 403", 4, "forbidden"),
        ("[[faults]]\non = 'start'\nprobability = 1\nstatus-code = 502", 69, "unavailable"),
        ("[[faults]]\non = 'status'\nprobability = 1\nstatus-code = 401", 4, "unauthorized"),
        ("[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404", 5, "not-found"),
        ("[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 503", 69, "unavailable"),
    ];
    for (scenario, code, outcome) in rows {
        let lab = Lab::start(&format!("{READY}{scenario}"));
        let run = Program::whole_run(&lab).args("--max-outage 200ms").run();
        let document = run.exits(code).document();
        assert_eq!(
            (&document["outcome"], &document["exit_code"]),
            (&json!(outcome), &json!(code)),
            "{scenario}"
        );
        assert_eq!(lab.starts(), 1, "{scenario}");
        run.stderr_has(&format!("{code} ({outcome})\n"));
    }
    let lab = Lab::start(NEVER);
    let run = Program::whole_run(&lab).args("--max-wait 100ms").run();
    run.exits(124).stderr_has("to go on: snyk-export run --resume /groups/").stderr_has(" --state=");
}

#[test]
fn an_export_that_is_not_visible_yet_is_waited_for() {
    let lab = Lab::start(&format!(
        "{READY}[[faults]]\non = 'status'\nprobability = 1\nat-most = 4\nstatus-code = 404"
    ));
    Program::whole_run(&lab).run().exits(0);
    let run = Program::whole_run(&lab).args("--not-found-grace 0s --dir other").no_arg("--dir files").run();
    run.exits(0);
    let gone = Lab::start(&format!("{READY}[[faults]]\non = 'status'\nprobability = 1\nstatus-code = 404"));
    Program::whole_run(&gone).args("--not-found-grace 0s").run().exits(5);
}

#[test]
fn an_interruption_prints_the_command_that_continues() {
    let lab = Lab::start(&format!("parts = 2\n{HANGS_ONCE}"));
    let home = tempfile::tempdir().unwrap();
    let running = Program::whole_run(&lab).text().living_in(home.path()).args("--merge all.csv").spawn();
    lab.until_asked(2);
    running.signal("TERM");
    let run = running.end();
    run.exits(143);
    let (_, command) = run.stderr.split_once("to go on: snyk-export ").unwrap_or_else(|| panic!("{run}"));
    let again = Program::asking("run", &lab.url()).text().no_config().living_in(home.path());
    let again = again.args(command.lines().next().unwrap().trim_start_matches("run ")).run();
    again.exits(0);
    check_files(&home.path().join("files"), 2);
    assert!(home.path().join("all.csv").exists());
    assert_eq!(lab.starts(), 1);
}

#[test]
fn every_document_of_a_run_has_its_download() {
    for scenario in ["ends-as = 'ERRORED'", "[[faults]]\non = 'start'\nprobability = 1\nstatus-code = 502"] {
        let lab = Lab::start(&format!("{READY}{scenario}"));
        let document = Program::whole_run(&lab).run().document();
        assert!(document.as_object().unwrap().contains_key("download"), "{document}");
    }
}

#[test]
fn a_terminal_has_one_line_for_all_of_it() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        println!("SKIPPED: there is no `script` here to make a terminal with");
        return;
    }
    let slow = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 2\nfault = 'drip'\nbytes = 40000\npause = '150ms'";
    let lab = Lab::start(&format!("pending = '300ms'\nstarted = '0s'\nparts = 2\nrows = 10000\n{slow}"));
    let home = tempfile::tempdir().unwrap();
    let command = format!(
        "{} run --group-id {GROUP} --dataset issues --introduced-from -1d --dir files",
        env!("CARGO_BIN_EXE_snyk-export")
    );
    let run = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_clear()
        .envs([("SNYK_API", lab.url()), ("SNYK_TOKEN", "x".to_owned()), ("TERM", "xterm".to_owned())])
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let screen = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{screen:?}");
    for part in ["PENDING  0s - next check", "] 0%", "=>", "KiB of", "KiB/s", "s left", ", 2 files -> files"]
    {
        assert!(screen.contains(part), "{part:?} is missing in {screen:?}");
    }
}

#[test]
fn resume_downloads_an_export_that_was_started_elsewhere() {
    let lab = Lab::start(READY);
    let resume =
        || Program::asking("run", &lab.url()).args("--dir files --resume").arg(&crate::lab::path(EXPORT_ID));
    check_files(&resume().run().exits(0).home().join("files"), 1);
    assert_eq!(lab.starts(), 0);
    resume().args("--dataset issues").run().exits(2).stderr_has("leave out what describes another one");
}

#[test]
fn dates_are_of_the_day_of_the_start() {
    let lab = Lab::start(READY);
    let run =
        Program::asking("run", &lab.url()).args("--dataset issues --introduced-from -1d --introduced-to 0d");
    let run = run.args("--dir data/{date} --merge data/{date}.csv --group-id").arg(GROUP).run();
    let dir = run.exits(0).document()["download"]["dir"].as_str().unwrap().to_owned();
    let date = dir.rsplit('/').next().unwrap();
    assert!(date.parse::<jiff::civil::Date>().is_ok(), "{date}");
    assert!(run.home().join(format!("data/{date}.csv")).exists());
    check_files(&run.home().join("data").join(date), 1);
}

#[test]
fn what_would_be_overwritten_is_found_out_before_the_start() {
    let lab = Lab::start(READY);
    let program = Program::whole_run(&lab);
    program.file("files/manifest.json", "{}");
    program.run().exits(2).stderr_has("--force");
    let program = Program::whole_run(&lab);
    program.file("state", "a file");
    program.args("--state state/run.json").run().exits(2).stderr_has("name another file with --state");
    assert_eq!(lab.requests(), 0);
}

#[test]
fn the_command_runs_when_the_files_are_there() {
    let lab = Lab::start(READY);
    let run = Program::whole_run(&lab).text().arg("-q").args("-- sh -c");
    let run = run.arg("ls files; echo $SNYK_EXPORT_RESULT_OUTCOME $SNYK_EXPORT_RESULT_ROW_COUNT").run();
    assert!(run.exits(0).stdout.ends_with("manifest.json\npart-0001.csv\nfinished 1061\n"), "{run}");
    let failing =
        Lab::start(&format!("{READY}[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404"));
    let run = Program::whole_run(&failing).text().args("-- echo it ran").run();
    assert!(!run.exits(5).stdout.contains("it ran"), "{run}");
    Program::whole_run(&lab).args("-- nothing-of-this-name").run().exits(2);
    assert_eq!(lab.starts(), 1);
}

#[test]
fn logs_in_json_are_that_and_hold_no_secret() {
    let lab = Lab::start(&format!(
        "{READY}parts = 2\n[[faults]]\non = 'storage'\nprobability = 1\nat-most = 2\nfault = 'cut'"
    ));
    let run = Program::whole_run(&lab).args("--log-format json -v").run();
    let lines = run.exits(0).logs();
    let said: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    for message in ["export started", "downloading", "download failed, retrying", "file downloaded"] {
        assert!(said.contains(&message), "{message}: {run}");
    }
    for secret in ["X-Goog", "Signature", crate::lab::TOKEN] {
        assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret), "{secret}: {run}");
    }
    let shown = Program::whole_run(&lab).args("--show-urls").run();
    assert!(shown.exits(0).stdout.contains("X-Goog-Signature"), "only where they are asked for");
}

#[test]
fn github_outputs_have_the_outcome() {
    let lab = Lab::start(&format!("{READY}[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404"));
    let program = Program::whole_run(&lab).env("GITHUB_ACTIONS", "true");
    let output = program.file("output", "").display().to_string();
    let run = program.env("GITHUB_OUTPUT", &output).run();
    run.exits(5).stderr_has("::error title=Snyk export failed (exit 5)::downloading ");
    let written = std::fs::read_to_string(output).unwrap();
    for part in ["outcome<<", "not-found\n", "export-id<<", "row-count<<", "1061\n"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    let unsure = Lab::start(&format!("{READY}[[faults]]\non = 'start'\nprobability = 1\nstatus-code = 502"));
    let program = Program::whole_run(&unsure).env("GITHUB_ACTIONS", "true");
    let output = program.file("output", "").display().to_string();
    let summary = program.file("summary", "").display().to_string();
    let run = program.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary).run();
    run.exits(69);
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.starts_with("### Snyk export: ") && summary.contains("\nNext: "), "{summary}");
    let written = std::fs::read_to_string(output).unwrap();
    assert!(written.contains("\nunavailable\n"));
    let program = Program::whole_run(&lab).env("GITHUB_ACTIONS", "true");
    let [taken, taken_summary] =
        ["taken", "summary"].map(|name| program.file(name, "").display().to_string());
    program.file("files/manifest.json", "");
    let run = program.env("GITHUB_OUTPUT", &taken).env("GITHUB_STEP_SUMMARY", &taken_summary).run();
    run.exits(2).stderr_has("is there already");
    assert!(std::fs::read_to_string(taken_summary).unwrap().contains("is there already"));
    assert!(std::fs::read_to_string(taken).unwrap().contains("\nnot-downloaded\n"));
    // A workflow that reads them finds each of them, though nothing is known.
    for name in ["outcome", "status", "export-id", "row-count"] {
        assert_eq!(written.matches(&format!("{name}<<")).count(), 1, "{name}: {written}");
    }
}
