//! A message blames what is to blame, and knows the cure.

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY};

/// What a wait of a `scenario` says.
struct Row {
    scenario: &'static str,
    exit_code: i32,
    says: &'static [&'static str],
    never_says: &'static [&'static str],
}

const ROWS: [Row; 8] = [
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 407, body = '<html>', headers = { Content-Type = 'text/html' } }]",
        exit_code: 7,
        says: &["a proxy before the API wants a login", "HTTP 407", "USER:PASSWORD@ in HTTPS_PROXY"],
        never_says: &["Snyk does not accept"],
    },
    Row {
        scenario: include_str!("../../../config/scenarios/proxy-page.toml"),
        exit_code: 4,
        says: &[
            "the request was refused",
            "ERROR: The requested URL could not be retrieved",
            "a proxy, a firewall",
            "NO_PROXY",
        ],
        never_says: &["Enterprise", "permission", "may not see"],
    },
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 404, body = '<html>', headers = { Content-Type = 'text/html' } }]",
        exit_code: 5,
        says: &["the request was refused", "a proxy, a firewall or a login page"],
        never_says: &["3 days"],
    },
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 200, body = '<html><title>Sign in</title>' }]",
        exit_code: 69,
        says: &["“Sign in”", "a login page on the way to Snyk"],
        never_says: &[],
    },
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 302, headers = { Location = 'https://login.example/saml' } }]",
        exit_code: 7,
        says: &[
            "https://login.example",
            "next    Snyk's API does not redirect: a login page (single sign-on)",
            "--api",
        ],
        never_says: &[],
    },
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 409 }]",
        exit_code: 6,
        says: &["next    it may pass: poll on with --retry-conflict"],
        never_says: &[],
    },
    Row {
        scenario: "then = 'last'\nanswers = [{ status-code = 429, headers = { Retry-After = '3600' } }]",
        exit_code: 69,
        says: &[
            "Snyk asks to wait 1h, longer than --max-outage allows (10m)",
            "next    allow more with --max-outage",
        ],
        never_says: &[],
    },
    Row {
        scenario: "ends-as = 'ERRORED'\nerror-text = 'the query took too long'\npending = '0s'\nstarted = '0s'",
        exit_code: 3,
        says: &["Snyk stopped with ERRORED", "  reason  the query took too long\n"],
        never_says: &["HTTP 200"],
    },
];

#[test]
fn a_message_blames_what_is_to_blame() {
    for Row { scenario, exit_code, says, never_says } in ROWS {
        let lab = Lab::start(scenario);
        let outage = if scenario.contains("429") { "10m" } else { "1ms" };
        let run = Program::wait(&lab).export(EXPORT_ID).args("--max-outage").arg(outage).run();
        run.exits(exit_code);
        for text in says {
            run.stderr_has(text);
        }
        for text in never_says {
            run.stderr_lacks(text);
        }
    }
}

#[test]
fn an_answer_of_snyk_is_blamed_on_the_credential() {
    let forbidden = "then = 'last'\nanswers = [{ status-code = 403 }]";
    let run = Program::wait(&Lab::start(&format!("{NEVER}{forbidden}"))).export(EXPORT_ID).run();
    run.exits(4).stderr_has("may not see this export").stderr_has("SNYK_TOKEN");
}

#[test]
fn a_name_that_does_not_resolve_has_a_cure() {
    let program = Program::asking("status", "https://api.snyk.invalid").export(EXPORT_ID).run();
    program
        .exits(69)
        .stderr_has("check the name api.snyk.invalid")
        .stderr_has("DNS")
        .stderr_has("HTTPS_PROXY");
}

#[test]
fn a_simulator_whose_address_is_taken_says_so_once() {
    let lab = Lab::start(READY);
    let address = lab.url().replace("http://", "");
    let run = Program::bare("simulate").args("--listen").arg(&address).run();
    run.exits(2).stderr_is(&format!(
        "error: --listen {address}: another program listens there, maybe another simulator; name another port, or 0 for a \
         free one\n"
    ));
}

#[test]
fn simulate_lists_its_scenarios() {
    let run = Program::bare("simulate").arg("--list").run();
    let listed = run.exits(0).stdout.clone();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in ["default", "not-found", "forbidden", "never-ready", "proxy-page"] {
        assert!(names.contains(&name), "{listed}");
    }
}
