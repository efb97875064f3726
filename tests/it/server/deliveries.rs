//! Deliveries are listed and sent again over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};
use snyk_export::store::{
    DeliveryRecord, Ended, NewDelivery, Next, NextDelivery, Pass, Queue as _, Record, Turn, Wish,
};
use snyk_export::text::Text;
use snyk_export::watch::outcome::Outcome;

use super::client::TestServer;
use super::{TOKEN, wanted};

/// Ends a watch that owes these deliveries to `platform` and one to an endpoint that the settings no longer have. Returns
/// the id of the watch.
fn owes(bed: &TestServer, ids: &[&str]) -> String {
    let id = bed.post(&wanted()).json()["id"].as_str().unwrap().to_owned();
    let (at, account) = (bed.service.clock.now(), Arc::from("default"));
    let wishes = vec![Wish { account, room: 1, started_by: None }];
    let pass = |records, wishes| {
        let pass = Pass { now: at, records, wishes, news: Vec::new() };
        bed.runtime.block_on(bed.store.pass(pass)).unwrap()
    };
    let claimed = pass(Vec::new(), wishes).claimed.remove(0);
    let owed = |id: &&str| {
        let endpoint = if *id == "old" { "gone" } else { "platform" };
        NewDelivery { id: (*id).to_owned(), endpoint: endpoint.to_owned(), event: "{}".to_owned(), at }
    };
    let deliveries = ids.iter().map(owed).collect();
    let ended = Ended { outcome: Outcome::Finished, at, document: String::new(), deliveries };
    let record = Record { claim: claimed.claim, watch: claimed.watch.into(), next: Next::Ended(ended) };
    assert_eq!(pass(vec![record], Vec::new()).kept, [true]);
    id
}

/// Settles everything that an endpoint is owed.
fn settle(bed: &TestServer, endpoint: &str, next: &NextDelivery) {
    let at = bed.service.clock.now();
    bed.runtime.block_on(async {
        let Turn { claimed, pace, .. } = bed.store.claim(endpoint.to_owned(), 100, at, false).await.unwrap();
        let record = |claim| DeliveryRecord { claim, at, next: next.clone(), pace };
        let records = claimed.into_iter().map(|claimed| record(claimed.claim)).collect();
        bed.store.record(records).await.unwrap();
    });
}

fn redeliver(bed: &TestServer, watch: &str, delivery: &str, headers: &[&str]) -> super::Answer {
    bed.ask("POST", &format!("/v1/watches/{watch}/deliveries/{delivery}/redeliver"), headers, "")
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|delivery| delivery["id"].as_str().unwrap()).collect()
}

#[test]
fn deliveries_are_listed_by_state_and_in_pages() {
    let bed = TestServer::start(None);
    let watch = owes(&bed, &["a", "b%20", "c"]);
    let first = bed.get("/v1/deliveries?limit=2").json();
    assert_eq!(ids(&first), ["a", "b%20"]);
    let second = bed.get(first["next"].as_str().unwrap()).json();
    assert_eq!((ids(&second), &second["next"]), (vec!["c"], &Value::Null));
    assert_eq!(first["data"][0]["watch_id"], json!(watch));
    let of = |state: &str| {
        let page = bed.get(&format!("/v1/deliveries?state={state}")).json();
        ids(&page).len()
    };
    assert_eq!([of("pending"), of("sent"), of("undeliverable")], [3, 0, 0]);
    settle(&bed, "platform", &NextDelivery::Undeliverable { problem: Text::new("HTTP 410 Gone") });
    assert_eq!([of("pending"), of("sent"), of("undeliverable")], [0, 0, 3]);
    let given_up = bed.get("/v1/deliveries?state=undeliverable&limit=1").json();
    let delivery = &given_up["data"][0];
    let said = ["state", "attempts", "next_attempt_at", "problem"].map(|name| delivery[name].clone());
    assert_eq!(json!(said), json!(["undeliverable", 1, null, "HTTP 410 Gone"]));
    assert!(given_up["next"].as_str().unwrap().contains("state=undeliverable"));
    bed.get("/v1/deliveries?after=none").problem(404);
    bed.get("/v1/deliveries?state=ended").problem(400);
    bed.ask("DELETE", "/v1/deliveries", &[], "").problem(405);
    TestServer::start(Some(TOKEN)).get("/v1/deliveries").problem(401);
}

#[test]
fn a_settled_delivery_is_sent_again_under_its_id() {
    let bed = TestServer::start(None);
    let watch = owes(&bed, &["a", "old"]);
    assert!(redeliver(&bed, &watch, "a", &[]).problem(409)["detail"].as_str().unwrap().contains("pending"));
    settle(&bed, "platform", &NextDelivery::Undeliverable { problem: Text::new("HTTP 410 Gone") });
    settle(&bed, "gone", &NextDelivery::Undeliverable { problem: Text::new("HTTP 410 Gone") });

    let rung = Arc::clone(&bed.service.owing);
    let rung = rung.notified();
    let mut rung = Box::pin(rung);
    rung.as_mut().enable();
    let answer = redeliver(&bed, &watch, "a", &[]);
    let again = answer.json();
    assert_eq!((answer.status, &again["id"], &again["state"]), (202, &json!("a"), &json!("pending")));
    assert_eq!((&again["attempts"], &again["watch_id"]), (&json!(1), &json!(watch)));
    bed.runtime.block_on(rung);
    let noted = bed.noted.get().pop().unwrap();
    assert_eq!(noted.request.unwrap().watch.unwrap().to_string(), watch);
    let counts = bed.runtime.block_on(bed.store.count()).unwrap();
    assert_eq!((counts.pending, counts.undeliverable), (1, 1));

    settle(&bed, "platform", &NextDelivery::Sent);
    let sent = bed.get(&format!("/v1/watches/{watch}")).json();
    assert_eq!(
        (&sent["deliveries"][0]["state"], &sent["deliveries"][0]["attempts"]),
        (&json!("sent"), &json!(2))
    );
    assert_eq!(redeliver(&bed, &watch, "a", &[]).status, 202, "the receiver may have lost it");
    settle(&bed, "platform", &NextDelivery::Sent);
    let by_id =
        |id: &str, headers: &[&str]| bed.ask("POST", &format!("/v1/deliveries/{id}/redeliver"), headers, "");
    assert_eq!(by_id("a", &[]).status, 202, "its watch need not be named");
    by_id("a", &[]).problem(409);
    by_id("none", &[]).problem(404);
    by_id("a", &["Origin: https://evil.example"]).problem(415);

    let gone = redeliver(&bed, &watch, "old", &[]).problem(409)["detail"].to_string();
    assert!(gone.contains("no endpoint `gone`"), "{gone}");
    let stranger = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
    redeliver(&bed, stranger, "a", &[]).problem(404);
    redeliver(&bed, &watch, "none", &[]).problem(404);
    redeliver(&bed, "x", "a", &[]).problem(404);
    redeliver(&bed, &watch, "old", &["Origin: https://evil.example"]).problem(415);
}
