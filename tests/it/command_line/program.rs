//! Completions, man pages, `simulate`, and closed pipes.

use crate::lab::{EXPORT_ID, Lab, Program, READY};

#[test]
fn the_demonstration_ends_well_and_shows_both_troubles() {
    let run = Program::bare("demo").run();
    run.exits(0).stderr_has("503").stderr_has("429").stderr_has("Ready after ");
    run.stderr_has("status=PENDING").stderr_has("status=STARTED");
    assert_eq!(run.stderr.matches("check failed, retrying").count(), 2, "{run}");
    assert!(run.stdout.ends_with(" finished 1061 rows 1 file\n"), "{run}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = Program::bare("completions").arg(shell).run();
        run.exits(0).stderr_is("");
        assert!(run.stdout.contains("max-wait") && run.stdout.contains("simulate"), "{shell}: {run}");
    }
    Program::bare("completions").arg("tcsh").run().exits(2);
}

#[test]
fn the_manual_page_has_the_commands_and_the_codes() {
    let run = Program::bare("man").run();
    run.exits(0).stderr_is("");
    assert!(run.stdout.contains(".TH SNYK\\-EXPORT 1"), "{run}");
    assert!(run.stdout.contains("timed\\-out") || run.stdout.contains("timed-out"), "{run}");
}

#[test]
fn help_is_data_and_names_variables_and_codes() {
    let run = Program::bare("--help").run();
    run.exits(0).stderr_is("");
    for part in ["wait", "status", "simulate", "Exit codes:", "124", "69 ", "SNYK_API"] {
        assert!(run.stdout.contains(part), "{part}: {run}");
    }
    let run = Program::bare("wait").arg("--help").run();
    for part in ["SNYK_EXPORT_MAX_WAIT", "--max-in-progress", "--any", "-- <COMMAND>...", "Pace:", "Limits:"]
    {
        assert!(run.exits(0).stdout.contains(part), "{part}: {run}");
    }
    let run = Program::bare("--version").run();
    run.exits(0).stdout_is(concat!("snyk-export ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_reader_that_has_gone_away_has_read_enough() {
    let lab = Lab::start(READY);
    let nobody = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    Program::wait(&lab).export(EXPORT_ID).arg("-q").stdout(nobody()).run().exits(0).stderr_is("");
    let run = Program::status(&lab).export(EXPORT_ID).arg("-q").stdout(nobody()).run();
    run.exits(0).stderr_is("");
    Program::bare("completions").arg("bash").stdout(nobody()).run().exits(0).stderr_is("");
    Program::bare("man").stdout(nobody()).run().exits(0).stderr_is("");
    Program::bare("--help").stdout(nobody()).run().exits(0).stderr_is("");
}

#[test]
fn the_exit_code_is_right_even_if_nobody_reads_the_output() {
    let lab = Lab::start("token = 'another'");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Program::wait(&lab).export(EXPORT_ID).stdout(writer).run().exits(4);
}

#[test]
fn a_simulation_answers_the_call_that_it_suggests() {
    let simulating = Program::bare("simulate").args("--listen 127.0.0.1:0 --scenario quick").spawn();
    let said = simulating.until_stderr_has("try: ");
    let url = said.split("SNYK_API=").nth(1).unwrap().split_whitespace().next().unwrap();
    let export = said.split("snyk-export wait ").nth(1).unwrap().split_whitespace().next().unwrap();
    Program::asking("wait", url).arg(export).run().exits(0);
    simulating.signal("INT");
    simulating.end().exits(0).stderr_has("(token) -> 200 FINISHED");
}
