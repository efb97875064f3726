//! The forms in which an export can be named.

use serde_json::json;

use crate::lab::{EXPORT_ID, GROUP, Lab, Program, READY, SECOND_ID, path};

const ORG: &str = "aaaaaaaa-2222-4333-8444-555555555555";

#[test]
fn every_form_names_the_same_export() {
    let lab = Lab::start(READY);
    let forms = [
        path(EXPORT_ID),
        format!("/rest{}", path(EXPORT_ID)),
        format!("groups/{GROUP}/export/{EXPORT_ID}"),
        format!("{}/rest{}?version=2024-10-15", lab.url(), path(EXPORT_ID)),
        format!("https://api.eu.snyk.io/rest/groups/{GROUP}/export/{EXPORT_ID}"),
        path(&EXPORT_ID.to_uppercase()),
    ];
    for form in &forms {
        let run = Program::wait(&lab).arg(form).run();
        let expected = json!({ "scope": "group", "scope_id": GROUP, "export_id": EXPORT_ID });
        assert_eq!(run.exits(0).document()["export"], expected, "{form}");
    }
    assert_eq!(lab.requests(), forms.len());
    let target = format!("/rest{}?version=2024-05-10~experimental", path(EXPORT_ID));
    assert!(lab.exchanges().iter().all(|exchange| exchange.target == target));
}

#[test]
fn an_id_takes_its_scope_from_flags_and_variables() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).arg(EXPORT_ID);
    let rows = [
        (wait().args(&format!("--group-id {GROUP}")), "group", GROUP),
        (wait().args(&format!("--org-id {ORG}")), "org", ORG),
        (wait().env("SNYK_GROUP_ID", GROUP), "group", GROUP),
        (wait().env("SNYK_ORG_ID", ORG), "org", ORG),
        (wait().env("SNYK_ORG_ID", ORG).env("SNYK_GROUP_ID", ""), "org", ORG),
        (wait().env("SNYK_ORG_ID", ORG).args(&format!("--group-id {GROUP}")), "group", GROUP),
    ];
    for (program, scope, id) in rows {
        // Each export has one scope at the server.
        let lab = Lab::start(READY);
        let run = program.env("SNYK_API", &lab.url()).run();
        let export = &run.exits(0).document()["export"];
        assert_eq!((&export["scope"], &export["scope_id"]), (&scope.into(), &id.into()));
    }
}

#[test]
fn a_scope_in_a_url_wins_over_the_environment() {
    let lab = Lab::start(READY);
    let both = Program::wait(&lab).export(EXPORT_ID).env("SNYK_ORG_ID", ORG).env("SNYK_GROUP_ID", ORG);
    assert_eq!(both.run().exits(0).document()["export"]["scope_id"], GROUP);
}

#[test]
fn scopes_that_contradict_each_other_exit_with_2() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).arg(EXPORT_ID);
    wait().args(&format!("--group-id {GROUP} --org-id {ORG}")).run().exits(2);
    wait().env("SNYK_GROUP_ID", GROUP).env("SNYK_ORG_ID", ORG).run().exits(2);
    wait().run().exits(2).stderr_has("has no scope");
    Program::wait(&lab).export(EXPORT_ID).args(&format!("--org-id {ORG}")).run().exits(2);
    assert_eq!(lab.requests(), 0);
}

#[test]
fn standard_input_takes_the_answer_that_started_an_export() {
    let shapes = [
        format!(r#"{{"data":{{"id":"{EXPORT_ID}","links":{{"self":"{}?version=x"}}}}}}"#, path(EXPORT_ID)),
        format!(r#"{{"data":{{"id":"{EXPORT_ID}"}},"links":{{"self":"/groups/{GROUP}/export/jobs/x"}}}}"#),
        format!(r#"{{"data":{{"id":"{EXPORT_ID}","links":{{"self":{{"href":"/groups/{GROUP}/x"}}}}}}}}"#),
    ];
    for input in shapes {
        let lab = Lab::start(READY);
        let run = Program::wait(&lab).arg("-").stdin(&input).run();
        let expected = json!({ "scope": "group", "scope_id": GROUP, "export_id": EXPORT_ID });
        assert_eq!(run.exits(0).document()["export"], expected, "{input}");
    }
}

#[test]
fn standard_input_takes_what_this_program_wrote() {
    let lab = Lab::start(READY);
    let written = Program::wait(&lab).export(EXPORT_ID).export(SECOND_ID).run().stdout;
    let run = Program::wait(&lab).arg("-").stdin(&written).run();
    assert_eq!(run.exits(0).documents().len(), 2);
}

#[test]
fn standard_input_takes_the_id_that_start_prints() {
    let lab = Lab::start(READY);
    let started = Program::start(&lab).text().run();
    let id = started.exits(0).stdout.clone();
    let waited = Program::wait(&lab).arg("-").env("SNYK_GROUP_ID", GROUP).stdin(&id).run();
    assert_eq!(waited.exits(0).document()["export"]["export_id"], id.trim_end());
    Program::wait(&lab).args("- --group-id").arg(GROUP).stdin(&id).run().exits(0);
    Program::download(&lab).args("- --group-id").arg(GROUP).stdin(&id).run().exits(0);
    Program::wait(&lab)
        .arg("-")
        .stdin(&id)
        .run()
        .exits(2)
        .stderr_has("has no scope: give --group-id or --org-id");
    Program::wait(&lab).arg("-").stdin(&started.stderr).run().exits(2).stderr_has("standard input: line 1: ");
}

#[test]
fn no_url_is_built_from_a_link_on_standard_input() {
    let lab = Lab::start(READY);
    let other = Lab::start(READY);
    let link = format!("{}/rest/groups/{GROUP}/jobs/export/{SECOND_ID}", other.url());
    let input = json!({ "data": { "id": EXPORT_ID, "links": { "self": link } } });
    let run = Program::wait(&lab).arg("-").stdin(&input.to_string()).run();
    assert_eq!(run.exits(0).document()["export"]["export_id"], EXPORT_ID);
    assert_eq!((lab.requests(), other.requests()), (1, 0));
}

#[test]
fn standard_input_that_names_no_export_exits_with_2() {
    let lab = Lab::start(READY);
    let no_uuid = format!(r#"{{"data":{{"id":"../{EXPORT_ID}","links":{{"self":"/groups/{GROUP}/x"}}}}}}"#);
    let inputs =
        ["", "{}", "[]", "FINISHED", "{\"data\":{\"id\":7}}", &no_uuid, &" ".repeat(1024 * 1024 + 1)];
    for input in inputs {
        let run = Program::wait(&lab).arg("-").env("SNYK_GROUP_ID", GROUP).stdin(input).run();
        run.exits(2).stderr_has("error: standard input: ").stdout_is("");
    }
    assert_eq!(lab.requests(), 0);
}

#[test]
fn what_is_no_export_exits_with_2_and_shows_the_form() {
    let lab = Lab::start(READY);
    let wrong =
        ["latest", "/groups/../x", "/tenants/1/jobs/export/2", "ftp://x/y", &EXPORT_ID.replace('-', "")];
    for wrong in wrong {
        let run = Program::wait(&lab).arg(wrong).run();
        run.exits(2).stderr_has(wrong).stderr_has("7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b");
    }
    assert_eq!(lab.requests(), 0);
}
