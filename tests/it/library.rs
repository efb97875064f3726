//! The library as a Rust program uses it, and the example that shows how.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use snyk_export::{Client, Event, ExportRef, Outcome, Policy, What, download, follow, start};

use crate::docs::README;
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, TOKEN, path, runtime};

#[path = "../../examples/wait.rs"]
#[expect(dead_code, reason = "its `main` is for those who run the example")]
mod example;

fn export() -> ExportRef {
    path(EXPORT_ID).parse().unwrap()
}

async fn client(lab: &Lab) -> Client {
    Client::with_token(lab.url().parse().unwrap(), TOKEN, None).await.unwrap()
}

/// A client of the program's own, which says who it is.
fn own_http() -> reqwest::Client {
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    reqwest::Client::builder().user_agent("my-program/1").tls_backend_preconfigured(tls).build().unwrap()
}

fn user_agent(lab: &Lab) -> String {
    let headers = lab.exchanges().remove(0).headers;
    headers.into_iter().find(|(name, _)| name == "user-agent").unwrap().1
}

#[test]
fn the_example_waits_for_an_export() {
    for http in [None, Some(own_http())] {
        let is_own = http.is_some();
        let lab = Lab::start(READY);
        let outcome = runtime().block_on(example::wait(&lab.url(), TOKEN, &path(EXPORT_ID), http)).unwrap();
        assert_eq!(outcome, Some(Outcome::Finished));
        assert_eq!(lab.requests(), 1);
        assert_eq!(user_agent(&lab) == "my-program/1", is_own);
    }
}

#[test]
fn a_program_starts_follows_and_downloads_on_any_thread() {
    let lab = Lab::start("pending = '50ms'\nstarted = '0s'\nrows = 3\n");
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_owned();
    let url = lab.url();
    let work = async move {
        let client = Client::with_token(url.parse().unwrap(), TOKEN, None).await.unwrap();
        let body = serde_json::json!({ "data": { "type": "resource", "attributes": { "formats": ["csv"], "dataset":
            "issues", "filters": { "introduced": { "from": "2026-01-01T00:00:00Z" } } } } });
        let request = snyk_export::StartRequest {
            scope: export().scope_ref(),
            body,
            include_deleted: false,
            include_deactivated: false,
        };
        let (client, policy) = (Arc::new(client), Policy::default());
        let export = start(&client, &request, &policy).await.unwrap().export;
        let events: Vec<Event> = follow(Arc::clone(&client), vec![export], policy.clone()).collect().await;
        assert!(matches!(events.last().unwrap().what, What::Finished(_)));
        download(&client, &export, &policy, &dir).await.unwrap()
    };
    // The runtime moves what it spawns from thread to thread.
    let manifest = runtime().block_on(async { tokio::spawn(work).await }).unwrap();
    assert!(directory.path().join(&manifest.files[0].name).exists());
}

#[test]
fn a_dropped_stream_sends_no_more_requests() {
    let lab = Lab::start(NEVER);
    runtime().block_on(async {
        let mut events = follow(client(&lab).await, vec![export()], Policy::default());
        let added = events.next().await.unwrap();
        assert!(matches!(added.what, What::Added { .. }));
        let polled = events.next().await.unwrap();
        assert!(matches!(polled.what, What::StatusChanged { .. }));
        drop(events);
        let asked = lab.requests();
        // The next poll was due after half a second.
        let another = follow(client(&lab).await, vec![export()], Policy::default());
        let heard: Vec<&str> = another.take(3).map(|event| event.name()).collect().await;
        assert_eq!(heard, ["watch.added", "watch.status_changed", "watch.polled"]);
        assert_eq!(lab.requests(), asked + 2);
    });
}

#[test]
fn futures_and_streams_are_send() {
    fn assert_send<T: Send>(_: &T) {}
    let lab = Lab::start(NEVER);
    runtime().block_on(async {
        let client = client(&lab).await;
        let (policy, export) = (Policy::default(), export());
        let dir = std::path::Path::new("/nowhere");
        assert_send(&download(&client, &export, &policy, dir));
        assert_send(&follow(client, vec![export], policy));
    });
}

#[test]
fn the_readme_shows_the_example() {
    let shown = README.split("```rust,ignore\n").nth(1).unwrap().split("\n```").next().unwrap();
    let example = include_str!("../../examples/wait.rs");
    for line in shown.lines() {
        assert!(example.lines().any(|other| other.trim() == line.trim()), "{line}");
    }
}

#[test]
fn the_default_policy_is_that_of_wait_without_flags() {
    let policy = Policy::default();
    assert_eq!(policy.max_wait, Some(Duration::from_secs(50 * 60)));
    assert_eq!(policy.max_outage, Some(Duration::from_secs(10 * 60)));
    assert_eq!(policy.request_timeout, Duration::from_secs(30));
    assert!(!policy.retry_conflict);
}
