//! SIGHUP reads the settings again without a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::home::{DaemonHome, account, asking, moment, reload, taking_all, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, Receiver, SECOND_ID, Spawned, THIRD_ID, Watched, fifo};

#[test]
fn watches_come_and_go_with_the_settings() {
    let (lab, receiver) = (Lab::start(NEVER), taking_all());
    let settings = [asking(&lab), webhook("platform", &receiver)].concat();
    let bed =
        DaemonHome::new(&[&*settings, &watch("default", EXPORT_ID), &watch("default", SECOND_ID)].concat());
    let daemon = bed.start();
    let posted = "11111111-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
    bed.add("default", posted);
    let until_polled = |export_id: &str| {
        let ends = |target: &str| target.split('?').next().unwrap().ends_with(export_id);
        lab.until_heard(|exchanges| exchanges.iter().filter(|exchange| ends(&exchange.target)).count() > 1);
    };
    [EXPORT_ID, SECOND_ID, posted].into_iter().for_each(until_polled);
    let before = watches(&bed);
    assert_eq!(before.keys().map(String::as_str).collect::<Vec<_>>(), sorted([EXPORT_ID, SECOND_ID, posted]));

    let labels = "labels = { team = 'payments' }\n";
    bed.set(&[&*settings, &watch("default", SECOND_ID), labels, &watch("default", THIRD_ID)].concat());
    reload(&daemon);
    until_polled(THIRD_ID);
    let after = watches(&bed);
    assert_eq!(after.keys().map(String::as_str).collect::<Vec<_>>(), sorted([SECOND_ID, THIRD_ID, posted]));
    for stays in [SECOND_ID, posted] {
        assert_eq!(after[stays]["id"], before[stays]["id"]);
        assert!(after[stays]["polls"].as_u64() >= before[stays]["polls"].as_u64());
    }
    assert_eq!(after[SECOND_ID]["labels"], json!({ "team": "payments" }));
    let gone = before[EXPORT_ID]["id"].as_str().unwrap();
    bed.get(&format!("/v1/watches/{gone}")).problem(404);
    let cancelled = daemon.until_said("watch cancelled: it is no longer in the settings", 1);
    assert_eq!((cancelled.len(), &cancelled[0]["export.id"]), (1, &json!(EXPORT_ID)));
    stop(daemon);
    assert!(receiver.until(|_| true).is_empty(), "nobody is told of what was cancelled");
}

#[test]
fn endpoints_accounts_and_the_token_are_taken_on() {
    let (ready, other) = (Lab::start(READY), Lab::start(READY));
    let (first, second) = (taking_all(), taking_all());
    let bed = DaemonHome::new("");
    bed.file("api-token", "the-first-token-of-all\n");
    bed.set(&[asking(&ready), webhook("platform", &first), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    first.until(|notices| !notices.is_empty());
    assert_eq!(bed.ask_with("", "GET", "/v1/watches", "").status, 401);
    assert_eq!(bed.get("/v1/watches").status, 200);

    bed.file("api-token", "the-second-token-of-all\n");
    assert_eq!(bed.get("/v1/watches").status, 401, "it is read at a reload");
    let kept = watch("default", EXPORT_ID);
    bed.set(&[asking(&ready), account("acme", &other), webhook("another", &second), kept].concat());
    reload(&daemon);
    assert_eq!(bed.ask_with("the-first-token-of-all", "GET", "/v1/watches", "").status, 401);
    bed.add("acme", SECOND_ID);
    let notices = second.until(|notices| !notices.is_empty());
    assert_eq!(notices[0].event()["data"]["account"], "acme");
    assert_eq!(other.requests(), 1);
    assert_eq!(watches(&bed).len(), 2, "what has ended stays, wherever it came from");
    stop(daemon);
    assert_eq!((first.until(|_| true).len(), second.until(|_| true).len()), (1, 1));
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let (lab, receiver) = (Lab::start(NEVER), taking_all());
    let settings = [asking(&lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&settings);
    let daemon = bed.start();
    let valid = bed.settings();
    let lines = valid.lines().count();
    const REFUSED: &str = "cannot use the new settings, keeping the previous ones";
    let rows = [
        ("[[watch]]\nexport = 'x'\n", 2, "[watch] export: there is no such key"),
        ("[[watch]]\nexport-id = 'x'\n", 2, "UUID"),
        (
            "[[notify]]\nname = 'x'\nkind = 'pigeon'\n",
            3,
            "kind: expected one of `webhook`, `slack`, `command`",
        ),
        ("[snyk.accounts.b]\ntoken-file = '/no/such/file'\n", 2, "/no/such/file"),
        ("[snyk.accounts.b]\ntoken = 'snyk_uat.1a2b3c4d.e30.hunter2'\n", 2, "`token-file`"),
        ("[snyk.accounts.b]\ntoken = 'snyk_uat.1a2b3c4d.e30.hunter2\n", 2, "`token-file`"),
        ("[[watch]\n", 1, ""),
    ];
    for (number, (addition, line, why)) in rows.iter().enumerate() {
        bed.set_all(&format!("{valid}{addition}"));
        daemon.signal("HUP");
        let refused = daemon.until_said(REFUSED, number + 1);
        let refused = refused.last().unwrap();
        let reason = refused["reason"].as_str().unwrap();
        assert_eq!(refused["level"], "ERROR");
        assert!(reason.contains(&format!("line {}", lines + line)) && reason.contains(why), "{reason}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    std::fs::remove_file(bed.path("daemon.toml")).unwrap();
    daemon.signal("HUP");
    daemon.until_logged(1, |line| {
        line["reason"].as_str().is_some_and(|reason| reason.contains("failed to read the settings file"))
    });
    let asked = lab.requests();
    lab.until_asked(asked + 2);
    assert_eq!(watches(&bed).len(), 1);
    assert_eq!(bed.get("/readyz").status, 200);
    bed.set_all(&valid);
    reload(&daemon);
    stop(daemon);
}

#[test]
fn a_file_that_lost_everything_changes_nothing() {
    let (lab, receiver) = (Lab::start(NEVER), taking_all());
    let settings = [asking(&lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&settings);
    let daemon = bed.start();
    let whole = bed.settings();
    let without_watch = whole.split("[[watch]]").next().unwrap();
    let rows = [
        ("", "daemon.toml is empty"),
        ("# nothing\n", "daemon.toml is empty"),
        (without_watch, "removes every watch (1)"),
        (without_watch.split("[[notify]]").next().unwrap(), "every endpoint (1), every watch (1)"),
    ];
    for (number, (text, why)) in rows.iter().enumerate() {
        bed.set_all(text);
        daemon.signal("HUP");
        let refused = daemon.until_said("cannot use the new settings, keeping the previous ones", number + 1);
        let reason = refused[number]["reason"].as_str().unwrap();
        assert!(reason.contains(why) && reason.contains("restart the daemon"), "{reason}");
        assert_eq!((watches(&bed).len(), bed.get("/readyz").status), (1, 200));
    }
    // A start takes them, as does a check.
    bed.program("watch").arg("--check").run().exits(0);
    stop(daemon);
    let daemon = bed.start();
    assert_eq!(watches(&bed).len(), 0);
    // Now there are none that a reload could lose.
    reload(&daemon);
    stop(daemon);
}

#[test]
fn a_pipe_that_nobody_writes_to_is_given_up_and_the_next_reload_works() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "the-first-token-of-all\n");
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let token = bed.path("api-token");
    std::fs::remove_file(&token).unwrap();
    fifo(&token);
    daemon.signal("HUP");
    let refused = daemon.until_said("cannot use the new settings, keeping the previous ones", 1);
    let reason = refused[0]["reason"].as_str().unwrap();
    assert!(reason.contains("api-token") && reason.contains("nobody wrote to it"), "{reason}");
    let check = bed.program("watch").arg("--check").run();
    check.exits(2).stderr_has("nobody wrote to it");
    std::fs::remove_file(&token).unwrap();
    bed.file("api-token", "the-second-token-of-all\n");
    reload(&daemon);
    assert_eq!(bed.ask_with("the-first-token-of-all", "GET", "/v1/watches", "").status, 401);
    assert_eq!(bed.get("/v1/watches").status, 200);
    stop(daemon);
}

#[test]
fn another_store_or_address_waits_for_the_next_start() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    let before = bed.settings();
    const WARNING: &str = "a changed store or address takes effect after a restart";
    let rows = [("watches.db".to_owned(), "other.db"), (bed.address.to_string(), "127.0.0.1:1")];
    for (number, (was, is)) in rows.iter().enumerate() {
        bed.set_all(&[&*before.replace(was, is), &watch("default", SECOND_ID)].concat());
        reload(&daemon);
        let warned = daemon.until_said(WARNING, number + 1);
        assert_eq!((warned.len(), &warned[number]["level"]), (number + 1, &json!("WARN")));
        assert_eq!(watches(&bed).len(), 2, "the rest is taken on");
        assert!(!bed.path("other.db").exists());
    }
    stop(daemon);
}

#[test]
fn many_hangups_lose_nothing() {
    const EXPORTS: u128 = 20;
    let course = "pending = '0s'\nstarted = '0s'\nlatency = '5ms'\nlatency-jitter = '20ms'\n\
        answers = [{ status = 'PENDING', repeat = 30 }]\n";
    let lab = Lab::start(course);
    // Each notification is under way for a while, too.
    let receiver = Receiver::start(|n| Some(if n == 0 { 503 } else { 204 }));
    let ids: Vec<String> = (1..=EXPORTS).map(|n| uuid::Uuid::from_u128(n).to_string()).collect();
    let watched: String = ids.iter().map(|id| watch("default", id)).collect();
    let fixed = [asking(&lab), "requests-per-minute = 1000000\n".to_owned(), webhook("platform", &receiver)];
    let bed = DaemonHome::new(&[fixed.concat(), watched].concat());
    let daemon = bed.start();
    let ended = |daemon: &Spawned| daemon.until_told("watch.finished", 0).len();
    let mut reloads = 0;
    while ended(&daemon) < ids.len() {
        reload(&daemon);
        // Some that nobody waits for besides.
        daemon.signal("HUP");
        reloads += 1;
    }
    assert!(reloads > 1, "{reloads}");
    let arrived = |notices: &[crate::lab::Notice]| -> BTreeSet<String> {
        let arrived = notices.iter().filter(|notice| notice.answered == Some(204));
        arrived
            .map(|notice| notice.event()["data"]["export"]["export_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let notices = receiver.until(|notices| arrived(notices).len() == ids.len());
    let delivery_ids: BTreeSet<&str> = notices.iter().map(|notice| notice.header("webhook-id")).collect();
    assert_eq!(delivery_ids.len(), ids.len(), "each under one id");
    daemon.signal("TERM");
    let run = daemon.end();
    let logs = run.exits(0).logs();
    let told = |event: &str| logs.iter().filter(|line| line["event"] == event).count();
    assert_eq!((told("watch.finished"), told("watch.added")), (ids.len(), ids.len()));
    assert_eq!(logs.iter().filter(|line| line["level"] == "ERROR").count(), 0, "{run}");
}

#[test]
fn a_notification_that_is_under_way_is_not_broken_off() {
    let (lab, gate) = (Lab::start(READY), Watched::<bool>::default());
    let receiver = {
        let gate = gate.clone();
        Receiver::start(move |n| match n {
            0 => gate.try_until(|is_open| *is_open).map(|_| 503),
            _ => Some(204),
        })
    };
    let bed = DaemonHome::new(
        &[asking(&lab), webhook("platform", &receiver), watch("default", EXPORT_ID)].concat(),
    );
    let daemon = bed.start();
    receiver.until(|notices| notices.len() == 1);
    reload(&daemon);
    gate.change(|is_open| *is_open = true);
    daemon.until_told("delivery.sent", 1);
    daemon.signal("TERM");
    let run = daemon.end();
    let deliveries = run.exits(0).logs().into_iter().filter(|line| line["delivery.id"].is_string());
    let told: Vec<_> = deliveries.map(|line| (line["event"].clone(), moment(&line))).collect();
    let [(first, failed_at), (second, sent_at)] = &told[..] else { panic!("{run}") };
    assert_eq!((first, second), (&json!("delivery.retrying"), &json!("delivery.sent")));
    // The pause is of one second. Whoever had not heard of it would look again after a minute.
    assert!(sent_at.duration_since(*failed_at).as_secs() < 40, "{run}");
}

fn watches(bed: &DaemonHome) -> BTreeMap<String, Value> {
    let page = bed.seen("/v1/watches");
    let each = page["data"].as_array().unwrap().iter();
    each.map(|watch| (watch["export"]["export_id"].as_str().unwrap().to_owned(), watch.clone())).collect()
}

fn sorted<const N: usize>(mut ids: [&str; N]) -> [&str; N] {
    ids.sort_unstable();
    ids
}

#[track_caller]
fn stop(daemon: Spawned) {
    daemon.signal("TERM");
    daemon.end().exits(0);
}
