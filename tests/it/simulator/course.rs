//! The course of an export: start, status, results, downloads.

use serde_json::json;

use super::client::{Client, soon};
use super::{EXPORT, GROUP, first_link, results_path, simulator, start_document, start_path, status_path};

const FINISHED: &str = "pending = '0s'\nstarted = '0s'\n";

#[tokio::test]
async fn an_export_goes_from_pending_to_finished() {
    let simulator = simulator("pending = '40ms'\nstarted = '40ms'\nstart-retry-after = '7s'").await;
    let mut client = Client::connect(&simulator).await;
    let started = client.post(&start_path("orgs"), &start_document()).await;
    assert_eq!((started.status_code, started.header("retry-after")), (202, Some("7")));
    assert_eq!(started.header("content-type"), Some("application/vnd.api+json; charset=utf-8"));
    let id = started.json()["data"]["id"].as_str().unwrap().to_owned();
    let target = format!("/rest/orgs/{GROUP}/jobs/export/{id}?version=2024-10-15");

    let mut seen = Vec::new();
    soon(async {
        while seen.last().map(String::as_str) != Some("FINISHED") {
            seen.push(client.get(&target).await.status());
            seen.dedup();
        }
    })
    .await;
    // On a busy machine a phase may pass between two polls, but none ever comes back.
    assert!(
        ["PENDING", "STARTED", "FINISHED"].iter().filter(|word| seen.contains(&word.to_string())).eq(&seen)
    );
}

#[tokio::test]
async fn a_status_request_starts_an_unknown_export_or_does_not() {
    let creating = simulator(FINISHED).await;
    assert_eq!(Client::connect(&creating).await.get(&status_path()).await.status(), "FINISHED");
    let strict = simulator("unknown-exports = 'not-found'").await;
    let answer = Client::connect(&strict).await.get(&status_path()).await;
    assert_eq!((answer.status_code, answer.code().as_str()), (404, "SNYK-OPENAPI-0004"));
}

#[tokio::test]
async fn an_export_is_known_only_in_its_scope() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    assert_eq!(client.get(&results_path()).await.status_code, 404, "nobody asked for it yet");
    assert_eq!(client.get(&status_path()).await.status_code, 200);
    assert_eq!(client.get(&results_path()).await.status_code, 200);
    for target in [status_path(), results_path()] {
        assert_eq!(client.get(&target.replace("groups", "orgs")).await.status_code, 404, "{target}");
    }
}

#[tokio::test]
async fn documents_have_the_shape_of_the_specification() {
    let simulator = simulator(&format!("{FINISHED}shape = 'spec'\ninline-results = false")).await;
    let mut client = Client::connect(&simulator).await;
    let started = client.post(&start_path("groups"), &start_document()).await.json();
    assert_eq!(started["jsonapi"]["version"], "1.0");
    assert!(started["links"].is_null(), "{started}");
    assert!(started["data"]["links"]["self"].as_str().unwrap().contains("/export/jobs/"), "{started}");
    assert!(started["data"]["attributes"]["created"].as_str().unwrap().ends_with('Z'), "{started}");

    let status = client.get(&status_path()).await.json();
    assert_eq!(status["data"]["type"], "resource");
    assert_eq!(status["data"]["attributes"]["formats"], json!(["csv"]));
    assert!(status["data"]["attributes"]["results"].is_null(), "{status}");
    assert!(!status["links"]["self"].as_str().unwrap().contains(EXPORT), "its id is cut short");

    let results = client.get(&results_path()).await.json();
    assert_eq!(results["data"]["attributes"]["row_count"], 1061);
    assert!(results["data"]["attributes"]["finished"].is_string(), "{results}");
}

#[tokio::test]
async fn documents_have_the_shape_that_was_seen() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    let started = client.post(&start_path("groups"), &start_document()).await.json();
    assert!(started["jsonapi"].is_null() && started["data"]["type"] == "export", "{started}");
    let created = started["data"]["attributes"]["created"].as_str().unwrap();
    assert_eq!(created.len(), "2026-02-12T20:09:42.693".len());
    let status = client.get(&status_path()).await.json();
    assert!(status["data"]["attributes"]["created"].is_null(), "{status}");
    assert_eq!(status["data"]["attributes"]["row_count"], 1061);
}

#[tokio::test]
async fn failures_have_their_word_and_their_text() {
    let simulator = simulator(&format!("{FINISHED}ends-as = 'ERROR'\nerror-text = 'too big'")).await;
    let mut client = Client::connect(&simulator).await;
    let status = client.get(&status_path()).await.json();
    assert_eq!(status["data"]["attributes"]["status"], "ERROR");
    assert_eq!(status["data"]["attributes"]["error"], "too big");
    let results = client.get(&results_path()).await;
    assert_eq!(results.status(), "ERRORED", "the results endpoint knows no other word");
}

#[tokio::test]
async fn a_start_that_is_wrong_is_refused_and_too_many_as_well() {
    let simulator = simulator("starts-per-hour = 2").await;
    let mut client = Client::connect(&simulator).await;
    let mut wrong = start_document();
    wrong["data"]["attributes"]["dataset"] = json!("unheard-of");
    let answer = client.post(&start_path("groups"), &wrong).await;
    assert_eq!((answer.status_code, answer.code().as_str()), (400, "SNYK-OPENAPI-0001"));
    assert_eq!(answer.json()["errors"][0]["source"]["pointer"], "/data/attributes/dataset");
    let plain = [("Authorization", "token x"), ("Content-Type", "text/plain")];
    assert_eq!(client.ask("POST", &start_path("orgs"), &plain, "{}").await.unwrap().status_code, 415);

    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(client.post(&start_path("groups"), &start_document()).await);
    }
    assert_eq!(codes.iter().map(|answer| answer.status_code).collect::<Vec<u16>>(), [202, 202, 429]);
    let retry_after: u64 = codes[2].header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&retry_after), "{retry_after}");
}

#[tokio::test]
async fn rows_come_in_parts_that_add_up() {
    let simulator = simulator(&format!("{FINISHED}rows = 10\nparts = 3")).await;
    let mut client = Client::connect(&simulator).await;
    let document = client.get(&status_path()).await.json();
    let results = document["data"]["attributes"]["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 3);
    let mut rows = 0;
    for result in results {
        let url = result["url"].as_str().unwrap();
        let file = client.get_bare(url.strip_prefix(&simulator.base_url()).unwrap()).await;
        assert_eq!(file.body.len() as u64, result["file_size"].as_u64().unwrap());
        assert!(file.text().starts_with("ISSUE_SEVERITY,"), "each has its header line");
        // Where so many quotes have come that none is open, a line's end is a row's end.
        let lines = file.text().lines().fold((0, 0), |(rows, quotes), line| {
            let quotes = quotes + line.matches('"').count();
            (rows + u64::from(quotes % 2 == 0), quotes)
        });
        assert_eq!(lines.0, 1 + result["row_count"].as_u64().unwrap());
        rows += result["row_count"].as_u64().unwrap();
    }
    assert_eq!(rows, 10);
}

#[tokio::test]
async fn zero_rows_are_a_success_without_files() {
    let simulator = simulator(&format!("{FINISHED}rows = 0")).await;
    let document = Client::connect(&simulator).await.get(&status_path()).await.json();
    assert_eq!(document["data"]["attributes"]["results"], json!([]));
    assert_eq!(document["data"]["attributes"]["row_count"], 0);
}

#[tokio::test]
async fn columns_and_expiration_are_those_of_the_post() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    let mut document = start_document();
    document["data"]["attributes"]["columns"] = json!(["CVE", "ISSUE_URL"]);
    document["data"]["attributes"]["url_expiration_seconds"] = json!(120);
    let started = client.post(&start_path("groups"), &document).await.json();
    let link = first_link(
        &client.get(&status_path().replace(EXPORT, started["data"]["id"].as_str().unwrap())).await,
    );
    assert!(link.contains("X-Goog-Expires=120&"), "{link}");
    assert!(client.get_bare(&link).await.text().starts_with("CVE,ISSUE_URL\ncve-0,"));
}

#[tokio::test]
async fn links_are_refused_when_expired_or_tampered_with_or_shown_a_credential() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    let link = first_link(&client.get(&status_path()).await);
    assert_eq!(client.get_bare(&link).await.status_code, 200);
    let tampered = client.get_bare(&link.replace("Expires=3600", "Expires=9999")).await;
    assert_eq!(tampered.status_code, 403);
    assert!(tampered.text().contains("<Code>SignatureDoesNotMatch</Code>"), "{}", tampered.text());
    assert_eq!(client.get(&link).await.status_code, 400);

    let expiring = super::simulator(&format!("{FINISHED}url-expiration = '0s'")).await;
    let mut client = Client::connect(&expiring).await;
    let link = first_link(&client.get(&status_path()).await);
    let expired = client.get_bare(&link).await;
    assert_eq!(expired.status_code, 403);
    assert!(expired.text().contains("<Code>ExpiredToken</Code>"), "{}", expired.text());
}

#[tokio::test]
async fn downloads_can_be_resumed() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    let link = first_link(&client.get(&status_path()).await);
    let whole = client.get_bare(&link).await;
    let rest = client.get_with(&link, &[("Range", "bytes=100-")]).await;
    assert_eq!((rest.status_code, &rest.body[..]), (206, &whole.body[100..]));
    let expected = format!("bytes 100-{}/{}", whole.body.len() - 1, whole.body.len());
    assert_eq!(rest.header("content-range"), Some(expected.as_str()));
    let stale = [("Range", "bytes=100-"), ("If-Range", "\"another\"")];
    assert_eq!(client.get_with(&link, &stale).await.status_code, 200);
    let beyond = client.get_with(&link, &[("Range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status_code, 416);
}

#[tokio::test]
async fn links_repeat_the_name_that_the_client_has_for_the_server() {
    let simulator = simulator(FINISHED).await;
    let mut client = Client::connect(&simulator).await;
    for (host, base) in [("sim.example:4010", "http://sim.example:4010"), ("a/b c", &simulator.base_url())] {
        let answer = client.get_with(&status_path(), &[("Host", host), ("Authorization", "token x")]).await;
        let document = answer.json();
        let url = document["data"]["attributes"]["results"][0]["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("{base}/storage/")), "{url}");
    }
}
