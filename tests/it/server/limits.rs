//! How much and how long: what clients may not use up.
//!
//! Where a limit is a time, tokio's clock is paused: it goes on by itself when nobody has anything to do, which is when
//! everybody waits for that limit.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use snyk_export::clock::Clock;
use snyk_export::server::Server;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bed::{Answer, Bed, service};
use super::wanted;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_body_may_have_64_kib() {
    const JSON: &str = "Content-Type: application/json";
    let bed = Bed::start(None);
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
    let bed = Bed::start(None);
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
    assert!((LIMIT..2 * LIMIT).contains(&clock.now().since(start)), "{:?}", clock.now().since(start));
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_128_wait_for_their_turn() {
    let (_directory, address) = start().await;
    let mut idle = Vec::new();
    for _ in 0..128 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let clock = Clock::start();
    let start = clock.now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 200);
    assert!((LIMIT..2 * LIMIT).contains(&clock.now().since(start)), "{:?}", clock.now().since(start));
}

/// A server in this test's own runtime, whose time is paused.
async fn start() -> (TempDir, SocketAddr) {
    let (directory, service) = service(None, |_| {}).await;
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).await.unwrap();
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
