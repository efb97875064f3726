//! Hostile answers do not raise the peak of the program's memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, Spawned, Watched};

/// The bound of the contract, in KiB.
const BOUND: u64 = 2 * 1024;

#[test]
fn a_body_of_200_mb_costs_nothing() {
    costs_nothing("{ fault = 'blanks', bytes = 200_000_000 }");
}

#[test]
fn an_error_of_200_mb_costs_nothing() {
    costs_nothing("{ status-code = 503, fault = 'blanks', bytes = 200_000_000 }");
}

#[test]
fn a_gigantic_header_costs_nothing() {
    costs_nothing("{ fault = 'headers', bytes = 50_000_000 }");
}

#[test]
fn a_drip_costs_nothing() {
    costs_nothing("{ fault = 'drip', pause = '1ms' }");
}

#[test]
fn a_body_without_end_and_without_a_length_costs_nothing() {
    let link = format!("{{\"url\":\"https://b.example/{}\",\"row_count\":3}},", "x".repeat(700)).repeat(100);
    let results = r#"{"data":{"attributes":{"status":"FINISHED","results":["#;
    for (status_line, head, piece) in [
        ("HTTP/1.1 200 OK", "", " ".repeat(64 * 1024)),
        ("HTTP/1.1 500 Oops", "", " ".repeat(64 * 1024)),
        ("HTTP/1.1 200 OK", results, link),
        ("HTTP/1.1 200 OK", results, "7,".repeat(32 * 1024)),
        ("HTTP/1.1 200 OK", "{\"data\":{\"attributes\":{\"results\":[\"", "x".repeat(64 * 1024)),
    ] {
        let harmless = peak(&Lab::start(NEVER));
        let (url, connections) =
            endless(format!("{status_line}\r\ncontent-type: application/json\r\n\r\n{head}"), piece);
        let waiting = Program::asking("wait", &url).export(EXPORT_ID).spawn();
        connections.until(|connections| *connections >= 2);
        let hostile = high_water_mark(&waiting);
        assert!(
            hostile < harmless + BOUND,
            "{status_line} {head}: {hostile} KiB where {harmless} KiB are enough"
        );
    }
}

#[track_caller]
fn costs_nothing(answer: &str) {
    let harmless = peak(&Lab::start(NEVER));
    let hostile = peak(&Lab::start(&format!("{NEVER}answers = [{answer}]")));
    assert!(hostile < harmless + BOUND, "{hostile} KiB where {harmless} KiB are enough");
}

/// The most memory that the program had when it asks for the third time: it has dealt with the first answer.
fn peak(lab: &Lab) -> u64 {
    let waiting = Program::wait(lab).export(EXPORT_ID).spawn();
    lab.until_asked(3);
    let peak = high_water_mark(&waiting);
    waiting.signal("TERM");
    waiting.end().exits(143);
    peak
}

/// In KiB.
fn high_water_mark(running: &Spawned) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A server whose answers have no announced length and never end; it tells how many connections it had.
fn endless(head: String, piece: String) -> (String, Watched<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections: Watched<u32> = Watched::default();
    let counted = connections.clone();
    // It ends with the process, as the others do that serve tests.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.change(|connections| *connections += 1);
            let _ = stream.read(&mut [0; 4096]);
            let mut gone = stream.write_all(head.as_bytes()).is_err();
            while !gone {
                gone = stream.write_all(piece.as_bytes()).is_err();
            }
        }
    });
    (url, connections)
}
