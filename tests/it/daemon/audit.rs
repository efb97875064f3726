//! The log of API calls, and warnings about files that everybody can read.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use super::home::{DaemonHome, asking};
use crate::lab::{EXPORT_ID, Lab, NEVER};

#[test]
fn refusals_and_changes_are_in_the_log_and_a_flood_of_them_is_not() {
    const API_TOKEN: &str = "0123456789abcdef";
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", &format!("another-token-of-before\n{API_TOKEN}\n"));
    bed.set(&asking(&lab));
    let daemon = bed.start();
    for n in 0..100 {
        let answer = bed.ask_with(&format!("5ec7e7-guess-{n}"), "GET", "/v1/watches", "");
        answer.problem(401);
    }
    let body = format!("{{\"group_id\":\"{}\",\"export_id\":\"{EXPORT_ID}\"}}", crate::lab::GROUP);
    let added = bed.ask_with(API_TOKEN, "POST", "/v1/watches", &body);
    let path = added.header("location").unwrap().to_owned();
    assert_eq!(bed.ask_with("another-token-of-before", "DELETE", &path, "").status, 204);
    let changed = daemon.until_told("api.changed", 2);
    for (line, (method, code)) in changed.iter().zip([("POST", 201), ("DELETE", 204)]) {
        assert_eq!(line["http.request.method"], method, "{line}");
        assert_eq!(line["http.response.status_code"], code, "{line}");
        let client: IpAddr = line["client.address"].as_str().unwrap().parse().unwrap();
        assert!(client.is_loopback(), "{line}");
        assert!(path.ends_with(line["watch.id"].as_str().unwrap()), "{line}");
    }
    let metrics = bed.ask_with("", "GET", "/metrics", "").body;
    let line = "snyk_export_api_requests_total{code=\"401\",route=\"/v1/watches\"} 100\n";
    assert!(metrics.contains(line), "{metrics}");
    daemon.signal("TERM");
    let run = daemon.end();
    let refused = run.stderr.lines().filter(|line| line.contains("\"api.refused\"")).count();
    assert!((1..=60).contains(&refused), "{refused}: {run}");
    for secret in ["5ec7e7", API_TOKEN, "another-token-of-before"] {
        run.stderr_lacks(secret);
    }
}

#[test]
fn a_secret_that_every_user_can_read_is_worth_a_warning() {
    const WARNING: &str = "every user of this machine can read a file with a secret";
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    bed.file("api-token", "0123456789abcdef");
    bed.set(&asking(&lab));
    for (mode, warnings) in [(0o644, 2), (0o640, 0)] {
        for name in ["token", "api-token"] {
            std::fs::set_permissions(bed.path(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let daemon = bed.start();
        daemon.signal("TERM");
        let run = daemon.end();
        assert_eq!(run.exits(0).stderr.matches(WARNING).count(), warnings, "{run}");
    }
}
