//! A settings file and environment variables. An input is a file. Lines that start with `#$`, which are comments in TOML, are
//! variables: `#$SNYK_EXPORT_MAX_WAIT=5m`.

#![no_main]

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use snyk_export::settings::{CommandLine, Environment, Settings};
use snyk_export::snyk::credentials::Source;
use snyk_export::snyk::region::Api;
use snyk_export::watch::Policy;
use snyk_export_fuzz::assert_is_one_line;
use tempfile::NamedTempFile;

/// Variables that name files. The files of this machine are not part of an input.
const FILES: [&str; 3] = ["SNYK_EXPORT_CONFIG", "HOME", "XDG_CONFIG_HOME"];

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a file"));
}

fuzz_target!(|text: &str| {
    let path = write(text);
    let given = text.lines().filter_map(|line| line.strip_prefix("#$")?.split_once('='));
    let given = given.filter(|(name, _)| !FILES.contains(name));
    let variables = given.chain([("SNYK_EXPORT_CONFIG", path.as_str())]);
    let environment: Environment =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();

    let load = || Settings::load(CommandLine::default(), environment.clone());
    let settings = match load() {
        Ok(settings) => settings,
        Err(error) => {
            let error = error.to_string();
            let names_its_place = error.starts_with(&path) || error.starts_with("SNYK_");
            assert!(names_its_place, "{error}");
            return;
        }
    };
    match settings.policy() {
        Ok(policy) => {
            assert_eq!(
                format!("{policy:?}"),
                format!("{:?}", load().and_then(|settings| settings.policy()).expect("the same"))
            );
            check(&policy);
        }
        Err(error) => assert_is_one_line(&error.to_string()),
    }
    let chosen = settings.api().ok().map(|configured| configured.chosen(None, None).api);
    for api in [chosen, settings.configured_api().cloned()].into_iter().flatten() {
        where_requests_go(&api, &settings);
    }
    if let Ok((Source::Value(credential), _)) = settings.credential_source() {
        let header = credential.header();
        assert!(header.is_sensitive());
        let sent = header.to_str().expect("characters that can be sent");
        let (word, token) = sent.split_once(' ').expect("two words");
        assert!(
            matches!(word, "token" | "Bearer") && !token.is_empty() && !token.contains(char::is_whitespace)
        );
    }
});

fn write(text: &str) -> String {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("an empty file");
        file.rewind().expect("its beginning");
        file.write_all(text.as_bytes()).expect("a file with the text");
        file.path().to_str().expect("a path that is text").to_owned()
    })
}

/// Whatever was set: a watch always pauses between polls, and nothing overflows.
fn check(policy: &Policy) {
    assert!(!policy.request_timeout.is_zero());
    assert!([policy.max_wait, policy.max_outage].into_iter().flatten().all(|limit| !limit.is_zero()));
    let mut rng = fastrand::Rng::with_seed(7);
    for pace in [&policy.pace, &policy.retry, &policy.throttle] {
        let (mut position, mut last) = (None, Duration::ZERO);
        for _ in 0..64 {
            let delay = pace.next(&mut position, &mut rng);
            assert!(!delay.is_zero(), "{pace:?}");
            assert!(position >= Some(last), "{pace:?} goes back from {last:?} to {position:?}");
            last = position.unwrap_or_default();
        }
    }
}

fn where_requests_go(api: &Api, settings: &Settings) {
    let text = api.to_string();
    assert_eq!(text.parse().as_ref(), Ok(api), "{text}");
    let url = api.token_url();
    assert!(url.as_str().ends_with("/oauth2/token") && url.as_str().starts_with(&text), "{url} of {text}");
    assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none(), "{url}");
    if settings.api().is_ok() {
        assert!(api.is_https() || api.is_loopback() || settings.allows_http(), "{text}");
    }
}
