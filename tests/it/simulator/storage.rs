//! Storage: how files are announced and sent, and how downloads break.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use snyk_export::simulator::{FaultKind, Scenario, Simulator};

use super::client::{Client, soon};
use super::downloads::{Ended, NEVER, download, persist};
use super::{first_link, results_path, simulator, status_path};

const FINISHED: &str = "pending = '0s'\nstarted = '0s'\n";

/// A simulator whose export is finished, a connection to it, and the link to its first file.
async fn finished(scenario: &str) -> (Simulator, Client, String) {
    let simulator = simulator(&format!("{FINISHED}{scenario}")).await;
    let mut client = Client::connect(&simulator).await;
    let link = first_link(&client.get(&status_path()).await);
    (simulator, client, link)
}

/// The attributes of a finished export.
async fn attributes(scenario: &str, target: &str) -> Value {
    let simulator = simulator(&format!("{FINISHED}{scenario}")).await;
    let mut client = Client::connect(&simulator).await;
    client.get(&status_path()).await;
    client.get(target).await.json()["data"]["attributes"].clone()
}

/// The size that the first file is announced with.
async fn announced(scenario: &str) -> Value {
    attributes(scenario, &status_path()).await["results"][0]["file_size"].clone()
}

#[tokio::test]
async fn files_are_gzipped_and_ranges_and_etags_are_those_of_what_is_sent() {
    let (_plain, mut client, link) = finished("").await;
    let plain = client.get_bare(&link).await;
    let (_gzip, mut client, link) = finished("storage-encoding = 'gzip'").await;
    let whole = client.get_bare(&link).await;
    assert_eq!((whole.status_code, whole.header("content-encoding")), (200, Some("gzip")));
    let mut decoded = Vec::new();
    GzDecoder::new(&whole.body[..]).read_to_end(&mut decoded).unwrap();
    assert_eq!(decoded, plain.body);
    assert_ne!(whole.header("etag"), plain.header("etag"));

    let headers = [("Range", "bytes=100-"), ("If-Range", whole.header("etag").unwrap())];
    let rest = client.get_with(&link, &headers).await;
    assert_eq!((rest.status_code, &rest.body[..]), (206, &whole.body[100..]));
    assert_eq!(rest.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn announced_sizes_are_right_wrong_or_missing() {
    let size = announced("").await.as_u64().unwrap();
    let gzip = "storage-encoding = 'gzip'";
    assert_eq!(announced(gzip).await, size, "of the decoded file");
    let encoded = announced(&format!("{gzip}\nfile-size = 'encoded'")).await.as_u64().unwrap();
    let (_simulator, mut client, link) = finished(gzip).await;
    assert_eq!(encoded, client.get_bare(&link).await.body.len() as u64);
    assert_eq!(announced("file-size-error = 5").await, size + 5);
    assert_eq!(announced("file-size-error = -5").await, size - 5);
    assert_eq!(announced("file-size = 'missing'").await, Value::Null);
}

#[tokio::test]
async fn a_finished_export_may_lack_its_list_of_files() {
    for target in [status_path(), results_path()] {
        let attributes = attributes("no-results = true\nrows = 0", &target).await;
        assert_eq!(attributes["status"], "FINISHED", "{target}");
        assert!(attributes.get("results").is_none() && attributes["row_count"] == 0, "{attributes}");
    }
    let without = attributes("no-results = true", &status_path()).await;
    assert_eq!(without, json!({ "status": "FINISHED", "row_count": 1061 }));
}

#[tokio::test]
async fn ranges_and_etags_can_be_lacking() {
    let range = ("Range", "bytes=100-");
    let (_simulator, mut client, link) = finished("storage-ranges = false").await;
    let whole = client.get_with(&link, &[range]).await;
    assert_eq!((whole.status_code, whole.header("accept-ranges")), (200, None));
    assert!(whole.text().starts_with("ISSUE_SEVERITY,"));
    let etag = whole.header("etag").unwrap();

    let (_simulator, mut client, link) = finished("storage-etag = false").await;
    let rest = client.get_with(&link, &[range]).await;
    assert_eq!((rest.status_code, rest.header("etag")), (206, None));
    assert_eq!(rest.body, whole.body[100..]);
    let unknown = client.get_with(&link, &[range, ("If-Range", etag)]).await;
    assert_eq!(unknown.status_code, 200, "who knows whether it is the same");
}

#[tokio::test]
async fn an_expired_link_can_be_a_bad_request() {
    let (_simulator, mut client, link) =
        finished("url-expiration = '0s'\nurl-expired-status-code = 400").await;
    let expired = client.get_bare(&link).await;
    assert_eq!(expired.status_code, 400);
    assert!(expired.text().contains("<Code>ExpiredToken</Code>"), "{}", expired.text());
}

#[tokio::test]
async fn errors_of_storage_are_googles() {
    let faults = [403, 503, 500, 404].map(|status_code| fault(&format!("status-code = {status_code}")));
    let (_simulator, mut client, link) = finished(&faults.join("")).await;
    for code in ["AccessDenied", "SlowDown", "InternalError", "NoSuchKey"] {
        let answer = client.get_bare(&link).await;
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
    assert_eq!(client.get_bare(&link).await.status_code, 200);
}

/// A fault that strikes one download.
fn fault(lines: &str) -> String {
    format!("[[faults]]\non = 'storage'\nprobability = 1\nat-most = 1\n{lines}\n")
}

#[tokio::test]
async fn files_end_with_the_connection_or_with_the_last_chunk() {
    let (plain, _client, link) = finished("").await;
    let file = download(&plain, &link, 0, NEVER).await.body;
    let (_closing, mut client, link) = finished("storage-framing = 'close'").await;
    let head = client.get_with(&link, &[("Range", "bytes=5-")]).await;
    assert_eq!((head.status_code, head.header("content-length")), (206, None));
    assert_eq!(head.header("connection"), Some("close"));
    assert_eq!(client.rest().await, &file[5..]);

    let (chunking, _client, link) = finished("storage-framing = 'chunked'").await;
    let chunked = download(&chunking, &link, 5, NEVER).await;
    assert!(!chunked.head.contains("content-length"), "{}", chunked.head);
    assert!(chunked.head.contains("transfer-encoding: chunked"), "{}", chunked.head);
    let mut expected = format!("{:x}\r\n", file.len() - 5).into_bytes();
    expected.extend_from_slice(&file[5..]);
    expected.extend_from_slice(b"\r\n0\r\n\r\n");
    assert_eq!(chunked.body, expected);
}

#[tokio::test]
async fn downloads_break_after_so_many_bytes_of_a_range_too() {
    for (kind, ended) in [("cut", Ended::Closed), ("reset", Ended::Reset), ("hang", Ended::Silent)] {
        for from in [0, 700] {
            let (simulator, mut client, link) =
                finished(&fault(&format!("fault = '{kind}'\nbytes = 1000"))).await;
            let broken = download(&simulator, &link, from, if kind == "hang" { 1000 } else { NEVER }).await;
            let file = client.get_bare(&link).await.body;
            assert_eq!(broken.body, &file[from..from + 1000], "{kind} from {from}");
            assert_eq!(broken.ended, ended, "{kind}");
            let announced = format!("content-length: {}\r\n", file.len() - from);
            assert!(broken.head.contains(&announced), "{kind} from {from}: {}", broken.head);
            assert!(simulator.exchanges()[1].status_code.is_some(), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_cut_beyond_the_end_only_ends_the_connection() {
    let (simulator, mut client, link) = finished(&fault("fault = 'cut'\nbytes = 10_000_000")).await;
    let whole = download(&simulator, &link, 0, NEVER).await;
    assert_eq!(whole.ended, Ended::Closed);
    assert_eq!(whole.body, client.get_bare(&link).await.body);
    assert!(whole.head.contains(&format!("content-length: {}\r\n", whole.body.len())), "{}", whole.head);
}

#[tokio::test]
async fn a_cut_shows_by_the_framing_or_not_at_all() {
    let cut = fault("fault = 'cut'\nbytes = 10");
    let (simulator, _client, link) = finished(&format!("storage-framing = 'close'\n{cut}")).await;
    let looks_whole = download(&simulator, &link, 0, NEVER).await;
    assert_eq!((looks_whole.body.len(), looks_whole.ended), (10, Ended::Closed));
    let (simulator, _client, link) = finished(&format!("storage-framing = 'chunked'\n{cut}")).await;
    let chunk = download(&simulator, &link, 0, NEVER).await;
    assert!(chunk.body.ends_with(b"\r\nISSUE_SEVE"), "a chunk that does not end");
}

#[tokio::test]
async fn a_drip_may_come_in_bigger_drops() {
    let (_simulator, mut client, link) =
        finished(&fault("fault = 'drip'\nbytes = 20_000\npause = '1ms'")).await;
    let dripped = soon(client.get_bare(&link)).await;
    assert_eq!(dripped.body, client.get_bare(&link).await.body);
}

/// Plays an embedded scenario to its end, and returns what became of each download.
async fn play(name: &str) -> Vec<(Option<u16>, Option<FaultKind>)> {
    let scenario = Scenario::named(name).unwrap();
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap(), scenario, |_| {}).await.unwrap();
    let mut client = Client::connect(&simulator).await;
    soon(async { while client.get(&status_path()).await.status() != "FINISHED" {} }).await;
    let document = client.get(&status_path()).await.json();
    for part in 0..document["data"]["attributes"]["results"].as_array().unwrap().len() {
        let file = soon(persist(&simulator, part)).await;
        assert!(file.starts_with(b"ISSUE_SEVERITY,") || name == "gzip", "{name}");
    }
    let exchanges = simulator.exchanges().into_iter();
    let downloads = exchanges.filter(|exchange| exchange.target.starts_with("/storage/"));
    downloads.map(|download| (download.status_code, download.fault)).collect()
}

#[tokio::test]
async fn cut_downloads_bring_every_kind_of_trouble_and_end_well() {
    let downloads = play("cut-downloads").await;
    let cut = Some(FaultKind::Cut);
    let expected = [
        (Some(200), cut),
        (Some(206), cut),
        (Some(206), cut),
        (Some(503), None),
        (None, Some(FaultKind::Reset)),
        (Some(206), Some(FaultKind::Reset)),
        (None, Some(FaultKind::Close)),
        (Some(206), Some(FaultKind::Hang)),
        (Some(403), None),
        (Some(206), Some(FaultKind::Drip)),
    ];
    assert_eq!(downloads[..10], expected);
    assert_eq!(downloads.last(), Some(&(Some(200), None)));
}

#[tokio::test]
async fn expiring_links_have_to_be_asked_for_again() {
    let downloads = play("expiring-links").await;
    assert!(downloads.contains(&(Some(403), None)), "{downloads:?}");
}

#[tokio::test]
async fn the_gzip_scenario_is_resumed_in_encoded_bytes() {
    let downloads = play("gzip").await;
    assert_eq!(downloads, [(Some(200), Some(FaultKind::Cut)), (Some(206), None), (Some(200), None)]);
}

#[tokio::test]
async fn a_file_comes_with_its_checksum_and_generation() {
    let (_simulator, mut client, link) = finished("storage-encoding = 'gzip'").await;
    let whole = client.get_bare(&link).await;
    let hash = STANDARD.encode(crc32c::crc32c(&whole.body).to_be_bytes());
    assert_eq!(whole.header("x-goog-hash"), Some(format!("crc32c={hash}").as_str()));
    assert_eq!(whole.header("x-goog-stored-content-encoding"), Some("gzip"));
    let rest = client.get_with(&link, &[("Range", "bytes=100-")]).await;
    for header in ["x-goog-hash", "x-goog-generation"] {
        assert_eq!(rest.header(header), whole.header(header), "it is of the whole file");
    }
    let (_simulator, mut client, link) = finished("storage-hash = false").await;
    assert_eq!(client.get_bare(&link).await.header("x-goog-hash"), None);
}
