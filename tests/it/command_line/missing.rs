//! What a command line lacks is said at once.

use crate::lab::{EXPORT_ID, Lab, Program, READY};

#[test]
fn all_that_is_missing_is_said_at_once() {
    let rows: [(&str, &str, &[&str]); 7] = [
        (
            "run",
            "",
            &[
                "no group and no organization",
                "no dataset",
                "no date filter",
                "no directory",
                "no credential",
            ],
        ),
        ("start", "", &["no group and no organization", "no dataset", "no date filter", "no credential"]),
        ("start", "--dataset usage", &["no group and no organization", "no date filter", "no credential"]),
        ("start", "--body -", &["no group and no organization", "no credential"]),
        ("wait", "", &["no export", "no credential"]),
        ("status", EXPORT_ID, &["no group and no organization", "no credential"]),
        ("download", EXPORT_ID, &["no group and no organization", "no directory", "no credential"]),
    ];
    for (command, args, missing) in rows {
        let run = Program::bare(command).args(args).run();
        let said: Vec<&str> = run.exits(2).stderr.lines().collect();
        assert_eq!(said.len(), missing.len(), "{command} {args}: {run}");
        for (line, missing) in said.iter().zip(missing) {
            let line = line.strip_prefix("error: ").unwrap_or(line).trim_start();
            assert!(line.starts_with(missing), "{command} {args}: {missing}: {run}");
        }
    }
}

#[test]
fn one_thing_that_is_missing_is_said_too() {
    let lab = Lab::start(READY);
    let run = Program::whole_run(&lab).no_arg("--dir files").run();
    run.exits(2)
        .stderr_is("error: no directory: say where the files go with --dir, such as --dir 'issues/{date}'\n");
    Program::download(&lab).run().exits(2).stderr_has("no export: give an export id");
    assert_eq!(lab.requests(), 0);
}
