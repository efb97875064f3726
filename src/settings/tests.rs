mod credentials;
mod schema;

use clap::{Args as _, FromArgMatches as _};

use super::*;

fn load(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Result<Settings, SettingsError> {
    let command = Layer::augment_args(clap::Command::new("test").no_binary_name(true));
    let matches = command.get_matches_from(flags);
    let (flags, given) = (Layer::from_arg_matches(&matches).unwrap(), places::given(&matches));
    let directory = tempfile::tempdir().unwrap();
    let config = file.map(|text| {
        let path = directory.path().join("settings.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::load(CommandLine { config, flags, given }, environment)
}

fn error(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> String {
    match load(flags, variables, file).and_then(|settings| settings.policy()) {
        Ok(policy) => panic!("{policy:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let policy = load(&[], &[], None).unwrap().policy().unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(policy.pace, Pace::new(Duration::from_millis(500), 1.1, seconds(10), 0.1).unwrap());
    assert_eq!(policy.retry, Pace::new(seconds(1), 2.0, seconds(30), 0.1).unwrap());
    assert_eq!(policy.throttle, Pace::new(seconds(5), 2.0, seconds(60), 0.1).unwrap());
    assert_eq!(policy.max_wait, Some(seconds(50 * 60)));
    assert_eq!(policy.max_outage, Some(seconds(10 * 60)));
    assert_eq!(policy.request_timeout, seconds(30));
    assert_eq!(policy.not_found_grace, Duration::ZERO);
    assert!(!policy.retry_conflict && policy.unrecoverable_is_final && policy.max_in_progress.is_empty());
}

#[test]
fn wait_and_run_see_an_end_within_11_seconds_and_watch_within_33() {
    let token = [("SNYK_TOKEN", "t")];
    let settings = load(&[], &token, None).unwrap();
    let policies = [
        (settings.policy().unwrap(), 11),
        (settings.policy_of_run().unwrap(), 11),
        (settings.daemon(false).unwrap().policy, 33),
    ];
    for (policy, most) in policies {
        let (mut position, mut rng) = (None, fastrand::Rng::with_seed(7));
        let mut delay = || policy.pace.next(&mut position, &mut rng);
        let longest = (0..2_000).map(|_| delay()).max().unwrap();
        // As promised, and not much sooner than that: each request counts too.
        assert!(longest <= Duration::from_secs(most), "{longest:?}");
        assert!(longest > Duration::from_secs(most) * 10 / 11, "{longest:?}");
    }
}

#[test]
fn max_interval_of_the_user_takes_precedence_over_the_default_of_a_command() {
    let longest = |flags: &[&str], variables: &[(&str, &str)], file: &str| {
        let variables: Vec<_> = [("SNYK_TOKEN", "t")].iter().chain(variables).copied().collect();
        let settings = load(flags, &variables, Some(file)).unwrap();
        let daemon = settings.daemon(false).unwrap().policy;
        [settings.policy().unwrap(), settings.policy_of_run().unwrap(), daemon].map(|policy| {
            let steps = (0..200)
                .scan(None, |position, _| Some(policy.pace.next(position, &mut fastrand::Rng::with_seed(7))));
            steps.max().unwrap().as_secs()
        })
    };
    let shared = "[pace]\njitter = 0\nmax-interval = '20s'\n";
    let of_wait = format!("{shared}[wait]\nmax-interval = '2s'\n");
    let of_run = format!("{of_wait}[run]\nmax-interval = '3s'");
    assert_eq!(longest(&[], &[], "[pace]\njitter = 0"), [10, 10, 30]);
    assert_eq!(longest(&[], &[], shared), [20; 3]);
    assert_eq!(longest(&[], &[], &of_wait), [2, 2, 20]);
    assert_eq!(longest(&[], &[], &of_run), [2, 3, 20]);
    assert_eq!(longest(&[], &[("SNYK_EXPORT_MAX_INTERVAL", "4s")], &of_run), [4; 3]);
    assert_eq!(longest(&["--max-interval=5s"], &[("SNYK_EXPORT_MAX_INTERVAL", "4s")], &of_run), [5; 3]);
}

#[test]
fn precedence_is_flag_variable_file_defaults() {
    let file = "[limits]\nmax-wait = \"3m\"\n";
    let variables = [("SNYK_EXPORT_MAX_WAIT", "2m")];
    let max_wait = |flags: &[&str], variables: &[(&str, &str)], file| {
        load(flags, variables, file).unwrap().policy().unwrap().max_wait.map(|wait| wait.as_secs())
    };
    assert_eq!(max_wait(&["--max-wait=1m"], &variables, Some(file)), Some(60));
    assert_eq!(max_wait(&[], &variables, Some(file)), Some(120));
    assert_eq!(max_wait(&[], &[("SNYK_EXPORT_MAX_WAIT", "")], Some(file)), Some(180));
    assert_eq!(
        max_wait(&[], &[], Some("[limits]\nmax-wait = \"3m\"\n[wait]\nmax-wait = \"4m\"\n")),
        Some(240)
    );
    assert_eq!(max_wait(&["--max-wait", "0"], &[], None), None);
    for nothing in ["0", "\"0\""] {
        let file = format!("[wait]\nmax-wait = {nothing}");
        assert!(load(&[], &[], Some(&file)).unwrap().policy().unwrap().max_wait.is_none());
    }
}

#[test]
fn variables_are_parsed_like_their_flags() {
    let variables = [
        ("SNYK_EXPORT_RETRY_CONFLICT", "true"),
        ("SNYK_EXPORT_MAX_IN_PROGRESS", "pending=1m,QUEUED=2m"),
        ("SNYK_EXPORT_IN_PROGRESS_STATUS", "Queued"),
        ("SNYK_API", "eu"),
    ];
    let settings = load(&[], &variables, None).unwrap();
    let policy = settings.policy().unwrap();
    assert!(policy.retry_conflict);
    assert_eq!(policy.max_in_progress.len(), 2);
    assert_eq!(settings.configured_api().unwrap().to_string(), "https://api.eu.snyk.io");
    assert!(load(&["--retry-conflict"], &[], None).unwrap().policy().unwrap().retry_conflict);
    let off = load(&["--retry-conflict=false"], &variables, None).unwrap();
    assert!(!off.policy().unwrap().retry_conflict);
}

#[test]
fn an_error_names_file_line_key_and_what_is_allowed() {
    let rows = [
        ("[limits]\n\nmax-wait = \"soon\"", ["line 3, column 12, [limits] max-wait: ", "`90s`", ""]),
        ("[limits]\nmax-wait = 50", ["line 2", "did you mean `50s`?", "a duration in quotes"]),
        ("[limits]\nmax-wait = 1.5", ["line 2", "did you mean `1.5s`?", "a duration in quotes"]),
        ("[limits]\nmax-wait = true", ["line 2", "[limits] max-wait: ", "a duration in quotes"]),
        ("[wait]\nmax-wait = \"10M\"", ["line 2", "`10m`", "`10months`"]),
        ("[[notify]]\ntimeout = \"10M\"", ["line 2", "`10m`", "`10months`"]),
        ("[retry]\nmax-interval = \"60\"", ["line 2", "[retry] max-interval: ", "did you mean `60s`?"]),
        (
            "[limits]\nmax-wiat = \"5m\"",
            ["line 2, column 1, [limits] max-wiat: ", "no such key", "`max-wait`"],
        ),
        ("[pase]\n", ["line 1, column 2, pase: ", "no such key", "`pace`"]),
        ("[pace]\njitter = 2", ["line 2", "[pace] jitter: ", "from 0 to 1"]),
        ("[pace]\nmultiplier = 0.5", ["line 2", "[pace] multiplier: ", "at least 1"]),
        ("[snyk]\napi = \"mars\"", ["line 2", "[snyk] api: `mars`", "us, us2, eu, au, gov"]),
        ("[log]\nlog-format = \"xml\"", ["line 2", "log-format", "`json`"]),
        ("[limits]\nmax-in-progress = [\"PENDING\"]", ["line 2", "max-in-progress", "PENDING=30m"]),
        ("[pace]\ninitial-interval = \"0s\"", ["line 2", "initial-interval", "more than 0"]),
        ("[limits]\nrequest-timeout = \"0\"", ["line 2", "request-timeout", "more than 0"]),
        ("[limits", ["line 1, column 8", "unclosed table", "settings.toml"]),
        ("[notify]\nname = \"x\"", ["line 1", "table, expected a list", "`[[notify]]`"]),
        ("[watch]\n", ["line 1", "watch", "`[[watch]]`, in double brackets"]),
        ("[[snyk.accounts]]\n", ["line 1", "list, expected a table", "`[snyk.accounts.NAME]`"]),
        ("[[notify]]\non = \"failed\"", ["line 2", "[notify] on: ", "`on = [\"failed\"]`"]),
        ("[[notify]]\nargv = \"tell\"", ["line 2", "[notify] argv: ", "`argv = [\""]),
        ("[[watch]]\nlabels = \"a\"", ["line 2", "[watch] labels: ", "`labels = { team"]),
        ("[statuses]\nfailed-status = \"ODD\"", ["line 2", "failed-status: ", "-status = [\""]),
        ("[server]\nlisten = '127.0.0.1'", ["line 2", "listen: ", "such as \"127.0.0.1:8686\" or"]),
        ("[store]\nurl = 'sqlite'", ["line 2", "url: ", "`sqlite:///var/lib/snyk-export/watches.db`"]),
    ];
    for (file, parts) in rows {
        let error = error(&[], &[], Some(file));
        for part in parts.iter().chain(&["settings.toml"]) {
            assert!(error.contains(part), "{file:?} should name {part:?}:\n{error}");
        }
    }
}

#[test]
fn an_error_names_the_wrong_variable() {
    for (name, value, allowed) in [
        ("SNYK_EXPORT_MAX_WAIT", "soon", "`90s`"),
        ("SNYK_EXPORT_MAX_WAIT", "10M", "minutes or months: write `10m` or `10months`"),
        ("SNYK_EXPORT_MAX_WAIT", "3600", "did you mean `3600s`?"),
        ("SNYK_EXPORT_JITTER", "7", "from 0 to 1"),
        ("SNYK_EXPORT_LOG_FORMAT", "xml", "json"),
        ("SNYK_EXPORT_RETRY_CONFLICT", "perhaps", "boolean"),
        ("SNYK_API", "mars", "us, us2"),
    ] {
        let error = error(&[], &[(name, value)], None);
        assert!(error.starts_with(&format!("{name}: ")) && error.contains(allowed), "{error}");
    }
}

#[test]
fn an_error_about_a_contradiction_names_both_places() {
    let flag = error(&["--initial-interval=1m"], &[], None);
    let expected = "initial-interval (1m, from --initial-interval) is above max-interval (10s, from the defaults) in \
                    the settings of [pace]";
    assert_eq!(flag, expected);
    let mixed =
        error(&[], &[("SNYK_EXPORT_INITIAL_INTERVAL", "1m")], Some("\n[pace]\nmax-interval = \"2s\""));
    assert!(mixed.contains("(1m, from SNYK_EXPORT_INITIAL_INTERVAL)"), "{mixed}");
    assert!(
        mixed.contains("(2s, from ") && mixed.contains("settings.toml line 3, column 1, max-interval)"),
        "{mixed}"
    );
    let of_wait = error(&["--initial-interval=1m"], &[], Some("[wait]\nmax-interval = \"2s\""));
    assert!(of_wait.contains("settings.toml line 2, column 1, max-interval)"), "{of_wait}");
    let retry = error(&["--initial-interval=5s"], &[], Some("[retry]\ninitial-interval = \"1m\""));
    assert!(
        retry.contains("settings.toml line 2, column 1, initial-interval)") && retry.contains("[retry]"),
        "{retry}"
    );
    let taught = error(&["--failed-status=STARTED"], &[], None);
    assert!(taught.starts_with("--failed-status: ") && taught.contains("--in-progress-status"), "{taught}");
    let limit = error(&[], &[], Some("[limits]\nmax-in-progress = [\"FINISHED=1m\"]"));
    assert!(limit.contains("settings.toml line 2, column 1, max-in-progress: `FINISHED`"), "{limit}");
}

#[test]
fn overridden_values_are_not_checked() {
    let variables = [("SNYK_EXPORT_MAX_WAIT", "junk"), ("SNYK_API", "junk")];
    assert!(load(&["--max-wait=1m", "--api=eu"], &variables, None).is_ok());
    assert!(load(&["--max-wait=1m"], &variables, None).is_err());
}

#[test]
fn errors_show_no_passwords_and_no_control_characters() {
    let variable = error(&[], &[("SNYK_API", "https://u:hunter2@api.snyk.io")], None);
    let file = error(&[], &[], Some("[snyk]\napi = \"https://u:hunter2@api.snyk.io\""));
    let control = error(&[], &[], Some("a\0\x1b[31m"));
    for error in [variable, file, control] {
        assert!(!error.contains("hunter2") && !error.contains(['\0', '\x1b']), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let command_line = CommandLine { config: Some("/nowhere/x.toml".into()), ..CommandLine::default() };
    let error = Settings::load(command_line, Environment::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the settings file /nowhere/x.toml");
}

#[test]
fn plain_http_is_refused_unless_it_stays_on_this_machine_or_is_allowed() {
    let api = |flags: &[&str]| {
        let configured = load(flags, &[], None).unwrap().api()?;
        Ok::<_, SettingsError>(configured.chosen(None, None).api.to_string())
    };
    assert_eq!(api(&["--api=http://127.0.0.1:1"]).unwrap(), "http://127.0.0.1:1");
    let error = api(&["--api=http://simulator:4010"]).unwrap_err().to_string();
    assert!(error.contains("http://simulator:4010") && error.contains("--allow-http"), "{error}");
    assert_eq!(api(&["--api=http://simulator:4010", "--allow-http"]).unwrap(), "http://simulator:4010");
}
