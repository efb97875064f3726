//! Endpoints: tried by hand, and with headers of their own.

use serde_json::json;

use super::home::{DaemonHome, asking, reload, taking_all, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, Receiver};

#[test]
fn an_endpoint_is_tried_with_its_real_settings_beside_a_running_daemon() {
    let (lab, takes) = (Lab::start(NEVER), taking_all());
    let refuses = Receiver::start(|_| Some(403));
    let headers = "headers-file = '@headers'\n";
    let settings =
        [asking(&lab), webhook("platform", &takes), headers.to_owned(), webhook("closed", &refuses)].concat();
    let bed = DaemonHome::new("");
    bed.file("headers", "Authorization: Bearer hunter2hunter2\n");
    bed.set(&settings);
    let daemon = bed.start();
    let test = |name: &str| bed.program("watch").args("--test-notify").arg(name).run();

    test("platform").exits(0).stderr_has("the endpoint took the test event").stderr_lacks("hunter2");
    let notice = takes.until(|notices| !notices.is_empty()).remove(0);
    let event = notice.event();
    assert_eq!((&event["type"], &event["source"]), (&json!("io.snyk-export.test"), &json!("/snyk-export")));
    assert!(event["data"]["message"].as_str().unwrap().contains("this is a test"), "{event}");
    assert_eq!(notice.header("authorization"), "Bearer hunter2hunter2");
    assert!(notice.header("webhook-id").ends_with("_platform"), "{notice:?}");

    test("closed")
        .exits(69)
        .stderr_has("the endpoint `closed` did not take the test event: HTTP 403 Forbidden");
    let unknown = test("platfrom");
    unknown.exits(2).stderr_has("there is no endpoint `platfrom`; the settings have `platform`, `closed`");
    daemon.signal("TERM");
    daemon.end().exits(0);
    assert_eq!(takes.until(|_| true).len(), 1, "one test sends one event");
}

#[test]
fn headers_are_read_again_at_a_reload_and_never_shown() {
    let (lab, receiver) = (Lab::start(READY), Receiver::start(|n| Some(if n == 0 { 401 } else { 200 })));
    let settings = [asking(&lab), watch("default", EXPORT_ID), webhook("platform", &receiver)].concat();
    let bed = DaemonHome::new("");
    bed.file("headers", "Authorization: Bearer first-hunter2\n");
    bed.set(&format!("{settings}headers-file = '@headers'\n"));
    let daemon = bed.start();
    receiver.until(|notices| !notices.is_empty());
    bed.file("headers", "# of today\nAuthorization: Bearer other-hunter2\nX-Team: team-hunter2\n");
    reload(&daemon);
    let notices = receiver.until(|notices| notices.last().is_some_and(|last| last.answered == Some(200)));
    let last = notices.last().unwrap();
    assert_eq!(notices[0].header("authorization"), "Bearer first-hunter2");
    assert_eq!(
        (last.header("authorization"), last.header("x-team")),
        ("Bearer other-hunter2", "team-hunter2")
    );
    assert_eq!(notices[0].header("webhook-id"), last.header("webhook-id"));

    let before = daemon.until_said("cannot use the new settings, keeping the previous ones", 0).len();
    bed.file("headers", "Content-Type: text/hunter2\n");
    daemon.signal("HUP");
    let refused =
        daemon.until_said("cannot use the new settings, keeping the previous ones", before + 1).remove(0);
    assert!(refused["reason"].as_str().unwrap().contains("line 1 sets `content-type`"), "{refused}");
    daemon.signal("TERM");
    let run = daemon.end();
    run.exits(0).stderr_lacks("hunter2");
}
