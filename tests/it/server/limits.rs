//! Limits for clients: sizes, numbers and times.
//!
//! Where a limit is a time, tokio's clock is paused: it goes on by itself when nobody has anything to do, which is when
//! everybody waits for that limit.

use std::fmt::Write as _;
use std::io::{Read as _, Write};
use std::net::SocketAddr;
use std::time::Duration;

use snyk_export::clock::Clock;
use snyk_export::event::ApiWhat;
use snyk_export::export::{ExportRef, Scope};
use snyk_export::server::{Agreed, Server, new_id};
use snyk_export::store::Quota;
use snyk_export::watch::{Labels, NewWatch};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use super::client::{Answer, TestServer, agreed, service};
use super::wanted;

const LIMIT: Duration = Duration::from_secs(10);

/// How long a connection is kept between two requests.
const KEPT: Duration = Duration::from_secs(75);

#[test]
fn a_body_may_have_64_kib() {
    const JSON: &str = "Content-Type: application/json";
    let bed = TestServer::start(None);
    let padded = |length: usize| {
        let body = wanted().to_string();
        " ".repeat(length - body.len()) + &body
    };
    assert_eq!(bed.ask("POST", "/v1/watches", &[JSON], &padded(64 * 1024)).status, 201);
    bed.ask("POST", "/v1/watches", &[JSON], &padded(64 * 1024 + 1)).problem(413);
    bed.ask("PUT", "/none", &[JSON], &padded(900_000)).problem(413);

    let mut chunked =
        format!("POST /v1/watches HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n");
    chunked += "Connection: close\r\n\r\n";
    for chunk in padded(64 * 1024 + 1).as_bytes().chunks(4000) {
        write!(chunked, "{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap()).unwrap();
    }
    bed.send(&(chunked + "0\r\n\r\n")).problem(413);

    let expecting = format!(
        "POST /v1/watches HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nExpect: 100-continue\r\n\
         Content-Length: 99999999\r\n\r\n"
    );
    bed.send(&expecting).problem(413);
}

#[test]
fn a_head_may_have_16_kib() {
    let bed = TestServer::start(None);
    let with = |length: usize| bed.ask("GET", "/healthz", &[&format!("X-Long: {}", "x".repeat(length))], "");
    assert_eq!(with(15_000).status, 200);
    assert_eq!(with(17_000).status, 431);
    let many = "X-One: x\r\n".repeat(200);
    assert_eq!(bed.send(&format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).status, 431);
    assert_eq!(bed.get("/healthz").status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_too_slowly_is_given_up() {
    let (_directory, address) = start().await;
    let rows = [
        ("", None),
        ("GET /healthz HTTP/1.1\r\nHost: local", None),
        (
            "POST /v1/watches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 9\r\n\r\n{",
            Some(408),
        ),
    ];
    for (sent, status) in rows {
        let clock = Clock::start();
        let start = clock.now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let text = read_to_end(&mut stream).await;
        assert!(
            (LIMIT..2 * LIMIT).contains(&clock.now().since(start)),
            "{sent}: {:?}",
            clock.now().since(start)
        );
        match status {
            None => assert_eq!(text, "", "{sent}"),
            Some(status) => {
                Answer::parse(&text).problem(status);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let (_directory, address) = start().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200", "it is kept alive");
        while !read_some(&mut stream).await.contains("alive") {}
    }
    let clock = Clock::start();
    let start = clock.now();
    assert_eq!(read_to_end(&mut stream).await, "");
    let idle = clock.now().since(start);
    assert!((KEPT..KEPT + LIMIT).contains(&idle), "{idle:?}");
}

#[test]
fn idle_connections_do_not_block_other_clients() {
    let bed = TestServer::start(None);
    let mut idle: Vec<_> = (0..200).map(|_| bed.connect()).collect();
    let metrics = bed.get("/metrics").body;
    let closed = metrics.lines().find_map(|line| {
        line.strip_prefix("snyk_export_api_connections_total{result=\"closed\"} ")?.parse::<u32>().ok()
    });
    // 201 connections, and 64 places; on a slow machine some have run out of time.
    assert!(closed.is_some_and(|closed| (1..=137).contains(&closed)), "{metrics}");
    // The oldest have made room.
    assert_eq!(idle[0].read(&mut [0]).unwrap_or_default(), 0);
    let crowded = bed.noted.until(|noted| !noted.is_empty());
    assert!(crowded.iter().all(|event| event.what == ApiWhat::Crowded), "{crowded:?}");
}

#[test]
fn a_crowd_that_keeps_us_busy_leaves_room_for_health_checks() {
    let bed = TestServer::start(None);
    let head = "POST /v1/watches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Expect: 100-continue\r\nContent-Length: 99\r\n\r\n";
    let busy: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = bed.connect();
            stream.write_all(head.as_bytes()).unwrap();
            let mut asked = [0; 25];
            stream.read_exact(&mut asked).unwrap();
            stream
        })
        .collect();
    assert_eq!(bed.get("/healthz").status, 200);
    let problem = bed.get("/v1/watches").problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("only health checks"), "{problem}");
    assert_eq!(bed.get("/readyz").status, 200);

    // Such a place is for one answer, and waits for no body.
    let check = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = bed.connect();
    stream.write_all(check.repeat(3).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!((text.matches("HTTP/1.1 200").count(), text.matches("HTTP/1.1").count()), (1, 1), "{text}");
    let begun = check.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n");
    bed.send(&begun).problem(503);
    drop(busy);
}

#[test]
fn while_half_of_the_places_are_taken_a_connection_is_closed_after_its_answer() {
    let bed = TestServer::start(None);
    let crowd: Vec<_> = (0..32).map(|_| bed.connect()).collect();
    let checks = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3);
    let mut last = &crowd[31];
    last.write_all(checks.as_bytes()).unwrap();
    let mut text = String::new();
    // The system may report that the other requests were not read.
    let _ = last.read_to_string(&mut text);
    assert_eq!(
        (text.matches("HTTP/1.1 200").count(), text.matches("connection: close").count()),
        (1, 1),
        "{text}"
    );
}

#[test]
fn unread_answers_do_not_block_health_checks() {
    let bed = TestServer::start(None);
    let checks = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let mut unread = Vec::new();
    for _ in 0..150 {
        let stream = bed.runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(1024).unwrap();
            socket.connect(bed.address).await.unwrap().into_std().unwrap()
        });
        // It need not take all of them, and one that had to make room takes none.
        let _ = (&stream).write(checks.as_bytes());
        unread.push(stream);
        if unread.len() % 10 == 0 {
            assert_eq!(bed.get("/healthz").status, 200, "beside {}", unread.len());
        }
    }
    assert_eq!(bed.get("/readyz").status, 200);
}

#[test]
fn a_page_has_a_mebibyte_at_most_and_leads_to_the_next() {
    let bed = TestServer::start(None);
    let labels: Labels = (0..32).map(|n| (format!("{n:0>64}"), "\u{fc}".repeat(256))).collect();
    let mut ids = Vec::new();
    for n in 0..150 {
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::from_u128(n) };
        let new = NewWatch { account: "default".into(), export, labels: labels.clone() };
        let now = bed.service.clock.now();
        ids.push(new_id(now).to_string());
        let id = ids[ids.len() - 1].parse().unwrap();
        bed.runtime.block_on(bed.service.store.add(new, id, Quota::default(), now)).unwrap();
    }
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some("/v1/watches?limit=1000".to_owned()));
    while let Some(path) = next {
        let answer = bed.get(&path);
        assert!(answer.body.len() < 1_100_000, "{path}: {} bytes", answer.body.len());
        let page = answer.json();
        let ids =
            page["data"].as_array().unwrap().iter().map(|watch| watch["id"].as_str().unwrap().to_owned());
        found.extend(ids);
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
        assert!(pages < 10);
    }
    assert!(pages > 1);
    assert_eq!(found, ids);
}

#[test]
fn there_are_only_so_many_watches_and_labels() {
    let bed = TestServer::start(None);
    let agree = |quota| bed.service.terms.replace(Agreed { quota, ..agreed(None) });
    agree(Quota { watches: Some(1), labels: None });
    assert_eq!(bed.post(&wanted()).status, 201);
    let mut another = wanted();
    another["account"] = "acme".into();
    let problem = bed.post(&another).problem(507);
    assert_eq!(problem["code"], "quota");
    assert!(problem["detail"].as_str().unwrap().contains("[store] max-watches"), "{problem}");
    assert_eq!(bed.post(&wanted()).status, 200, "what is there is there");
    agree(Quota { watches: None, labels: Some(10) });
    another["labels"] = serde_json::json!({ "team": "payments" });
    let problem = bed.post(&another).problem(507);
    assert!(problem["detail"].as_str().unwrap().contains("[store] max-labels"), "{problem}");
    agree(Quota::default());
    assert_eq!(bed.post(&another).status, 201);
}

/// A server in this test's own runtime, whose time is paused.
async fn start() -> (TempDir, SocketAddr) {
    let (directory, _, service) = service(None, |_| {}).await;
    let server = Server::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], false).await.unwrap();
    let address = server.address();
    tokio::spawn(server.serve(service, std::future::pending()));
    (directory, address)
}

async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).await.unwrap();
    assert_ne!(length, 0, "it was closed");
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
