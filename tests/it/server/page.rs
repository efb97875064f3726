//! The page, as a browser asks for it. `.ci/page` looks at it in one.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use snyk_export::event::ApiWhat;
use snyk_export::export::{ExportRef, Scope};
use snyk_export::watch::NewWatch;
use uuid::Uuid;

use super::client::{Answer, PATIENCE, TestServer, agreed};
use super::{TOKEN, wanted};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const OURS: &str = "Origin: http://localhost";

/// Sends the form of the login.
fn log_in(bed: &TestServer, token: &str, headers: &[&str]) -> Answer {
    let body: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
    bed.ask("POST", "/login", &[&[FORM], headers].concat(), &body)
}

/// The header with which a browser sends the cookie of an answer back.
fn cookie(answer: &Answer) -> String {
    format!("Cookie: a=b; {}", answer.header("set-cookie").unwrap().split(';').next().unwrap())
}

/// A watch with these labels.
fn watch(number: u128, labels: &[(String, String)]) -> (Uuid, NewWatch) {
    let export = ExportRef { scope: Scope::Org, scope_id: Uuid::nil(), export_id: Uuid::from_u128(number) };
    (Uuid::now_v7(), NewWatch { account: "default".into(), export, labels: labels.iter().cloned().collect() })
}

fn fill(bed: &TestServer, watches: Vec<(Uuid, NewWatch)>) {
    bed.runtime.block_on(bed.store.reconcile(watches, bed.service.clock.now())).unwrap();
}

/// The ids of the watches that a page lists.
fn rows(page: &str) -> Vec<String> {
    page.split("href=\"/watches/").skip(1).map(|rest| rest[..36].to_owned()).collect()
}

/// The pages of a search. On a slow machine it goes on in the next page.
fn search(bed: &TestServer, path: &str) -> Vec<String> {
    let mut pages = vec![bed.get(path).body];
    while let Some(next) = link(pages.last().unwrap(), "Search on") {
        pages.push(bed.get(&next).body);
    }
    pages
}

/// The path behind the link with this text.
fn link(page: &str, text: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!("\">{text}</a>"))?;
    Some(before.rsplit_once("href=\"")?.1.replace("&#38;", "&"))
}

#[test]
fn people_log_in_with_the_token_and_get_a_cookie_that_is_not_the_token() {
    let bed = TestServer::start(Some(TOKEN));
    for path in ["/", "/watches/x", "/notifications", "/events"] {
        let sent_on = bed.get(path);
        assert_eq!((sent_on.status, sent_on.header("location")), (303, Some("/login")), "{path}");
    }
    assert!(bed.get("/login").body.contains("type=\"password\""));
    let wrong = log_in(&bed, "5ec7e7 of somebody", &[OURS]);
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(wrong.body.contains("not the token") && !wrong.body.contains("5ec7e7"), "{wrong:?}");
    let right = log_in(&bed, &format!(" {TOKEN} "), &[OURS]);
    assert_eq!((right.status, right.header("location")), (303, Some("/")));
    let cookie = cookie(&right);
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let ask = |path: &str, header: &str| bed.ask("GET", path, &[header], "").status;
    assert_eq!(
        [ask("/", &cookie), ask("/watches/x", &cookie), ask("/notifications", &cookie)],
        [200, 404, 200]
    );
    assert_eq!(ask("/v1/watches", &cookie), 401, "it opens the page, and nothing else");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!([ask("/", &bearer), ask("/", "Authorization: Bearer x")], [200, 401]);

    let basic = "Authorization: Basic dXNlcjpwYXNz";
    assert_eq!([bed.ask("GET", "/", &[basic, &cookie], "").status, ask("/", basic)], [200, 303], "a proxy's");

    let out = bed.ask("POST", "/logout", &[&cookie, OURS], "");
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    // Another token: the session ends.
    bed.service.terms.replace(agreed(Some("another token of some length")));
    let over = bed.ask("GET", "/", &[&cookie], "");
    assert_eq!((over.status, over.header("set-cookie").is_some()), (401, true));
    let noted = bed.noted.until(|noted| noted.len() >= 4);
    let noted: Vec<_> =
        noted.iter().map(|event| (event.what, event.request.as_ref().unwrap().route.as_str())).collect();
    let refused = ["/login", "/v1/watches", "/", "/"].map(|route| (ApiWhat::Refused, route));
    assert_eq!(noted, refused);
}

#[test]
fn wrong_tokens_are_limited_even_if_a_right_one_follows() {
    let bed = TestServer::start(Some(TOKEN));
    assert_eq!((0..10).map(|_| log_in(&bed, "wrong", &[OURS]).status).collect::<Vec<_>>(), [401; 10]);
    let limited = log_in(&bed, TOKEN, &[OURS]);
    assert_eq!((limited.status, limited.header("set-cookie")), (429, None));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() <= 31);
    assert!(
        bed.get("/metrics")
            .body
            .contains("snyk_export_api_requests_total{code=\"429\",route=\"/login\"} 1\n")
    );
    // Programs are not.
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(bed.ask("GET", "/", &[&bearer], "").status, 200);
}

#[test]
fn a_form_of_another_site_is_refused() {
    let bed = TestServer::start(Some(TOKEN));
    for headers in
        [&[][..], &["Origin: null"], &["Origin: http://evil.example"], &[OURS, "Sec-Fetch-Site: cross-site"]]
    {
        assert_eq!(log_in(&bed, TOKEN, headers).status, 403, "{headers:?}");
        assert_eq!(bed.ask("POST", "/logout", headers, "").status, 403, "{headers:?}");
    }
    let json = ["Content-Type: application/json", OURS];
    assert_eq!(bed.ask("POST", "/login", &json, "{}").status, 415);
    // A proxy that speaks TLS, and has another name for us.
    let over_tls = log_in(&bed, TOKEN, &["Origin: https://exports.example", "Sec-Fetch-Site: same-origin"]);
    let cookie = over_tls.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.ends_with("; Secure"), "{cookie}");
}

#[test]
fn without_a_token_only_this_machine_sees_the_page() {
    let bed = TestServer::start(None);
    let page = bed.get("/");
    assert!(page.status == 200 && !page.body.contains("Log out"), "{page:?}");
    assert_eq!(bed.get("/login").header("location"), Some("/"));
    for path in ["/", "/login", "/events"] {
        let refused = bed.ask("GET", path, &["Host: evil.example"], "");
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.header("content-type").unwrap().starts_with("text/html"), "{path}");
    }
    let bed = TestServer::telling(Some(TOKEN), SocketAddr::from(([0, 0, 0, 0], 0)), |_| {});
    let cookie = cookie(&log_in(&bed, TOKEN, &[OURS]));
    bed.service.terms.replace(agreed(None));
    assert_eq!(bed.ask("GET", "/", &[&cookie], "").status, 401, "others could look without a token");
}

#[test]
fn the_policy_allows_what_is_in_the_page_and_nothing_else() {
    let bed = TestServer::start(None);
    for path in ["/", "/watches/x", "/notifications", "/login"] {
        let page = bed.ask("GET", path, &["Host: localhost"], "");
        if page.status == 303 {
            continue;
        }
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        for tag in ["style", "script"] {
            let (_, rest) = page.body.split_once(&format!("<{tag}>")).unwrap();
            let (inner, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            let hash = BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, inner.as_bytes()));
            assert!(policy.contains(&format!("{tag}-src 'sha256-{hash}'")), "{path}: {policy}");
            assert_eq!(page.body.matches(&format!("<{tag}")).count(), 1, "{path}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path} {name}");
        }
        for attribute in [" style=", " onclick=", " onload=", "http://", "https://", " src="] {
            assert!(!page.body.contains(attribute), "{path} has {attribute}");
        }
    }
}

#[test]
fn ten_thousand_watches_are_shown_page_by_page() {
    let bed = TestServer::start(None);
    let team = |n| watch(n, &[("team".to_owned(), format!("team-{}", n % 5000))]);
    fill(&bed, (1..=10_000).map(team).collect());
    let mut path = "/?state=active".to_owned();
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    loop {
        let page = bed.get(&path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < 200_000, "{path} has {} bytes", page.body.len());
        let before = seen.len();
        seen.extend(rows(&page.body));
        pages += 1;
        // Some of them are enough.
        let Some(next) = link(&page.body, "Older").filter(|_| pages < 5) else { break };
        assert_eq!(seen.len(), before + 50);
        path = next;
    }
    assert_eq!((pages, seen.len()), (5, 250));
    let back = rows(&bed.get(&link(&bed.get(&path).body, "Newer").unwrap()).body);
    assert!(back.len() == 50 && back.iter().all(|row| seen.contains(row)));
    // The oldest is found, too.
    let found = search(&bed, "/?label=team%3Dteam-1");
    assert_eq!(found.iter().map(|page| rows(page).len()).sum::<usize>(), 2, "{found:?}");
    assert!(found.last().is_some_and(|page| link(page, "Older").is_none()));
    assert!(search(&bed, "/?q=none+is+like+this").last().unwrap().contains("None is like this."));
}

#[test]
fn hostile_texts_are_escaped_and_cut() {
    let bed = TestServer::start(None);
    let hostile = |n: usize| (format!("{n}\"><script>"), "'\"<&>".repeat(51));
    let labels: Vec<_> = (0..32).map(hostile).collect();
    fill(&bed, (1..=50).map(|n| watch(n, &labels)).collect());
    let page = bed.get("/");
    assert!(page.body.len() < 200_000, "{} bytes", page.body.len());
    assert!(page.body.contains("and 28 more"));
    let id = rows(&page.body)[0].clone();
    let query = "<script>alert(1)</script>";
    let search = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("q", query)
        .append_pair("account", query)
        .append_pair("label", query)
        .finish();
    for path in [
        "/",
        &format!("/?{search}"),
        &format!("/watches/{id}"),
        &format!("/notifications?after={search}&{search}"),
    ] {
        let page = bed.get(path);
        assert_eq!(page.body.matches("<script").count(), 1, "{path}: its own");
        assert!(!page.body.contains("'\"<&>"), "{path}");
    }
    assert_eq!(bed.get(&format!("/watches/{id}")).body.matches("<dt>Label ").count(), 32, "all are there");
}

#[test]
fn not_all_is_well_before_an_account_has_answered() {
    let bed = TestServer::start(None);
    fill(&bed, vec![watch(1, &[])]);
    let page = bed.get("/").body;
    assert!(page.contains("Nothing is known to be wrong; 1 account has not answered yet"), "{page}");
    let standing = snyk_export::health::Standing { has_answered: true, ..Default::default() };
    bed.service.health.see(&"default".into(), standing);
    assert!(bed.get("/").body.contains("All is well"));
}

#[test]
fn it_says_what_is_not_well_and_since_when() {
    let bed = TestServer::start(None);
    assert!(bed.get("/").body.contains("All is well"));
    bed.service.health.refuse(&"acme".into(), bed.service.clock.now());
    let page = bed.get("/").body;
    assert!(page.contains("One thing needs attention"), "{page}");
    assert!(page.contains("Polls of account acme pause"), "{page}");
    bed.service.health.accept("acme");
    let (_, rest) = watch(1, &[]);
    let lost = NewWatch { account: Arc::from("gone"), ..rest };
    fill(&bed, vec![(Uuid::now_v7(), lost)]);
    let shown = |text: &str| {
        let begun = bed.service.clock.now();
        loop {
            let page = bed.get("/");
            if page.body.contains(text) {
                return page;
            }
            assert!(bed.service.clock.now().since(begun) < PATIENCE, "{text}: {page:?}");
        }
    };
    shown("1 watch is not followed: the settings have no account gone");
    bed.runtime.block_on(bed.store.close()).unwrap();
    assert_eq!(shown("No answer from the store").status, 200);
    assert_eq!(bed.get(&format!("/watches/{}", Uuid::nil())).status, 503);
}

/// A viewer that has got the head of its stream.
fn viewer(bed: &TestServer) -> (TcpStream, String) {
    let mut stream = bed.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let head = read_until(&mut stream, "\r\n\r\n");
    (stream, head)
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert!(stream.read(&mut byte).unwrap() > 0, "{}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

#[test]
fn viewers_are_told_of_news_until_the_server_stops() {
    let mut bed = TestServer::start(None);
    let (mut stream, head) = viewer(&bed);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    read_until(&mut stream, "retry: 5000\n\n");
    let (clock, begun) = (bed.service.clock, bed.service.clock.now());
    assert_eq!(bed.post(&wanted()).status, 201);
    for _ in 0..3 {
        bed.service.health.tell_news();
    }
    read_until(&mut stream, "data: new\n\n");
    assert!(clock.now().since(begun).as_millis() >= 1000, "events are not so many");
    bed.stop();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    bed.join();
}

#[test]
fn there_are_only_so_many_viewers() {
    let bed = TestServer::start(None);
    let mut viewers: Vec<_> = (0..32).map(|_| viewer(&bed)).collect();
    assert!(viewers.iter().all(|(_, head)| head.starts_with("HTTP/1.1 200")));
    let refused = bed.get("/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("15")));
    assert_eq!(bed.get("/").status, 200);
    viewers.pop();
    let begun = bed.service.clock.now();
    while viewer(&bed).1.starts_with("HTTP/1.1 503") {
        assert!(bed.service.clock.now().since(begun) < PATIENCE, "its place is not free");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
