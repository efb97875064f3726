//! Files that change are noticed without a signal, and paths may have variables.

use super::home::{DaemonHome, asking, taking_all, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, SECOND_ID};

#[test]
fn files_that_change_are_taken_on_without_a_signal() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    // As in a volume of Kubernetes.
    let version = |name: &str, token: &str| {
        std::fs::create_dir(bed.path(name)).unwrap();
        bed.file(&format!("{name}/api-token"), token);
        std::os::unix::fs::symlink(name, bed.path("..new")).unwrap();
        std::fs::rename(bed.path("..new"), bed.path("..data")).unwrap();
    };
    version("one", "the-first-token-of-all\n");
    std::os::unix::fs::symlink("..data/api-token", bed.path("api-token")).unwrap();
    bed.set(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let daemon = bed.start();
    version("two", "the-second-token-of-all\n");
    daemon.until_said("the settings were reloaded", 1);
    let changed = daemon.until_said("files have changed, reading the settings again", 1);
    assert!(changed[0]["files"].as_str().unwrap().ends_with("api-token"), "{changed:?}");
    assert_eq!(bed.ask_with("the-first-token-of-all", "GET", "/v1/watches", "").status, 401);
    assert_eq!(bed.get("/v1/watches").status, 200);
    // A mistake is logged once, and the settings before stay. A signal reads it too, and then it is not a change.
    let valid = bed.settings();
    bed.set_all(&format!("{valid}[[watch]\n"));
    const REFUSED: &str = "cannot use the new settings, keeping the previous ones";
    daemon.until_said(REFUSED, 1);
    bed.set_all(&format!("{valid}{}", watch("default", SECOND_ID)));
    daemon.until_said("the settings were reloaded", 2);
    assert_eq!(bed.seen("/v1/watches")["data"].as_array().unwrap().len(), 2);
    daemon.signal("TERM");
    let run = daemon.end();
    let said = |message: &str| run.logs().iter().filter(|line| line["message"] == message).count();
    run.exits(0);
    assert_eq!((said(REFUSED), said("the settings were reloaded")), (1, 2));
}

#[test]
fn paths_may_have_variables() {
    let (lab, receiver) = (Lab::start(NEVER), taking_all());
    let bed = DaemonHome::new("");
    bed.file("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
    let signed =
        format!("{}secret-file = '${{CREDENTIALS_DIRECTORY}}/key'\n", webhook("platform", &receiver));
    let token = asking(&lab).replace("'@token'", "'${CREDENTIALS_DIRECTORY}/token'");
    bed.set(&[token, signed, watch("default", EXPORT_ID)].concat());
    let url = format!("sqlite://{}", bed.path("watches.db").display());
    bed.set_all(&bed.settings().replace(&url, "sqlite://${CREDENTIALS_DIRECTORY}/watches.db"));
    let directory = bed.path("").display().to_string();
    let check = || bed.program("watch").arg("--check");
    check().env("CREDENTIALS_DIRECTORY", &directory).run().exits(0).stderr_has("watches.db");
    let refused = check().run();
    refused
        .exits(2)
        .stderr_has("daemon.toml line ")
        .stderr_has("the variable `CREDENTIALS_DIRECTORY` is not set");
    let daemon = DaemonHome::begin(bed.program("watch").env("CREDENTIALS_DIRECTORY", &directory));
    lab.until_asked(2);
    daemon.signal("TERM");
    daemon.end().exits(0);
    // Other commands need only what they use.
    let wait = bed
        .program("wait")
        .args(&format!("{EXPORT_ID} --max-wait 100ms"))
        .env("SNYK_TOKEN", crate::lab::TOKEN);
    wait.env("SNYK_GROUP_ID", crate::lab::GROUP).run().exits(124);
}
