//! The daemon's HTTP API, from outside.

mod access;
mod client;
mod deliveries;
mod described;
mod limits;
mod page;
mod watches;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use snyk_export::event::What;
use snyk_export::moment::Moment;
use snyk_export::observe::Metrics;
use snyk_export::server::Server;
use snyk_export::watch::observation::Problem;

use self::client::{Answer, PATIENCE, TestServer, accounts, agreed};
use crate::lab::{EXPORT_ID, GROUP, runtime};

const TOKEN: &str = "a token of some length";

/// A body that is taken.
fn wanted() -> Value {
    json!({ "group_id": GROUP, "export_id": EXPORT_ID })
}

#[test]
fn what_is_refused_says_so() {
    const JSON: &str = "Content-Type: application/json";
    let bed = TestServer::start(None);
    let missing = "/v1/watches/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
    let after = format!("/v1/watches?after={}", &missing["/v1/watches/".len()..]);
    let rows: [(u16, &str, &str, &[&str], &str); 21] = [
        (404, "GET", "/page", &[], ""),
        (404, "GET", "/v1", &[], ""),
        (404, "GET", "/v1/watches/", &[], ""),
        (404, "DELETE", "/v2/watches", &[], ""),
        (404, "GET", missing, &[], ""),
        (404, "DELETE", missing, &[], ""),
        (404, "GET", "/v1/watches/x", &[], ""),
        (404, "GET", "/v1/watches/%ff", &[], ""),
        (404, "GET", &after, &[], ""),
        (400, "GET", "/v1/watches?limit=0", &[], ""),
        (405, "PUT", "/v1/watches", &[JSON], "{}"),
        (405, "OPTIONS", "/v1/watches", &["Origin: https://evil.example"], ""),
        (405, "DELETE", "/openapi.json", &[], ""),
        (400, "POST", "/v1/watches", &[JSON], "{"),
        (400, "POST", "/v1/watches", &[JSON], ""),
        (422, "POST", "/v1/watches", &[JSON], "{\"export_id\":\"x\"}"),
        (415, "POST", "/v1/watches", &[], "{}"),
        (415, "POST", "/v1/watches", &[], ""),
        (415, "POST", "/v1/watches", &["Content-Type: text/plain"], "{}"),
        (415, "POST", "/v1/watches", &["Content-Type: application/jsonp; x=application/json"], "{}"),
        (415, "DELETE", missing, &["Content-Type: text/plain"], "{}"),
    ];
    for (status, method, path, headers, body) in rows {
        let answer = bed.ask(method, path, headers, body);
        answer.problem(status);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
    let allow = bed.ask("PATCH", "/v1/watches", &[], "").header("allow").unwrap().to_owned();
    assert!(["GET", "HEAD", "POST"].iter().all(|method| allow.contains(method)), "{allow}");
    let parameters = "Content-Type: Application/JSON ; charset=utf-8";
    assert_eq!(bed.ask("POST", "/v1/watches", &[parameters], &wanted().to_string()).status, 201);
}

#[test]
fn metrics_may_have_an_address_of_their_own() {
    let runtime = runtime();
    let (_directory, _, service) = runtime.block_on(client::service(Some(TOKEN), |_| {}));
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = runtime.block_on(async {
        Server::bind(&[anywhere], true).await.unwrap().with_metrics(&[anywhere]).await.unwrap()
    });
    let (api, metrics) = (server.address(), server.metrics_address().unwrap());
    runtime.spawn(server.serve(service, std::future::pending()));
    let ask = |address: SocketAddr, path: &str, header: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Answer::read(stream).status
    };
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/metrics", "/readyz"] {
        let codes = [ask(metrics, path, ""), ask(api, path, ""), ask(api, path, &right)];
        assert_eq!(codes, [200, 401, 200], "{path}");
    }
    assert_eq!([ask(metrics, "/healthz", ""), ask(api, "/healthz", "")], [200, 200]);
    assert_eq!([ask(metrics, "/v1/watches", &right), ask(metrics, "/openapi.json", &right)], [404, 404]);
}

#[test]
fn health_says_what_is_wrong() {
    let bed = TestServer::start(None);
    assert_eq!(bed.get("/healthz").json(), json!({ "status": "alive" }));
    assert_eq!(bed.get("/readyz").json(), json!({ "status": "ready" }));

    let health = &bed.service.health;
    health.refuse(&"acme".into(), bed.service.clock.now());
    health.stop();
    let reasons = bed.get("/readyz");
    reasons.problem(503);
    assert_eq!(reasons.json()["errors"].as_array().unwrap().len(), 2);
    assert!(reasons.body.contains("acme") && reasons.body.contains("stopping"), "{reasons:?}");
    assert_eq!(bed.get("/healthz").status, 200, "to start it again would not help");
}

#[test]
fn a_runner_that_makes_no_pass_is_no_health() {
    let bed = TestServer::start(None);
    bed.service.health.pass(Moment::from_unix_ms(0));
    bed.get("/healthz").problem(503);
    assert!(bed.get("/readyz").problem(503)["detail"].as_str().unwrap().contains("pass"));
}

#[test]
fn a_failing_store_is_reported_and_survived() {
    let bed = TestServer::start(None);
    bed.runtime.block_on(bed.store.close()).unwrap();
    bed.get("/v1/watches").problem(503);
    bed.post(&wanted()).problem(503);
    bed.get("/readyz").problem(503);
    assert_eq!(bed.get("/healthz").status, 200);
    assert_eq!(bed.told.get(), [""; 0]);
}

#[test]
fn a_bug_is_an_answer_and_not_the_end() {
    let bed =
        TestServer::telling(None, SocketAddr::from(([127, 0, 0, 1], 0)), |_| panic!("as the test wants it"));
    bed.post(&wanted()).problem(500);
    assert_eq!(bed.post(&wanted()).status, 200, "it was taken on before");
}

#[test]
fn metrics_are_as_prometheus_wants_them() {
    let bed = TestServer::start(None);
    bed.service.metrics.set_accounts(&accounts());
    bed.service.metrics.set_endpoints(["platform".to_owned()].into());
    let problem = Problem::new("x", "");
    bed.service.metrics.event(&What::AccountPaused { account: "acme".into(), problem }.at(Moment::default()));
    let answer = bed.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.contains("\nsnyk_export_account_unauthorized{account=\"acme\"} 1\n"), "{answer:?}");
    assert!(Metrics::NAMES.iter().all(|name| answer.body.contains(name)), "{answer:?}");
}

#[test]
fn head_is_get_without_the_body() {
    let bed = TestServer::start(None);
    for path in ["/healthz", "/readyz", "/metrics", "/v1/watches", "/openapi.json", "/none"] {
        let [get, head] = ["GET", "HEAD"].map(|method| bed.ask(method, path, &[], ""));
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[test]
fn the_openapi_document_lists_routes_that_exist() {
    let bed = TestServer::start(Some(TOKEN));
    let document = bed.get("/openapi.json").json();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", EXPORT_ID).replace("{delivery}", "x");
        for (method, operation) in item.as_object().unwrap() {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{operation}");
            let answer =
                bed.ask(&method.to_uppercase(), &path, &[&format!("Authorization: Bearer {TOKEN}")], "");
            assert!(
                !answer.body.contains("no-such-path") && answer.status != 405,
                "{method} {path}: {answer:?}"
            );
        }
    }
    let references = references(&document);
    assert!(!references.is_empty());
    for reference in references {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    let operation = &document["paths"]["/v1/watches"]["post"];
    assert_eq!(operation["security"], json!([{ "token": [] }]));
    for status in ["200", "201", "400", "401", "403", "408", "413", "415", "422", "500", "503", "507"] {
        assert!(operation["responses"][status]["description"].is_string(), "{status}");
    }
    assert!(document["paths"]["/healthz"]["get"].get("security").is_none());
    bed.service.terms.replace(agreed(None));
    let open = TestServer::start(None).get("/openapi.json").json();
    assert!(open["paths"]["/v1/watches"]["post"].get("security").is_none());
}

/// All that `$ref` names.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(reference) if name == "$ref" => vec![reference],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_server_stops() {
    let mut bed = TestServer::start(None);
    let body = wanted().to_string();
    let mut stream = bed.connect();
    let head = "POST /v1/watches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n", "the request is under way");
    bed.stop();
    let (clock, start) = (bed.service.clock, bed.service.clock.now());
    while TcpStream::connect(bed.address).is_ok() {
        assert!(clock.now().since(start) < PATIENCE, "it still listens");
        std::thread::yield_now();
    }
    stream.write_all(body.as_bytes()).unwrap();
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    bed.join();
}
