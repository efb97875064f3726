//! Kills the daemon at random moments, 200 times: nothing is lost, no export is polled more often than its pace allows, and no
//! receiver that is down gets more than the pace of its endpoint allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::lab::{Answer, GROUP, Lab, PATIENCE, Program, Receiver, Watched, free_address};

/// How often the daemon is killed.
const KILLS: usize = 200;

/// In so many lives of the daemon, one of the receivers is down.
const DOWN: usize = 60;

/// Exports of each course.
const EXPORTS: u128 = 12;

/// The shortest pause between two polls of an export.
const INITIAL: Duration = Duration::from_millis(100);

/// How exports go on a server, and how watches of them end.
const COURSES: [(&str, &str, &str); 5] = [
    ("quick", "pending = '2s'\nstarted = '1s'", "finished"),
    ("slow", "pending = '15s'\nstarted = '10s'", "finished"),
    ("broken", "pending = '7s'\nstarted = '1s'\nends-as = 'ERRORED'", "failed"),
    ("odd", "pending = '11s'\nstarted = '0s'\nends-as = 'CANCELLED'", "unknown-status"),
    ("flaky", "pending = '9s'\nstarted = '2s'\n[[faults]]\nprobability = 0.2\nstatus-code = 503", "finished"),
];

/// A poll: in which life of the daemon, and when.
type Poll = (usize, Duration);

/// A server, and the polls of each export, by the last part of its path.
struct Course {
    _lab: Lab,
    url: String,
    polls: Watched<BTreeMap<String, Vec<Poll>>>,
}

impl Course {
    fn start(course: &str, life: &Arc<AtomicUsize>) -> Course {
        let polls: Watched<BTreeMap<String, Vec<Poll>>> = Watched::default();
        let (kept, life) = (polls.clone(), Arc::clone(life));
        let lab = Lab::hearing(course, move |exchange| {
            let path = exchange.target.split('?').next().unwrap_or_default();
            let export = path.rsplit('/').next().unwrap_or_default().to_owned();
            let poll = (life.load(Ordering::SeqCst), exchange.at);
            kept.change(|polls| polls.entry(export).or_default().push(poll));
        });
        Course { url: lab.url(), _lab: lab, polls }
    }
}

#[test]
fn killed_anywhere_it_loses_nothing_and_asks_no_more_than_it_may() {
    let life = Arc::new(AtomicUsize::new(0));
    let courses: Vec<Course> = COURSES.iter().map(|(_, course, _)| Course::start(course, &life)).collect();
    // One fails at random, with an error or a cut connection, but not for ever; one at each first time; one is down at first;
    // and one wants no event at its first time.
    let down = Arc::clone(&life);
    let receivers = [
        Receiver::start(|n| match fastrand::u8(..10) {
            0..3 if n < 4 => Some(500),
            3 if n < 4 => None,
            _ => Some(200),
        }),
        Receiver::start(|n| Some(if n == 0 { 503 } else { 204 })),
        Receiver::start(move |_| Some(if down.load(Ordering::SeqCst) <= DOWN { 503 } else { 200 })),
        Receiver::start(|n| Some(if n == 0 { 410 } else { 202 })),
    ];
    let address = free_address();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("daemon.toml");
    std::fs::write(home.path().join("token"), "5ec7e700-0000-4000-8000-00000000cafe").unwrap();
    std::fs::write(&file, settings(home.path(), address, &courses, &receivers)).unwrap();
    let program = || {
        life.fetch_add(1, Ordering::SeqCst);
        Program::bare("watch").arg("--config").arg(&file.display().to_string())
    };
    let daemon = || program().arg("--until-idle").spawn();

    for _ in 0..KILLS {
        let daemon = daemon();
        // No wait for anything: this is how long it lives.
        std::thread::sleep(Duration::from_millis(fastrand::u64(2..250)));
        daemon.signal("KILL");
        let run = daemon.end();
        assert_eq!(run.signal, Some(9), "it ended by itself: {run}");
    }
    // This one stays, to be asked for redeliveries.
    let mut last = program().spawn();
    let expected = expected();
    for (number, receiver) in receivers.iter().enumerate() {
        if number == 3 {
            last.until_stderr_has("daemon started");
            redeliver_all(address);
            last.signal("KILL");
            assert_eq!(last.end().signal, Some(9));
            last = daemon();
        }
        let notices = receiver.until(|notices| {
            let arrived = notices.iter().filter(|notice| notice.answered.is_some_and(|code| code < 300));
            arrived.map(|notice| told(&notice.event())).collect::<BTreeSet<_>>() == expected
        });
        if number == 2 {
            let refused = notices.iter().filter(|notice| notice.answered == Some(503)).count();
            assert!((1..100).contains(&refused), "{refused} attempts at a receiver that is down");
        }
        let mut ids: BTreeMap<(String, String), BTreeSet<(String, String)>> = BTreeMap::new();
        for notice in notices {
            let id = (notice.header("webhook-id").to_owned(), notice.event()["id"].to_string());
            ids.entry(told(&notice.event())).or_default().insert(id);
        }
        let stable: BTreeSet<_> =
            ids.values().inspect(|ids| assert_eq!(ids.len(), 1, "{ids:?}")).flatten().collect();
        assert_eq!(stable.len(), expected.len(), "each event has ids of its own");
    }
    // Some have failed in lives that could not say so.
    last.end().exits(3).stderr_has("daemon started");
    courses.iter().for_each(check_paces);
}

/// Asks the daemon's API.
fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    Answer::read(stream)
}

/// Waits until nothing is pending, and has everything sent again that was given up.
fn redeliver_all(address: SocketAddr) {
    let listed = |state: &str| {
        let page = ask(address, "GET", &format!("/v1/deliveries?state={state}&limit=1000")).json();
        page["data"].as_array().unwrap().clone()
    };
    for left in (0..6000).rev() {
        if listed("pending").is_empty() {
            break;
        }
        assert_ne!(left, 0, "deliveries stay pending");
        std::thread::sleep(Duration::from_millis(10));
    }
    let given_up = listed("undeliverable");
    assert!(!given_up.is_empty());
    for delivery in given_up {
        let [watch, id] = ["watch_id", "id"].map(|name| delivery[name].as_str().unwrap());
        let answer = ask(address, "POST", &format!("/v1/watches/{watch}/deliveries/{id}/redeliver"));
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["attempts"], delivery["attempts"]);
    }
}

/// In one life of the daemon, polls of an export are at least its shortest pause apart. The first of a life may follow
/// closely on one that was not kept; and what is still in a socket when the daemon dies is heard in the next life.
fn check_paces(course: &Course) {
    let polls = course.polls.get();
    assert_eq!(polls.len() as u128, EXPORTS);
    for (export, polls) in polls {
        let mut lives: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
        polls.iter().for_each(|(life, at)| lives.entry(*life).or_default().push(*at));
        for (life, polls) in lives {
            let pauses = polls.windows(2).map(|pair| pair[1] - pair[0]).skip(1);
            let short = pauses.filter(|pause| *pause < INITIAL).count();
            assert_eq!(short, 0, "export {export} in life {life}: {polls:?}");
        }
    }
}

/// Which exports end how.
fn expected() -> BTreeSet<(String, String)> {
    let each = COURSES.iter().enumerate().flat_map(|(course, (_, _, outcome))| {
        (0..EXPORTS).map(move |n| (id(course, n).to_string(), (*outcome).to_owned()))
    });
    each.collect()
}

/// Which export a notification tells of, and which outcome.
fn told(event: &Value) -> (String, String) {
    let outcome = event["type"].as_str().unwrap().rsplit('.').next().unwrap();
    let data = &event["data"];
    assert_eq!(data["outcome"], outcome, "{event}");
    (data["export"]["export_id"].as_str().unwrap().to_owned(), outcome.to_owned())
}

fn id(course: usize, n: u128) -> Uuid {
    Uuid::from_u128((course as u128) << 64 | n)
}

/// One account for each server, with all its exports.
fn settings(home: &Path, address: SocketAddr, courses: &[Course], receivers: &[Receiver]) -> String {
    let home = home.display();
    let pause = INITIAL.as_millis();
    let mut text = format!(
        "[pace]\ninitial-interval = '{pause}ms'\nmax-interval = '1s'\n[retry]\ninitial-interval = '{pause}ms'\n\
         [server]\nlisten = '{address}'\n[store]\nurl = 'sqlite://{home}/watches.db'\n"
    );
    for ((name, ..), course) in COURSES.iter().zip(courses) {
        let url = &course.url;
        write!(text, "[snyk.accounts.{name}]\napi = '{url}'\ntoken-file = '{home}/token'\n").unwrap();
    }
    for (course, (name, ..)) in COURSES.iter().enumerate() {
        for n in 0..EXPORTS {
            let id = id(course, n);
            write!(text, "[[watch]]\ngroup-id = '{GROUP}'\nexport-id = '{id}'\naccount = '{name}'\n")
                .unwrap();
        }
    }
    for (n, receiver) in receivers.iter().enumerate() {
        let url = receiver.url();
        write!(text, "[[notify]]\nname = 'receiver-{n}'\nkind = 'webhook'\nurl = '{url}'\n").unwrap();
    }
    text
}
