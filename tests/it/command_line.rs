//! The command line: options, help, versions.

mod actions;
mod exports;
mod go_on;
mod help;
mod logs;
mod messages;
mod missing;
mod program;
mod secrets;
mod settings;
mod terminal;
mod then_command;

use crate::lab::{EXPORT_ID, Lab, Program, READY};

#[test]
fn the_text_on_standard_output_is_one_line_for_each_export() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).text().export(EXPORT_ID);
    wait().run().exits(0).stdout_is(&format!("{EXPORT_ID} finished 1061 rows 1 file\n"));
    let lab = Lab::start("ends-as = 'ERROR'\npending = '0s'\nstarted = '0s'");
    let run = Program::wait(&lab).text().export(EXPORT_ID).run();
    run.exits(3).stdout_is(&format!("{EXPORT_ID} failed\n"));
}

#[test]
fn the_last_line_says_how_long_it_took() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    let last = run.exits(0).stderr.lines().last().unwrap();
    let waited =
        last.strip_prefix("+ Ready after ").and_then(|rest| rest.strip_suffix(": 1,061 rows, 1 file"));
    assert!(humantime::parse_duration(waited.unwrap()).is_ok(), "{run}");
}

#[test]
fn quiet_is_silent_on_success_and_says_errors() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status-code = 503 }}]"));
    for flag in ["-q", "--quiet"] {
        Program::wait(&lab).export(EXPORT_ID).arg(flag).run().exits(0).stderr_is("");
    }
    let lab = Lab::start("token = 'another'");
    let run = Program::wait(&lab).export(EXPORT_ID).arg("-q").run();
    assert!(run.exits(4).stderr.starts_with("x Failed after "), "{run}");
    assert_eq!(run.stderr.lines().count(), 4, "what happened, why, what to do next, the ids: {run}");
}

#[test]
fn verbose_tells_of_each_poll() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING', repeat = 3 }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).arg("-v").run();
    assert_eq!(run.exits(0).stderr.matches(" polled ").count(), 2, "{run}");
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING', repeat = 3 }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(0).stderr_lacks(" polled ");
}

#[test]
fn no_colors_go_where_no_terminal_is_unless_they_are_wanted() {
    let lab = Lab::start("token = 'another'");
    let wait = || Program::wait(&lab).export(EXPORT_ID);
    wait().run().exits(4).stderr_lacks("\u{1b}");
    wait().args("--color always").run().exits(4).stderr_has("\u{1b}[1;31mx\u{1b}[0m Failed after ");
    wait().args("--color never").run().exits(4).stderr_lacks("\u{1b}");
    wait().env("SNYK_EXPORT_COLOR", "always").run().exits(4).stderr_has("\u{1b}");
}

#[test]
fn urls_are_shown_only_when_they_are_asked_for() {
    for inlined in ["", "inline-results = false\n"] {
        let lab = Lab::start(&format!("{READY}parts = 2\n{inlined}"));
        let wait = || Program::wait(&lab).export(EXPORT_ID);
        let run = wait().arg("--show-urls").run();
        let results = run.exits(0).document()["results"].clone();
        assert_eq!(results.as_array().unwrap().len(), 2, "{run}");
        assert!(results[1]["url"].as_str().unwrap().starts_with(&lab.url()), "{run}");
        run.stderr_lacks("Signature");
        let run = wait().run();
        assert!(!run.exits(0).stdout.contains("Signature"), "{run}");
        let run = wait().text().arg("--show-urls").run();
        assert_eq!(
            run.exits(0).stdout.lines().filter(|line| line.starts_with("http://")).count(),
            2,
            "{run}"
        );
    }
}

#[test]
fn links_are_waited_for_no_longer_than_max_wait() {
    const IDS: [&str; 3] = [EXPORT_ID, crate::lab::SECOND_ID, crate::lab::THIRD_ID];
    let hang = "[[faults]]\nprobability = 1\non = 'results'\nfault = 'hang'";
    let lab = Lab::start(&format!("{READY}inline-results = false\n{hang}"));
    let wait = IDS.iter().fold(Program::wait(&lab), |wait, id| wait.export(id));
    let run = wait.args("--show-urls --max-wait 100ms --request-timeout 1h").run();
    assert_eq!(run.exits(0).documents().len(), 3, "{run}");
    assert_eq!(run.stderr.matches("the results could not be listed").count(), 3, "{run}");
    let run = IDS.iter().fold(Program::status(&lab), |status, id| status.export(id));
    let run = run.args("--show-urls --request-timeout 500ms").run();
    assert_eq!(run.exits(0).documents().len(), 3, "{run}");
}

#[test]
fn missing_links_do_not_change_the_outcome() {
    let fault = "[[faults]]\nprobability = 1\non = 'results'\nstatus-code = 403";
    let lab = Lab::start(&format!("{READY}inline-results = false\n{fault}"));
    let run = Program::wait(&lab).export(EXPORT_ID).arg("--show-urls").run();
    run.exits(0).stderr_has("the results could not be listed");
    assert_eq!(lab.codes(), [200, 403]);
    assert_eq!(run.document()["results"], serde_json::Value::Null);
}
