//! GitHub Actions: annotations, step outputs and a summary, from texts that a hostile server wrote.

use std::path::Path;

use crate::lab::{EXPORT_ID, Lab, Program, READY, Run, fifo};

/// What a server may send to give orders to a CI system.
const HOSTILE: &str = r###"
[[answers]]
status-code = 403
body = '''{"errors":[{"code":"X\n::set-output name=a::b","title":"100%\r\n::error::forged",
"detail":"</details>\u001b[2J <img src=x> @all [x](https://evil.example) ##[add-path]/tmp\nstatus<<EOF\nFINISHED\nEOF"}]}'''
"###;

#[test]
fn a_success_is_no_annotation() {
    let lab = Lab::start(READY);
    actions(&lab).run().exits(0).stderr_lacks("::error");
}

#[test]
fn outputs_stand_between_random_delimiters() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    let mut delimiters = Vec::new();
    for _ in 0..2 {
        let (run, output, _) = written(actions(&lab));
        run.exits(0);
        let delimiter = output.lines().next().unwrap().strip_prefix("outcome<<").unwrap().to_owned();
        assert!(delimiter.len() >= 32, "{delimiter}");
        let values = [
            ("outcome", "finished"),
            ("status", "FINISHED"),
            ("export-id", EXPORT_ID),
            ("row-count", "1061"),
        ];
        let expected = values.map(|(name, value)| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"));
        assert_eq!(output, expected.concat());
        delimiters.push(delimiter);
    }
    assert_ne!(delimiters[0], delimiters[1]);
}

#[test]
fn a_summary_is_a_short_timeline() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    let (run, _, summary) = written(actions(&lab));
    run.exits(0);
    assert!(summary.starts_with("### Snyk export finished\n"), "{summary}");
    assert!(summary.contains(EXPORT_ID) && summary.contains("2 polls"), "{summary}");
    let rows: Vec<&str> = summary.lines().filter(|line| line.starts_with("| 2")).collect();
    assert!(rows[0].ends_with("Z | PENDING |") && rows[1].ends_with("Z | FINISHED |"), "{summary}");
    assert!(summary.contains("\n1,061 rows, 1 file\n"), "{summary}");
    let (_, _, summary) = written(actions(&Lab::start("token = 'another'")));
    assert!(summary.contains("\nNext: the credential from SNYK\\_TOKEN may have expired"), "{summary}");
}

#[test]
fn files_are_added_to_and_never_replaced() {
    let lab = Lab::start(READY);
    let program = actions(&lab);
    let [output, summary] = ["output", "summary"].map(|name| program.file(name, "before\n"));
    let (run, output, summary) = written_to(program, &output, &summary);
    run.exits(0);
    assert!(output.starts_with("before\noutcome<<"), "{output}");
    assert!(summary.starts_with("before\n### "), "{summary}");
}

#[test]
fn a_line_that_somebody_left_unfinished_is_ended_first() {
    let lab = Lab::start(READY);
    let program = actions(&lab);
    let [output, summary] = ["output", "summary"].map(|name| program.file(name, "before=1"));
    let (run, output, summary) = written_to(program, &output, &summary);
    run.exits(0);
    assert!(output.starts_with("before=1\noutcome<<"), "{output}");
    assert!(summary.starts_with("before=1\n### "), "{summary}");
}

#[test]
fn a_summary_stays_below_what_github_takes() {
    const LIMIT: usize = 1024 * 1024;
    let lab = Lab::start(READY);
    for room in [0, 100, 150] {
        let program = actions(&lab);
        let (output, summary) =
            (program.file("output", ""), program.file("summary", &"x".repeat(LIMIT - room)));
        let (run, output, summary) = written_to(program, &output, &summary);
        run.exits(0);
        assert!(output.contains("outcome<<") && summary.len() <= LIMIT, "{room}: {}", summary.len());
        assert_eq!(summary.contains("The rest is left out"), room > 0, "{room}");
    }
}

#[test]
fn a_failure_is_one_annotation_whatever_the_server_wrote() {
    let lab = Lab::start(HOSTILE);
    let (run, output, summary) = written(actions(&lab));
    run.exits(4).stderr_lacks("\u{1b}").stderr_lacks("##[");
    let commands: Vec<&str> = run.stderr.lines().filter(|line| line.trim_start().starts_with("::")).collect();
    assert_eq!(commands.len(), 1, "{run}");
    assert!(commands[0].starts_with("::error title=Snyk export failed (exit 4)::Failed after "), "{run}");
    assert!(commands[0].contains("100%25"), "{run}");
    assert_eq!(output.matches("FINISHED").count(), 0, "{output}");
    for forbidden in ["<img", "</details>", "[x](", "@all", "https://", "\u{1b}"] {
        assert!(!summary.contains(forbidden), "{forbidden} in {summary}");
    }
}

#[test]
fn a_hostile_status_is_only_a_value() {
    let lab = Lab::start(&format!("{READY}ends-as = \"X\\noutcome<<E\\nfinished\\nE\\u001b[2J|<b>\""));
    let (run, output, summary) = written(actions(&lab));
    run.exits(8).stderr_lacks("\u{1b}");
    assert!(
        output.starts_with("outcome<<ghadelimiter_") && output.contains("\nunknown-status\n"),
        "{output}"
    );
    assert_eq!(output.lines().count(), 12, "four values, three lines each: {output}");
    assert!(!summary.contains("<b>") && !summary.contains("|<"), "{summary}");
}

#[test]
fn bad_input_is_an_annotation_too() {
    let lab = Lab::start(READY);
    let run = Program::wait(&lab).arg("latest").env("GITHUB_ACTIONS", "true").run();
    assert_eq!(
        run.exits(2)
            .stderr
            .lines()
            .filter(|line| line.starts_with("::error title=Snyk export failed (exit 2)::"))
            .count(),
        1,
        "{run}"
    );
    let run = Program::wait(&lab).export(EXPORT_ID).env("GITHUB_ACTIONS", "true").no_env("SNYK_TOKEN").run();
    run.exits(2).stderr_has("\n::error title=Snyk export failed (exit 2)::no credential: ");
}

#[test]
fn elsewhere_nothing_is_written() {
    let lab = Lab::start("token = 'another'");
    for value in ["", "false", "1"] {
        let (run, output, summary) = written(actions(&lab).env("GITHUB_ACTIONS", value));
        run.exits(4).stderr_lacks("::error");
        assert_eq!((output.as_str(), summary.as_str()), ("", ""));
    }
}

#[test]
fn unwritable_summary_files_do_not_change_the_result() {
    let lab = Lab::start(READY);
    let run = actions(&lab).env("GITHUB_OUTPUT", "/nowhere/x").env("GITHUB_STEP_SUMMARY", "/nowhere/y").run();
    run.exits(0).stderr_has("could not be written variable=GITHUB_OUTPUT path=/nowhere/x");
}

#[test]
fn a_pipe_that_nobody_reads_is_a_warning() {
    let lab = Lab::start(READY);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("output");
    fifo(&pipe);
    let run = actions(&lab).env("GITHUB_OUTPUT", &pipe.display().to_string()).run();
    run.exits(0).stderr_has("could not be written variable=GITHUB_OUTPUT");
}

#[test]
fn links_are_masked_before_they_are_printed() {
    for (format, inlined) in [("json", true), ("json", false), ("text", true)] {
        let lab = Lab::start(&format!("{READY}inline-results = {inlined}"));
        let dir = tempfile::tempdir().unwrap();
        // Both streams go where a step's go: into one log.
        let log = dir.path().join("log");
        let file = || std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let program = actions(&lab).text().arg(&format!("--output={format}")).arg("--show-urls");
        program.stdout(file()).stderr(file()).run().exits(0);
        let log = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        let printed = lines.iter().position(|line| line.contains("Signature") && !line.starts_with("::"));
        let masks: Vec<&str> =
            lines[..printed.unwrap()].iter().filter_map(|line| line.strip_prefix("::add-mask::")).collect();
        let unescaped: Vec<String> = masks.iter().map(|mask| mask.replace("%25", "%")).collect();
        let url = unescaped.iter().find(|mask| mask.starts_with("http")).unwrap();
        assert!(lines[printed.unwrap()].contains(url.as_str()), "{log}");
        assert!(unescaped.iter().any(|mask| url.ends_with(&format!("?{mask}"))), "{log}");
    }
    let lab = Lab::start(READY);
    actions(&lab).run().exits(0).stderr_lacks("::add-mask::");
    Program::wait(&lab).export(EXPORT_ID).arg("--show-urls").run().exits(0).stderr_lacks("::add-mask::");
}

#[test]
fn an_exchanged_token_is_masked_before_it_is_used() {
    let client = "client-id = 'me'\nclient-secret = 'hunter2'\n";
    let lab = Lab::start(&format!("{READY}{client}"));
    let program = actions(&lab).no_env("SNYK_TOKEN").env("SNYK_CLIENT_ID", "me");
    let run = program.env("SNYK_CLIENT_SECRET", "hunter2").run();
    let first =
        run.exits(0).stderr.lines().find(|line| line.starts_with("::")).unwrap_or_default().to_owned();
    assert!(first.starts_with("::add-mask::eyJ"), "{run}");
    let masked = first.trim_start_matches("::add-mask::");
    assert_eq!(run.stderr.matches(masked).count(), 1, "{run}");
}

fn actions(lab: &Lab) -> Program {
    Program::wait(lab).export(EXPORT_ID).env("GITHUB_ACTIONS", "true")
}

/// Runs it, and gives what it wrote to its step's outputs and to its step's summary.
fn written(program: Program) -> (Run, String, String) {
    let [output, summary] = ["output", "summary"].map(|name| program.file(name, ""));
    written_to(program, &output, &summary)
}

fn written_to(program: Program, output: &Path, summary: &Path) -> (Run, String, String) {
    let program = program.env("GITHUB_OUTPUT", &output.display().to_string());
    let run = program.env("GITHUB_STEP_SUMMARY", &summary.display().to_string()).run();
    let read = |path| std::fs::read_to_string(path).unwrap();
    (run, read(output), read(summary))
}

#[test]
fn outputs_go_to_a_dotenv_file_too() {
    let lab = Lab::start(&format!("{READY}rows = 7"));
    let run = Program::wait(&lab).export(EXPORT_ID).args("--dotenv outputs.env").run();
    let read = |run: &Run| std::fs::read_to_string(run.home().join("outputs.env")).unwrap();
    let expected = format!(
        "SNYK_EXPORT_EXPORT_ID={EXPORT_ID}\nSNYK_EXPORT_OUTCOME=finished\nSNYK_EXPORT_ROW_COUNT=7\nSNYK_EXPORT_STATUS=FINISHED\n"
    );
    run.exits(0);
    assert_eq!(read(&run), expected);
    let run = Program::whole_run(&lab).args("--dotenv outputs.env").run();
    let files = run.exits(0).home().join("files/part-0001.csv");
    let text = read(&run);
    assert!(text.contains(&format!("SNYK_EXPORT_FILES={}\n", files.display())), "{text}");
    assert!(text.contains("SNYK_EXPORT_DIR=/") && text.contains("SNYK_EXPORT_OUTCOME=finished\n"), "{text}");
    let run = Program::wait(&lab).export(EXPORT_ID).args("--dotenv none/outputs.env").run();
    run.exits(2).stderr_has("--dotenv none/outputs.env: ");
    assert_eq!(lab.exchanges().iter().filter(|exchange| exchange.method == "POST").count(), 1);
}
