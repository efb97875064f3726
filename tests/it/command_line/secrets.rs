//! Secrets are printed nowhere: not the token, not the client's secret, not a signed link.

use crate::lab::{EXPORT_ID, Lab, Program, READY, Run, TOKEN};

const LOUD: [&str; 4] = ["-v", "--log-format=json", "--color=always", "--output=text"];

#[test]
fn a_token_is_printed_nowhere() {
    for scenario in [READY, "token = 'another'", "then = 'last'\nanswers = [{ status-code = 400 }]"] {
        let lab = Lab::start(scenario);
        for flag in LOUD {
            for value in [TOKEN.to_owned(), format!("token {TOKEN}"), format!("Bearer {TOKEN}")] {
                let run =
                    Program::wait(&lab).text().export(EXPORT_ID).arg(flag).env("SNYK_TOKEN", &value).run();
                lacks(&run, TOKEN);
            }
        }
    }
}

#[test]
fn a_token_of_another_program_that_a_server_repeats_is_not_shown() {
    const OTHER: &str = "0f9a3c51-77d2-4b1e-8c46-5e1d90ab2f37";
    let body =
        format!(r#"{{"errors":[{{"status":"400","title":"Bad Request","detail":"no key {OTHER}"}}]}}"#);
    let lab = Lab::start(&format!("then = 'last'\nanswers = [{{ status-code = 400, body = '{body}' }}]"));
    for name in ["SNYK_API_TOKEN", "SNYK_DOCKER_TOKEN"] {
        let run = Program::wait(&lab).export(EXPORT_ID).env(name, OTHER).run();
        lacks(run.exits(7).stderr_has("no key ***"), OTHER);
    }
}

#[test]
fn an_invalid_token_is_not_shown() {
    let lab = Lab::start(READY);
    for token in ["hunter2 hunter3", "hunter2\nhunter3", "hünter2"] {
        let run = Program::wait(&lab).export(EXPORT_ID).env("SNYK_TOKEN", token).run();
        lacks(run.exits(2), "nter");
        let program = Program::wait(&lab).export(EXPORT_ID);
        let file = program.file("token", token).display().to_string();
        let run = program.args("--token-file").arg(&file).run();
        lacks(run.exits(2), "nter2");
    }
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_password_in_the_flag_of_the_api_is_not_shown() {
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).args("--api").arg(&with_password(&lab));
    lacks(program.run().exits(2), "hunter2");
}

#[test]
fn a_password_in_the_variable_of_the_api_is_not_shown() {
    let lab = Lab::start(READY);
    let program = Program::wait(&lab).export(EXPORT_ID).env("SNYK_API", &with_password(&lab));
    lacks(program.run().exits(2), "hunter2");
}

#[test]
fn a_password_in_the_api_of_a_settings_file_is_not_shown() {
    let lab = Lab::start(READY);
    let file = format!("[snyk]\napi = '{}'", with_password(&lab));
    let program = Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_API").config(&file);
    lacks(program.run().exits(2), "hunter2");
}

#[test]
fn a_client_secret_and_its_access_token_are_printed_nowhere() {
    for secret in ["right", "wrong"] {
        let lab = Lab::start(&format!("{READY}client-id = 'me'\nclient-secret = 'hunter2-right'"));
        for flag in LOUD {
            let program = Program::wait(&lab).text().export(EXPORT_ID).no_env("SNYK_TOKEN").arg(flag);
            let program = program.env("SNYK_CLIENT_ID", "me");
            let run = program.env("SNYK_CLIENT_SECRET", &format!("hunter2-{secret}")).run();
            lacks(&run, "hunter2");
            lacks(&run, "eyJ");
        }
    }
}

#[test]
fn a_signed_link_is_printed_only_where_it_is_wanted() {
    for inlined in [true, false] {
        let lab = Lab::start(&format!("{READY}inline-results = {inlined}"));
        for flag in LOUD {
            let run = Program::wait(&lab).text().export(EXPORT_ID).arg(flag).run();
            lacks(run.exits(0), "Signature");
            let run = Program::wait(&lab).text().export(EXPORT_ID).arg(flag).arg("--show-urls").run();
            assert!(run.exits(0).stdout.contains("Signature"), "{run}");
            run.stderr_lacks("Signature");
        }
    }
}

#[test]
fn a_body_that_makes_no_sense_gives_no_link_away() {
    let bodies = [
        r#"{"data":{"attributes":{"results":[{"url":"https://x.example/?X-Goog-Signature=hunter2"}]}}}"#,
        r#"{"data":{"attributes":{"status":7,"results":["https://x.example/?X-Goog-Signature=hunter2"]}}}"#,
    ];
    for body in bodies {
        for code in [200, 403] {
            let lab = Lab::start(&format!("{READY}answers = [{{ status-code = {code}, body = '{body}' }}]"));
            lacks(&Program::wait(&lab).export(EXPORT_ID).arg("-v").run(), "hunter2");
        }
    }
}

#[test]
fn what_a_server_echoes_is_starred_over() {
    let echoes = [
        format!("status-code = 403, body = 'you sent {TOKEN}'"),
        format!("status-code = 200, body = 'you sent {TOKEN}{}'", " ".repeat(100_000)),
        format!("status-code = 403, headers = {{ snyk-request-id = '{TOKEN}' }}"),
        format!("status = '{TOKEN}'"),
    ];
    for echo in echoes {
        let lab = Lab::start(&format!("{READY}answers = [{{ {echo} }}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).arg("-v").run();
        lacks(&run, TOKEN);
        assert!(run.stderr.contains("***"), "{run}");
    }
    for echo in ["hunter2 =", "hunter2+%3D"] {
        let client = "client-id = 'me'\nclient-secret = 'hunter2 ='\n";
        let fault =
            format!("[[faults]]\nprobability = 1.0\non = 'token'\nstatus-code = 400\nbody = 'got {echo}'");
        let lab = Lab::start(&format!("{READY}{client}{fault}"));
        let program = Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN");
        let run = program.env("SNYK_CLIENT_ID", "me").env("SNYK_CLIENT_SECRET", "hunter2 =").run();
        lacks(run.exits(4), "hunter2");
    }
}

#[test]
fn a_stand_in_for_a_token_spoils_no_answer() {
    let location = "{base-url}/rest/{scope-path}/jobs/export/{export-id}?version=2024-10-15";
    let redirect = format!("{{ status-code = 303, headers = {{ Location = '{location}' }} }}");
    let lab = Lab::start(&format!("{READY}answers = [{redirect}]"));
    for token in ["x", "export", "t"] {
        let run = Program::wait(&lab).export(EXPORT_ID).env("SNYK_TOKEN", token).arg("--show-urls").run();
        let url = run.exits(0).document()["results"][0]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(&lab.url()) && !url.contains('*'), "{url}");
    }
}

#[test]
fn a_secret_in_a_settings_file_or_in_the_place_of_its_file_is_not_shown() {
    const UUID: &str = "5f1c2a8e-0b1d-4c3e-8a6b-9c0dhunter22";
    let lab = Lab::start(READY);
    let program = || Program::wait(&lab).export(EXPORT_ID).env("GITHUB_ACTIONS", "true").no_env("SNYK_TOKEN");
    for token in ["snyk_uat.1a2b3c4d.e30.hunter2", UUID] {
        let files = [
            format!("[snyk]\ntoken = \"{token}\""),
            format!("[snyk]\ntoken = \"{token}"),
            format!("[snyk]\ntoken-file = \"{token}\""),
        ];
        for format in ["text", "json"] {
            for file in &files {
                let run = program().config(file).arg(&format!("--log-format={format}")).run();
                lacks(run.exits(2).stderr_has("::error title="), "hunter2");
            }
            let run = program().args("--token-file").arg(token).arg(&format!("--log-format={format}")).run();
            lacks(run.exits(2).stderr_has("failed to read the token file ***"), "hunter2");
            let run = program().env("SNYK_TOKEN_FILE", token).arg(&format!("--log-format={format}")).run();
            lacks(run.exits(2).stderr_has("failed to read the token file ***"), "hunter2");
        }
    }
    let uuid = "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1eabcdef";
    for program in [program().args("--api").arg(uuid), program().env("SNYK_API", uuid)] {
        lacks(program.run().exits(2).stderr_has("us, us2, eu, au, gov"), "5f1c");
    }
    let file = "[snyk]\ntoken = 'snyk_uat.1a2b3c4d.e30.hunter2'";
    program().config(file).run().stderr_has("line 8, column 1, [snyk] token: ").stderr_has("`token-file`");
    assert_eq!(lab.requests(), 0);
}

fn with_password(lab: &Lab) -> String {
    lab.url().replace("http://", "http://user:hunter2@")
}

#[track_caller]
fn lacks(run: &Run, secret: &str) {
    assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{secret} is shown: {run}");
}
