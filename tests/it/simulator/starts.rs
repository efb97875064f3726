//! Starts whose answer is lost or wrong.

use snyk_export::simulator::Simulator;

use super::client::{Answer, Client, hanging};
use super::{GROUP, simulator, start_document, start_path};

/// A start that meets a fault, in a simulator that knows only what was started.
async fn start_with(fault: &str) -> (Simulator, Option<Answer>) {
    let simulator = simulator(&format!(
        "unknown-exports = 'not-found'\n[[faults]]\non = 'start'\nprobability = 1\n{fault}"
    ))
    .await;
    let mut client = Client::connect(&simulator).await;
    let path = start_path("groups");
    let document = start_document().to_string();
    let headers = [("Authorization", "token x"), ("Content-Type", "application/vnd.api+json")];
    let asked = client.ask("POST", &path, &headers, &document);
    let answer = tokio::select! {
        answered = asked => answered.ok(),
        () = hanging(&simulator), if fault.contains("hang") => None,
    };
    (simulator, answer)
}

/// Whether the export that the log tells of is there.
async fn exists(simulator: &Simulator) -> bool {
    let note = simulator.exchanges()[0].note.clone();
    let id = note.rsplit(' ').next().unwrap();
    let target = format!("/rest/groups/{GROUP}/jobs/export/{id}?version=2024-10-15");
    Client::connect(simulator).await.get(&target).await.status_code == 200
}

#[tokio::test]
async fn an_export_starts_though_no_answer_comes() {
    for fault in ["reset", "close", "cut", "hang", "junk"] {
        let (simulator, answer) = start_with(&format!("fault = '{fault}'")).await;
        assert!(answer.is_none(), "{fault}: {answer:?}");
        assert!(exists(&simulator).await, "{fault}");
    }
}

#[tokio::test]
async fn an_export_starts_though_its_answer_denies_it() {
    let (simulator, answer) = start_with("status-code = 502\ncarried-out = true").await;
    let answer = answer.unwrap();
    assert_eq!((answer.status_code, answer.code().as_str()), (502, "SNYK-0008"));
    assert!(exists(&simulator).await);
    let shown = simulator.exchanges()[0].to_string();
    assert!(shown.contains(" -> 502 SNYK-0008, carried out: "), "{shown}");
}

#[tokio::test]
async fn what_is_refused_is_not_carried_out_either() {
    let (simulator, answer) = start_with("status-code = 502").await;
    assert_eq!(answer.unwrap().status_code, 502);
    assert_eq!(simulator.exchanges()[0].note, "SNYK-0008", "nothing else came of it");
    let (simulator, _) = start_with("status-code = 502\ncarried-out = true").await;
    let mut client = Client::connect(&simulator).await;
    let mut wrong = start_document();
    wrong["data"]["attributes"]["dataset"] = "unheard-of".into();
    assert_eq!(client.post(&start_path("groups"), &wrong).await.status_code, 502);
    assert_eq!(simulator.exchanges()[1].note, "SNYK-0008, carried out: SNYK-OPENAPI-0001");
}
