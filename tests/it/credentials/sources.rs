//! Which source wins where there are several.

use crate::lab::{EXPORT_ID, Lab, Program, READY};

/// The sources in their order, as the log names them.
const SOURCES: [&str; 7] = [
    "--token-file",
    "SNYK_OAUTH_TOKEN",
    "SNYK_TOKEN",
    "SNYK_TOKEN_FILE",
    "SNYK_CLIENT_ID",
    "SNYK_CFG_API",
    "the Snyk CLI's",
];

#[test]
fn the_first_source_wins() {
    for (winner, source) in SOURCES.iter().enumerate() {
        let lab = Lab::start(&format!("{READY}token = 'right'"));
        // All that are behind the winner are there too, and wrong.
        let given = SOURCES[winner..].iter().enumerate();
        let program = Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN");
        let program = given.fold(program, |program, (behind, source)| {
            give(program, source, if behind == 0 { "right" } else { "wrong" })
        });
        let run = program.args("--log-format json").run();
        let logs = run.logs();
        let said = logs.iter().find_map(|line| line["credential.source"].as_str()).unwrap().to_owned();
        assert!(said.starts_with(source), "{said}");
        match *source {
            // Its secret is right, but this server has no such client.
            "SNYK_CLIENT_ID" => assert_eq!(lab.exchanges()[0].target, "/oauth2/token"),
            _ => assert_eq!((run.exits(0).code, lab.codes()), (Some(0), vec![200]), "{source}"),
        }
    }
}

#[test]
fn an_empty_variable_is_unset() {
    let lab = Lab::start(&format!("{READY}token = 'right'"));
    let program =
        Program::wait(&lab).export(EXPORT_ID).env("SNYK_TOKEN", "right").env("SNYK_OAUTH_TOKEN", "");
    program.env("SNYK_CLIENT_ID", " ").run().exits(0);
    Program::wait(&lab)
        .export(EXPORT_ID)
        .env("SNYK_TOKEN", "  ")
        .run()
        .exits(2)
        .stderr_has("no credential: ");
}

#[test]
fn the_file_of_the_snyk_cli_is_found_where_it_lies() {
    let contents = [
        (r#"{"api":"right"}"#, "token"),
        (r#"{"internal_oauth_token_storage":"{\"access_token\":\"right\"}"}"#, "bearer"),
    ];
    for (text, scheme) in contents {
        for directory in [".config", "elsewhere"] {
            let lab = Lab::start(&format!("{READY}token = 'right'"));
            let program = Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN");
            program.file(&format!("{directory}/configstore/snyk.json"), text);
            let elsewhere = program.home().join("elsewhere").display().to_string();
            let variable = if directory == "elsewhere" { elsewhere.as_str() } else { "" };
            program.env("XDG_CONFIG_HOME", variable).run().exits(0);
            assert_eq!(lab.exchanges()[0].authorization.as_deref(), Some(scheme));
        }
    }
}

#[test]
fn a_first_source_that_is_unusable_is_an_error_and_no_reason_to_take_the_next() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).export(EXPORT_ID);
    wait().args("--token-file /nowhere").run().exits(2).stderr_has("/nowhere");
    wait().env("SNYK_OAUTH_TOKEN", "a b").run().exits(2).stderr_has("SNYK_OAUTH_TOKEN");
    wait().env("SNYK_TOKEN", "$(SNYK_TOKEN)").run().exits(2).stderr_has("SNYK_TOKEN holds no usable token: ");
    let quoted = wait().env("SNYK_TOKEN", "'hunter2'").run();
    quoted.exits(2).stderr_has("it is in quotes").stderr_lacks("hunter2");
    let program = wait();
    let path = program.file("token", "SNYK_TOKEN=hunter2").display().to_string();
    let run = program.args("--token-file").arg(&path).run();
    let expected = format!("--token-file {path} holds no usable token: it looks like an assignment");
    run.exits(2).stderr_has(&expected).stderr_lacks("hunter2");
    wait().no_env("SNYK_TOKEN").env("SNYK_TOKEN_FILE", "/nowhere").run().exits(2).stderr_has("/nowhere");
    assert_eq!(lab.requests(), 0);
}

#[test]
fn without_any_source_nothing_is_asked() {
    let lab = Lab::start(READY);
    Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN").run().exits(2).stderr_has("SNYK_TOKEN_FILE");
    assert_eq!(lab.requests(), 0);
}

fn give(program: Program, source: &str, token: &str) -> Program {
    match source {
        "--token-file" => {
            let path = program.file("token-of-flag", token).display().to_string();
            program.args("--token-file").arg(&path)
        }
        "SNYK_TOKEN_FILE" => {
            let path = program.file("token-of-variable", token).display().to_string();
            program.env(source, &path)
        }
        "SNYK_CLIENT_ID" => program.env(source, "me").env("SNYK_CLIENT_SECRET", token),
        "the Snyk CLI's" => {
            program.file(".config/configstore/snyk.json", &format!(r#"{{"api":"{token}"}}"#));
            program
        }
        _ => program.env(source, token),
    }
}
