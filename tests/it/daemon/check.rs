//! `watch --check` checks all settings and changes nothing.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::home::{DaemonHome, account, asking, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, READY, SECOND_ID};

#[test]
fn valid_settings_are_counted_and_nothing_is_begun() {
    let (lab, receiver) = (Lab::start(NEVER), super::home::taking_all());
    let watches = [watch("default", EXPORT_ID), watch("acme", EXPORT_ID), watch("acme", SECOND_ID)].concat();
    let bed = DaemonHome::new(
        &[asking(&lab), account("acme", &lab), watches, webhook("platform", &receiver)].concat(),
    );
    let run = bed.program("watch").arg("--check").run();
    let store = bed.path("watches.db");
    let told = run.exits(0).stdout_is("").logs();
    assert_eq!(told[0]["message"], "the settings are valid");
    let counted = ["accounts", "watches", "endpoints", "store"].map(|field| told[0][field].clone());
    let expected: [Value; 4] = [2.into(), 3.into(), 1.into(), store.display().to_string().into()];
    assert_eq!(counted, expected);
    assert_eq!(lab.requests(), 0);
    assert!(!store.exists());
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_its_cure() {
    let snyk = "[snyk]\ntoken-file = '@token'\n";
    let one = watch("default", EXPORT_ID);
    let hook = "[[notify]]\nname = 'a'\nkind = 'webhook'\n";
    let rows = [
        (
            format!("{snyk}[pace]\nmax-intervall = '1s'"),
            "line 4",
            "[pace] max-intervall: there is no such key",
        ),
        (format!("{snyk}[[watch]]\nexport = 'x'"), "line 4", "[watch] export: there is no such key"),
        (format!("{snyk}{}", watch("beta", EXPORT_ID)), "line 3", "there is no account `beta`"),
        (format!("{snyk}{one}{one}"), "line 7", "line 3, column 1, [[watch]]: remove one of them"),
        (format!("{snyk}[[watch]]\nexport-id = '{EXPORT_ID}'"), "line 3", "either `group-id` or `org-id`"),
        ("\n[snyk]\ntoken-file = '@no-such'".to_owned(), "line 3", "no-such"),
        (format!("{snyk}[snyk.accounts.b]\ntoken-file = '@no-such'"), "line 4", "no-such"),
        (format!("{snyk}[snyk.accounts.b]\napi = 'eu'"), "line 3", "it has no credential: give `token-file`"),
        (format!("{snyk}[snyk.accounts.b]\napi = 'http://b.example'"), "line 4", "use https"),
        (format!("{hook}url = 'hooks.example'\n{snyk}"), "line 4", "it is not a valid URL"),
        (format!("{hook}url = 'ftp://hooks.example'\n{snyk}"), "line 4", "neither https nor http"),
        (format!("{hook}argv = ['x']\n{snyk}"), "line 4", "`argv` is not for an endpoint of kind"),
        (format!("{hook}url = 'https://x.example'\non = ['done']\n{snyk}"), "line 5", "expected one of"),
        (format!("{snyk}[server]\nlisten = '0.0.0.0:8686'"), "line 4", "[server] needs a `token-file`"),
        (format!("{snyk}[store]\nurl = 'sqlite://watches.db'"), "line 4", "expected an absolute path"),
        (format!("{snyk}[store]\nurl = 'postgres://x/y'"), "line 4", "SQLite only"),
        (format!("{snyk}[[watch"), "line 3, column 8", "unclosed array table"),
    ];
    for (settings, line, cure) in rows {
        let bed = DaemonHome::new("");
        bed.set_all(&settings);
        let run = bed.program("watch").arg("--check").run();
        let told = run.exits(2).logs();
        assert_eq!(told.len(), 1, "{settings}\n{run}");
        let message = told[0]["reason"].as_str().unwrap();
        let file = bed.path("daemon.toml").display().to_string();
        for wanted in [&file, line, cure] {
            assert!(message.contains(wanted), "{settings}\nshould have {wanted:?}: {message}");
        }
        // It does not start with them either.
        bed.program("watch").run().exits(2).stderr_has(line);
    }
}

#[test]
fn the_daemon_starts_in_an_empty_home() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new("");
    let listen = bed.address;
    bed.set_all(&format!("[server]\nlisten = '{listen}'\n{}", asking(&lab)));
    let home = bed.path("home");
    std::fs::create_dir(&home).unwrap();
    let check = bed.program("watch").arg("--check").living_in(&home).run();
    check.exits(0).stderr_has("the settings are valid").stderr_lacks("in use");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "nothing is left");
    let daemon = DaemonHome::begin(bed.program("watch").living_in(&home));
    bed.program("healthcheck").run().exits(0);
    bed.program("watch")
        .arg("--check")
        .living_in(&home)
        .run()
        .exits(0)
        .stderr_has("the store and the address are in use, as they are while the daemon runs");
    let state = home.join(".local/state/snyk-export");
    assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    daemon.signal("TERM");
    daemon.end().exits(0);
    let before = std::fs::read(state.join("watches.db")).unwrap();
    bed.program("watch").arg("--check").living_in(&home).run().exits(0).stderr_lacks("in use");
    assert_eq!(std::fs::read(state.join("watches.db")).unwrap(), before);
}

#[test]
fn what_a_start_could_not_have_is_found() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&asking(&lab));
    let valid = bed.settings();
    let names = || {
        let entries = std::fs::read_dir(bed.path("")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    bed.file("garbage.db", &"garbage".repeat(1000));
    let taken = TcpListener::bind((bed.address.ip(), 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let rows = [
        (valid.replace("watches.db", "a/b/x.db"), "create the directory above it"),
        (valid.replace("watches.db", "garbage.db"), "put a backup in its place"),
        (valid.replace("/watches.db", ""), "name a file, not a directory"),
        (valid.replace("watches.db", "token/x.db"), "name a file in a directory"),
        (valid.replace(&bed.address.to_string(), &address), "set [server] listen to an address that is free"),
    ];
    for (settings, cure) in rows {
        bed.set_all(&settings);
        let before = names();
        bed.program("watch").arg("--check").run().exits(2).stderr_has(cure);
        assert_eq!(names(), before, "{cure}");
        bed.program("watch").run().exits(2).stderr_has(cure);
    }
}

#[test]
fn a_command_is_found_by_the_rule_that_runs_it() {
    let lab = Lab::start(READY);
    let command = |argv: &str| format!("[[notify]]\nname = 'c'\nkind = 'command'\nargv = ['{argv}']\n");
    let settings = |argv: &str| [asking(&lab), command(argv), watch("default", EXPORT_ID)].concat();
    let bed = DaemonHome::new(&settings("true"));
    // There is no PATH.
    bed.program("watch").arg("--check").run().exits(0);
    bed.until_idle().exits(0).stderr_has("delivery.sent");

    let bed = DaemonHome::new(&settings("tell"));
    std::fs::create_dir(bed.path("bin")).unwrap();
    bed.file("bin/tell", "#!/bin/sh\n");
    std::fs::set_permissions(bed.path("bin/tell"), PermissionsExt::from_mode(0o700)).unwrap();
    bed.program("watch").arg("--check").run().exits(2).stderr_has("`tell` cannot be run");
    let path = bed.path("bin").display().to_string();
    bed.program("watch").env("PATH", &path).arg("--check").run().exits(0);
    bed.program("watch").env("PATH", &path).arg("--until-idle").run().exits(0).stderr_has("delivery.sent");
}
