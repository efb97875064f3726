//! When a proxy is used, and what it sees.

use snyk_export::moment::Moment;
use snyk_export::notify::{Attempt, Endpoint, EndpointKind, OwnHeaders};

use super::peers::Peer;
use super::server::{Authority, Proxy, Server};
use super::wait;
use crate::lab::{EXPORT_ID, ISSUES, Lab, Program, READY, Run, Watched, runtime};

#[test]
fn an_unusable_proxy_setting_exits_with_2_without_a_request() {
    let lab = Lab::start(READY);
    let commands = [Program::wait, Program::status, Program::start, Program::download, Program::whole_run];
    for (number, command) in commands.into_iter().enumerate() {
        let program = command(&lab);
        let program = if [2, 4].contains(&number) { program } else { program.export(EXPORT_ID) };
        let run = program.env("https_proxy", "http://user:hun/ter2@proxy.example:3128").run();
        run.exits(2).stderr_has("https_proxy: it is not a usable proxy").stderr_lacks("ter2");
    }
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_proxy_that_refuses_us_ends_every_command_at_once() {
    let peer = Peer::answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let proxy = format!("http://user:hunter2@127.0.0.1:{}", peer.port);
    for command in ["wait", "status", "start", "download", "run"] {
        let program = Program::asking(command, "https://api.snyk.test").env("HTTPS_PROXY", &proxy);
        let program = match command {
            "wait" | "status" => program.export(EXPORT_ID),
            "download" => program.export(EXPORT_ID).args("--dir files"),
            "start" => program.args(ISSUES),
            _ => program.args(ISSUES).args("--dir files"),
        };
        let run = program.run();
        let place = format!("http://127.0.0.1:{} (HTTPS_PROXY) answered 403", peer.port);
        run.exits(69)
            .stderr_has("the proxy refuses the connection")
            .stderr_has(&place)
            .stderr_lacks("hunter2");
        assert!(run.stdout.is_empty() || !run.stdout.contains("hunter2"));
    }
    // Each asks once, and once more for the code.
    assert_eq!(peer.heard.get().len(), 10);
}

#[test]
fn no_proxy_is_read_as_by_other_tools_and_wrong_entries_are_named() {
    let authority = Authority::new();
    let proxy = Proxy::start(1);
    for list in
        ["a.example , *.snyk.test", ".snyk.test", "api.snyk.test:443", "SNYK.TEST.", "http://x,snyk.test"]
    {
        let program = wait("https://api.snyk.test").env("HTTPS_PROXY", &proxy.url).env("no_proxy", list);
        let file = program.file("ca.pem", &authority.pem).display().to_string();
        let run = program.args("--request-timeout 200ms --max-outage 100ms --ca-cert").arg(&file).run();
        run.exits(69);
        assert_eq!(run.stderr.contains("invalid entries are ignored"), list.contains("://"), "{run}");
    }
    assert_eq!(proxy.asked.get(), [""; 0]);
}

#[test]
fn a_proxy_is_asked_for_an_api_elsewhere() {
    let authority = Authority::new();
    let server = Server::start(&authority, "api.snyk.test");
    let proxy = Proxy::start(server.port);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let run = through(&proxy, name, "https://api.snyk.test", &authority);
        run.exits(0);
    }
    assert_eq!(proxy.asked.get(), ["CONNECT api.snyk.test:443 HTTP/1.1"; 3]);
    assert!(server.requests.get().iter().all(|request| request.starts_with("GET /rest/groups/")));
}

#[test]
fn a_proxy_never_sees_the_token() {
    let authority = Authority::new();
    let server = Server::start(&authority, "api.snyk.test");
    let proxy = Proxy::start(server.port);
    through(&proxy, "HTTPS_PROXY", "https://api.snyk.test", &authority).exits(0);
    assert!(!proxy.heads.get().concat().to_lowercase().contains("authorization"));
}

#[test]
fn a_host_of_no_proxy_is_asked_directly() {
    let authority = Authority::new();
    let proxy = Proxy::start(1);
    let program = wait("https://api.snyk.test").env("HTTPS_PROXY", &proxy.url).env("NO_PROXY", "snyk.test");
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    let program = program.args("--request-timeout 200ms --max-outage 100ms --ca-cert").arg(&file);
    program.run().exits(69);
    assert_eq!(proxy.asked.get(), [""; 0]);
}

#[test]
fn loopback_never_goes_through_a_proxy() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    let lab = Lab::start(READY);
    let proxy = Proxy::start(server.port);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        through(&proxy, name, &server.url, &authority).exits(0);
        through(&proxy, name, &lab.url(), &authority).exits(0);
        through(&proxy, name, &lab.url().replace("127.0.0.1", "localhost"), &authority).exits(0);
    }
    let asked: Watched<Vec<String>> = proxy.asked;
    assert_eq!(asked.get(), [""; 0]);
}

/// Waits with a proxy that the variable `name` names, trusting `authority`.
fn through(proxy: &Proxy, name: &str, url: &str, authority: &Authority) -> Run {
    let program = wait(url).env(name, &proxy.url);
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    program.args("--ca-cert").arg(&file).run()
}

#[test]
fn notifications_go_through_the_proxy_that_polls_go_through() {
    let peer = Peer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let url = "http://hooks.example/x".parse().unwrap();
    let kind = EndpointKind::Webhook { url, secret: None, headers: OwnHeaders::default() };
    let endpoint = Endpoint::new("x".to_owned(), None, kind, &peer.as_proxy("http://")).unwrap();
    let sent = runtime().block_on(endpoint.send("msg_x", "{}", Moment::from_unix_ms(0)));
    assert_eq!(sent, Attempt::Sent);
    assert!(
        peer.heard.get()[0].starts_with("POST http://hooks.example/x HTTP/1.1"),
        "{:?}",
        peer.heard.get()
    );
}
