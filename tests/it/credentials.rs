//! How a credential is sent and renewed.

mod oauth;
mod region;
mod sources;

use std::path::{Path, PathBuf};

use crate::lab::{EXPORT_ID, Lab, Program, READY, fifo};

/// An access token by its looks.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

#[test]
fn a_token_file_is_read_again_after_a_401() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |file| std::fs::write(file, "second\n").unwrap());
    let run = with_file(&lab, &file).run();
    assert_eq!(run.exits(0).document()["polls"], 1, "the renewal is part of the poll");
    assert_eq!(lab.codes(), [401, 200]);
}

#[test]
fn a_token_file_that_stays_the_same_is_refused_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |_| {});
    with_file(&lab, &file).run().exits(4).stderr_has("next    the credential from --token-file");
    assert_eq!(lab.codes(), [401]);
}

#[test]
fn a_token_file_with_another_bad_token_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |file| std::fs::write(file, "third").unwrap());
    with_file(&lab, &file).run().exits(4);
    assert_eq!(lab.codes(), [401, 401], "one renewal");
}

#[test]
fn a_token_from_a_pipe_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    fifo(&pipe);
    for command in ["wait", "status"] {
        let lab = Lab::start(&format!("{READY}token = 'another'"));
        let asking = || Program::asking(command, &lab.url()).export(EXPORT_ID).arg("--token-file");
        let written = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(written, "first").unwrap());
        asking().arg(&pipe.display().to_string()).run().exits(4).stderr_lacks("could not be read again");
        writer.join().unwrap();
        asking().arg("/dev/stdin").stdin("first").run().exits(4).stderr_lacks("could not be read again");
        assert_eq!(lab.codes(), [401, 401], "{command}");
    }
}

#[test]
fn a_token_file_that_is_away_for_a_moment_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |file| match file.exists() {
        true => std::fs::remove_file(file).unwrap(),
        false => std::fs::write(file, "second").unwrap(),
    });
    let run = with_file(&lab, &file).run();
    run.exits(0).stderr_has("the token could not be read again");
    assert_eq!(lab.codes(), [401, 401, 200]);
}

#[test]
fn a_token_file_that_holds_a_placeholder_for_a_moment_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |file| match std::fs::read_to_string(file).unwrap().as_str() {
        "first" => std::fs::write(file, "${HUNTER2}").unwrap(),
        _ => std::fs::write(file, "second").unwrap(),
    });
    let run = with_file(&lab, &file).run();
    let expected = format!("--token-file {} holds no usable token: it looks like a variable", file.display());
    run.exits(0)
        .stderr_has("the token could not be read again")
        .stderr_has(&expected)
        .stderr_lacks("HUNTER2");
    assert_eq!(lab.codes(), [401, 401, 200]);
}

#[test]
fn a_token_file_that_is_empty_for_a_moment_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "first");
    let lab = rotating(&file, |file| match std::fs::read_to_string(file).unwrap().as_str() {
        "first" => std::fs::write(file, "").unwrap(),
        _ => std::fs::write(file, "second").unwrap(),
    });
    with_file(&lab, &file).run().exits(0);
    assert_eq!(lab.codes(), [401, 401, 200]);
}

#[test]
fn a_value_that_is_refused_is_refused() {
    let lab = Lab::start(&format!("{READY}token = 'second'"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(4);
    assert_eq!(lab.codes(), [401]);
}

#[test]
fn a_refusal_in_the_middle_of_a_wait_is_one() {
    for code in [401, 403] {
        let refused = format!("{{ status-code = {code} }}");
        let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}, {refused}, {refused}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).run();
        assert_eq!(run.exits(4).document()["status"], "PENDING");
        assert_eq!(lab.codes(), [200, code, code], "a refusal is confirmed by one more poll");
        let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}, {refused}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
    }
}

#[test]
fn the_scheme_goes_by_the_form_of_the_token() {
    let bearer = format!("bearer {JWT}");
    let rows = [
        ("SNYK_TOKEN", "11111111-0000-4000-8000-000000000000", "token"),
        ("SNYK_TOKEN", "snyk_uat.1a2b3c4d.abc", "token"),
        ("SNYK_TOKEN", JWT, "bearer"),
        ("SNYK_TOKEN", "token abc", "token"),
        ("SNYK_TOKEN", "Bearer abc", "bearer"),
        ("SNYK_TOKEN", &bearer, "bearer"),
        ("SNYK_OAUTH_TOKEN", "abc", "bearer"),
        ("SNYK_OAUTH_TOKEN", JWT, "bearer"),
    ];
    for (name, value, scheme) in rows {
        let token = value.rsplit(' ').next().unwrap();
        let lab = Lab::start(&format!("{READY}token = '{token}'"));
        Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN").env(name, value).run().exits(0);
        assert_eq!(lab.exchanges()[0].authorization.as_deref(), Some(scheme), "{name}={value}");
    }
    let lab = Lab::start(&format!("{READY}token = '{JWT}'"));
    let directory = tempfile::tempdir().unwrap();
    with_file(&lab, &token_file(directory.path(), &format!(" {JWT}\n\n"))).run().exits(0);
    assert_eq!(lab.exchanges()[0].authorization.as_deref(), Some("bearer"));
}

/// A server that takes only the token `second`; `rotate` is called at each refusal, before it is sent.
fn rotating(file: &Path, rotate: impl Fn(&Path) + Send + Sync + 'static) -> Lab {
    let file = file.to_owned();
    Lab::hearing(&format!("{READY}token = 'second'"), move |exchange| {
        if exchange.status_code == Some(401) {
            rotate(&file);
        }
    })
}

fn token_file(directory: &Path, token: &str) -> PathBuf {
    let path = directory.join("token");
    std::fs::write(&path, token).unwrap();
    path
}

fn with_file(lab: &Lab, file: &Path) -> Program {
    Program::wait(lab).export(EXPORT_ID).args("--token-file").arg(&file.display().to_string())
}
