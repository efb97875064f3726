//! Redirects are followed within the origin. The credential never leaves it.

use crate::lab::{EXPORT_ID, Lab, Program, READY, Run, free_address};

/// A Location within the origin; the simulator serves the export there.
const HERE: &str = "/rest/{scope-path}/jobs/export/{export-id}?version=2024-10-15";

#[test]
fn a_redirect_within_the_origin_is_followed_with_the_credential() {
    for code in [301, 302, 303, 307, 308] {
        for base in ["", "{base-url}", "http://somebody:else@{authority}"] {
            let (lab, run) = redirected(code, |authority| base.replace("{authority}", authority) + HERE);
            run.exits(0);
            assert_eq!((lab.codes(), lab.connections()), (vec![code, 200], 1), "{base}");
            let exchanges = lab.exchanges();
            assert!(exchanges.iter().all(|exchange| exchange.method == "GET"));
            assert!(exchanges.iter().all(|exchange| exchange.authorization.as_deref() == Some("token")));
        }
    }
}

#[test]
fn a_redirect_to_another_origin_exits_with_7_and_takes_nothing_along() {
    let other = Lab::start(READY);
    let port = other.url().rsplit(':').next().unwrap().to_owned();
    let bases = [other.url(), other.url().replace("http:", ""), format!("http://localhost:{port}")];
    for base in bases {
        let (lab, run) = redirected(302, |_| format!("{base}{HERE}"));
        let document = run.exits(7).document();
        assert_eq!(
            (&document["outcome"], &document["error"]["http_status"]),
            (&"rejected".into(), &302.into())
        );
        run.stderr_has("redirected to another origin").stderr_has(&port);
        assert_eq!(lab.requests(), 1);
    }
    assert_eq!(other.exchanges(), [], "the other origin must hear nothing");
}

#[test]
fn a_redirect_to_another_scheme_exits_with_7() {
    for scheme in ["https", "ftp", "file"] {
        let (lab, run) = redirected(302, |authority| format!("{scheme}://{authority}{HERE}"));
        run.exits(7);
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn a_redirect_to_nowhere_exits_with_7() {
    for code in [300, 301, 302, 303, 304, 305, 307, 308, 399] {
        let lab = Lab::start(&format!("then = 'last'\nanswers = [{{ status-code = {code} }}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).run();
        assert_eq!(run.exits(7).document()["error"]["http_status"], code);
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn five_redirects_are_followed_and_no_more() {
    let to = |times| {
        let headers = format!("{{ Location = '{HERE}' }}");
        format!("{READY}answers = [{{ status-code = 302, repeat = {times}, headers = {headers} }}]")
    };
    let lab = Lab::start(&to(5));
    Program::wait(&lab).export(EXPORT_ID).run().exits(0);
    assert_eq!(lab.codes(), [302, 302, 302, 302, 302, 200]);
    let lab = Lab::start(&to(6));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    assert_eq!(run.exits(7).document()["outcome"], "rejected");
    assert_eq!(lab.codes(), [302; 6]);
}

#[test]
fn a_location_cannot_write_to_the_terminal() {
    let (_, run) = redirected(302, |_| "http://evil.example/\\u202e%1b\\u0085".to_owned());
    run.exits(7).stderr_lacks("\u{1b}").stderr_lacks("\u{202e}").stderr_lacks("\u{85}");
}

/// Waits for an export whose first poll is redirected to what `location` makes of the server's own authority.
fn redirected(code: u16, location: impl Fn(&str) -> String) -> (Lab, Run) {
    let address = free_address();
    let location = location(&address.to_string());
    let answer = format!("{{ status-code = {code}, headers = {{ Location = \"{location}\" }} }}");
    let lab = Lab::listening(address, &format!("{READY}answers = [{answer}]"), |_| {});
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    (lab, run)
}
