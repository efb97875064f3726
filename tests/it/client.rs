//! The client by itself: classes of answers, limits, headers.

mod starts;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use snyk_export::clock::Clock;
use snyk_export::export::{ExportRef, Scope, parse_id};
use snyk_export::simulator::{Scenario, Simulator};
use snyk_export::snyk::credentials::{Credential, Credentials, Scheme, Source};
use snyk_export::snyk::{Client, Network};
use snyk_export::text::Text;
use snyk_export::watch::observation::Poller as _;
use snyk_export::watch::observation::{Failure, FailureKind, Observation};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::lab::{EXPORT_ID, GROUP, READY, TOKEN};

const GA: &str = "2024-10-15";

#[tokio::test]
async fn every_status_code_has_its_class() {
    let server = serving(ByExportId).await;
    let client = client(&server.uri(), Some(GA)).await;
    for code in 200..=599_u16 {
        let export = ExportRef { export_id: Uuid::from_u128(code.into()), ..export() };
        let class = class_of(code);
        match client.poll(&export).await.answer {
            Err(failure) => assert_eq!(failure.kind, class, "{code}"),
            Ok(report) => panic!("{code} has no status, but {report:?} was seen"),
        }
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 400, "each is asked once");
}

/// The table of the design, for answers without a status word and without a word of Snyk's. A 429 is a transient failure with a pace of its
/// own; redirects that can be followed are tested elsewhere.
fn class_of(code: u16) -> FailureKind {
    match code {
        401 => FailureKind::Unauthorized,
        403 => FailureKind::Forbidden,
        404 | 410 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        429 => FailureKind::Throttled,
        200..=299 | 408 | 425 | 500..=599 => FailureKind::Transient,
        300..=399 => FailureKind::Rejected,
        400..=499 => FailureKind::Gateway,
        _ => unreachable!("no such code is asked for"),
    }
}

/// Answers with the status code that the export's id ends with.
struct ByExportId;

impl Respond for ByExportId {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let id = request.url.path_segments().unwrap().next_back().unwrap();
        let code = Uuid::parse_str(id).unwrap().as_u128();
        ResponseTemplate::new(u16::try_from(code).unwrap())
    }
}

#[tokio::test]
async fn only_a_200_with_a_status_word_is_a_status() {
    let status = r#"{"data":{"attributes":{"status":"FINISHED"}}}"#;
    for code in [200, 201, 202, 203, 206, 299, 400, 404, 500] {
        let answer = answer_to(ResponseTemplate::new(code).set_body_string(status)).await.answer;
        assert_eq!(answer.is_ok(), code == 200, "{code}");
    }
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_transient() {
    let status = r#"{"data":{"attributes":{"status":"FINISHED"}}}"#;
    for (length, is_read) in [(1024 * 1024, true), (1024 * 1024 + 1, false)] {
        let body = format!("{status}{}", " ".repeat(length - status.len()));
        match answer_to(ResponseTemplate::new(200).set_body_string(body)).await.answer {
            Ok(_) => assert!(is_read),
            Err(failure) => {
                assert_eq!((failure.kind, is_read), (FailureKind::Transient, false));
            }
        }
    }
}

/// The rules are in `src/snyk/throttle.rs`: this shows that headers reach them.
#[tokio::test]
async fn headers_hint_at_the_next_poll() {
    let rows = [
        (503, "Retry-After: 7", Some(7)),
        (503, "Date: Thu, 31 Dec 2099 23:59:50 GMT | Retry-After: Thu, 31 Dec 2099 23:59:59 GMT", Some(9)),
        (429, "Date: Sun, 09 Sep 2001 01:46:40 GMT | X-RateLimit-Reset: 1000000009", Some(9)),
    ];
    for (code, headers, seconds) in rows {
        let headers = headers.split(" | ").map(|header| header.split_once(": ").unwrap());
        let template = headers
            .clone()
            .fold(ResponseTemplate::new(code), |template, (name, value)| template.insert_header(name, value));
        let hint = answer_to(template).await.hint;
        assert_eq!(hint, seconds.map(Duration::from_secs), "{code} {:?}", headers.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_refusal_is_snyks_where_snyk_has_written_it() {
    let errors = r#"{"jsonapi":{"version":"1.0"},"errors":[{"status":"400","detail":"no"}]}"#;
    for (body, is_snyks) in [
        (errors, true),
        (r#"{"errors":[]}"#, false),
        (r#"{"message":"no"}"#, false),
        ("<html>400</html>", false),
        ("", false),
    ] {
        for (code, is_named) in [(400, false), (421, false), (418, false), (400, true), (451, true)] {
            let template = ResponseTemplate::new(code).set_body_string(body);
            let template = if is_named { template.insert_header("snyk-request-id", "r") } else { template };
            let kind = failure(answer_to(template).await).kind;
            let expected = if is_snyks || is_named { FailureKind::Rejected } else { FailureKind::Gateway };
            assert_eq!(kind, expected, "{code} {body}");
        }
    }
}

#[tokio::test]
async fn what_is_gone_has_a_hint_of_its_own() {
    let gone = failure(answer_to(ResponseTemplate::new(410)).await);
    assert!(gone.problem.cure.unwrap().as_str().contains("maybe only for hours"));
    assert_eq!(failure(answer_to(ResponseTemplate::new(404)).await).problem.cure, None);
}

#[tokio::test]
async fn gzip_is_read_within_the_same_cap_though_it_was_not_asked_for() {
    let status = r#"{"data":{"attributes":{"status":"FINISHED"}}}"#;
    for (length, is_read) in
        [(status.len(), true), (1024 * 1024, true), (1024 * 1024 + 1, false), (100 << 20, false)]
    {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(status.as_bytes()).unwrap();
        std::io::copy(&mut std::io::repeat(b' ').take((length - status.len()) as u64), &mut gzip).unwrap();
        let template = ResponseTemplate::new(200).insert_header("content-encoding", "gzip");
        match answer_to(template.set_body_bytes(gzip.finish().unwrap())).await.answer {
            Ok(report) => assert_eq!((report.status.as_str(), is_read), ("FINISHED", true)),
            Err(failure) => {
                assert_eq!((failure.kind, is_read), (FailureKind::Transient, false));
                assert!(failure.problem.to_string().contains("too long"), "{}", failure.problem);
            }
        }
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(br#"{"errors":[{"detail":"no such export"}]}"#).unwrap();
    let template = ResponseTemplate::new(404).insert_header("content-encoding", "gzip");
    let problem = failure(answer_to(template.set_body_bytes(gzip.finish().unwrap())).await).problem;
    assert_eq!(problem.detail.unwrap().as_str(), "no such export");
    let template = ResponseTemplate::new(200).insert_header("content-encoding", "br");
    let problem = failure(answer_to(template.set_body_string(status)).await).problem;
    assert_eq!(problem.to_string(), "the answer comes in an encoding that was not asked for: br");
}

#[tokio::test]
async fn a_long_list_of_files_is_read_and_one_that_is_too_long_says_so() {
    let element =
        format!(r#"{{"url":"https://b.example/x?X-Goog-Signature={}","row_count":3}}"#, "x".repeat(700));
    let list = |count| vec![element.as_str(); count].join(",");
    for (count, is_read) in [(2_000, true), (10_000, true), (25_000, false)] {
        let body =
            format!(r#"{{"data":{{"attributes":{{"status":"FINISHED","results":[{}]}}}}}}"#, list(count));
        match answer_to(ResponseTemplate::new(200).set_body_string(body)).await.answer {
            Ok(report) => assert_eq!((report.results.unwrap().len(), is_read), (count, true)),
            Err(failure) => {
                assert_eq!((failure.kind, is_read), (FailureKind::Transient, false));
                assert!(failure.problem.to_string().contains("over 16 MiB with it"), "{}", failure.problem);
                assert!(failure.problem.cure.unwrap().as_str().contains("start an export of fewer rows"));
            }
        }
    }
}

#[tokio::test]
async fn what_an_error_says_reaches_the_problem() {
    let catalogue =
        r#"{"errors":[{"status":"404","code":"SNYK-OPENAPI-0004","title":"Not found","detail":"gone"}]}"#;
    let rows = [
        (catalogue, [Some("SNYK-OPENAPI-0004"), Some("Not found"), Some("gone")]),
        (r#"{"code":404,"error":"No","message":"really"}"#, [Some("404"), Some("No"), Some("really")]),
        (r#"{"error":"invalid","error_description":"why"}"#, [None, Some("invalid"), Some("why")]),
        ("no matching version", [None, Some("Not Found"), Some("no matching version")]),
        ("<html><title>Oops</title>", [None, Some("Not Found"), Some("an HTML page, “Oops”")]),
        ("", [None, Some("Not Found"), None]),
        ("{\"errors\":[{\"detail\":\"a\\u001b[2J\\nb\"}]}", [None, Some("Not Found"), Some("a[2J b")]),
    ];
    for (body, expected) in rows {
        let template =
            ResponseTemplate::new(404).set_body_string(body).insert_header("snyk-request-id", "r-1");
        let problem = failure(answer_to(template).await).problem;
        let said =
            [&problem.code, &problem.title, &problem.detail].map(|text| text.as_ref().map(Text::as_str));
        assert_eq!(said, expected, "{body}");
        assert_eq!(problem.http_status, Some(404));
        assert_eq!(problem.request_id.as_ref().map(Text::as_str), Some("r-1"));
    }
}

#[tokio::test]
async fn a_request_has_the_expected_headers() {
    let server = serving(ResponseTemplate::new(503)).await;
    client(&server.uri(), None).await.poll(&export()).await;
    let request = &server.received_requests().await.unwrap()[0];
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("accept").unwrap(), "application/vnd.api+json, application/json;q=0.9");
    assert_eq!(header("user-agent").unwrap(), concat!("snyk-export/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("authorization").unwrap(), format!("token {TOKEN}"));
    assert_eq!(header("accept-encoding").unwrap(), "identity", "saying nothing permits any encoding");
    assert_eq!(header("cache-control").unwrap(), "no-cache");
    assert_eq!((header("referer"), header("cookie")), (None, None));
    let target = format!("/rest/groups/{GROUP}/jobs/export/{EXPORT_ID}?version=2024-05-10~experimental");
    assert_eq!(&request.url[url::Position::BeforePath..], target);
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn all_polls_share_one_connection_also_after_errors() {
    let answers =
        "answers = [{ status-code = 503 }, { status-code = 404 }, { status-code = 429, body = '' }]";
    let scenario = Scenario::from_toml(&format!("{READY}{answers}")).unwrap();
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap(), scenario, |_| {}).await.unwrap();
    let client = client(&simulator.base_url(), Some(GA)).await;
    for _ in 0..6 {
        client.poll(&export()).await;
    }
    let connections: Vec<u64> = simulator.exchanges().iter().map(|exchange| exchange.connection).collect();
    assert_eq!(connections, [1; 6]);
}

/// What a poll sees that is answered with `template`.
async fn answer_to(template: ResponseTemplate) -> Observation {
    let server = serving(template).await;
    client(&server.uri(), Some(GA)).await.poll(&export()).await
}

async fn serving(respond: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(respond).mount(&server).await;
    server
}

async fn client(url: &str, version: Option<&str>) -> Client {
    let clock = Clock::start();
    let credential = Credential::new(TOKEN, Scheme::ByForm, "a test").unwrap();
    let credentials = Credentials::load(Source::Value(credential), "a test", clock).await.unwrap();
    let version = version.map(str::to_owned);
    Client::new(url.parse().unwrap(), version, credentials, &Network::default()).unwrap()
}

fn export() -> ExportRef {
    let [scope_id, export_id] = [GROUP, EXPORT_ID].map(|id| parse_id(id).unwrap());
    ExportRef { scope: Scope::Group, scope_id, export_id }
}

fn failure(observation: Observation) -> Failure {
    match observation.answer {
        Err(failure) => failure,
        Ok(report) => panic!("{report:?}"),
    }
}
