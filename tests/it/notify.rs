//! Single attempts of a notification, and their results.

mod command;
mod receivers;

use std::collections::BTreeMap;
use std::time::Duration;

use snyk_export::http::Network;
use snyk_export::moment::Moment;
use snyk_export::notify::{Attempt, Endpoint, EndpointKind, OwnHeaders, SigningKey};

/// 2024-11-25T10:13:42.470Z
const NOW: Moment = Moment::from_unix_ms(1_732_529_622_470);

const ID: &str = "msg_01935f00-0000-7000-8000-000000000001_platform";

/// The end of an export.
const EVENT: &str = r#"{"specversion":"1.0","id":"01935f00-0000-7000-8000-000000000001","source":"/snyk-export/accounts/acme",
    "type":"io.snyk-export.watch.finished","time":"2024-11-25T10:16:14.301Z","datacontenttype":"application/json",
    "data":{"schema":1,"outcome":"finished","exit_code":0,
    "export":{"scope":"group","scope_id":"00000000-0000-0000-0000-000000000001",
    "export_id":"00000000-0000-0000-0000-000000000002"},
    "status":"FINISHED","created":null,"waited_seconds":151.2,"polls":35,"timeline":[],"row_count":7,"results":null,
    "error":null,"hint":null,"watch_id":"01935f00-0000-7000-8000-000000000001","account":"acme","labels":{},
    "links_expire_at":null}}"#;

fn endpoint(kind: EndpointKind) -> Endpoint {
    Endpoint::new("platform".to_owned(), None, kind, &Network::default()).unwrap()
}

fn webhook(url: &str, key: Option<&str>) -> Endpoint {
    let secret = key.map(|key| SigningKey::new(key).unwrap());
    endpoint(EndpointKind::Webhook { url: url.parse().unwrap(), secret, headers: OwnHeaders::default() })
}

fn shell(script: &str, timeout: Duration) -> Endpoint {
    command(&["sh", "-c", script], timeout)
}

fn command(argv: &[&str], timeout: Duration) -> Endpoint {
    let args = argv[1..].iter().map(|word| (*word).to_owned()).collect();
    endpoint(EndpointKind::Command { program: argv[0].into(), args, environment: BTreeMap::new(), timeout })
}

async fn send(endpoint: &Endpoint) -> Attempt {
    endpoint.send(ID, EVENT, NOW).await
}

/// Why an attempt failed that may work later.
#[track_caller]
fn why(attempt: Attempt) -> String {
    match attempt {
        Attempt::Failed { problem, .. } | Attempt::Refused { problem, .. } => problem.to_string(),
        Attempt::Sent | Attempt::Gone { .. } => panic!("it has not failed: {attempt:?}"),
    }
}
