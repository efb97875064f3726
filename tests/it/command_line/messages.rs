//! Bad input exits with 2 and a message that says what to change, before any request is sent.

use crate::lab::{EXPORT_ID, GROUP, Lab, Program, READY};

#[test]
fn what_is_unclear_about_the_export_is_said_word_for_word() {
    let wait = |lab: &Lab| Program::wait(lab).arg(EXPORT_ID);
    refused(
        Program::wait,
        "no export: give an export id with --group-id or --org-id, a URL or path such as \
         /groups/GROUP_ID/jobs/export/EXPORT_ID, or - for standard input",
    );
    refused(
        wait,
        "the export d6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40 has no scope: give --group-id or --org-id, set \
         SNYK_GROUP_ID or SNYK_ORG_ID, or name it by its URL",
    );
    refused(
        |lab| wait(lab).env("SNYK_GROUP_ID", GROUP).env("SNYK_ORG_ID", GROUP),
        "SNYK_GROUP_ID and SNYK_ORG_ID are both set: say which one is meant with --group-id or --org-id",
    );
    refused(
        |lab| wait(lab).env("SNYK_ORG_ID", "acme"),
        "SNYK_ORG_ID: `acme` is not a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
    );
}

#[test]
fn what_is_wrong_with_the_credential_is_said_word_for_word() {
    refused(
        |lab| one(lab).no_env("SNYK_TOKEN"),
        "no credential: set SNYK_TOKEN, or --token-file, SNYK_TOKEN_FILE, SNYK_OAUTH_TOKEN, SNYK_CLIENT_ID and \
         SNYK_CLIENT_SECRET, or log in with the Snyk CLI",
    );
    refused(
        |lab| one(lab).no_env("SNYK_TOKEN").env("SNYK_CLIENT_ID", "id"),
        "SNYK_CLIENT_ID is set but SNYK_CLIENT_SECRET is not: OAuth client credentials need both",
    );
    refused(
        |lab| one(lab).args("--token-file /nowhere"),
        "failed to read the token file /nowhere: No such file or directory (os error 2)",
    );
}

#[test]
fn what_is_wrong_with_the_settings_is_said_word_for_word() {
    refused(
        |lab| one(lab).args("--initial-interval 1m").env("SNYK_EXPORT_MAX_INTERVAL", "2s"),
        "initial-interval (1m, from --initial-interval) is above max-interval (2s, from SNYK_EXPORT_MAX_INTERVAL) \
         in the settings of [pace]",
    );
    refused(
        |lab| one(lab).env("SNYK_API", "http://api.snyk.test"),
        "SNYK_API: http://api.snyk.test is plain http and not on this machine: use https, or --allow-http if nobody else \
         can listen",
    );
    refused(
        |lab| one(lab).args("--ca-cert /nowhere"),
        "--ca-cert: failed to read CA certificates from /nowhere: No such file or directory (os error 2)",
    );
    refused(
        |lab| one(lab).env("SNYK_EXPORT_MAX_WAIT", "soon"),
        "SNYK_EXPORT_MAX_WAIT: invalid value 'soon': expected a duration such as \
         `500ms`, `90s`, `5m` or `1h 30m`",
    );
}

#[test]
fn a_wrong_flag_names_itself_its_value_and_what_is_allowed() {
    let lab = Lab::start(READY);
    let rows = [
        ("--max-wait soon", ["'soon'", "--max-wait", "`90s`"]),
        ("--max-wait 3600", ["'3600'", "--max-wait", "did you mean `3600s`?"]),
        ("--max-wait 10M", ["'10M'", "`10m`", "`10months`"]),
        ("--max-in-progress PENDING=10M", ["--max-in-progress", "`10m`", "`10months`"]),
        ("--multiplier 0.5", ["'0.5'", "--multiplier", "at least 1"]),
        ("--jitter 2", ["'2'", "--jitter", "from 0 to 1"]),
        ("--max-in-progress PENDING", ["'PENDING'", "--max-in-progress", "PENDING=30m"]),
        ("--max-in-progress FINISHED=1m", ["`FINISHED`", "max-in-progress", "PENDING, STARTED"]),
        ("--api mars", ["`mars`", "--api", "us, us2, eu, au, gov"]),
        ("--api-version latest", ["'latest'", "--api-version", "2024-10-15"]),
        ("--group-id acme", ["'acme'", "--group-id", "UUID"]),
        ("--output xml", ["'xml'", "--output", "json"]),
        ("--log-format xml", ["'xml'", "--log-format", "json"]),
        ("--failed-status started", ["`STARTED`", "--failed-status", "--in-progress-status"]),
        ("--request-timeout 0", ["'0'", "--request-timeout", "more than 0"]),
        ("--initial-interval 0s", ["'0s'", "--initial-interval", "more than 0"]),
        ("-q -v", ["--quiet", "--verbose", "cannot be used with"]),
    ];
    for (flag, parts) in rows {
        let run = Program::wait(&lab).text().export(EXPORT_ID).args(flag).run();
        for part in parts {
            run.exits(2).stderr_has(part);
        }
    }
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_wrong_settings_file_is_named_with_line_column_and_key() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).export(EXPORT_ID);
    wait()
        .config("[limits]\nmax-wiat = '5m'\n")
        .run()
        .exits(2)
        .stderr_has("line 8, column 1, [limits] max-wiat: ");
    wait()
        .config("[limits]\nmax-wait = 50\n")
        .run()
        .exits(2)
        .stderr_has("line 8, column 12, [limits] max-wait: `50` has no unit")
        .stderr_has("in quotes");
    let program = wait();
    let missing = program.home().join("missing.toml").display().to_string();
    let run = program.no_config().env("SNYK_EXPORT_CONFIG", &missing).run();
    let why = "No such file or directory (os error 2)";
    run.exits(2).stderr_is(&format!("error: failed to read the settings file {missing}: {why}\n"));
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_host_that_is_pasted_but_not_asked_is_a_warning() {
    let lab = Lab::start(READY);
    let url = format!("https://api.eu.snyk.io/rest{}", crate::lab::path(EXPORT_ID));
    let run = Program::wait(&lab).arg(&url).run();
    run.exits(0)
        .stderr_has("WARN the host of the pasted URL is ignored")
        .stderr_has("https://api.eu.snyk.io");
    let url = format!("{}/rest{}", lab.url(), crate::lab::path(EXPORT_ID));
    Program::wait(&lab).arg(&url).run().exits(0).stderr_lacks("WARN");
}

#[test]
fn an_unknown_scenario_names_those_that_there_are() {
    let run = Program::bare("simulate").args("--scenario no-such").run();
    run.exits(2).stderr_has("`no-such`").stderr_has("rate-limited").stderr_has("hostile");
    let run = Program::bare("simulate").args("--listen 0.0.0.0:0").run();
    run.exits(2).stderr_has("--allow-http");
}

fn one(lab: &Lab) -> Program {
    Program::wait(lab).export(EXPORT_ID)
}

/// Checks that a call is refused with this message and nothing else, before anything is asked.
#[track_caller]
fn refused(call: impl Fn(&Lab) -> Program, message: &str) {
    let lab = Lab::start(READY);
    let run = call(&lab).run();
    let errors: Vec<&str> = run.exits(2).stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert_eq!(errors, [format!("error: {message}")], "{run}");
    run.stdout_is("");
    assert_eq!(lab.requests(), 0);
}
