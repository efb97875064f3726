//! OAuth client credentials: exchanged for access tokens, which are renewed.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{EXPORT_ID, ISSUES, Lab, Program, READY, runtime};

const CLIENT: &str = "client-id = 'me'\nclient-secret = 'hunter2'\n";
const TOKENS: &str = "/oauth2/token";

#[test]
fn a_client_gets_one_access_token_for_the_whole_wait() {
    let lab = Lab::start(&format!("{READY}{CLIENT}answers = [{{ status = 'PENDING', repeat = 3 }}]"));
    client(&lab).run().exits(0);
    assert_eq!((lab.requests(), lab.connections()), (5, 1));
    let exchanges = lab.exchanges();
    assert_eq!((exchanges[0].method.as_str(), exchanges[0].target.as_str()), ("POST", TOKENS));
    assert_eq!(exchanges[0].authorization, None);
    assert_eq!(exchanges[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(exchanges[1..].iter().all(|exchange| exchange.authorization.as_deref() == Some("bearer")));
}

#[test]
fn an_access_token_that_expires_in_the_middle_of_a_wait_is_renewed() {
    let lab = Lab::start(&format!("{CLIENT}token-lifetime = '1s'\npending = '1s'\nstarted = '1200ms'"));
    client(&lab).run().exits(0);
    assert!(renewals(&lab) >= 2, "{:?}", lab.exchanges());
}

#[test]
fn an_access_token_that_is_refused_is_renewed_once() {
    let lab = Lab::start(&format!("{READY}{CLIENT}answers = [{{ status-code = 401 }}]"));
    assert_eq!(client(&lab).run().exits(0).document()["polls"], 1);
    assert_eq!((lab.codes(), renewals(&lab)), (vec![200, 401, 200, 200], 2));
    let lab = Lab::start(&format!("{CLIENT}then = 'last'\nanswers = [{{ status-code = 401 }}]"));
    client(&lab).run().exits(4);
    assert_eq!((lab.codes(), renewals(&lab)), (vec![200, 401, 200, 401], 2));
}

#[test]
fn an_invalid_client_exits_with_4() {
    let lab = Lab::start(&format!("{READY}{CLIENT}"));
    let run = client(&lab).env("SNYK_CLIENT_SECRET", "hunter3").run();
    let document = run.exits(4).document();
    assert_eq!(document["outcome"], "unauthorized");
    assert!(document["error"]["title"].as_str().unwrap().contains("invalid_client"), "{run}");
    run.stderr_has("next    the credential from SNYK_CLIENT_ID").stderr_lacks("hunter");
    assert_eq!(lab.requests(), 1);
}

#[test]
fn a_token_endpoint_that_fails_in_passing_is_survived() {
    let failures = [
        "status-code = 503",
        "status-code = 500",
        "fault = 'reset'",
        "fault = 'cut'",
        "fault = 'junk'",
        "status-code = 200\nbody = '<html>'",
        "status-code = 200\nbody = '{}'",
        "status-code = 429\nheaders = { Retry-After = '0' }",
    ];
    for failure in failures {
        let fault = format!("[[faults]]\nprobability = 1\nat-most = 2\non = 'token'\n{failure}");
        let lab = Lab::start(&format!("{READY}{CLIENT}{fault}"));
        let run = client(&lab).run();
        assert_eq!(run.exits(0).document()["polls"], 3, "{failure}: {run}");
    }
}

#[test]
fn a_token_endpoint_that_fails_during_a_renewal_is_survived() {
    let answers = "answers = [{ status = 'PENDING' }, { status-code = 401 }]\n";
    let fault = "[[faults]]\nprobability = 0.5\nat-most = 3\non = 'token'\nstatus-code = 502";
    for seed in 1..=4 {
        let lab = Lab::start(&format!("seed = {seed}\n{READY}{CLIENT}{answers}{fault}"));
        client(&lab).run().exits(0);
    }
}

#[test]
fn a_token_endpoint_that_hangs_is_no_longer_waited_for_than_a_poll() {
    let fault = "[[faults]]\nprobability = 1\nat-most = 1\non = 'token'\nfault = 'hang'";
    let lab = Lab::start(&format!("{READY}{CLIENT}{fault}"));
    let run = client(&lab).args("--request-timeout 300ms").run();
    assert_eq!(run.exits(0).document()["polls"], 2);
}

#[test]
fn a_redirect_of_the_token_endpoint_takes_no_secret_along() {
    let other = Lab::start(&format!("{READY}{CLIENT}"));
    for code in [302, 307, 308] {
        let headers = format!("headers = {{ Location = '{}{TOKENS}' }}", other.url());
        let fault = format!("[[faults]]\nprobability = 1\non = 'token'\nstatus-code = {code}\n{headers}");
        let lab = Lab::start(&format!("{READY}{CLIENT}{fault}"));
        assert_ne!(client(&lab).args("--max-outage 100ms").run().code, Some(0));
    }
    assert_eq!(other.exchanges(), []);
}

/// How a connection ends on which a token was given.
#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Reset,
    /// Reset when the next request comes on it, which nobody reads.
    ResetByTheNext,
}

/// Gives a token to those who ask, and ends the connection; starts an export for those who ask that on another one.
async fn end_after_token(mut stream: TcpStream, end: End) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let is_token = request.starts_with(b"POST /oauth2/token");
    let (line, body) = match is_token {
        true => ("200 OK", r#"{"access_token":"eyJa.b.c","expires_in":3600}"#.to_owned()),
        false => ("202 Accepted", format!(r#"{{"data":{{"id":"{EXPORT_ID}"}}}}"#)),
    };
    let answer = format!("HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
    match end {
        End::Closed => {}
        // A lingering time of zero makes a reset of the end.
        End::Reset if is_token => stream.set_zero_linger().unwrap(),
        // So does what was not read.
        End::ResetByTheNext if is_token => drop(stream.peek(&mut [0]).await),
        End::Reset | End::ResetByTheNext => {}
    }
}

/// Whether a request has come in with its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

#[test]
fn a_start_survives_a_token_endpoint_that_closes_or_resets_its_connection() {
    for (end, times) in [(End::Closed, 5), (End::Reset, 5), (End::ResetByTheNext, 15)] {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(end_after_token(stream, end));
            }
        });
        for _ in 0..times {
            let program = Program::asking("start", &url).no_env("SNYK_TOKEN").env("SNYK_CLIENT_ID", "me");
            let program = program.env("SNYK_CLIENT_SECRET", "hunter2").args(ISSUES);
            // A reset may overtake the answer with the token: then nothing has begun, and it is tried again.
            program.run().exits(0);
        }
    }
}

#[test]
fn half_a_client_exits_with_2() {
    let lab = Lab::start(READY);
    let wait = || Program::wait(&lab).export(EXPORT_ID).no_env("SNYK_TOKEN");
    wait().env("SNYK_CLIENT_ID", "me").run().exits(2).stderr_has("SNYK_CLIENT_SECRET is not");
    wait().env("SNYK_CLIENT_SECRET", "hunter2").run().exits(2).stderr_has("SNYK_CLIENT_ID is not");
    assert_eq!(lab.requests(), 0);
}

fn client(lab: &Lab) -> Program {
    let program = Program::wait(lab).export(EXPORT_ID).no_env("SNYK_TOKEN");
    program.env("SNYK_CLIENT_ID", "me").env("SNYK_CLIENT_SECRET", "hunter2")
}

fn renewals(lab: &Lab) -> usize {
    lab.exchanges().iter().filter(|exchange| exchange.target == TOKENS).count()
}
