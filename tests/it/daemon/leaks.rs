//! No secret is shown, stored or sent, wherever and however encoded a server sends it back.

mod echo;
mod encodings;

use std::path::Path;

use self::echo::{Echo, PLACES, export_id};
use self::encodings::{ENCODINGS, lacks};
use super::home::{self, DaemonHome};
use crate::lab::{EXPORT_ID, Program, path};

/// A token of other letters than a UUID has, with all other characters that tokens have.
const ODD_TOKEN: &str = "Zq-9/x+Y.w_v~u7Hh21kPmT";
const UUID_TOKEN: &str = "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1eabcdef";
const CLIENT_SECRET: &str = "Qr/s+t=u v&w<x>'7y8z";
const FIRST_ACCESS_TOKEN: &str = "first-access/token+Kk12";
const SECOND_ACCESS_TOKEN: &str = "second-access/token+Kk12";
const SIGNATURE: &str = "0a1b2c3dSIGNATURE4e5f6a7b";
const HOOK_PATH: &str = "T01hunter2hunter2";
const HOOK_PASSWORD: &str = "pass-w0rd/of+hook";
const ALL: [&str; 8] = [
    ODD_TOKEN,
    UUID_TOKEN,
    CLIENT_SECRET,
    FIRST_ACCESS_TOKEN,
    SECOND_ACCESS_TOKEN,
    SIGNATURE,
    HOOK_PATH,
    HOOK_PASSWORD,
];

#[track_caller]
fn lacks_all(place: &str, text: &str) {
    ALL.iter().for_each(|secret| lacks(place, text, secret));
}

/// Each place of an answer in each encoding.
fn exports() -> impl Iterator<Item = String> {
    (0..PLACES.len()).flat_map(|place| (0..ENCODINGS.len()).map(move |encoding| export_id(place, encoding)))
}

#[test]
fn a_daemon_never_shows_stores_or_sends_secrets_that_come_back() {
    let echo = Echo::start();
    let bed = DaemonHome::new(&settings(&echo));
    for (name, secret) in [("odd", ODD_TOKEN), ("uuid", UUID_TOKEN), ("secret", CLIENT_SECRET)] {
        bed.file(name, secret);
    }
    let password = url::form_urlencoded::byte_serialize(HOOK_PASSWORD.as_bytes()).collect::<String>();
    let hook = echo.url().replace("//", &format!("//me:{password}@"));
    bed.file("hook", &format!("{hook}/hook/{HOOK_PATH}"));
    let run = bed.program("watch").args("-v --until-idle").run();
    lacks_all("the log", &run.stderr);
    lacks_all("standard output", &run.stdout);
    assert!(run.stderr.contains("***") && run.stderr.contains("delivery.given_up"), "{run}");
    for name in ["watches.db", "watches.db-wal"] {
        let bytes = std::fs::read(bed.path(name)).unwrap_or_default();
        lacks_all(name, &String::from_utf8_lossy(&bytes));
    }
    let told = echo.told.get();
    assert!(told.len() > 2 * PLACES.len() * ENCODINGS.len(), "{}", told.len());
    told.iter().for_each(|body| lacks_all("a notification", body));
    let daemon = bed.start();
    let watches = bed.seen("/v1/watches?limit=1000");
    lacks_all("GET /v1/watches", &watches.to_string());
    for watch in watches["data"].as_array().unwrap() {
        lacks_all(
            "GET /v1/watches/{id}",
            &bed.seen(&format!("/v1/watches/{}", watch["id"].as_str().unwrap())).to_string(),
        );
    }
    daemon.signal("TERM");
    lacks_all("the log", &daemon.end().stderr);
}

/// Accounts whose tokens, renewed tokens and client secrets come back, each in each way, and a webhook.
fn settings(echo: &Echo) -> String {
    let url = echo.url();
    let mut settings =
        "[limits]\nmax-outage = '300ms'\n[snyk]\nrequests-per-minute = 100000\n[[notify]]\nname = 'hook'\n\
         kind = 'webhook'\nurl-file = '@hook'\n"
            .to_owned();
    let account = |name: &str, credential: &str| {
        format!("[snyk.accounts.{name}]\napi = '{url}/{name}'\nrequests-per-minute = 100000\n{credential}\n")
    };
    let watch = |account: &str, id: &str| home::watch(account, id);
    let client = "client-id = 'me'\nclient-secret-file = '@secret'";
    settings += &account("odd", "token-file = '@odd'");
    settings += &account("uuid", "token-file = '@uuid'");
    settings += &account("renewing", client);
    for id in exports() {
        ["odd", "uuid", "renewing"].iter().for_each(|account| settings += &watch(account, &id));
    }
    for encoding in 0..ENCODINGS.len() {
        let name = format!("client{encoding}");
        settings += &account(&name, client);
        settings += &watch(&name, EXPORT_ID);
    }
    settings
}

#[test]
fn a_wait_never_shows_a_token_that_comes_back() {
    let echo = Echo::start();
    for (account, token) in [("odd", ODD_TOKEN), ("uuid", UUID_TOKEN)] {
        let mut program =
            Program::asking("wait", &format!("{}/{account}", echo.url())).env("SNYK_TOKEN", token);
        for id in exports() {
            program = program.arg(&path(&id));
        }
        let [output, summary] = ["output", "summary"].map(|name| program.file(name, ""));
        let program =
            program.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &output.display().to_string());
        let program = program.env("GITHUB_STEP_SUMMARY", &summary.display().to_string());
        let run = program.args("-v --max-outage 300ms --show-urls").run();
        lacks_all("standard output", &run.stdout);
        lacks_all("standard error", &run.stderr);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        lacks_all("GITHUB_OUTPUT", &read(&output));
        lacks_all("GITHUB_STEP_SUMMARY", &read(&summary));
        assert_eq!(run.stdout.lines().count(), PLACES.len() * ENCODINGS.len(), "{run}");
    }
}

#[test]
fn a_client_whose_secret_comes_back_does_not_show_it() {
    let echo = Echo::start();
    for encoding in 0..ENCODINGS.len() {
        let program = Program::asking("wait", &format!("{}/client{encoding}", echo.url())).export(EXPORT_ID);
        let program = program.no_env("SNYK_TOKEN").env("SNYK_CLIENT_ID", "me");
        let run = program.env("SNYK_CLIENT_SECRET", CLIENT_SECRET).arg("-v").run();
        run.exits(4);
        lacks_all("standard output", &run.stdout);
        lacks_all("standard error", &run.stderr);
    }
}

#[test]
fn no_link_is_shown_if_storage_repeats_it() {
    let echo = Echo::start();
    let program = Program::asking("download", &format!("{}/files", echo.url())).env("SNYK_TOKEN", ODD_TOKEN);
    let run = program.args("-v --dir files --max-outage 100ms").export(EXPORT_ID).run();
    assert_ne!(run.code, Some(0), "{run}");
    lacks_all("standard output", &run.stdout);
    lacks_all("standard error", &run.stderr);
}
