//! A refused credential pauses its account and does not end watches.

use serde_json::{Value, json};

use super::home::{DaemonHome, account, asking, reload, taking_all, watch, webhook};
use super::{PAUSED, RESUMED};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, Receiver, SECOND_ID, Spawned, THIRD_ID, fifo, free_address};

const REFUSED: &str = "io.snyk-export.account.unauthorized";
const ACCEPTED: &str = "io.snyk-export.account.authorized";

/// A token whose claim `h` is `api.eu.snyk.io`.
const OF_EU: &str = "snyk_uat.1a2b3c4d.eyJoIjoiYXBpLmV1LnNueWsuaW8ifQ.c2lnbmF0dXJl";

/// A token whose claim `h` is `api.au.snyk.io`.
const OF_AU: &str = "snyk_uat.1a2b3c4d.eyJoIjoiYXBpLmF1LnNueWsuaW8ifQ.c2lnbmF0dXJl";

/// A daemon with two accounts, after the token of `acme` has been revoked under its three watches.
struct Revoked {
    bed: DaemonHome,
    daemon: Spawned,
    acme: Lab,
    other: Lab,
    receiver: Receiver,
    /// What was logged of it.
    paused: Value,
}

#[test]
fn an_account_asks_the_region_of_its_token_and_follows_it_at_a_reload() {
    let bed = DaemonHome::new("");
    bed.file("acme-token", OF_EU);
    // Nobody is followed, so that nobody is asked.
    bed.set("[snyk]\ntoken-file = '@token'\n[snyk.accounts.acme]\ntoken-file = '@acme-token'\n");
    let daemon = bed.start();
    let asked = |times: usize| {
        let lines = daemon.until_said("asking Snyk", times);
        let line = |line: &Value| ["account", "snyk.api", "snyk.api_source"].map(|key| line[key].clone());
        lines.iter().map(line).collect::<Vec<_>>()
    };
    let by_default = ["default", "https://api.snyk.io", "the default"].map(Value::from);
    let of = |api: &str| ["acme", api, "the token's region"].map(Value::from);
    assert_eq!(asked(2), [by_default.clone(), of("https://api.eu.snyk.io")]);
    bed.file("acme-token", OF_AU);
    reload(&daemon);
    assert_eq!(asked(4)[2..], [by_default, of("https://api.au.snyk.io")]);
    // What is not a token any more is an error, and the settings before stay.
    bed.file("acme-token", "$(ACME_TOKEN)");
    daemon.signal("HUP");
    let refused = daemon.until_said("cannot use the new settings, keeping the previous ones", 1);
    let reason = refused[0]["reason"].as_str().unwrap();
    assert!(reason.contains("acme-token holds no usable token: it looks like a variable"), "{reason}");
}

#[test]
fn a_deprecated_version_is_logged_once_for_all_accounts() {
    let deprecated = format!("{NEVER}deprecation = '2026-01-01T00:00:00Z'\n");
    let labs = [Lab::start(&deprecated), Lab::start(&deprecated)];
    let accounts = [asking(&labs[0]), account("acme", &labs[1])].concat();
    let bed = DaemonHome::new(&[accounts, watch("default", EXPORT_ID), watch("acme", EXPORT_ID)].concat());
    let daemon = bed.start();
    for _ in 0..2 {
        labs.iter().for_each(|lab| drop(lab.until_asked(lab.requests() + 3)));
        reload(&daemon);
    }
    assert_eq!(daemon.until_said("the API version is deprecated", 1).len(), 1);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

impl Revoked {
    fn start() -> Revoked {
        let (other, receiver) = (Lab::start(&format!("{NEVER}token = 'of-the-other'")), taking_all());
        let address = free_address();
        let acme = Lab::listening(address, &format!("{NEVER}token = 'first'"), |_| {});
        let sections = [
            account("acme", &acme).replace("@token", "@acme-token"),
            account("other", &other).replace("@token", "@other-token"),
            webhook("platform", &receiver),
            "[limits]\nmax-wait = '1h'\nrequest-timeout = '5s'\n".to_owned(),
        ];
        let watches = [EXPORT_ID, SECOND_ID, THIRD_ID].map(|export_id| watch("acme", export_id));
        let bed = DaemonHome::new("");
        bed.file("acme-token", "first\n");
        bed.file("other-token", "of-the-other\n");
        bed.set(&[sections.concat(), watches.concat(), watch("other", EXPORT_ID)].concat());
        let daemon = bed.start();
        acme.until_asked(9);
        assert_eq!(bed.get("/readyz").status, 200);
        // It takes a moment in which nobody is there.
        drop(acme);
        daemon.until_told("watch.retrying", 1);
        let acme = Lab::listening(address, &format!("{READY}token = 'second'"), |_| {});
        let paused = daemon.until_said(PAUSED, 1).remove(0);
        let revoked = Revoked { bed, daemon, acme, other, receiver, paused };
        // Polls that were under way with the first have ended by then, and do not find another token.
        revoked.until_other_is_asked();
        revoked
    }

    /// Waits until the other account has made some polls more.
    fn until_other_is_asked(&self) {
        let asked = self.other.requests();
        self.other.until_asked(asked + 10);
    }

    /// How often people were told that a credential is refused, and how often it was logged, in all.
    fn told(self) -> (usize, usize) {
        self.daemon.signal("TERM");
        let run = self.daemon.end();
        let logs = run.exits(0).logs();
        let notices = self.receiver.until(|_| true);
        let told = notices.iter().filter(|notice| notice.event()["type"] == REFUSED).count();
        (told, logs.iter().filter(|line| line["message"] == PAUSED).count())
    }
}

#[test]
fn a_credential_that_is_refused_pauses_its_account_alone() {
    let revoked = Revoked::start();
    let Revoked { bed, daemon, acme, paused, .. } = &revoked;
    assert_eq!(json!([paused["level"], paused["account"]]), json!(["ERROR", "acme"]));
    assert!(
        paused["hint"].as_str().unwrap().starts_with("give the account a credential that works"),
        "{paused:?}"
    );
    let told = revoked.receiver.until(|notices| !notices.is_empty())[0].event();
    assert_eq!((&told["type"], &told["data"]["account"]), (&json!(REFUSED), &json!("acme")));
    let troubles = bed.get("/readyz").problem(503);
    assert_eq!(troubles["detail"], "the credential of account acme is refused");
    assert_eq!(bed.get("/healthz").status, 200, "starting it again would not help");
    assert!(gauge(bed, "acme") == 1 && gauge(bed, "other") == 0);
    revoked.until_other_is_asked();
    let before = acme.requests();
    assert!((1..=4).contains(&before), "as many as were under way, and one that confirms it: {before}");
    assert_eq!(active(bed), 4);
    // Reading the settings again tries the credential again, and what is not new is not reported.
    reload(daemon);
    acme.until_asked(before + 1);
    revoked.until_other_is_asked();
    assert_eq!(acme.requests(), before + 1, "one watch tries for all");
    assert_eq!(bed.get("/readyz").status, 503);
    assert_eq!(revoked.told(), (1, 1));
}

#[test]
fn an_account_resumes_when_its_credential_works_again() {
    let revoked = Revoked::start();
    let Revoked { bed, daemon, receiver, .. } = &revoked;
    bed.file("acme-token", "second\n");
    reload(daemon);
    let resumed = daemon.until_said(RESUMED, 1);
    assert_eq!(json!([resumed[0]["level"], resumed[0]["account"]]), json!(["INFO", "acme"]));
    let ended = daemon.until_told("watch.finished", 3);
    assert!(ended.iter().all(|line| line["account"] == "acme" && line["outcome"] == "finished"), "{ended:?}");
    assert_eq!((bed.get("/readyz").status, gauge(bed, "acme"), active(bed)), (200, 0, 1));
    let notices = receiver.until(|notices| notices.len() == 5);
    let works = notices.iter().map(|notice| notice.event()).find(|event| event["type"] == ACCEPTED).unwrap();
    assert_eq!(works["data"], json!({ "account": "acme" }));
    assert_eq!(daemon.until_said(RESUMED, 1).len(), 1);
    assert_eq!(revoked.told(), (1, 1));
}

#[test]
fn restarts_while_a_credential_is_refused_notify_once_and_once_when_it_works() {
    let (refusing, receiver) = (Lab::start("token = 'another'"), taking_all());
    let settings =
        |lab: &Lab| [asking(lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&settings(&refusing));
    for start in 0..3 {
        let daemon = bed.start();
        daemon.until_said(PAUSED, 1);
        if start == 0 {
            receiver.until(|notices| notices.len() == 1);
        }
        daemon.signal(if start == 1 { "KILL" } else { "TERM" });
        daemon.end();
    }
    let works = Lab::start(NEVER);
    bed.set(&settings(&works));
    for start in 0..2 {
        let daemon = bed.start();
        works.until_asked(works.requests() + 2);
        // The second start says nothing of it.
        daemon.until_said(RESUMED, usize::from(start == 0));
        receiver.until(|notices| notices.len() == 2);
        daemon.signal("TERM");
        daemon.end().exits(0);
    }
    let types: Vec<_> =
        receiver.until(|_| true).iter().map(|notice| notice.event()["type"].clone()).collect();
    assert_eq!(types, [REFUSED, ACCEPTED]);
}

#[test]
fn a_removed_account_has_no_effect_any_more() {
    let (lab, refusing) = (Lab::start(NEVER), Lab::start("token = 'another'"));
    let kept = [account("well", &lab), watch("well", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&[&*kept, &account("ill", &refusing)].concat());
    let daemon = bed.start();
    bed.add("ill", SECOND_ID);
    daemon.until_said(PAUSED, 1);
    assert_eq!(bed.get("/readyz").status, 503);
    bed.set(&kept);
    reload(&daemon);
    assert_eq!(bed.get("/readyz").status, 200);
    let left = daemon.until_logged(1, |line| line["level"] == "ERROR" && line["watches.active"] == 1);
    assert_eq!(left[0]["account"], "ill", "the account that is missing is named");
    // Back again, it is looked at anew.
    bed.set(&[&*kept, &account("ill", &refusing)].concat());
    reload(&daemon);
    daemon.until_said(PAUSED, 2);
    assert_eq!(bed.get("/readyz").status, 503);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_token_from_a_pipe_is_read_once_and_its_refusal_is_told() {
    let lab = Lab::start(&format!("{NEVER}token = 'another'"));
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let token = bed.path("token");
    std::fs::remove_file(&token).unwrap();
    fifo(&token);
    let writer = std::thread::spawn(move || std::fs::write(token, "first").unwrap());
    let daemon = bed.start();
    writer.join().unwrap();
    daemon.until_said(PAUSED, 1);
    assert_eq!(bed.get("/readyz").problem(503)["detail"], "the credential of account default is refused");
    // The reload does not wait for another writer, and keeps the token.
    reload(&daemon);
    lab.until_asked(lab.requests() + 1);
    assert_eq!(bed.get("/readyz").status, 503);
    daemon.signal("TERM");
    daemon.end().exits(0).stderr_lacks("the token could not be read again");
}

fn active(bed: &DaemonHome) -> usize {
    let page: Value = bed.seen("/v1/watches?state=active");
    page["data"].as_array().unwrap().len()
}

/// What the metrics say of an account's credential.
fn gauge(bed: &DaemonHome, account: &str) -> u8 {
    let metrics = bed.get("/metrics").body;
    let name = format!("snyk_export_account_unauthorized{{account=\"{account}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}
