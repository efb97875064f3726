//! Watches are added, listed, shown and removed over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};
use snyk_export::moment::Moment;
use snyk_export::store::{Claimed, Ended, NewDelivery, Next, Pass, Queue as _, Record, Wish};
use snyk_export::watch::outcome::Outcome;

use super::client::TestServer;
use super::wanted;
use crate::lab::{EXPORT_ID, GROUP};

#[test]
fn a_watch_is_added_once_and_taken_away() {
    let bed = TestServer::start(None);
    let mut body = wanted();
    body["labels"] = json!({ "team": "payments" });
    let added = bed.post(&body);
    let watch = added.json();
    let path = added.header("location").unwrap();
    assert_eq!((added.status, path), (201, format!("/v1/watches/{}", text(&watch["id"])).as_str()));
    assert_eq!(watch["export"], json!({ "scope": "group", "scope_id": GROUP, "export_id": EXPORT_ID }));
    let said = ["state", "account", "labels", "outcome", "polls", "ended_at", "deliveries"];
    let said = said.map(|name| watch[name].clone());
    assert_eq!(json!(said), json!(["active", "default", { "team": "payments" }, null, 0, null, []]));
    assert_eq!(bed.told.get(), ["watch.added"]);
    bed.runtime.block_on(bed.service.changed.notified());

    let again = bed.post(&wanted());
    assert_eq!((again.status, &again.json()["id"]), (200, &watch["id"]));
    assert_eq!(again.json()["labels"], watch["labels"], "nothing has changed");
    let mut of_another = wanted();
    of_another["account"] = json!("acme");
    assert_eq!(bed.post(&of_another).status, 201, "another account follows for itself");
    assert_eq!(bed.told.get().len(), 2);

    assert_eq!(bed.get(path).json()["id"], watch["id"]);
    let removed = bed.ask("DELETE", path, &[], "");
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    bed.ask("DELETE", path, &[], "").problem(404);
    bed.get(path).problem(404);
    bed.runtime.block_on(bed.service.changed.notified());
    assert_eq!(bed.post(&wanted()).status, 201, "it is followed anew");
}

#[test]
fn an_ended_watch_shows_its_end_and_what_is_owed_for_it() {
    let bed = TestServer::start(None);
    let id = text(&bed.post(&wanted()).json()["id"]).to_owned();
    let at = bed.service.clock.now();
    let claimed = claim(&bed).pop().unwrap();
    let document = json!({
        "schema": 1, "outcome": "finished", "exit_code": 0, "export": claimed.watch.export, "status": "FINISHED",
        "created": "2024-11-25T10:13:42Z", "waited_seconds": 7.5, "polls": 12,
        "timeline": [{ "status": "FINISHED", "at": "2024-11-25T10:14:00.000Z" }], "row_count": 9,
        "results": [{ "file_size": 1, "row_count": 9, "url": null }],
        "error": { "http_status": 503, "title": "down" },
    });
    let delivery =
        NewDelivery { id: "msg_1".to_owned(), endpoint: "platform".to_owned(), event: "{}".to_owned(), at };
    let document = document.to_string();
    let ended = Ended { outcome: Outcome::Finished, at, document, deliveries: vec![delivery] };
    let record = Record { claim: claimed.claim, watch: claimed.watch.into(), next: Next::Ended(ended) };
    assert_eq!(pass(&bed, vec![record], Vec::new()).kept, [true]);

    let watch = bed.get(&format!("/v1/watches/{id}")).json();
    for (member, value) in [
        ("state", json!("ended")),
        ("outcome", json!("finished")),
        ("exit_code", json!(0)),
        ("waited_seconds", json!(7.5)),
        ("row_count", json!(9)),
        ("results", json!([{ "file_size": 1, "row_count": 9 }])),
        ("links_expire_at", json!(null)),
        ("next_poll_at", json!(null)),
        ("ended_at", json!(ms(at).to_string())),
    ] {
        assert_eq!(watch[member], value, "{member}");
    }
    let delivery = &watch["deliveries"][0];
    assert_eq!(
        *delivery,
        json!({
            "id": "msg_1", "endpoint": "platform", "watch_id": id, "owed_since": ms(at).to_string(),
            "state": "pending", "attempts": 0,
            "next_attempt_at": delivery["next_attempt_at"], "problem": null,
        })
    );
    let again = bed.post(&wanted());
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("ended")));
    assert!(bed.get("/v1/watches").json()["data"][0].get("deliveries").is_none());
}

#[test]
fn the_list_comes_in_pages() {
    let bed = TestServer::start(None);
    let mut ids = Vec::new();
    for n in 0..5 {
        let mut body = wanted();
        body["export_id"] = json!(format!("{n:08}-3b4d-4e5f-8a6b-9c0d1e2f3a4b"));
        ids.push(bed.post(&body).json()["id"].clone());
    }
    assert_eq!(
        follow(&bed, "/v1/watches?limit=2"),
        [ids[..2].to_vec(), ids[2..4].to_vec(), ids[4..].to_vec()]
    );
    assert_eq!(follow(&bed, "/v1/watches?limit=5"), [ids.as_slice()]);
    assert_eq!(follow(&bed, "/v1/watches"), [ids.as_slice()]);
    assert_eq!(follow(&bed, "/v1/watches?state=ended"), [Vec::<Value>::new()]);

    let claimed = claim(&bed);
    assert_eq!(claimed.len(), 5);
    let at = bed.service.clock.now();
    let end = |claimed: Claimed| {
        let ended = Ended { outcome: Outcome::Finished, at, document: String::new(), deliveries: Vec::new() };
        Record { claim: claimed.claim, watch: claimed.watch.into(), next: Next::Ended(ended) }
    };
    let is_third = |claimed: &Claimed| claimed.watch.id.to_string() == text(&ids[2]);
    pass(&bed, claimed.into_iter().filter(is_third).map(end).collect(), Vec::new());
    assert_eq!(follow(&bed, "/v1/watches?state=ended&limit=1"), [&ids[2..3]]);
    let active = [ids[..2].to_vec(), ids[3..].to_vec()];
    assert_eq!(follow(&bed, "/v1/watches?state=active&limit=2"), active);
}

/// The ids on each page.
fn follow(bed: &TestServer, path: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = bed.get(&path).json();
        pages.push(page["data"].as_array().unwrap().iter().map(|watch| watch["id"].clone()).collect());
        next = page["next"].as_str().map(str::to_owned);
        assert!(pages.len() < 10, "{path}");
    }
    pages
}

/// What is due of the default account.
fn claim(bed: &TestServer) -> Vec<Claimed> {
    let wish = Wish { account: Arc::from("default"), room: 100, started_by: None };
    pass(bed, Vec::new(), vec![wish]).claimed
}

fn pass(bed: &TestServer, records: Vec<Record>, wishes: Vec<Wish>) -> snyk_export::store::Passed {
    let now = bed.service.clock.now();
    bed.runtime.block_on(bed.store.pass(Pass { now, records, wishes, news: Vec::new() })).unwrap()
}

/// As a store keeps it.
fn ms(moment: Moment) -> Moment {
    Moment::from_unix_ms(moment.unix_ms())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
