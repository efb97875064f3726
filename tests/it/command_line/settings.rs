//! Settings from outside: a flag beats a variable, which beats a file, which beats the defaults.

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY};

#[test]
fn a_flag_beats_a_variable_which_beats_a_file() {
    // Only the shortest limit lets the program end before it is killed.
    let (long, short) = ("1h", "100ms");
    let ends = |flag: &str, variable: &str, file: &str| {
        let lab = Lab::start(NEVER);
        let wait = Program::wait(&lab).export(EXPORT_ID).args(flag).env("SNYK_EXPORT_MAX_WAIT", variable);
        wait.config(&format!("[limits]\nmax-wait = '{file}'")).run().exits(124);
    };
    ends(&format!("--max-wait {short}"), long, long);
    ends("", short, long);
    ends("", "", short);
}

#[test]
fn a_section_of_a_command_beats_that_of_all() {
    let lab = Lab::start(NEVER);
    let limits = "[limits]\nmax-wait = '1h'\n[wait]\nmax-wait = '100ms'";
    Program::wait(&lab).export(EXPORT_ID).config(limits).run().exits(124);
}

#[test]
fn a_flag_names_the_api_before_a_variable_and_a_file_do() {
    let (right, wrong) = (Lab::start(READY), Lab::start(READY));
    let file = |lab: &Lab| format!("[snyk]\napi = '{}'", lab.url());
    let wait = |lab: &Lab| Program::wait(lab).export(EXPORT_ID);
    wait(&wrong).config(&file(&wrong)).args("--api").arg(&right.url()).run().exits(0);
    wait(&right).config(&file(&wrong)).run().exits(0);
    wait(&wrong).no_env("SNYK_API").config(&file(&right)).run().exits(0);
    assert_eq!((right.requests(), wrong.requests()), (3, 0));
}

#[test]
fn an_api_is_taken_as_people_have_it() {
    let lab = Lab::start(READY);
    for end in ["", "/", "/rest", "/v1", "/api/v1", "/rest/"] {
        let api = format!("{}{end}", lab.url());
        Program::wait(&lab).export(EXPORT_ID).env("SNYK_API", &api).run().exits(0);
    }
    assert!(lab.exchanges().iter().all(|exchange| exchange.target.starts_with("/rest/groups/")));
}

#[test]
fn a_settings_file_is_never_searched_for() {
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).no_config();
    for name in
        ["snyk-export.toml", ".snyk-export.toml", "config/default.toml", ".config/snyk-export/config.toml"]
    {
        program.file(name, "[nonsense]");
    }
    program.run().exits(0);
}

#[test]
fn a_settings_file_can_be_named_by_a_variable() {
    let lab = Lab::start(NEVER);
    let program = Program::wait(&lab).export(EXPORT_ID).no_config();
    let path = program.file("mine.toml", "[wait]\nmax-wait = '100ms'").display().to_string();
    program.env("SNYK_EXPORT_CONFIG", &path).run().exits(124);
}

#[test]
fn the_end_of_a_path_in_a_variable_is_trimmed_and_that_of_a_flag_is_shown() {
    let lab = Lab::start(NEVER);
    let program = Program::wait(&lab).export(EXPORT_ID).no_config().no_env("SNYK_TOKEN");
    let path = program.file("mine.toml", "[wait]\nmax-wait = '100ms'").display().to_string();
    let token = program.file("token", crate::lab::TOKEN).display().to_string();
    let program = program.env("SNYK_EXPORT_CONFIG", &format!("{path}\r"));
    program.env("SNYK_TOKEN_FILE", &format!("{token} \r")).run().exits(124);
    for (end, shown) in [("\r", "mine.toml\\r: No such file"), (" ", "mine.toml \": No such file")] {
        let program = Program::wait(&lab).export(EXPORT_ID).no_config();
        program.args("--config").arg(&format!("/mine.toml{end}")).run().exits(2).stderr_has(shown);
    }
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning_with_the_nearest_name() {
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).env("SNYK_EXPORT_MAXWAIT", "1h");
    let run = program.env("SNYK_EXPORT_RESULT_OUTCOME", "finished").run();
    run.exits(0).stderr_has("SNYK_EXPORT_MAXWAIT").stderr_has("did you mean SNYK_EXPORT_MAX_WAIT?");
    assert!(!run.to_string().contains("RESULT_OUTCOME"), "{run}");
}

#[test]
fn the_file_of_defaults_is_a_settings_file() {
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).no_config();
    let path = program.file("defaults.toml", include_str!("../../../config/default.toml"));
    let path = path.display().to_string();
    program.args("--config").arg(&path).run().exits(0);
}

#[test]
fn every_limit_has_its_variable() {
    let rows = [
        ("SNYK_EXPORT_MAX_WAIT", "100ms", "then = 'last'\nanswers = [{}]", 124),
        ("SNYK_EXPORT_MAX_OUTAGE", "100ms", "then = 'last'\nanswers = [{ status-code = 503 }]", 69),
        ("SNYK_EXPORT_MAX_IN_PROGRESS", "PENDING=50ms", "pending = '1h'", 9),
        (
            "SNYK_EXPORT_NOT_FOUND_GRACE",
            "1m",
            "pending = '0s'\nstarted = '0s'\nanswers = [{ status-code = 404, repeat = 4 }]",
            0,
        ),
        (
            "SNYK_EXPORT_RETRY_CONFLICT",
            "true",
            "pending = '0s'\nstarted = '0s'\nanswers = [{ status-code = 409 }]",
            0,
        ),
        (
            "SNYK_EXPORT_REQUEST_TIMEOUT",
            "300ms",
            "pending = '0s'\nstarted = '0s'\nanswers = [{ fault = 'hang' }]",
            0,
        ),
        (
            "SNYK_EXPORT_IN_PROGRESS_STATUS",
            "ODD",
            "pending = '0s'\nstarted = '0s'\nanswers = [{ status = 'ODD' }]",
            0,
        ),
        ("SNYK_EXPORT_FINISHED_STATUS", "ODD", "pending = '0s'\nstarted = '0s'\nends-as = 'ODD'", 0),
        ("SNYK_EXPORT_FAILED_STATUS", "ODD", "pending = '0s'\nstarted = '0s'\nends-as = 'ODD'", 3),
    ];
    for (name, value, scenario, code) in rows {
        let lab = Lab::start(scenario);
        Program::wait(&lab).export(EXPORT_ID).env(name, value).run().exits(code);
    }
}

#[test]
fn the_pace_is_that_of_the_flags() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING', repeat = 3 }}]"));
    let pace = "--initial-interval 100ms --multiplier 2 --max-interval 200ms --jitter 0";
    Program::wait(&lab).export(EXPORT_ID).args(pace).run().exits(0);
    let at: Vec<u128> = lab.exchanges().iter().map(|exchange| exchange.at.as_millis()).collect();
    let pauses: Vec<u128> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Only lower bounds: a busy machine may take its time.
    assert!(pauses[0] >= 100 && pauses[1] >= 200 && pauses[2] >= 200, "{pauses:?}");
}
