//! `watches`, `deliveries` and `healthcheck` talk to a running daemon.

use serde_json::{Value, json};

use super::PAUSED;
use super::home::{DaemonHome, asking, taking_all, watch, webhook};
use crate::lab::{EXPORT_ID, GROUP, Lab, NEVER, Program, READY, Receiver, Run, SECOND_ID, Spawned, until};

/// The command with the settings of the daemon.
fn asks(bed: &DaemonHome, command: &str, args: &str) -> Run {
    bed.program(command).args(args).run()
}

/// Whether the watch has a status.
fn bed_has_polled(bed: &DaemonHome, id: &str) -> bool {
    let shown = asks(bed, "watches", &format!("show {id} --output json")).document();
    shown["status"].is_string()
}

fn stop(daemon: Spawned) {
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn watches_are_listed_shown_added_and_cancelled() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "0123456789abcdef\nanother-token-of-it\n");
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let added = asks(&bed, "watches", &format!("add {SECOND_ID} --group-id {GROUP} --label team=payments"));
    let id = added.exits(0).stdout.trim().strip_prefix("added ").unwrap().to_owned();
    let again = asks(&bed, "watches", &format!("add {SECOND_ID} --group-id {GROUP}"));
    again.exits(0).stdout_is(&format!("{id} follows it already (active)\n"));

    until(|| bed_has_polled(&bed, &id));
    let table = asks(&bed, "watches", "");
    assert_eq!(table.exits(0).stdout.lines().count(), 3);
    assert_eq!(asks(&bed, "watches", "list --state active").exits(0).stdout.lines().count(), 3);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("WATCH  ") && lines.len() == 3, "{table}");
    assert!(lines[2].starts_with(&format!("{id}  {}  PENDING", &SECOND_ID[..8])), "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
    let listed = asks(&bed, "watches", "list --output json").documents();
    assert_eq!((listed.len(), &listed[1]["id"]), (2, &json!(id)));
    assert_eq!(asks(&bed, "watches", "list --state ended").exits(0).stdout, "");

    let shown = asks(&bed, "watches", &format!("show {id}"));
    for part in [SECOND_ID, "team=payments", "PENDING", "active"] {
        assert!(shown.exits(0).stdout.contains(part), "{part}: {shown}");
    }
    let shown = asks(&bed, "watches", &format!("show {id} --output json")).document();
    assert_eq!((&shown["labels"]["team"], &shown["deliveries"]), (&json!("payments"), &json!([])));
    asks(&bed, "watches", &format!("cancel {id}")).exits(0).stdout_is(&format!("cancelled {id}\n"));
    let unknown = asks(&bed, "watches", "cancel 00000000-0000-4000-8000-000000000000");
    unknown.stderr_has("`snyk-export watches list` lists those that there are");
    assert_eq!(asks(&bed, "watches", "list --output json").documents().len(), 1);
    // What `start` prints is added as it is, and flags stand for the settings file.
    let token = bed.path("api-token").display().to_string();
    let flags = format!("add - --url {} --api-token-file {token} --output json", bed.address);
    let document = json!({ "export": { "scope": "group", "scope_id": GROUP, "export_id": SECOND_ID } });
    let added = Program::bare("watches").args(&flags).stdin(&document.to_string()).run();
    assert_eq!(added.exits(0).document()["export"]["export_id"], SECOND_ID);
    stop(daemon);
}

#[test]
fn what_the_daemon_refuses_has_an_exit_code_of_its_own() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "0123456789abcdef\n");
    bed.file("wrong", "0123456789abcdeF\n");
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let nobody = "0193728c-6f0d-7a11-8a6b-9c0d1e2f3a4b";
    asks(&bed, "watches", "").exits(69).stderr_has("no daemon answers at http://").stderr_has("--url");
    let daemon = bed.start();
    asks(&bed, "watches", &format!("show {nobody}")).exits(5).stderr_has(nobody);
    asks(&bed, "watches", &format!("cancel {nobody}")).exits(5);
    asks(&bed, "watches", "show x").exits(2).stderr_has("UUID");
    asks(&bed, "watches", "add x").exits(2);
    let stranger = asks(&bed, "watches", &format!("add {SECOND_ID} --group-id {GROUP} --account nobody"));
    stranger.exits(2).stderr_has("no account `nobody`");
    let wrong = bed.path("wrong").display().to_string();
    asks(&bed, "watches", &format!("--api-token-file {wrong}")).exits(4).stderr_has("refuses the token");
    let url = format!("--url http://{}", bed.address);
    asks(&bed, "watches", &url).exits(4).stderr_has("wants a token").stderr_has("--api-token-file");
    asks(&bed, "watches", "--api-token-file /no/such").exits(2).stderr_has("/no/such");
    asks(&bed, "watches", "--url http://192.0.2.1:1").exits(2).stderr_has("--allow-http");
    asks(&bed, "watches", "--url ftp://x").exits(2).stderr_has("http://127.0.0.1:8686");
    let other = taking_all();
    asks(&bed, "watches", &format!("--url {}", other.url())).exits(69);
    // A file that a reload would refuse still says where the daemon is.
    bed.set_all(&format!("{}[[watch]]\n", bed.settings()));
    asks(&bed, "watches", "").exits(0);
    stop(daemon);
}

#[test]
fn notifications_are_listed_and_sent_again() {
    let (lab, receiver) = (Lab::start(READY), Receiver::start(|n| Some(if n == 0 { 410 } else { 204 })));
    let bed = DaemonHome::new(
        &[asking(&lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat(),
    );
    let daemon = bed.start();
    let states = || -> Vec<Value> {
        let listed = asks(&bed, "deliveries", "list --output json").documents();
        listed.iter().map(|delivery| delivery["state"].clone()).collect()
    };
    until(|| states() == ["undeliverable"]);
    let table = asks(&bed, "deliveries", "list --state undeliverable");
    let line = table.exits(0).stdout.lines().nth(1).unwrap().to_owned();
    assert!(
        line.contains("  platform  ") && line.contains("  undeliverable  ") && line.len() <= 80,
        "{table}"
    );
    let watch = &line[..36];
    assert_eq!(asks(&bed, "deliveries", "list --state sent").exits(0).stdout, "");
    let sent = asks(&bed, "deliveries", &format!("redeliver {watch} platform"));
    assert!(sent.exits(0).stdout.contains("is sent again to platform"), "{sent}");
    until(|| states() == ["sent"]);
    let notices = receiver.until(|notices| notices.len() == 2);
    assert_eq!(notices[0].header("webhook-id"), notices[1].header("webhook-id"));
    let id = notices[0].header("webhook-id");
    asks(&bed, "deliveries", &format!("redeliver {watch} {id}")).exits(0);
    until(|| states() == ["sent"]);
    asks(&bed, "deliveries", &format!("redeliver {id}")).exits(0);
    asks(&bed, "deliveries", &format!("redeliver {watch} nobody")).exits(5);
    asks(&bed, "deliveries", "redeliver ../watches").exits(5);
    asks(&bed, "deliveries", "list --state x").exits(2);
    stop(daemon);
}

#[test]
fn a_notification_about_an_account_is_sent_again() {
    let (lab, receiver) = (Lab::start("token = 'another'"), taking_all());
    let bed = DaemonHome::new(
        &[asking(&lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat(),
    );
    let daemon = bed.start();
    receiver.until(|notices| notices.len() == 1);
    daemon.until_told("delivery.sent", 1);
    let table = asks(&bed, "deliveries", "list --state sent");
    let event = table.exits(0).stdout.lines().nth(1).unwrap()[..36].to_owned();
    asks(&bed, "deliveries", &format!("redeliver {event} platform")).exits(0);
    let notices = receiver.until(|notices| notices.len() == 2);
    assert_eq!(notices[0].header("webhook-id"), notices[1].header("webhook-id"));
    assert!(notices[1].header("webhook-id").contains(&event), "{event}");
    stop(daemon);
}

#[test]
fn a_daemon_can_be_alive_and_not_ready() {
    let lab = Lab::start("token = 'another'");
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    asks(&bed, "healthcheck", "--ready").exits(69);
    let daemon = bed.start();
    daemon.until_said(PAUSED, 1);
    asks(&bed, "healthcheck", "").exits(0);
    asks(&bed, "healthcheck", "--ready").exits(69).stderr_has("/readyz").stderr_has("is refused");
    stop(daemon);
    // With an address for health alone, no token is needed.
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "0123456789abcdef\n");
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let metrics = crate::lab::free_address();
    let settings = bed.settings().replace("[server]\n", &format!("[server]\nmetrics-listen = '{metrics}'\n"));
    bed.set_all(&settings);
    let daemon = bed.start();
    asks(&bed, "healthcheck", "--ready").exits(0);
    stop(daemon);
}
