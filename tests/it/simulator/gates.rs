//! Checks before an operation: routes, credentials, rate limits, versions.

use super::client::{Client, soon};
use super::{GROUP, simulator, status_path};

async fn code_with(client: &mut Client, headers: &[(&str, &str)]) -> u16 {
    client.get_with(&status_path(), headers).await.status_code
}

#[tokio::test]
async fn a_credential_is_needed_and_any_will_do_unless_one_is_set() {
    let open = simulator("").await;
    let mut client = Client::connect(&open).await;
    let bare = client.get_bare(&status_path()).await;
    assert_eq!((bare.status_code, bare.code().as_str()), (401, "SNYK-0005"));
    assert_eq!(bare.header("snyk-version-served"), None);
    assert_eq!(code_with(&mut client, &[("Authorization", "Token anything")]).await, 200);
    assert_eq!(code_with(&mut client, &[("Authorization", "bearer anything")]).await, 200);
    assert_eq!(code_with(&mut client, &[("Authorization", "Basic anything")]).await, 401);
    assert_eq!(code_with(&mut client, &[("Authorization", "anything")]).await, 400);

    let closed = simulator("token = 'open-sesame'").await;
    let mut client = Client::connect(&closed).await;
    assert_eq!(code_with(&mut client, &[("Authorization", "token open-sesame")]).await, 200);
    assert_eq!(code_with(&mut client, &[("Authorization", "token open-barley")]).await, 401);
}

#[tokio::test]
async fn oauth_tokens_are_issued_and_expire() {
    let simulator = simulator("client-id = 'me'\nclient-secret = 's3'\ntoken-lifetime = '400ms'").await;
    let mut client = Client::connect(&simulator).await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut ask = async |body: &str| client.ask("POST", "/oauth2/token", &form, body).await.unwrap();
    let wrong = ask("grant_type=client_credentials&client_id=me&client_secret=wrong").await;
    assert_eq!((wrong.status_code, wrong.json()["error"].as_str()), (401, Some("invalid_client")));
    let other = ask("grant_type=password").await;
    assert_eq!((other.status_code, other.json()["error"].as_str()), (400, Some("unsupported_grant_type")));
    let issued = ask("grant_type=client_credentials&client_id=me&client_secret=s3").await;
    let document = issued.json();
    assert_eq!((issued.status_code, document["expires_in"].as_u64()), (200, Some(1)));
    assert_eq!(document["token_type"], "bearer");

    let bearer = format!("Bearer {}", document["access_token"].as_str().unwrap());
    assert_eq!(code_with(&mut client, &[("Authorization", &bearer)]).await, 200);
    assert_eq!(code_with(&mut client, &[("Authorization", "Bearer made-up")]).await, 401);
    soon(async { while code_with(&mut client, &[("Authorization", &bearer)]).await != 401 {} }).await;
}

#[tokio::test]
async fn versions_are_resolved_and_named_in_headers() {
    let simulator = simulator("").await;
    let mut client = Client::connect(&simulator).await;
    let rows = [
        ("2024-10-15", 200, Some("2024-10-15"), Some("ga")),
        ("2025-11-05", 200, Some("2024-10-15"), Some("ga")),
        ("2024-05-10~experimental", 200, Some("2024-05-10~experimental"), Some("experimental")),
        ("2024-10-15~experimental", 404, None, None),
        ("2999-01-01", 404, None, None),
        ("yesterday", 400, None, None),
        ("", 400, None, None),
    ];
    for (version, status_code, served, stage) in rows {
        let answer = client.get(&status_path().replace("2024-10-15", version)).await;
        assert_eq!(answer.status_code, status_code, "{version}");
        assert_eq!(answer.header("snyk-version-served"), served, "{version}");
        assert_eq!(answer.header("snyk-version-lifecycle-stage"), stage, "{version}");
        assert_eq!(answer.header("snyk-version-requested"), served.map(|_| version), "{version}");
        if status_code != 200 {
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{version}");
        }
    }
    let missing = client.get(&status_path().replace("?version=2024-10-15", "")).await;
    assert_eq!(missing.status_code, 400);

    let gone = super::simulator("experimental-version = false").await;
    let mut client = Client::connect(&gone).await;
    let old = status_path().replace("2024-10-15", "2024-05-10~experimental");
    assert_eq!(client.get(&old).await.status_code, 404);
    assert_eq!(client.get(&status_path()).await.status_code, 200);
}

#[tokio::test]
async fn deprecation_is_announced() {
    let simulator = simulator("deprecation = '2026-01-01T00:00:00Z'\nsunset = '2026-07-01'").await;
    let answer = Client::connect(&simulator).await.get(&status_path()).await;
    assert_eq!(answer.header("deprecation"), Some("2026-01-01T00:00:00Z"));
    assert_eq!(answer.header("sunset"), Some("2026-07-01"));
    assert_eq!(answer.header("snyk-version-lifecycle-stage"), Some("deprecated"));
}

#[tokio::test]
async fn the_rate_limit_counts_each_credential_by_itself() {
    let simulator = simulator("requests-per-minute = 2").await;
    let mut client = Client::connect(&simulator).await;
    let first = client.get(&status_path()).await;
    let limit = first.header("x-ratelimit-limit").unwrap();
    assert!(limit.starts_with("2, 2;w=60;name=\""), "{limit}");
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
    client.get(&status_path()).await;
    let refused = client.get(&status_path()).await;
    assert_eq!((refused.status_code, refused.body.len()), (429, 0));
    assert_eq!(refused.header("x-envoy-ratelimited"), Some("true"));
    let reset: u64 = refused.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!((1..=60).contains(&reset), "{reset}");
    assert_eq!(code_with(&mut client, &[("Authorization", "token somebody-else")]).await, 200);
}

#[tokio::test]
async fn request_ids_are_made_up_or_echoed() {
    let simulator = simulator("").await;
    let mut client = Client::connect(&simulator).await;
    let own = client.get(&status_path()).await.header("snyk-request-id").unwrap().to_owned();
    assert_eq!(own.len(), 36);
    for (sent, echoed) in [(GROUP, true), ("not-a-uuid", false)] {
        let headers = [("Authorization", "token x"), ("snyk-request-id", sent)];
        let answer = client.get_with(&status_path(), &headers).await;
        assert_eq!(answer.header("snyk-request-id") == Some(sent), echoed, "{sent}");
    }
}

#[tokio::test]
async fn what_is_not_in_the_api_is_refused() {
    let simulator = simulator("").await;
    let mut client = Client::connect(&simulator).await;
    let rows = [
        ("/rest/nowhere", 404, "SNYK-OPENAPI-0004"),
        ("/rest/groups/acme/jobs/export/1?version=2024-10-15", 400, "SNYK-OPENAPI-0001"),
        (&format!("/rest/groups/{GROUP}/export?version=2024-10-15"), 405, "SNYK-OPENAPI-0005"),
        (&format!("{}&fresh=1", status_path()), 400, "SNYK-OPENAPI-0001"),
    ];
    for (target, status_code, code) in rows {
        let answer = client.get(target).await;
        assert_eq!((answer.status_code, answer.code().as_str()), (status_code, code), "{target}");
    }
    let unknown = client.get(&format!("{}&fresh=1", status_path())).await.json();
    assert_eq!(unknown["errors"][0]["source"]["parameter"], "fresh");
}

#[tokio::test]
async fn requests_have_bounds() {
    let simulator = simulator("").await;
    let long = "x".repeat(20_000);
    let rows = [
        (format!("GET / HTTP/1.1\r\nX-Long: {long}\r\n\r\n"), 431),
        ("POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 411),
        ("\u{16}\u{3}\u{1} no HTTP\r\n\r\n".to_owned(), 400),
    ];
    for (request, status_code) in rows {
        let mut client = Client::connect(&simulator).await;
        let sent = tokio::io::AsyncWriteExt::write_all(&mut client.stream, request.as_bytes()).await;
        sent.unwrap();
        assert_eq!(soon(client.receive()).await.unwrap().status_code, status_code);
    }
}
