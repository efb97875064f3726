//! Servers that send interim responses without end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use super::home::{DaemonHome, asking, taking_all, watch, webhook, webhook_at};
use crate::lab::{EXPORT_ID, GROUP, Lab, READY, TOKEN, Watched, until};

/// Answers every request with interim answers, and never with another; counts who was left.
fn flood(left: &Watched<u32>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let left: Watched<u32> = Watched::clone(left);
    // It lives as long as the process of all tests, and does nothing unless it is asked.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let left: Watched<u32> = Watched::clone(&left);
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
                while stream.write_all(&interim).is_ok() {}
                left.change(|left| *left += 1);
            });
        }
    });
    address
}

/// The ticks of a processor that the threads of a process have had, those called `peer` and the others.
fn ticks(id: u32) -> (u64, u64) {
    let (mut peers, mut others) = (0, 0);
    for task in std::fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let (name, rest) = stat.rsplit_once(") ").unwrap_or_default();
        let fields = rest.split(' ').skip(11).take(2);
        let had: u64 = fields.map(|ticks| ticks.parse::<u64>().unwrap_or_default()).sum();
        *if name.ends_with("(peer") { &mut peers } else { &mut others } += had;
    }
    (peers, others)
}

#[test]
fn a_flooding_server_occupies_only_its_own_thread() {
    let (bed, left) = (DaemonHome::new(""), Watched::<u32>::default());
    let accounts = (0..3).map(|n| {
        format!(
            "[snyk.accounts.a{n}]\napi = 'http://{}'\ntoken-file = '@token'\n[[watch]]\naccount = 'a{n}'\n\
             group-id = '{GROUP}'\nexport-id = '{EXPORT_ID}'\n",
            flood(&left)
        )
    });
    bed.file("token", TOKEN);
    // Nothing but the flood itself ends a request.
    let limits = "[limits]\nrequest-timeout = '1h'\n".to_owned();
    bed.set(&std::iter::once(limits).chain(accounts).collect::<String>());
    let daemon = bed.start();
    let before = ticks(daemon.id()).1;
    until(|| ticks(daemon.id()).0 > 200);
    let (peers, others) = ticks(daemon.id());
    assert!(
        4 * (others - before) < peers,
        "{peers} ticks for those who flood, {} for the rest",
        others - before
    );
    assert_eq!(bed.get("/healthz").status, 200);
    left.until(|left| *left >= 3);
    daemon.until_stderr_has("the server floods us");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_receiver_that_floods_us_holds_up_no_other_and_is_tried_again() {
    let (lab, left) = (Lab::start(READY), Watched::<u32>::default());
    let (receiver, flood) = (taking_all(), flood(&left));
    let endpoints = [webhook_at("flood", &format!("http://{flood}/")), webhook("well", &receiver)].concat();
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID), endpoints].concat());
    let daemon = bed.start();
    daemon.until_told("delivery.sent", 1);
    left.until(|left| *left >= 1);
    let failed = daemon.until_told("delivery.retrying", 1);
    assert_eq!(failed[0]["delivery.endpoint"], "flood");
    assert!(failed[0]["error.detail"].as_str().unwrap().starts_with("the server floods us"), "{failed:?}");
    daemon.signal("TERM");
    daemon.end().exits(0);
}
