//! Access: tokens, hosts, and who is logged.

use std::net::SocketAddr;

use snyk_export::event::ApiWhat;
use snyk_export::secret::Secret;
use snyk_export::server::Agreed;

use super::client::{TestServer, agreed};
use super::{TOKEN, wanted};

#[test]
fn without_a_token_only_this_machine_is_answered() {
    let bed = TestServer::start(None);
    let rows = [
        ("Host: localhost", 200),
        ("Host: LOCALHOST:8686", 200),
        ("Host: snyk.localhost", 200),
        ("Host: 127.0.0.1:8686", 200),
        ("Host: 127.255.0.3", 200),
        ("Host: [::1]:8686", 200),
        ("Host: evil.example", 403),
        ("Host: localhost.evil.example", 403),
        ("Host: notlocalhost", 403),
        ("Host: 192.168.0.1:8686", 403),
        ("Host: 0.0.0.0", 403),
        ("Host: [fe80::1]", 403),
        ("Host: x@localhost", 403),
        ("Host: localhost\r\nHost: localhost", 403),
        ("Host: ", 403),
        ("Host: a b", 403),
    ];
    for (host, status) in rows {
        for path in ["/v1/watches", "/metrics", "/healthz", "/openapi.json", "/none"] {
            let answer = bed.ask("GET", path, &[host], "");
            match status {
                403 => assert_eq!(answer.problem(403)["source"]["header"], "Host", "{host}"),
                _ => assert!([200, 404].contains(&answer.status), "{host} {path}: {answer:?}"),
            }
        }
    }
    bed.send("GET /healthz HTTP/1.0\r\n\r\n").problem(403);
    let target = "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    bed.send(target).problem(403);
}

#[test]
fn watches_need_the_token_if_one_is_set() {
    let bed = TestServer::start(Some(TOKEN));
    let watches = |headers: &[&str]| bed.ask("GET", "/v1/watches", headers, "");
    let rows: [(String, u16); 8] = [
        (format!("Authorization: Bearer {TOKEN}"), 200),
        (format!("authorization: bearer  {TOKEN} "), 200),
        (format!("Authorization: Bearer {TOKEN}x"), 401),
        ("Authorization: Bearer ".to_owned(), 401),
        (format!("Authorization: Basic {TOKEN}"), 401),
        (format!("Authorization: {TOKEN}"), 401),
        (format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}"), 401),
        ("X-Nothing: x".to_owned(), 401),
    ];
    for (header, status) in rows {
        let answer = watches(&[&header, "Host: exports.internal"]);
        assert_eq!(answer.status, status, "{header}");
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{header}");
            assert!(!answer.problem(401).to_string().contains(TOKEN), "{header}");
        }
    }
    for path in ["/v1", "/v1/", "/v1/watches/x", "/v1/watches/x/y", "/v1/none"] {
        bed.get(path).problem(401);
    }
    bed.ask("GET", "/none", &["Host: exports.internal"], "").problem(404);
    bed.ask("POST", "/v1/watches", &["Content-Type: text/plain"], "x").problem(401);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(bed.ask("GET", path, &["Host: exports.internal"], "").status, 200, "{path}");
    }
    let body = ["Content-Type: text/plain", &format!("Authorization: Bearer {TOKEN}")];
    bed.ask("POST", "/v1/watches", &body, "{}").problem(415);

    bed.service.terms.replace(agreed(Some("another token of some length")));
    assert_eq!(watches(&["Authorization: Bearer another token of some length"]).status, 200);
    assert_eq!(watches(&[&format!("Authorization: Bearer {TOKEN}")]).status, 401);
}

#[test]
fn one_token_is_changed_for_another_without_a_gap() {
    let bed = TestServer::start(Some(TOKEN));
    let ask =
        |token: &str| bed.ask("GET", "/v1/watches", &[&format!("Authorization: Bearer {token}")], "").status;
    assert_eq!((ask(TOKEN), ask("another token of some length")), (200, 401));
    let both = [TOKEN, "another token of some length"].map(Secret::new).to_vec();
    bed.service.terms.replace(Agreed { tokens: both, ..agreed(None) });
    assert_eq!((ask(TOKEN), ask("another token of some length"), ask("a third one")), (200, 200, 401));
    bed.service.terms.replace(agreed(Some("another token of some length")));
    assert_eq!((ask(TOKEN), ask("another token of some length")), (401, 200));
}

#[test]
fn changes_and_refusals_are_logged_without_the_token() {
    let bed = TestServer::start(Some(TOKEN));
    let right = format!("Authorization: Bearer {TOKEN}");
    let added =
        bed.ask("POST", "/v1/watches", &[&right, "Content-Type: application/json"], &wanted().to_string());
    let path = added.header("location").unwrap().to_owned();
    bed.ask("GET", &path, &[&right], "");
    bed.ask("DELETE", &path, &["Authorization: Bearer 5ec7e7 of somebody"], "").problem(401);
    bed.ask("DELETE", &path, &[&right], "");
    bed.ask("DELETE", &path, &[&right], "").problem(404);
    let noted = bed.noted.until(|noted| noted.len() >= 3);
    let seen: Vec<_> = noted
        .iter()
        .map(|event| {
            let request = event.request.as_ref().unwrap();
            let watch = request.watch.map(|id| format!("/v1/watches/{id}") == path);
            (event.what, request.method.as_str(), request.route.as_str(), request.code, watch)
        })
        .collect();
    let one = "/v1/watches/{id}";
    let expected = [
        (ApiWhat::Changed, "POST", "/v1/watches", 201, Some(true)),
        (ApiWhat::Refused, "DELETE", one, 401, None),
        (ApiWhat::Changed, "DELETE", one, 204, Some(true)),
    ];
    assert_eq!(seen, expected);
    assert!(noted.iter().all(|event| event.peer == "127.0.0.1"), "{noted:?}");
    assert!(!format!("{noted:?}").contains("5ec7e7") && !format!("{noted:?}").contains(TOKEN));
    let metrics = bed.get("/metrics").body;
    for (route, code, count) in [("/v1/watches", 201, 1), (one, 401, 1), (one, 404, 1), ("other", 404, 0)] {
        let line = format!("snyk_export_api_requests_total{{code=\"{code}\",route=\"{route}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[test]
fn where_others_can_ask_a_token_that_is_gone_opens_nothing() {
    let bed = TestServer::telling(Some(TOKEN), SocketAddr::from(([0, 0, 0, 0], 0)), |_| {});
    bed.service.terms.replace(agreed(None));
    bed.get("/v1/watches").problem(401);
    assert_eq!(bed.get("/healthz").status, 200);
}
