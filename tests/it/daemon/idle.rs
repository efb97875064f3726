//! `--until-idle`: the daemon stops when all watches have ended, with the exit code of the most serious end.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::home::{DaemonHome, account, asking, taking_all, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, Receiver, SECOND_ID, THIRD_ID, Watched};

/// A server that answers with this code, always.
fn always(code: u16) -> String {
    format!("then = 'last'\nanswers = [{{ status-code = {code} }}]")
}

#[test]
fn its_exit_code_says_how_the_watches_ended() {
    let ends_as = |word: &str| format!("{READY}ends-as = '{word}'");
    let not_found = || "unknown-exports = 'not-found'".to_owned();
    let rows: [(&[String], i32, &[&str]); 11] = [
        (&[READY.to_owned()], 0, &["finished"]),
        (&[ends_as("ERRORED")], 3, &["failed"]),
        (&[ends_as("CANCELLED")], 8, &["unknown-status"]),
        (&[not_found()], 5, &["not-found"]),
        (&[always(410)], 5, &["not-found"]),
        (&[always(403)], 4, &["forbidden"]),
        (&[always(409)], 6, &["conflict"]),
        (&[always(400)], 7, &["rejected"]),
        (&["token = 'another'".to_owned()], 4, &["unauthorized"]),
        (&[READY.to_owned(), ends_as("ERROR"), not_found()], 5, &["failed", "finished", "not-found"]),
        (&[ends_as("X"), READY.to_owned(), ends_as("ERROR")], 3, &["failed", "finished", "unknown-status"]),
    ];
    for (scenarios, code, outcomes) in rows {
        let labs: Vec<Lab> = scenarios.iter().map(|scenario| Lab::start(scenario)).collect();
        let names = ["a", "b", "c"].into_iter().zip(&labs);
        let sections: String = names.clone().map(|(name, lab)| account(name, lab)).collect();
        let watches: String = names.map(|(name, _)| watch(name, EXPORT_ID)).collect();
        let bed = DaemonHome::new(&format!("{sections}{watches}"));
        let run = bed.until_idle();
        let logs = run.exits(code).logs();
        let mut told: Vec<_> = logs.iter().filter_map(|line| line["outcome"].as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, outcomes, "{run}");
        assert_eq!(logs.last().unwrap()["reason"], "every watch has ended");
    }
}

#[test]
fn watches_without_an_account_are_named_and_exit_with_75() {
    let (never, ready) = (Lab::start(NEVER), Lab::start(READY));
    let failing = Lab::start(&format!("{READY}ends-as = 'ERROR'"));
    let left = "the settings have no account for the watches that are left: gone";
    for (lab, code) in [(&ready, 75), (&failing, 3)] {
        let bed = DaemonHome::new(&account("gone", &never));
        let daemon = bed.start();
        bed.add("gone", EXPORT_ID);
        daemon.signal("KILL");
        daemon.end();
        bed.set(&format!("{}{}", account("well", lab), watch("well", EXPORT_ID)));
        let run = bed.until_idle();
        assert_eq!(run.exits(code).logs().last().unwrap()["reason"], left);
    }
}

#[test]
fn a_limit_ends_what_would_never_end() {
    let nobody = format!("[snyk]\napi = 'http://{}'\ntoken-file = '@token'\n", crate::lab::free_address());
    let never = Lab::start(NEVER);
    let rows = [
        (asking(&never), "max-wait = '300ms'", 124, "timed-out"),
        (nobody, "max-outage = '300ms'", 69, "unavailable"),
        (asking(&never), "max-in-progress = ['PENDING=300ms']", 9, "stalled"),
    ];
    for (section, limit, code, outcome) in rows {
        let bed = DaemonHome::new(&format!("[limits]\n{limit}\n{section}{}", watch("default", EXPORT_ID)));
        let run = bed.until_idle();
        let logs = run.exits(code).logs();
        assert!(logs.iter().any(|line| line["outcome"] == outcome), "{run}");
    }
}

#[test]
fn a_refused_credential_is_not_tried_for_each_watch() {
    const EXPORTS: u128 = 30;
    let (refusing, ready, receiver) = (Lab::start("token = 'another'"), Lab::start(READY), taking_all());
    let mut settings = [asking(&refusing), account("well", &ready), webhook("platform", &receiver)].concat();
    settings.push_str("[limits]\nconcurrency = 4\n");
    for n in 0..EXPORTS {
        settings.push_str(&watch("default", &Uuid::from_u128(n).to_string()));
    }
    let bed = DaemonHome::new(&format!("{settings}{}", watch("well", EXPORT_ID)));
    let run = bed.until_idle();
    let logs = run.exits(4).logs();
    let ends = |outcome: &str| logs.iter().filter(|line| line["outcome"] == outcome).count() as u128;
    assert_eq!((ends("unauthorized"), ends("finished")), (EXPORTS, 1));
    // As many as were under way when the first was refused.
    assert!((1..=4).contains(&refusing.requests()), "{:?}", refusing.codes());
    let events: Vec<_> = receiver.until(|_| true).iter().map(|notice| notice.event()).collect();
    let told = |kind: &str| events.iter().filter(|event| event["type"] == kind).count() as u128;
    assert_eq!(told("io.snyk-export.watch.unauthorized"), EXPORTS);
    assert_eq!(told("io.snyk-export.watch.finished"), 1);
    assert_eq!(told("io.snyk-export.account.unauthorized"), 1);
}

#[test]
fn what_is_owed_is_delivered_first_and_nothing_is_done_twice() {
    let lab = Lab::start(&format!("{READY}ends-as = 'ERRORED'"));
    let receivers = [Receiver::start(|n| (n > 0).then_some(204)), taking_all()];
    let file = "[[notify]]\nname = 'command'\nkind = 'command'\nargv = ['/bin/sh', '-c', 'cat >> told']\n";
    let settings = [asking(&lab), webhook("flaky", &receivers[0]), webhook("well", &receivers[1])].concat();
    let bed = DaemonHome::new(&format!("{settings}{file}{}", watch("default", EXPORT_ID)));
    let told = bed.path("told");
    let settings = bed.settings().replace("told", &told.display().to_string());
    bed.set_all(&settings);
    let run = bed.program("watch").arg("--until-idle").env("PATH", "/usr/bin:/bin").run();
    let events = run.exits(3).events();
    let times = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!((times("delivery.sent"), times("delivery.retrying")), (3, 1), "{run}");
    let attempts = || receivers.each_ref().map(|receiver| receiver.until(|_| true).len());
    assert_eq!(attempts(), [2, 1]);
    let written = std::fs::read_to_string(&told).unwrap();
    let event: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(event["data"]["outcome"], "failed");

    for _ in 0..2 {
        let again = bed.until_idle();
        assert_eq!(again.exits(0).events(), ["daemon.started", "daemon.stopping"]);
    }
    assert_eq!((attempts(), lab.requests()), ([2, 1], 1));
    assert_eq!(std::fs::read_to_string(&told).unwrap(), written);
}

#[test]
fn what_is_added_meanwhile_is_followed_too() {
    let gate = Watched::<bool>::default();
    let slow = {
        let gate = gate.clone();
        Lab::hearing(READY, move |_| {
            gate.try_until(|is_open| *is_open);
        })
    };
    let failing = Lab::start(&format!("{READY}ends-as = 'ERROR'"));
    let receiver = taking_all();
    let settings = [asking(&slow), account("acme", &failing), webhook("platform", &receiver)].concat();
    let bed = DaemonHome::new(&format!("{settings}{}", watch("default", EXPORT_ID)));
    let daemon = DaemonHome::begin(bed.program("watch").arg("--until-idle"));
    bed.add("acme", SECOND_ID);
    daemon.until_told("watch.finished", 1);
    gate.change(|is_open| *is_open = true);
    daemon.end().exits(3);
    let mut told: Vec<_> =
        receiver.until(|_| true).iter().map(|notice| notice.event()["type"].clone()).collect();
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, ["failed", "finished"].map(|word| json!(format!("io.snyk-export.watch.{word}"))));
}

#[test]
fn with_nothing_to_do_it_ends_at_once() {
    let lab = Lab::start(READY);
    let run = DaemonHome::new(&asking(&lab)).until_idle();
    assert_eq!(run.exits(0).events(), ["daemon.started", "daemon.stopping"]);
    assert_eq!(
        (run.logs().last().unwrap()["reason"].as_str(), lab.requests()),
        (Some("every watch has ended"), 0)
    );
}

#[test]
fn asked_to_stop_it_does_not_say_that_all_is_well() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (never, ready) = (Lab::start(NEVER), Lab::start(READY));
        let mut settings = [asking(&never), account("well", &ready)].concat();
        for name in ["default", "well"] {
            write!(settings, "{}", watch(name, EXPORT_ID)).unwrap();
        }
        let bed = DaemonHome::new(&settings);
        let daemon = DaemonHome::begin(bed.program("watch").arg("--until-idle"));
        daemon.until_told("watch.finished", 1);
        daemon.signal(signal);
        daemon.end().exits(code);
    }
}

#[test]
fn it_is_healthy_while_it_delivers() {
    const AT_ONCE: usize = 8;
    // The runner counts as stuck after 30 s: this takes longer, and no pause is as long as its beat.
    const EACH: Duration = Duration::from_secs(4);
    const EXPORTS: usize = 9 * AT_ONCE;
    let lab = Lab::start(READY);
    let receiver = Receiver::start(|_| {
        std::thread::sleep(EACH);
        Some(204)
    });
    let ids = (0..EXPORTS).map(|n| Uuid::from_u128(n as u128).to_string());
    let watches: String = ids.map(|id| watch("default", &id)).collect();
    let bed = DaemonHome::new(&[asking(&lab), webhook("platform", &receiver), watches].concat());
    let daemon = bed.program("watch").arg("--until-idle").spawn();
    for count in (AT_ONCE..=EXPORTS).step_by(AT_ONCE) {
        receiver.until(|notices| notices.len() >= count);
        assert_eq!(bed.get("/healthz").status, 200, "after {count}");
    }
    daemon.end().exits(0);
}

/// A receiver that is down until it may be up.
fn down_until(is_up: &Watched<bool>) -> Receiver {
    let is_up = is_up.clone();
    Receiver::start(move |_| Some(if is_up.get() { 204 } else { 503 }))
}

#[test]
fn an_exit_code_is_kept_until_a_run_has_exited_with_it() {
    let failing = Lab::start(&format!("{READY}ends-as = 'ERRORED'"));
    let (odd, missing) =
        (Lab::start(&format!("{READY}ends-as = 'CANCELLED'")), Lab::start("unknown-exports = 'not-found'"));
    let is_up = Watched::<bool>::default();
    let receiver = down_until(&is_up);
    let accounts = [asking(&odd), account("acme", &failing), account("other", &missing)].concat();
    let watches = [watch("default", EXPORT_ID), watch("acme", SECOND_ID)].concat();
    let bed = DaemonHome::new(&[accounts, webhook("platform", &receiver), watches].concat());
    for (ends, signal, code) in [(2, "TERM", Some(143)), (0, "KILL", None), (0, "INT", Some(130))] {
        let daemon = DaemonHome::begin(bed.program("watch").arg("--until-idle"));
        daemon.until_told("watch.finished", ends);
        daemon.signal(signal);
        assert_eq!(daemon.end().code, code);
    }
    // A daemon that goes on for ever leaves no code behind, and does not change what was kept.
    let daemon = bed.start();
    bed.add("other", THIRD_ID);
    daemon.until_told("watch.finished", 1);
    daemon.signal("TERM");
    daemon.end().exits(0);
    is_up.change(|is_up| *is_up = true);
    let run = bed.until_idle();
    run.exits(3).stderr_has("an earlier run was stopped before it could exit with its code");
    bed.until_idle().exits(0);
}

#[test]
fn a_notification_that_is_not_delivered_is_69_and_an_error_even_if_it_is_quiet() {
    let labs = [READY, &format!("{READY}ends-as = 'ERRORED'")].map(Lab::start);
    for (lab, code) in labs.iter().zip([69, 3]) {
        let gone = Receiver::start(|_| Some(410));
        let settings = [asking(lab), webhook("platform", &gone), watch("default", EXPORT_ID)].concat();
        let bed = DaemonHome::new(&settings);
        let run = bed.program("watch").args("--until-idle --quiet").run();
        let logs = run.exits(code).logs();
        assert!(
            logs.iter().any(|line| line["level"] == "ERROR" && line["event"] == "delivery.given_up"),
            "{run}"
        );
        bed.until_idle().exits(0);
    }
}

#[test]
fn a_notification_for_an_endpoint_that_was_removed_is_69_until_it_is_back() {
    let lab = Lab::start(READY);
    let is_up = Watched::<bool>::default();
    let receiver = down_until(&is_up);
    let without = [asking(&lab), watch("default", EXPORT_ID)].concat();
    let with = format!("{without}{}", webhook("renamed", &receiver));
    let bed = DaemonHome::new(&with);
    let daemon = DaemonHome::begin(bed.program("watch").arg("--until-idle"));
    daemon.until_told("watch.finished", 1);
    daemon.signal("KILL");
    daemon.end();
    bed.set(&without);
    for _ in 0..2 {
        let logs = bed.until_idle().exits(69).logs();
        assert!(
            logs.iter().any(|line| line["level"] == "ERROR" && line["endpoints"] == "renamed"),
            "{logs:?}"
        );
    }
    is_up.change(|is_up| *is_up = true);
    bed.set(&with);
    bed.until_idle().exits(0);
}
