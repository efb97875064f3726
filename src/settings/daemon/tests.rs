mod accounts;
mod endpoints;
mod files;

use std::net::SocketAddr;
use std::path::Path;

use clap::{Args as _, FromArgMatches as _};
use tempfile::TempDir;

use super::*;
use crate::settings::layers::Layer;
use crate::settings::{CommandLine, Environment, places};
use crate::snyk::region::Api;

const G: &str = "11111111-2222-4333-8444-555555555555";
const E: &str = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
const TOKEN: [(&str, &str); 1] = [("SNYK_TOKEN", "t")];
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// A directory with the files that settings name as `@token` and so on.
struct SettingsDir(TempDir);

impl SettingsDir {
    fn new() -> Self {
        let bed = Self(tempfile::tempdir().unwrap());
        let files = [
            ("token", "snyk-token\n"),
            ("empty", " \n"),
            ("unset", "${SNYK_TOKEN_OF_ACME}\n"),
            ("secret", "client-secret\n"),
            ("short", "0123456789abcde\n"),
            ("long", " 0123456789abcdef\n"),
            ("two", "0123456789abcdef\r\n\n 0123456789abcdeg \n"),
            ("two-of-which-one-is-short", "0123456789abcdef\n0123456789abcde\n"),
            ("two-of-which-one-is-unset", "0123456789abcdef\n${SNYK_EXPORT_TOKEN}\n"),
            ("key", KEY),
            ("headers", "Authorization: Bearer hunter2hunter2\n"),
            ("our-headers", "Transfer-Encoding: hunter2hunter2\n"),
            ("slack", "https://hooks.slack.com/services/T/B/hunter2\n"),
            ("program", "#!/bin/sh\n"),
        ];
        for (name, text) in files {
            std::fs::write(bed.path(name), text).unwrap();
        }
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(bed.path("program"), executable).unwrap();
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads a settings file, in which `'@` begins a path in the directory.
    fn load(
        &self,
        variables: &[(&str, &str)],
        flags: &[&str],
        text: &str,
    ) -> Result<Settings, SettingsError> {
        let config = self.path("settings.toml");
        std::fs::write(&config, text.replace("'@", &format!("'{}/", self.0.path().display()))).unwrap();
        let command = Layer::augment_args(clap::Command::new("test").no_binary_name(true));
        let matches = command.get_matches_from(flags);
        let (flags, given) = (Layer::from_arg_matches(&matches).unwrap(), places::given(&matches));
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(CommandLine { config: Some(config), flags, given }, variables.collect())
    }

    fn daemon(&self, variables: &[(&str, &str)], text: &str) -> Result<DaemonSettings, SettingsError> {
        self.load(variables, &[], text)?.daemon(false)
    }
}

fn daemon(text: &str) -> DaemonSettings {
    SettingsDir::new().daemon(&TOKEN, text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The API that an account asks whose credential names none.
fn asked(account: &AccountSettings) -> String {
    account.api.clone().chosen(None, None).api.to_string()
}

/// What is wrong with a settings file, without the directory that it is in.
fn error(variables: &[(&str, &str)], text: &str) -> String {
    let bed = SettingsDir::new();
    match bed.daemon(variables, text) {
        Ok(settings) => panic!("{text}\n{settings:?}"),
        Err(error) => error.to_string().replace(&format!("{}/", bed.0.path().display()), "@"),
    }
}

fn watch(more: &str) -> String {
    format!("[[watch]]\ngroup-id = '{G}'\nexport-id = '{E}'\n{more}\n")
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let settings = daemon("");
    let [account] = &settings.accounts[..] else { panic!("{:?}", settings.accounts) };
    assert_eq!((&*account.name, account.requests_per_minute.get()), ("default", 600));
    assert_eq!((asked(account), account.origin.as_str()), ("https://api.snyk.io".into(), "SNYK_TOKEN"));
    assert_eq!(settings.keep_ended, Duration::from_secs(30 * 86_400));
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8686");
    assert!(
        settings.server.tokens.is_empty() && settings.watches.is_empty() && settings.endpoints.is_empty()
    );
    assert_eq!(settings.concurrency.get(), 64);
    let policy = &settings.policy;
    assert_eq!((policy.max_wait, policy.max_outage), (Some(Duration::from_secs(86_400)), None));
    assert!(!policy.unrecoverable_is_final && policy.refusal == Refusal::PausesAccount);
    assert_eq!(
        settings.summary(),
        "1 account, 0 watches, 0 endpoints, store /var/lib/snyk-export/watches.db"
    );
}

#[test]
fn the_daemon_uses_limits_and_ignores_wait() {
    let bed = SettingsDir::new();
    let limits = |variables: &[(&str, &str)], text: &str, until_idle| {
        let variables: Vec<_> = TOKEN.iter().chain(variables).copied().collect();
        let settings = bed.load(&variables, &[], text).unwrap();
        let policy = settings.daemon(until_idle).unwrap().policy;
        assert_eq!(policy.refusal == Refusal::EndsAccount, until_idle);
        [policy.max_wait, policy.max_outage].map(|limit| limit.map(|limit| limit.as_secs()))
    };
    let wait = "[wait]\nmax-wait = '1m'\nmax-outage = '2m'\n";
    let both = format!("{wait}[limits]\nmax-wait = '3m'\nmax-outage = '4m'");
    assert_eq!(limits(&[], wait, false), [Some(86_400), None]);
    assert_eq!(limits(&[], &both, false), [Some(180), Some(240)]);
    assert_eq!(limits(&[("SNYK_EXPORT_MAX_WAIT", "5m")], &both, false), [Some(300), Some(240)]);
    assert_eq!(limits(&[], "", true), [Some(86_400), Some(600)]);
    assert_eq!(limits(&[], "[limits]\nmax-outage = '0'", true), [Some(86_400), None]);
    assert_eq!(limits(&[("SNYK_EXPORT_MAX_OUTAGE", "0")], "", true), [Some(86_400), None]);
    let of_wait = bed.load(&TOKEN, &[], "").unwrap().policy().unwrap();
    assert_eq!([of_wait.max_wait, of_wait.max_outage].map(|limit| limit.unwrap().as_secs()), [3000, 600]);
}

#[test]
fn the_store_is_an_absolute_path() {
    let store = |url: &str| daemon(&format!("[store]\nurl = '{url}'\nkeep-ended = '1d'")).store;
    assert_eq!(store("sqlite:///srv/x.db"), Path::new("/srv/x.db"));
    assert_eq!(store("sqlite:///srv/a%20b.db"), Path::new("/srv/a b.db"));
    let rows = [
        ("sqlite://dir/x.db", "absolute path"),
        ("sqlite:x.db", "absolute path"),
        ("/srv/x.db", "absolute path"),
        ("sqlite:///srv/", "absolute path"),
        ("sqlite::memory:", "absolute path"),
        ("sqlite:///srv/x.db?mode=ro", "takes no options"),
        ("postgres://u:hunter2@db/x", "this release supports SQLite only"),
    ];
    for (url, expected) in rows {
        let error = error(&TOKEN, &format!("[store]\nurl = '{url}'"));
        assert!(error.contains("line 2") && error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(error(&TOKEN, "[store]\nkeep-ended = '0'").contains("more than 0"));
}

#[test]
fn what_the_api_accepts_is_limited_unless_the_settings_say_otherwise() {
    let kept = |text: &str| {
        let settings = daemon(text);
        (settings.max_watches, settings.max_labels)
    };
    assert_eq!(kept(""), (Some(100_000), Some(64 << 20)));
    assert_eq!(kept("[store]\nmax-watches = 7\nmax-labels = '1kB'"), (Some(7), Some(1000)));
    assert_eq!(kept("[store]\nmax-watches = 0\nmax-labels = '0'"), (None, None));
    assert!(error(&TOKEN, "[store]\nmax-labels = 'much'").contains("expected a size such as"));
}

#[test]
fn the_store_is_in_the_state_directory_unless_it_is_named() {
    let rows: [(&[(&str, &str)], &str); 5] = [
        (&[], "/var/lib/snyk-export/watches.db"),
        (&[("HOME", "/h")], "/h/.local/state/snyk-export/watches.db"),
        (&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], "/s/snyk-export/watches.db"),
        (&[("STATE_DIRECTORY", "/u:/v"), ("XDG_STATE_HOME", "/s")], "/u/watches.db"),
        (&[("STATE_DIRECTORY", "")], "/var/lib/snyk-export/watches.db"),
    ];
    for (variables, expected) in rows {
        let variables: Vec<_> = TOKEN.iter().chain(variables).copied().collect();
        assert_eq!(SettingsDir::new().daemon(&variables, "").unwrap().store, Path::new(expected));
    }
}

#[test]
fn a_server_that_others_can_reach_needs_a_token() {
    let server = daemon("[server]\nlisten = '0.0.0.0:80'\ntoken-file = '@long'").server;
    let exposed = |server: &ServerSettings| -> Vec<String> {
        server.tokens.iter().map(|token| token.expose().to_owned()).collect()
    };
    assert_eq!((exposed(&server), server.metrics_listen), (vec!["0123456789abcdef".to_owned()], None));
    let server = daemon("[server]\ntoken-file = '@two'\nmetrics-listen = '0.0.0.0:9686'").server;
    assert_eq!(exposed(&server), ["0123456789abcdef", "0123456789abcdeg"]);
    assert_eq!(server.metrics_listen.map(|it| it.all()), Some(vec![SocketAddr::from(([0, 0, 0, 0], 9686))]));
    for here in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(daemon(&format!("[server]\nlisten = '{here}'")).server.tokens.is_empty(), "{here}");
    }
    let rows = [
        (
            "\nlisten = '0.0.0.0:80'",
            "line 3, column 1, listen: listen = \"0.0.0.0:80\" can be reached",
            "token-file",
        ),
        ("listen = '192.0.2.1:80'", "line 2, column 1, listen: listen = \"192.0.2.1:80\"", "[server]"),
        ("listen = 'localhost'", "line 2", "expected an address such as"),
        ("listen = 'metrics.example:80'", "line 2", "or \"localhost:8686\""),
        (
            "token-file = '@short'",
            "line 2, column 1, token-file: the token in @short",
            "openssl rand -hex 32",
        ),
        (
            "token-file = '@two-of-which-one-is-short'",
            "line 2, column 1, token-file: the token in @two",
            "one a line",
        ),
        (
            "token-file = '@two-of-which-one-is-unset'",
            "line 2, column 1, token-file: @two",
            "holds no usable value",
        ),
        ("metrics-listen = '9686'", "line 2", "expected an address such as"),
        ("token-file = '@none'", "line 2, column 1, token-file: failed to read @none", "No such file"),
        ("token-file = '@empty'", "line 2, column 1, token-file: @empty is empty", ""),
        ("token-file = '@unset'", "line 2, column 1, token-file: @unset holds no usable value", "a variable"),
    ];
    for (server, expected, and) in rows {
        let error = error(&TOKEN, &format!("[server]\n{server}"));
        assert!(error.contains(expected) && error.contains(and), "{error}");
    }
}

#[test]
fn wait_ignores_the_settings_of_the_daemon() {
    let text = "[snyk.accounts.acme]\ntoken-file = '/nowhere'\n[server]\nlisten = '0.0.0.0:80'\n\
        [store]\nkeep-ended = '1d'\n[[notify]]\n[[watch]]\naccount = 'nobody'";
    let settings = SettingsDir::new().load(&TOKEN, &[], text).unwrap();
    assert!(settings.policy().is_ok() && settings.network().is_ok() && settings.credential_source().is_ok());
}

#[test]
fn a_healthcheck_needs_only_the_address() {
    let bed = SettingsDir::new();
    let listen = |text: &str| {
        std::fs::write(bed.path("settings.toml"), text).unwrap();
        reached(Some(&bed.path("settings.toml")), &Environment::default()).map(|it| it.listen.to_string())
    };
    let default = reached(None, &Environment::default()).unwrap();
    assert_eq!(default.listen.to_string(), "127.0.0.1:8686");
    assert_eq!(listen("").unwrap(), "127.0.0.1:8686");
    assert_eq!(listen("[nonsense]\n[server]\nlisten = '127.0.0.1:1'\nx = 1").unwrap(), "127.0.0.1:1");
    assert_eq!(listen("[server]\nlisten = '127.0.0.1:1'\n[half").unwrap(), "127.0.0.1:1");
    for wrong in ["[server]\nlisten = 'x'", "[server]\nlisten = 1"] {
        assert!(
            listen(wrong).unwrap_err().to_string().contains("[server] listen: expected an address"),
            "{wrong}"
        );
    }
    assert!(reached(Some(Path::new("/nowhere")), &Environment::default()).is_err());
}
