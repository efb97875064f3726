//! TLS errors that no retry can fix. Each has its own message and hint.

use snyk_export::watch::observation::{Failure, FailureKind};

use super::peers::{FUTURE, Identity, NOW, PAST, Peer, poll, start, through, trusting};
use crate::lab::free_address;

/// A failure that is final, with these words in its title, its detail and its cure.
#[track_caller]
fn check_final(failure: Option<Failure>, title: &str, detail: &[&str], cure: &[&str]) {
    check(failure, FailureKind::Unrecoverable, title, detail, cure);
}

#[track_caller]
fn check(failure: Option<Failure>, kind: FailureKind, title: &str, detail: &[&str], cure: &[&str]) {
    let failure = failure.expect("it should have failed");
    assert_eq!(failure.kind, kind, "{failure:?}");
    let text =
        |text: &Option<snyk_export::text::Text>| text.as_ref().map(ToString::to_string).unwrap_or_default();
    let problem = &failure.problem;
    assert_eq!(text(&problem.title), title, "{problem:?}");
    for (said, words) in [(text(&problem.detail), detail), (text(&problem.cure), cure)] {
        assert!(words.iter().all(|word| said.contains(word)), "{said:?} lacks one of {words:?}");
    }
    assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_where_it_is_named() {
    let server = Identity::of_itself(&["localhost"], NOW);
    let other = Identity::of_itself(&["localhost"], NOW);
    let peer = Peer::speaking_tls(&server, false);
    let url = format!("https://localhost:{}", peer.port);
    assert_eq!(poll(&url, &trusting(&[&server.der])), None);
    assert_eq!(poll(&url, &trusting(&[&other.der, &server.der])), None);
    let refused = "the server's certificate is not trusted";
    check_final(
        poll(&url, &trusting(&[])),
        refused,
        &["certificate of an authority"],
        &["--ca-cert FILE", "the certificate itself"],
    );
    check_final(poll(&url, &trusting(&[&other.der])), refused, &[], &["--ca-cert FILE"]);
    assert_eq!(peer.heard.get().len(), 2);
}

#[test]
fn its_name_and_its_dates_count_all_the_same() {
    for is_own_authority in [true, false] {
        let fault = |names: &[&str], years| {
            let (server, named) = match is_own_authority {
                true => {
                    let identity = Identity::of_itself(names, years);
                    let named = identity.der.clone();
                    (identity, named)
                }
                false => Identity::signed(names, years),
            };
            let peer = Peer::speaking_tls(&server, false);
            poll(&format!("https://localhost:{}", peer.port), &trusting(&[&named]))
        };
        let title = |what| format!("the server's certificate {what}");
        assert_eq!(fault(&["localhost"], NOW), None);
        let names = &["a.example", "10.1.2.3"];
        let detail = &["for a.example, 10.1.2.3, not for localhost"];
        check_final(fault(names, NOW), &title("is for another name"), detail, &["localhost"]);
        check_final(fault(&[], NOW), &title("is for another name"), &["subjectAltName"], &["localhost"]);
        let year = jiff_year();
        let detail = &["until 2002-01-01T00:00:00", "this machine's clock says", &year];
        check_final(fault(&["localhost"], PAST), &title("has expired"), detail, &["clock", &year]);
        let detail = &["from 2998-01-01T00:00:00", "this machine's clock says", &year];
        check_final(fault(&["localhost"], FUTURE), &title("is not valid yet"), detail, &["clock", &year]);
    }
}

/// This year, as a clock's reading begins with it.
fn jiff_year() -> String {
    snyk_export::clock::Clock::start().now().to_string()[..4].to_owned()
}

#[test]
fn an_unknown_authority_is_named_with_the_ways_to_trust_it() {
    let (server, authority) = Identity::signed(&["localhost"], NOW);
    let peer = Peer::speaking_tls(&server, false);
    let url = format!("https://localhost:{}", peer.port);
    assert_eq!(poll(&url, &trusting(&[&authority])), None);
    let cure = &["--ca-cert FILE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
    check_final(
        poll(&url, &trusting(&[])),
        "the server's certificate is not trusted",
        &["not signed by a trusted authority"],
        cure,
    );
}

#[test]
fn a_server_that_speaks_no_tls_of_ours_is_final() {
    // A fatal alert of TLS: protocol_version (70), handshake_failure (40).
    let rows: [(&'static [u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the server does not speak TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks another version of TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "the server refuses our TLS"),
    ];
    for (bytes, title) in rows {
        let peer = Peer::answering(bytes);
        let url = format!("https://localhost:{}", peer.port);
        check_final(poll(&url, &trusting(&[])), title, &[], &[]);
        assert_eq!(peer.heard.get().len(), 1);
    }
}

#[test]
fn a_wanted_client_certificate_is_final_and_starts_nothing() {
    let server = Identity::of_itself(&["localhost"], NOW);
    let peer = Peer::speaking_tls(&server, true);
    let url = format!("https://localhost:{}", peer.port);
    let network = trusting(&[&server.der]);
    check_final(
        poll(&url, &network),
        "the server wants a client certificate",
        &[],
        &["snyk-export has none"],
    );
    let not_started = start(&url, &network);
    assert_eq!((not_started.may_exist, not_started.failure.kind), (false, FailureKind::Unrecoverable));
    assert_eq!(peer.heard.get(), [""; 0]);
}

const API: &str = "https://api.snyk.test";
const CONNECT: &str = "CONNECT api.snyk.test:443 HTTP/1.1";

#[test]
fn a_proxy_that_refuses_us_is_final_and_named_without_its_password() {
    for code in [400, 403, 405, 451, 501] {
        let answer = format!("HTTP/1.1 {code} No\r\ncontent-length: 0\r\n\r\n");
        let peer = Peer::answering(answer.leak().as_bytes());
        let place = format!("http://127.0.0.1:{} (HTTPS_PROXY) answered {code}", peer.port);
        let failure = poll(API, &peer.as_proxy("http://user:hunter2@"));
        check_final(
            failure,
            "the proxy refuses the connection",
            &[&place],
            &["api.snyk.test:443", "NO_PROXY"],
        );
        let heard = peer.heard.get();
        assert!(heard.iter().all(|head| head.starts_with(CONNECT)), "{heard:?}");
        // user:hunter2
        assert!(heard.iter().all(|head| head.contains("dXNlcjpodW50ZXIy")), "{heard:?}");
    }
}

#[test]
fn a_proxy_that_wants_a_login_says_so_in_both_ways_to_use_it() {
    let peer = Peer::answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    for api in [API, "http://api.snyk.test"] {
        let place = format!("http://127.0.0.1:{} (HTTPS_PROXY) answered 407", peer.port);
        let failure = poll(api, &peer.as_proxy("http://"));
        check_final(failure, "the proxy wants a login", &[&place], &["HTTPS_PROXY", "USER:PASSWORD"]);
        let failure = poll(api, &peer.as_proxy("http://user:hunter2@"));
        check_final(failure, "the proxy does not accept the login", &[&place], &["HTTPS_PROXY", "password"]);
        let not_started = start(api, &peer.as_proxy("http://"));
        assert_eq!((not_started.may_exist, not_started.failure.kind), (false, FailureKind::Unrecoverable));
    }
}

#[test]
fn what_may_pass_at_a_proxy_is_tried_again() {
    for code in [408, 429, 500, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {code} Later\r\ncontent-length: 0\r\n\r\n");
        let peer = Peer::answering(answer.leak().as_bytes());
        let detail = format!("http://127.0.0.1:{} answered {code}", peer.port);
        let failure = poll(API, &peer.as_proxy("http://"));
        check(failure, FailureKind::Transient, "connection failed", &[&detail], &["HTTPS_PROXY"]);
    }
    let nobody = free_address();
    let failure = poll(API, &through(&format!("http://user:hunter2@{nobody}")));
    let place = format!("through the proxy http://{nobody}");
    check(failure, FailureKind::Transient, "connection failed", &[&place], &[&place, "HTTPS_PROXY"]);
}

#[test]
fn a_proxy_that_speaks_another_protocol_is_final() {
    // An alert, as of a proxy that speaks TLS.
    let peer = Peer::answering(b"\x15\x03\x01\x00\x02\x02\x16");
    let failure = poll(API, &peer.as_proxy("http://"));
    check_final(failure, "the proxy does not speak HTTP", &["HTTPS_PROXY"], &["https://"]);
    let peer = Peer::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    for api in [API, "http://api.snyk.test"] {
        let failure = poll(api, &peer.as_proxy("https://user:hunter2@"));
        check_final(
            failure,
            "the proxy does not speak TLS",
            &["https://127.0.0.1"],
            &["http://", "HTTPS_PROXY"],
        );
    }
}

#[test]
fn a_proxy_has_a_certificate_too() {
    let server = Identity::of_itself(&["proxy.example"], NOW);
    let peer = Peer::speaking_tls(&server, false);
    let failure = poll(API, &peer.as_proxy("https://"));
    check_final(failure, "the proxy's certificate is not trusted", &["https://127.0.0.1"], &["--ca-cert"]);
}

#[test]
fn a_host_that_cannot_be_found_says_whether_a_proxy_is_asked() {
    let failure = poll("https://api.snyk.invalid", &trusting(&[]));
    let cure = &["api.snyk.invalid is reached without a proxy", "HTTPS_PROXY"];
    check(failure, FailureKind::Transient, "connection failed", &[], cure);
    let failure = poll(&format!("http://{}", free_address()), &trusting(&[])).unwrap();
    assert_eq!(failure.problem.cure, None, "loopback needs no proxy");
}
