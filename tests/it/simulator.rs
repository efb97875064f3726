//! The simulator over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes the parts of a test that are not test functions for production code"
)]

mod breakage;
mod client;
mod course;
mod downloads;
mod gates;
mod starts;
mod storage;

use std::sync::{Arc, Mutex};

use snyk_export::simulator::{Scenario, Simulator};

use client::{Answer, Client};
use serde_json::{Value, json};

use crate::lab::own_ip;

const GROUP: &str = "11111111-2222-4333-8444-555555555555";
const EXPORT: &str = "d6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40";

/// A simulator on an address of its own that plays a scenario given as TOML.
async fn simulator(scenario: &str) -> Simulator {
    let scenario = Scenario::from_toml(scenario).unwrap();
    Simulator::start((own_ip(), 0).into(), scenario, |_| {}).await.unwrap()
}

/// The status path of [`EXPORT`], at the released version.
fn status_path() -> String {
    format!("/rest/groups/{GROUP}/jobs/export/{EXPORT}?version=2024-10-15")
}

fn results_path() -> String {
    format!("/rest/groups/{GROUP}/export/{EXPORT}?version=2024-10-15")
}

fn start_path(scope: &str) -> String {
    format!("/rest/{scope}/{GROUP}/export?version=2024-10-15")
}

fn start_document() -> Value {
    json!({ "data": { "type": "resource", "attributes": {
        "formats": ["csv"], "dataset": "issues",
        "filters": { "introduced": { "from": "2025-01-01T00:00:00Z", "to": "2025-02-01T00:00:00Z" } },
    } } })
}

/// Path and query of the first download link.
fn first_link(answer: &Answer) -> String {
    link_of(&answer.json()["data"]["attributes"]["results"][0])
}

/// Path and query of a file's download link.
fn link_of(file: &Value) -> String {
    let url = file["url"].as_str().unwrap();
    url[url.find("/storage/").unwrap()..].to_owned()
}

#[tokio::test]
async fn exchanges_are_shown_and_kept_without_secrets() {
    let shown: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&shown);
    let scenario = Scenario::from_toml("pending = '0s'\nstarted = '0s'").unwrap();
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap(), scenario, move |exchange| {
        lines.lock().unwrap().push(exchange.to_string());
    });
    let simulator = simulator.await.unwrap();
    let mut client = Client::connect(&simulator).await;
    let document = client.get(&status_path()).await.json();
    let url = document["data"]["attributes"]["results"][0]["url"].as_str().unwrap().to_owned();
    client.get_bare(url.strip_prefix(&simulator.base_url()).unwrap()).await;

    let exchanges = simulator.exchanges();
    assert_eq!(exchanges.len(), 2);
    assert_eq!(exchanges[0].connection, exchanges[1].connection, "the connection is kept alive");
    assert_eq!(exchanges[0].authorization.as_deref(), Some("token"));
    assert_eq!((exchanges[0].status_code, exchanges[0].note.as_str()), (Some(200), "FINISHED"));
    assert_eq!(exchanges[1].header("accept"), Some("*/*"));
    let shown = shown.lock().unwrap();
    assert!(shown[0].ends_with("(token) -> 200 FINISHED"), "{shown:?}");
    assert!(shown[1].contains("X-Goog-Signature=*** -> 200"), "{shown:?}");
    assert!(!format!("{shown:?}{exchanges:?}").contains(client::TOKEN));
}

#[tokio::test]
async fn it_stops_when_it_is_dropped() {
    let simulator = simulator("").await;
    let address = simulator.address();
    let mut client = Client::connect(&simulator).await;
    client.get(&status_path()).await;
    drop(simulator);
    assert!(client.try_get(&status_path()).await.is_err(), "its connections are closed");
    let gone = async { while Client::try_connect(address).await.is_ok() {} };
    client::soon(gone).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let first = simulator("").await;
    let second = Simulator::start(first.address(), Scenario::default(), |_| {}).await;
    assert_eq!(second.unwrap_err().to_string(), format!("failed to listen on {}", first.address()));
}

#[tokio::test]
async fn every_embedded_scenario_answers() {
    for (name, _) in Scenario::names() {
        // These wait on purpose, or bring hundreds of megabytes.
        if name == "slow" || name == "hostile" {
            continue;
        }
        let scenario = Scenario::named(name).unwrap();
        let simulator = Simulator::start("127.0.0.1:0".parse().unwrap(), scenario, |_| {}).await.unwrap();
        let mut client = Client::connect(&simulator).await;
        let _either_way = client.try_get(&status_path()).await;
        assert_eq!(simulator.exchanges().len(), 1, "{name}");
    }
}
