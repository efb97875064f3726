//! Starts, results, and API versions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use snyk_export::export::{Scope, ScopeRef, parse_id};
use snyk_export::request::StartRequest;
use snyk_export::simulator::{Scenario, Simulator};
use snyk_export::snyk::{DEFAULT_VERSION, InFlight};
use snyk_export::watch::observation::Poller as _;
use wiremock::{Request, Respond, ResponseTemplate};

use super::{GA, client, export, serving};
use crate::lab::{EXPORT_ID, GROUP, PATIENCE, READY};

#[tokio::test]
async fn an_export_is_started_and_its_results_are_listed() {
    let scenario = Scenario::from_toml(&format!("{READY}parts = 3")).unwrap();
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap(), scenario, |_| {}).await.unwrap();
    let client = client(&simulator.base_url(), None).await;
    let filters = json!({ "introduced": { "from": "2026-01-01T00:00:00Z" } });
    let attributes = json!({ "formats": ["csv"], "dataset": "issues", "filters": filters });
    let body = json!({ "data": { "type": "resource", "attributes": attributes } });
    let started = client.start(&start_request(body), PATIENCE, &InFlight::default()).await.unwrap();
    assert!(started.created.is_some_and(|created| created.ends_with('Z')));
    let Ok(report) = client.results(&started.export).await.answer else { panic!("no results") };
    assert_eq!((report.status.as_str(), report.row_count), ("FINISHED", Some(1061)));
    let parts = report.results.unwrap();
    assert_eq!(parts.iter().map(|part| part.row_count.unwrap()).sum::<u64>(), 1061);
    assert!(!format!("{parts:?}").contains("Signature"));
}

/// Has every export, until the default version is gone.
struct UntilDefaultGoes(AtomicBool);

impl Respond for &'static UntilDefaultGoes {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let is_default = request.url.query().is_some_and(|query| query.contains(DEFAULT_VERSION));
        if is_default && self.0.load(Ordering::Relaxed) {
            return ResponseTemplate::new(410).insert_header("sunset", "2026-07-01");
        }
        let body = format!(r#"{{"data":{{"id":"{EXPORT_ID}","attributes":{{"status":"PENDING"}}}}}}"#);
        let template = ResponseTemplate::new(200).set_body_string(body);
        if is_default { template.insert_header("deprecation", "2026-01-01T00:00:00Z") } else { template }
    }
}

#[tokio::test]
async fn a_client_keeps_working_when_the_default_version_is_removed() {
    static SERVER: UntilDefaultGoes = UntilDefaultGoes(AtomicBool::new(false));
    let server = serving(&SERVER).await;
    let client = client(&server.uri(), None).await;
    let start = start_request(json!({}));
    client.start(&start, PATIENCE, &InFlight::default()).await.unwrap();
    assert!(client.poll(&export()).await.answer.is_ok());
    assert!(client.is_deprecated());
    SERVER.0.store(true, Ordering::Relaxed);
    assert!(client.poll(&export()).await.answer.is_ok());
    assert!(!client.is_deprecated(), "the version in use now is not");
    client.start(&start, PATIENCE, &InFlight::default()).await.unwrap();
    let asked = server.received_requests().await.unwrap();
    let with_ga = asked.iter().filter(|request| request.url.query().unwrap().contains(GA)).count();
    assert_eq!((asked.len(), with_ga), (5, 2));
}

#[tokio::test]
async fn a_start_is_sent_once_whatever_the_answer() {
    for (code, may_exist) in [
        (202, true),
        (302, false),
        (400, false),
        (401, false),
        (404, false),
        (409, false),
        (429, false),
        (500, true),
        (502, true),
        (503, false),
        (504, true),
    ] {
        let server = serving(ResponseTemplate::new(code)).await;
        let request = start_request(json!({}));
        let not_started = client(&server.uri(), Some(GA))
            .await
            .start(&request, PATIENCE, &InFlight::default())
            .await
            .unwrap_err();
        assert_eq!(not_started.failure.problem.http_status, Some(code));
        assert_eq!(not_started.may_exist, may_exist, "{code}");
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 1, "{code}");
        let header = |name: &str| requests[0].headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("content-length"), header("transfer-encoding")), (Some("2"), None));
        assert_eq!(requests[0].url.query(), Some("version=2024-10-15&include_deleted=true"));
    }
}

#[tokio::test]
async fn what_was_not_sent_started_nothing() {
    // Nobody listens there, or accepts what the system has taken.
    let nobody = crate::lab::free_address();
    let refused = client(&format!("http://{nobody}"), None).await;
    let refused = refused.start(&start_request(json!({})), PATIENCE, &InFlight::default()).await.unwrap_err();
    assert!(!refused.may_exist, "{refused:?}");
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = client(&format!("http://{}", deaf.local_addr().unwrap()), None).await;
    // On a machine so slow that nothing was sent, it gets more time.
    let mut timeout = Duration::from_millis(50);
    while !silent.start(&start_request(json!({})), timeout, &InFlight::default()).await.unwrap_err().may_exist
    {
        timeout *= 2;
        assert!(timeout < PATIENCE, "it is taken for one that was not sent");
    }
}

fn start_request(body: serde_json::Value) -> StartRequest {
    let scope = ScopeRef { scope: Scope::Group, id: parse_id(GROUP).unwrap() };
    StartRequest { scope, body, include_deleted: true, include_deactivated: false }
}
