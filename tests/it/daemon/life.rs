//! Starting, stopping, and what survives a restart.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::home::{DaemonHome, account, asking, moment, taking_all, watch, webhook, webhook_at};
use crate::lab::{
    Answer, EXPORT_ID, Lab, NEVER, Notice, PATIENCE, READY, Receiver, Run, SECOND_ID, THIRD_ID, until,
};

/// What is done to a store before the daemon opens it.
type Spoil<'a> = &'a dyn Fn(&DaemonHome);

/// A server that never answers, whatever it is asked.
const HANGING: &str = "[[faults]]\nprobability = 1\nfault = 'hang'\n";

#[test]
fn it_says_when_it_begins_and_why_it_ends() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    for (signal, first) in [("TERM", "watch.added"), ("INT", "daemon.started")] {
        let daemon = bed.start();
        lab.until_asked(1);
        daemon.signal(signal);
        let run = daemon.end();
        let logs = run.exits(0).stdout_is("").logs();
        let told =
            |event: &str| -> Vec<&Value> { logs.iter().filter(|line| line["event"] == event).collect() };
        let (started, stopping) = (told("daemon.started"), told("daemon.stopping"));
        let (&[started], &[stopping]) = (&started[..], &stopping[..]) else { panic!("{run}") };
        assert_eq!(run.events()[0], first);
        assert_eq!(json!([started["level"], started["watches.active"]]), json!(["INFO", 1]));
        assert_eq!(stopping["reason"], format!("SIG{signal}"));
    }
}

#[test]
fn it_says_with_what_it_starts_and_where_it_listens() {
    let (lab, receiver) = (Lab::start(NEVER), taking_all());
    let home =
        DaemonHome::new(&[asking(&lab), account("acme", &lab), webhook("platform", &receiver)].concat());
    // The system chooses the ports.
    let listen = "'127.0.0.1:0'\nmetrics-listen = '127.0.0.1:0'";
    home.set_all(&home.settings().replace(&format!("'{}'", home.address), listen));
    let daemon = home.start();
    let started = daemon.until_told("daemon.started", 1)[0].clone();
    for (field, path) in [("server.address", "/v1/watches"), ("server.metrics_address", "/metrics")] {
        let mut stream = TcpStream::connect(started[field].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(Answer::read(stream).status, 200, "{field}");
    }
    let names = ["accounts", "endpoints", "store"].map(|field| started[field].as_str().unwrap());
    assert_eq!(names, ["default, acme", "platform", home.path("watches.db").to_str().unwrap()]);
    assert!(!started.to_string().contains(&receiver.url()), "an endpoint's URL may be a secret: {started}");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn what_hangs_does_not_keep_it_and_is_taken_up_again() {
    let (ready, hanging) = (Lab::start(READY), Lab::start(HANGING));
    let accounts = [asking(&ready), account("stuck", &hanging)].concat();
    let watches = [watch("default", EXPORT_ID), watch("stuck", SECOND_ID)].concat();
    let hook = webhook_at("platform", &format!("{}/hook", hanging.url()));
    let command = "[[notify]]\nname = 'program'\nkind = 'command'\nargv = ['@program']\n";
    let bed = DaemonHome::new("");
    let pid = bed.path("pid");
    let script = format!("#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}; sleep 1000", pid.display());
    bed.file("program", &script);
    std::fs::set_permissions(bed.path("program"), PermissionsExt::from_mode(0o700)).unwrap();
    bed.set(&[&*accounts, &watches, &hook, command].concat());
    let daemon = DaemonHome::begin(bed.program("watch").env("PATH", "/usr/bin:/bin"));
    hanging.until_asked(2);
    until(|| pid.exists());
    daemon.signal("TERM");
    // All that it is given is the time that its polls may take.
    let run = daemon.end();
    let logs = run.exits(0).logs();
    let stopping = logs.iter().position(|line| line["event"] == "daemon.stopping").unwrap();
    let late = logs[stopping..].iter().map(|line| moment(line).duration_since(moment(&logs[stopping])));
    assert!(late.max().unwrap().as_secs() < 10, "{run}");
    assert_eq!(ends(&run), BTreeSet::from([EXPORT_ID.to_owned()]));
    let program = std::fs::read_to_string(pid).unwrap();
    until(|| !Path::new(&format!("/proc/{}", program.trim())).exists());

    let (lab, receiver) = (Lab::start(READY), taking_all());
    bed.set(&[asking(&ready), account("stuck", &lab), watches, webhook("platform", &receiver)].concat());
    let run = bed.until_idle();
    // The notification of the program is owed, and the settings have no such endpoint any more.
    assert_eq!(ends(run.exits(69)), BTreeSet::from([SECOND_ID.to_owned()]), "each ends once");
    let notices = receiver.until(|notices| notices.len() >= 2);
    let told = notices.iter().map(|notice| export_of(&notice.event()["data"]["export"]["export_id"]));
    assert_eq!(told.collect::<BTreeSet<_>>(), [EXPORT_ID, SECOND_ID].map(str::to_owned).into());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // Two of a kind could arrive as one; which of these comes first is not for us to say.
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let lab = Lab::start(HANGING);
        let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
        let daemon = bed.start();
        lab.until_asked(1);
        daemon.signal(first);
        daemon.until_told("daemon.stopping", 1);
        daemon.signal(second);
        let run = daemon.end();
        assert!([Some(143), Some(130)].contains(&run.code), "{run}");
    }
}

#[test]
fn a_second_daemon_is_turned_away_and_leaves_the_first_alone() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let first = bed.start();
    let store = bed.path("watches.db");
    let here = bed.settings();
    let in_use = format!("the store {} is in use by another daemon: stop that one", store.display());
    // On the same settings, both are in use, and the store says why.
    bed.program("watch").run().exits(2).stderr_has(&in_use).stderr_lacks("[server] listen");
    // Their dead man's switch hears only the first.
    let switch = taking_all();
    for args in ["", "--until-idle"] {
        let second = bed.program("watch").args(args).env("SNYK_EXPORT_PING", &switch.url());
        second.run().exits(2).stderr_has(&in_use);
    }
    switch.until(|heard| heard.is_empty());
    // With a store of its own, the address is left. Its cause is said once.
    bed.set_all(&here.replace("watches.db", "other.db"));
    let turned_away = bed.program("watch").run();
    turned_away.exits(2).stderr_has(&bed.address.to_string()).stderr_has("[server] listen");
    assert_eq!(turned_away.stderr.matches("in use").count(), 1, "{turned_away}");
    // By another name for the same file.
    std::os::unix::fs::symlink(&store, bed.path("link.db")).unwrap();
    for name in ["watches.db", "link.db"] {
        let there = here.replace(&bed.address.to_string(), "127.0.0.1:0").replace("watches.db", name);
        bed.set_all(&there);
        let run = bed.program("watch").run();
        run.exits(2).stderr_has(&in_use).stderr_lacks("daemon.started");
    }
    let asked = lab.requests();
    lab.until_asked(asked + 2);
    first.signal("TERM");
    first.end().exits(0);
}

#[test]
fn an_unusable_store_is_reported_with_a_hint_and_not_changed() {
    let lab = Lab::start(READY);
    let settings = [asking(&lab), watch("default", EXPORT_ID)].concat();
    let database = |bed: &DaemonHome, pragmas: &str| {
        let conn = rusqlite::Connection::open(bed.path("watches.db")).unwrap();
        conn.execute_batch(pragmas).unwrap();
    };
    let rows: [(&str, Spoil<'_>, &str); 6] = [
        ("newer", &|bed| database(bed, "PRAGMA user_version = 99"), "use that release, or a backup"),
        ("foreign", &|bed| database(bed, "PRAGMA application_id = 7"), "name another file"),
        ("garbage", &|bed| bed.file("watches.db", &"garbage".repeat(1000)), "put a backup in its place"),
        ("cut", &cut, "put a backup in its place"),
        ("directory", &in_its_place, "name a file, not a directory"),
        ("no directory", &|bed| bed.set_all(&bed.settings().replace("watches.db", "a/b/x.db")), "create the"),
    ];
    for (name, spoil, cure) in rows {
        let bed = DaemonHome::new(&settings);
        bed.until_idle().exits(0);
        spoil(&bed);
        let asked = lab.requests();
        let before = std::fs::read(bed.path("watches.db")).ok();
        let run = bed.program("watch").run();
        let told = run.exits(2).logs();
        let message = told.last().unwrap()["reason"].as_str().unwrap();
        assert!(
            message.contains(cure) && message.contains("/watches.db") != (name == "no directory"),
            "{run}"
        );
        assert_eq!(told.last().unwrap()["level"], "ERROR");
        assert_eq!(std::fs::read(bed.path("watches.db")).ok(), before, "{name}");
        assert_eq!(lab.requests(), asked, "{name}: nothing is asked");
    }
}

/// Leaves the head of the file and the first of its pages.
fn cut(bed: &DaemonHome) {
    let file = std::fs::OpenOptions::new().write(true).open(bed.path("watches.db")).unwrap();
    file.set_len(5000).unwrap();
}

fn in_its_place(bed: &DaemonHome) {
    std::fs::remove_file(bed.path("watches.db")).unwrap();
    std::fs::create_dir(bed.path("watches.db")).unwrap();
}

#[test]
fn after_a_kill_it_continues_where_it_was() {
    const PACE: &str =
        "[pace]\ninitial-interval = '20ms'\nmultiplier = 10\nmax-interval = '1h'\njitter = 0\n";
    let (ready, never, receiver) = (Lab::start(READY), Lab::start(NEVER), taking_all());
    let settings = [
        asking(&ready),
        account("slow", &never),
        webhook("platform", &receiver),
        watch("default", EXPORT_ID),
    ]
    .concat();
    let bed = DaemonHome::pacing(PACE, &[&*settings, &watch("slow", SECOND_ID)].concat());
    let daemon = bed.start();
    let polled = daemon.until_logged(1, |line| line["event"] == "delivery.sent");
    // The third pause is of 2 s, the next ones of 20 s and more.
    never.until_asked(3);
    let ended = bed.seen(&format!("/v1/watches/{}", polled[0]["watch.id"].as_str().unwrap()));
    assert_eq!((&ended["state"], &ended["deliveries"][0]["state"]), (&json!("ended"), &json!("sent")));
    let active = || bed.seen("/v1/watches?state=active")["data"].as_array().unwrap().clone();
    let before = active();
    daemon.signal("KILL");
    assert_eq!(daemon.end().signal, Some(9));

    bed.set(&[&*settings, &watch("slow", SECOND_ID), &watch("slow", THIRD_ID)].concat());
    let daemon = DaemonHome::begin(bed.program("watch").arg("-v"));
    assert_eq!(bed.seen(&format!("/v1/watches/{}", ended["id"].as_str().unwrap())), ended);
    let after = active();
    let same = ["id", "account", "export", "started_at", "status", "timeline", "created"];
    assert_eq!(same.map(|member| &after[0][member]), same.map(|member| &before[0][member]));
    assert_eq!(json!([before.len(), after.len()]), json!([1, 2]));

    let polled =
        daemon.until_logged(1, |line| line["event"] == "watch.polled" && line["export.id"] == SECOND_ID);
    let number = polled[0]["poll.number"].as_u64().unwrap();
    assert!(number >= before[0]["polls"].as_u64().unwrap(), "{polled:?}");
    let pause = 20 * 10_u64.pow(u32::try_from(number).unwrap() - 1);
    assert_eq!(polled[0]["delay_ms"], pause, "it keeps its place in the pace");
    daemon.signal("TERM");
    let run = daemon.end();
    let of = |event: &str| -> Vec<String> {
        let lines = run.exits(0).logs().into_iter().filter(|line| line["event"] == event);
        lines.map(|line| export_of(&line["export.id"])).collect()
    };
    assert_eq!((of("watch.resumed"), of("watch.added")), (vec![SECOND_ID.into()], vec![THIRD_ID.into()]));
    assert_eq!(receiver.until(|notices| !notices.is_empty()).len(), 1, "nothing is told twice");
    assert_eq!(ready.requests(), 1, "nor asked");
}

/// The exports whose watches ended in a run, each of them once.
fn ends(run: &Run) -> BTreeSet<String> {
    let logs = run.logs();
    let ends: Vec<_> = logs.iter().filter(|line| line["event"] == "watch.finished").collect();
    let exports: BTreeSet<_> = ends.iter().map(|line| export_of(&line["export.id"])).collect();
    assert_eq!(exports.len(), ends.len(), "{run}");
    exports
}

fn export_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_healthy_daemon_pings_a_dead_mans_switch_and_says_how_it_ends() {
    let switch = Receiver::start(|_| Some(200));
    let targets = |notices: &[Notice]| notices.iter().map(|notice| notice.target.clone()).collect::<Vec<_>>();
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&format!("{}[report]\nping = '{}'\n", asking(&lab), switch.url()));
    let daemon = bed.start();
    switch.until(|notices| targets(notices) == ["/hook"]);
    daemon.signal("TERM");
    daemon.end().exits(0);
    let heard = switch.until(|notices| targets(notices) == ["/hook", "/hook"]);
    assert_eq!([&heard[0].body, &heard[1].body], ["healthy\n", "exit code 0\n"]);

    let lab = Lab::start(&format!("{READY}ends-as = 'ERRORED'"));
    bed.set(&format!("{}{}[report]\nping = '{}'\n", asking(&lab), watch("default", EXPORT_ID), switch.url()));
    bed.until_idle().exits(3);
    switch.until(|notices| targets(notices)[2..] == ["/hook/start", "/hook/3"]);
}
