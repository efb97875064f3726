//! Scripted answers, random faults, and violations of HTTP.

use std::io::ErrorKind;
use std::time::Duration;

use snyk_export::simulator::Simulator;

use super::client::{Client, hanging, soon};
use super::{EXPORT, GROUP, results_path, simulator, status_path};

const FINISHED: &str = "pending = '0s'\nstarted = '0s'\n";

#[tokio::test]
async fn scripted_answers_come_first_then_the_usual_course() {
    let simulator = simulator(&format!(
        "{FINISHED}
        [[answers]]
        status = 'PENDING'
        [[answers]]
        status-code = 503
        repeat = 2
        body = '<html>busy</html>'
        headers = {{ Retry-After = '4' }}
        [[answers]]
        status-code = 409
        [[answers]]
        status-code = 429
        body = ''
        [[answers]]"
    ))
    .await;
    let mut client = Client::connect(&simulator).await;
    assert_eq!(client.get(&status_path()).await.status(), "PENDING");
    for _ in 0..2 {
        let busy = client.get(&status_path()).await;
        assert_eq!((busy.status_code, busy.header("retry-after")), (503, Some("4")));
        assert_eq!(
            (busy.header("content-type"), busy.text().as_str()),
            (Some("text/html"), "<html>busy</html>")
        );
    }
    let conflict = client.get(&status_path()).await;
    assert_eq!((conflict.status_code, conflict.code().as_str()), (409, "SNYK-OPENAPI-0009"));
    let limited = client.get(&status_path()).await;
    assert_eq!((limited.status_code, limited.body.len()), (429, 0));
    for _ in 0..2 {
        assert_eq!(client.get(&status_path()).await.status(), "FINISHED");
    }
    let another = status_path().replace(EXPORT, GROUP);
    assert_eq!(client.get(&another).await.status(), "PENDING", "each export has its own script");
}

#[tokio::test]
async fn the_last_answer_can_repeat_for_ever() {
    let simulator =
        simulator(&format!("{FINISHED}then = 'last'\n[[answers]]\n[[answers]]\nstatus-code = 404")).await;
    let mut client = Client::connect(&simulator).await;
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(client.get(&status_path()).await.status_code);
    }
    assert_eq!(codes, [200, 404, 404, 404, 404]);
}

#[tokio::test]
async fn a_redirect_names_the_export_of_the_request() {
    let simulator = simulator(
        "[[answers]]
        status-code = 303
        headers = { Location = '{base-url}/rest/{scope-path}/export/{export-id}?version=2024-10-15' }",
    )
    .await;
    let answer = Client::connect(&simulator).await.get(&status_path()).await;
    assert_eq!(answer.status_code, 303);
    let expected = format!("{}{}", simulator.base_url(), results_path());
    assert_eq!(answer.header("location"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_scripted_finish_is_not_taken_back() {
    let simulator = simulator("[[answers]]\nstatus = 'finished'").await;
    let mut client = Client::connect(&simulator).await;
    let first = client.get(&status_path()).await;
    assert_eq!(first.status(), "finished");
    assert!(first.json()["data"]["attributes"]["results"].is_array());
    assert_eq!(client.get(&status_path()).await.status(), "FINISHED");
    assert_eq!(client.get(&results_path()).await.status(), "FINISHED");
}

/// A client whose first status request meets this fault.
async fn struck_by(fault: &str) -> (Simulator, Client) {
    let simulator = simulator(&format!("{FINISHED}[[answers]]\n{fault}")).await;
    let client = Client::connect(&simulator).await;
    (simulator, client)
}

#[tokio::test]
async fn connections_are_reset_or_closed_in_the_place_of_an_answer() {
    let (simulator, mut client) = struck_by("fault = 'reset'").await;
    assert_eq!(client.try_get(&status_path()).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(simulator.exchanges()[0].status_code, None);
    let (_simulator, mut client) = struck_by("fault = 'close'").await;
    assert_eq!(client.try_get(&status_path()).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn bodies_are_cut() {
    let (_simulator, mut client) = struck_by("fault = 'cut'\nbytes = 5").await;
    assert_eq!(client.try_get(&status_path()).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let received = String::from_utf8(client.rest().await).unwrap();
    assert!(
        received.starts_with("HTTP/1.1 200 OK\r\n") && received.ends_with("\r\n\r\n{\"dat"),
        "{received}"
    );
}

#[tokio::test]
async fn bodies_drip() {
    let (simulator, mut client) = struck_by("fault = 'drip'\npause = '1ms'").await;
    let answer = client.get(&status_path()).await;
    assert_eq!(answer.status(), "FINISHED");
    client.get(&status_path()).await;
    assert!(pauses(&simulator)[0] >= Duration::from_millis(answer.body.len() as u64));
}

/// How long each exchange took until the next one on the same connection came, by the simulator's clock.
fn pauses(simulator: &Simulator) -> Vec<Duration> {
    simulator.exchanges().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

#[tokio::test]
async fn answers_never_come() {
    let (simulator, mut client) = struck_by("fault = 'hang'").await;
    let path = status_path();
    tokio::select! {
        answer = client.try_get(&path) => panic!("{answer:?}"),
        () = hanging(&simulator) => {}
    }
    assert_eq!(simulator.exchanges()[0].to_string().split(" -> ").nth(1), Some("[hang]"));
}

#[tokio::test]
async fn junk_comes_in_the_place_of_http() {
    let (_simulator, mut client) = struck_by("fault = 'junk'").await;
    assert!(client.try_get(&status_path()).await.is_err());
}

#[tokio::test]
async fn bodies_of_blanks_and_gigantic_headers_come_in_full() {
    let (_simulator, mut client) = struck_by("fault = 'blanks'\nbytes = 200_000").await;
    let blanks = client.get(&status_path()).await;
    assert_eq!(blanks.body, vec![b' '; 200_000]);
    assert_eq!(client.get(&status_path()).await.status(), "FINISHED", "the connection goes on");
    let (_simulator, mut client) = struck_by("fault = 'headers'\nbytes = 100_000").await;
    let gigantic = client.get(&status_path()).await;
    assert_eq!(gigantic.header("x-gigantic").map(str::len), Some(100_000));
    assert_eq!(gigantic.status(), "FINISHED");
}

#[tokio::test]
async fn latency_and_delays_come_before_the_answer() {
    let simulator = simulator(&format!("{FINISHED}latency = '30ms'\n[[answers]]\ndelay = '30ms'")).await;
    let mut client = Client::connect(&simulator).await;
    for _ in 0..3 {
        client.get(&status_path()).await;
    }
    let pauses = pauses(&simulator);
    assert!(pauses[0] >= Duration::from_millis(60) && pauses[1] >= Duration::from_millis(30), "{pauses:?}");
}

#[tokio::test]
async fn random_faults_strike_what_they_aim_at_as_often_as_they_may() {
    let simulator = simulator(&format!(
        "{FINISHED}
        [[faults]]
        probability = 1
        on = 'storage'
        at-most = 1
        fault = 'cut'
        bytes = 10
        [[faults]]
        probability = 1
        on = 'results'
        status-code = 500"
    ))
    .await;
    let mut client = Client::connect(&simulator).await;
    let document = client.get(&status_path()).await.json();
    assert_eq!(client.get(&results_path()).await.code(), "SNYK-9999");
    let url = document["data"]["attributes"]["results"][0]["url"].as_str().unwrap();
    let link = url.strip_prefix(&simulator.base_url()).unwrap();
    let cut = client.ask("GET", link, &[], "").await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    let mut client = Client::connect(&simulator).await;
    assert_eq!(client.get_bare(link).await.status_code, 200);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let course = async |seed: u64| {
        let faults = "[[faults]]\nprobability = 0.5\nstatus-code = 502";
        let simulator = simulator(&format!("seed = {seed}\n{FINISHED}{faults}")).await;
        let mut client = Client::connect(&simulator).await;
        let mut codes = Vec::new();
        for _ in 0..64 {
            codes.push(client.get(&status_path()).await.status_code);
        }
        codes
    };
    let first = soon(course(1)).await;
    assert_eq!(first, course(1).await);
    assert_ne!(first, course(2).await);
    assert!(first.contains(&200) && first.contains(&502));
}
