//! `watch --check`: all of a settings file is looked at, and nothing is done.

use serde_json::Value;

use super::bed::{Bed, account, asking, watch, webhook};
use crate::lab::{EXPORT_ID, Lab, NEVER, SECOND_ID};

#[test]
fn valid_settings_are_counted_and_nothing_is_begun() {
    let (lab, receiver) = (Lab::start(NEVER), super::bed::taking_all());
    let watches = [watch("default", EXPORT_ID), watch("acme", EXPORT_ID), watch("acme", SECOND_ID)].concat();
    let bed =
        Bed::new(&[asking(&lab), account("acme", &lab), watches, webhook("platform", &receiver)].concat());
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
        (format!("{snyk}[pace]\nmax-intervall = '1s'"), "line 4", "unknown field `max-intervall`"),
        (format!("{snyk}[[watch]]\nexport = 'x'"), "line 4", "unknown field `export`"),
        (format!("{snyk}{}", watch("beta", EXPORT_ID)), "line 3", "there is no account `beta`"),
        (format!("{snyk}{one}{one}"), "line 7", "line 3, [[watch]]: remove one of them"),
        (format!("{snyk}[[watch]]\nexport-id = '{EXPORT_ID}'"), "line 3", "either `group-id` or `org-id`"),
        ("\n[snyk]\ntoken-file = '@no-such'".to_owned(), "line 3", "no-such"),
        (format!("{snyk}[snyk.accounts.b]\ntoken-file = '@no-such'"), "line 4", "no-such"),
        (format!("{snyk}[snyk.accounts.b]\napi = 'eu'"), "line 3", "it has no credential: give `token-file`"),
        (format!("{snyk}[snyk.accounts.b]\napi = 'http://b.example'"), "line 4", "use https"),
        (format!("{hook}url = 'hooks.example'\n{snyk}"), "line 4", "it is no valid URL"),
        (format!("{hook}url = 'ftp://hooks.example'\n{snyk}"), "line 4", "neither https nor http"),
        (format!("{hook}argv = ['x']\n{snyk}"), "line 4", "`argv` is not for an endpoint of kind"),
        (format!("{hook}url = 'https://x.example'\non = ['done']\n{snyk}"), "line 5", "expected one of"),
        (format!("{snyk}[server]\nlisten = '0.0.0.0:8686'"), "line 4", "[server] needs a `token-file`"),
        (format!("{snyk}[store]\nurl = 'sqlite://watches.db'"), "line 4", "expected an absolute path"),
        (format!("{snyk}[store]\nurl = 'postgres://x/y'"), "line 4", "SQLite only"),
        (format!("{snyk}[[watch"), "line 3", "["),
    ];
    for (settings, line, cure) in rows {
        let bed = Bed::new("");
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
