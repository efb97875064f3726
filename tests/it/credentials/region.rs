//! Which API is used if only the credential names a region. A proxy sees the host.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::lab::Run;
use crate::lab::{EXPORT_ID, GROUP, Program};

/// A token whose claim `h` is `api.eu.snyk.io`.
const OF_EU: &str = "snyk_uat.1a2b3c4d.eyJoIjoiYXBpLmV1LnNueWsuaW8ifQ.c2lnbmF0dXJl";

/// A JWT whose `aud` is `["https://api.au.snyk.io"]`.
const OF_AU: &str = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsiaHR0cHM6Ly9hcGkuYXUuc255ay5pbyJdfQ.c2lnbmF0dXJl";

/// A token whose claim `h` is `evil.example`.
const OF_NOBODY: &str = "snyk_uat.1a2b3c4d.eyJoIjoiZXZpbC5leGFtcGxlIn0.c2lnbmF0dXJl";

#[test]
fn the_region_of_a_token_is_asked() {
    let rows = [
        ("SNYK_TOKEN", OF_EU, "api.eu.snyk.io", "the token's region"),
        ("SNYK_TOKEN", OF_AU, "api.au.snyk.io", "the token's region"),
        ("SNYK_OAUTH_TOKEN", OF_AU, "api.au.snyk.io", "the token's region"),
        ("SNYK_CFG_API", OF_EU, "api.eu.snyk.io", "the token's region"),
        ("SNYK_TOKEN", OF_NOBODY, "api.snyk.io", "the default"),
        ("SNYK_TOKEN", "11111111-0000-4000-8000-000000000000", "api.snyk.io", "the default"),
    ];
    for (name, token, host, source) in rows {
        asked(wait().env(name, token)).is(host, source).stderr_lacks(token);
    }
}

#[test]
fn the_region_of_a_token_file_and_of_the_snyk_cli_is_asked() {
    let program = wait();
    let path = program.file("token", OF_EU).display().to_string();
    asked(program.args("--token-file").arg(&path)).is("api.eu.snyk.io", "the token's region");
    let program = wait();
    program.file(".config/configstore/snyk.json", r#"{"api":"abc","endpoint":"https://api.us.snyk.io"}"#);
    asked(program).is("api.us.snyk.io", "the token's region");
    let program = wait();
    program.file(".config/configstore/snyk.json", r#"{"api":"abc","endpoint":"https://evil.example"}"#);
    asked(program).is("api.snyk.io", "the default");
}

#[test]
fn what_the_user_says_beats_the_region_of_the_token() {
    let program = || wait().env("SNYK_TOKEN", OF_EU).env("SNYK_CFG_ENDPOINT", "us2");
    let elsewhere = "the credential belongs to another region than the API";
    asked(program()).is("api.us.snyk.io", "SNYK_CFG_ENDPOINT").stderr_has(elsewhere);
    asked(program().env("SNYK_API", "gov")).is("api.snykgov.io", "SNYK_API").stderr_has(elsewhere);
    asked(program().env("SNYK_API", "gov").args("--api au")).is("api.au.snyk.io", "--api");
    asked(program().args("--api eu")).is("api.eu.snyk.io", "--api").stderr_lacks(elsewhere);
}

#[test]
fn the_region_of_a_token_beats_that_of_a_pasted_url() {
    let url = format!("https://api.us.snyk.io/rest/groups/{GROUP}/jobs/export/{EXPORT_ID}");
    let pasted =
        |token: &str| Program::asking("wait", "").no_env("SNYK_API").arg(&url).env("SNYK_TOKEN", token);
    asked(pasted("abc")).is("api.us.snyk.io", "the pasted URL");
    let run = asked(pasted(OF_EU)).is("api.eu.snyk.io", "the token's region");
    let ignored = run.logs().into_iter().find(|line| line["url.host"] == "https://api.us.snyk.io").unwrap();
    assert_eq!(ignored["snyk.api"], "https://api.eu.snyk.io", "both are named: {run}");
}

fn wait() -> Program {
    Program::asking("wait", "").no_env("SNYK_API").no_env("SNYK_TOKEN").export(EXPORT_ID)
}

/// What a run asked its proxy for.
struct Asked {
    run: Run,
    first: String,
}

impl Asked {
    /// The API at `host` was asked, since `source` said so.
    #[track_caller]
    fn is(self, host: &str, source: &str) -> Run {
        let Self { run, first } = self;
        assert_eq!(first, format!("CONNECT {host}:443 HTTP/1.1"), "{run}");
        let asking = run.logs().into_iter().find(|line| line["message"] == "asking Snyk").unwrap();
        assert_eq!(asking["snyk.api"], format!("https://{host}"));
        assert_eq!(asking["snyk.api_source"], source);
        run
    }
}

/// Runs the program behind a proxy that lets nobody through.
fn asked(program: Program) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let first = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&first);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            seen.lock().unwrap().get_or_insert(line);
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let run = program.env("HTTPS_PROXY", &proxy).args("--max-outage 20ms --log-format json").run();
    let first = first.lock().unwrap().take().unwrap_or_else(|| panic!("nothing was asked: {run}"));
    Asked { run, first }
}
