//! Webhooks and Slack: requests, and what answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use snyk_export::notify::{Attempt, Endpoint, EndpointKind, OwnHeaders};
use snyk_export::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{EVENT, ID, endpoint, send, webhook, why};
use crate::lab::free_address;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test]
async fn a_webhook_gets_the_event_as_it_is_and_signed() {
    let server = answering(ResponseTemplate::new(204)).await;
    let endpoint = webhook(&format!("{}/hook?v=1", server.uri()), Some(&format!("{KEY}\n{NEXT_KEY}")));
    assert_eq!(send(&endpoint).await, Attempt::Sent);
    let request = only_request(&server).await;
    assert_eq!(
        (request.method.as_str(), request.url.path(), request.url.query()),
        ("POST", "/hook", Some("v=1"))
    );
    assert_eq!(request.body, EVENT.as_bytes());
    assert_eq!(header(&request, "content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!((header(&request, "webhook-id"), header(&request, "webhook-timestamp")), (ID, "1732529622"));
    let expected = [KEY, NEXT_KEY].map(|key| signature(key, &format!("{ID}.1732529622.{EVENT}"))).join(" ");
    assert_eq!(header(&request, "webhook-signature"), expected);
}

/// As the specification of Standard Webhooks says it.
fn signature(key: &str, content: &str) -> String {
    let key = BASE64_STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    format!("v1,{}", BASE64_STANDARD.encode(ring::hmac::sign(&key, content.as_bytes())))
}

#[tokio::test]
async fn a_webhook_without_a_key_is_not_signed() {
    let server = answering(ResponseTemplate::new(200)).await;
    let url = server.uri().replace("//", "//user:word@");
    assert_eq!(send(&webhook(&url, None)).await, Attempt::Sent);
    let request = only_request(&server).await;
    assert!(!request.headers.contains_key("webhook-signature"));
    assert_eq!(header(&request, "webhook-id"), ID);
    assert_eq!(header(&request, "authorization"), "Basic dXNlcjp3b3Jk");
}

#[tokio::test]
async fn a_webhook_gets_headers_of_the_users_own() {
    let server = answering(ResponseTemplate::new(401).set_body_string("no Bearer hunter2hunter2")).await;
    let headers = OwnHeaders::new("Authorization: Bearer hunter2hunter2\nX-Team: hunter2-team\n").unwrap();
    let webhook =
        endpoint(EndpointKind::Webhook { url: server.uri().parse().unwrap(), secret: None, headers });
    assert_eq!(why(send(&webhook).await), "HTTP 401 Unauthorized");
    let request = only_request(&server).await;
    assert_eq!(header(&request, "authorization"), "Bearer hunter2hunter2");
    assert_eq!((header(&request, "x-team"), header(&request, "webhook-id")), ("hunter2-team", ID));
    assert!(!format!("{webhook:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_message_that_slack_does_not_take_has_failed() {
    let not_ok = json!({ "ok": false, "error": "channel_not_found" });
    let server = answering(ResponseTemplate::new(200).set_body_json(not_ok)).await;
    let problem = why(send(&slack(&server.uri())).await);
    assert_eq!(problem, "HTTP 200, but the answer says that it is not ok (channel_not_found)");
    assert_eq!(send(&webhook(&server.uri(), None)).await, Attempt::Sent);
}

#[tokio::test]
async fn slack_gets_a_message() {
    let server = answering(ResponseTemplate::new(200).set_body_string("ok")).await;
    assert_eq!(send(&slack(&format!("{}/services/T/B/x", server.uri()))).await, Attempt::Sent);
    let request = only_request(&server).await;
    assert_eq!(
        (request.url.path(), header(&request, "content-type")),
        ("/services/T/B/x", "application/json")
    );
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    let text = "*finished*: `/groups/00000000-0000-0000-0000-000000000001/jobs/export/00000000-0000-0000-0000-000000000002`\n\
        after 2m 31s, 35 polls, account `acme`, status `FINISHED`, 7 rows";
    assert_eq!(message, json!({"text": text, "unfurl_links": false, "unfurl_media": false}));
}

#[tokio::test]
async fn every_status_code_has_its_meaning() {
    for code in [200, 201, 202, 204, 299] {
        assert_eq!(answer_to(ResponseTemplate::new(code)).await, Attempt::Sent, "{code}");
    }
    let Attempt::Gone { problem } = answer_to(ResponseTemplate::new(410).set_body_string("moved out")).await
    else {
        panic!("410 ends it")
    };
    assert_eq!(problem.as_str(), "HTTP 410 Gone");
    let rows = [(304, "HTTP 304 Not Modified: redirects"), (404, "HTTP 404 Not Found"), (599, "HTTP 599")];
    for (code, expected) in rows {
        let problem = why(answer_to(ResponseTemplate::new(code).set_body_string("said")).await);
        assert!(problem.starts_with(expected) && !problem.contains("said"), "{problem}");
    }
    for (code, is_about_this_one) in [
        (400, true),
        (401, false),
        (403, false),
        (409, true),
        (413, true),
        (422, true),
        (429, false),
        (500, false),
        (502, false),
        (503, false),
    ] {
        let attempt = answer_to(ResponseTemplate::new(code)).await;
        assert_eq!(matches!(attempt, Attempt::Refused { .. }), is_about_this_one, "{attempt:?}");
        let problem = why(attempt);
        assert!(problem.starts_with(&format!("HTTP {code} ")), "{problem}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("{}/?token=hunter2", elsewhere.uri());
        let problem = why(answer_to(ResponseTemplate::new(code).insert_header("location", location)).await);
        assert!(problem.contains("redirects are not followed") && !problem.contains("hunter2"), "{problem}");
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_says_when_to_come_back() {
    let rows = [
        ("45", Some(45_000)),
        ("2.5", Some(2_500)),
        ("Mon, 25 Nov 2024 10:14:42 GMT", Some(59_000)),
        ("Mon, 25 Nov 2024 10:00:00 GMT", Some(0)),
        ("soon", None),
    ];
    for (value, expected) in rows {
        for code in [429, 503] {
            let template = ResponseTemplate::new(code).insert_header("retry-after", value);
            let template = template.insert_header("date", "Mon, 25 Nov 2024 10:13:43 GMT");
            let attempt = answer_to(template).await;
            let Attempt::Failed { hint, .. } = attempt else { panic!("{attempt:?}") };
            assert_eq!(
                hint.map(|hint| hint.as_millis()),
                expected.or((code == 429).then_some(1000)),
                "{value}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_receiver_says_is_not_shown() {
    let forms = [
        "no /services/T1/hunter2hunter2 (sig hunter2%2F)",
        "Authorization: Basic aHVudGVyMjpodW50ZXIy",
        "HUNTER2",
        r"\u0068unter2",
        "hunter2/",
        "<html><title>no hunter2</title>",
        "&#104;unter2",
    ];
    for form in forms {
        let server = answering(ResponseTemplate::new(404).set_body_string(form)).await;
        let url = format!("{}/services/T1/hunter2hunter2?sig=hunter2%252F", server.uri());
        for endpoint in [slack(&url), webhook(&url.replace("//", "//hunter2:hunter2@"), None)] {
            assert_eq!(why(send(&endpoint).await), "HTTP 404 Not Found");
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_named_without_its_url() {
    let problem = why(send(&slack(&format!("http://{}/services/hunter2", free_address()))).await);
    assert!(problem.starts_with("connection failed: ") && !problem.contains("hunter2"), "{problem}");
    let problem = why(send(&webhook(&format!("http://u:hunter2@{}/?hunter2", free_address()), None)).await);
    assert!(problem.starts_with("connection failed: ") && !problem.contains("hunter2"), "{problem}");
}

#[tokio::test]
async fn an_answer_counts_before_its_body_has_come() {
    for (status, sent) in [("200 OK", true), ("500 Oops", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // The body never ends, and the connection stays open until the test is over.
        let server = tokio::spawn(async move {
            let mut stream = asked(&listener).await;
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 1000000\r\n\r\nnot all");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        let attempt = send(&webhook(&url, None)).await;
        match sent {
            true => assert_eq!(attempt, Attempt::Sent),
            false => assert_eq!(why(attempt), "HTTP 500 Internal Server Error"),
        }
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut stream = asked(&listener).await;
        stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await.unwrap();
        // Ends when the client goes away.
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let problem = why(send(&webhook(&url, None)).await);
    assert!(problem.starts_with("HTTP 503") && problem.len() < 300, "{problem}");
    let bound = Duration::from_secs(60);
    tokio::time::timeout(bound, server).await.unwrap().unwrap();
}

/// A connection on which the whole event has come.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(EVENT.as_bytes()) {
        request.push(stream.read_u8().await.unwrap());
    }
    stream
}

fn slack(url: &str) -> Endpoint {
    endpoint(EndpointKind::Slack { url: Secret::new(url) })
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn answer_to(answer: ResponseTemplate) -> Attempt {
    let server = answering(answer).await;
    let attempt = send(&webhook(&server.uri(), Some(KEY))).await;
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "an attempt is one request");
    attempt
}

async fn only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

#[track_caller]
fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}
