//! Endpoints.

use super::*;

#[test]
fn endpoints_of_every_kind_are_read() {
    let settings = daemon(
        "[[notify]]\nname = 'a'\nkind = 'webhook'\nurl = 'https://x.example/y'\nsecret-file = '@key'\non = ['finished']\nheaders-file = '@headers'\n\
         [[notify]]\nname = 'b'\nkind = 'slack'\nurl-file = '@slack'\n\
         [[notify]]\nname = 'c'\nkind = 'command'\nargv = ['@program', '-q']\ntimeout = '5s'\n\
         [[notify]]\nname = 'd'\nkind = 'webhook'\nurl = 'http://receiver:8080/'\nmax-per-minute = 7\n\
         [[notify]]\nname = 'e'\nkind = 'slack'\nurl-file = '@slack'\nmax-per-minute = 0\n",
    );
    let kinds = settings.endpoints.iter().map(|endpoint| format!("{} {:?}", endpoint.name, endpoint.kind));
    assert_eq!(kinds.collect::<Vec<_>>(), ["a Webhook", "b Slack", "c Command", "d Webhook", "e Slack"]);
    let limits = settings.endpoints.iter().map(|endpoint| endpoint.max_per_minute.map_or(0, u32::from));
    assert_eq!(limits.collect::<Vec<_>>(), [0, 60, 0, 7, 0]);
    let [a, b, ..] = &settings.endpoints[..] else { panic!("{settings:?}") };
    assert_eq!((&a.on, &b.on), (&Some(["finished".to_owned()].into()), &None));
}

#[test]
fn an_error_names_the_line_of_wrong_headers() {
    let rows = [
        (
            "kind = 'webhook'\nurl = 'https://x.example'\nheaders-file = '@token'",
            "line 6, column 1, headers-file: @token: line 1 is not of the form",
        ),
        (
            "kind = 'webhook'\nurl = 'https://x.example'\nheaders-file = '@our-headers'",
            "headers-file: @our-headers: line 1 sets `transfer-encoding`, which",
        ),
        (
            "kind = 'slack'\nurl = 'https://x.example'\nheaders-file = '@headers'",
            "line 6, column 1, headers-file: `headers-file` is not for an endpoint of kind \"slack\"",
        ),
    ];
    for (endpoint, expected) in rows {
        let error = error(&TOKEN, &format!("\n[[notify]]\nname = 'a'\n{endpoint}"));
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_url_of_two_lines_is_refused() {
    let endpoint = "name = 'a'\nkind = 'slack'\nurl = \"https://x.example/a\\nhunter2\"";
    let error = error(&TOKEN, &format!("\n[[notify]]\n{endpoint}"));
    assert!(error.contains("url: it has white space or a line break inside"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn an_error_names_the_line_of_a_wrong_endpoint() {
    let hook = "name = 'a'\nkind = 'webhook'\nurl = 'https://x.example'";
    let rows = [
        ("kind = 'webhook'", "line 2, column 1, [[notify]]: `name` is missing"),
        ("name = 'a'", "line 2, column 1, [[notify]]: `kind` is missing"),
        ("name = 'a'\nkind = 'email'", "kind: expected one of `webhook`, `slack`, `command`"),
        ("name = 'a b'", "expected a name of letters"),
        ("name = 'a'\nkind = 'webhook'", "line 2, column 1, [[notify]]: it needs either `url` or `url-file`"),
        ("name = 'a'\nkind = 'command'", "line 2, column 1, [[notify]]: `argv` is missing"),
        ("name = 'a'\nkind = 'command'\nargv = []", "line 5, column 1, argv: `argv` is missing"),
        ("name = 'a'\nkind = 'command'\nargv = ['@key']", "line 5, column 1, argv: `@key` cannot be run"),
        (
            "name = 'a'\nkind = 'command'\nargv = ['no-such-program']",
            "line 5, column 1, argv: `no-such-program` cannot be run",
        ),
        ("name = 'a'\nkind = 'slack'\nurl = 'hunter2'", "line 5, column 1, url: it is not a valid URL"),
        ("name = 'a'\nkind = 'slack'\nurl = 'http://x.example/hunter2'", "is a secret, which"),
        (
            "name = 'a'\nkind = 'webhook'\nurl = 'ftp://hunter2'",
            "line 5, column 1, url: its scheme is neither https nor http",
        ),
        (
            "name = 'a'\nkind = 'webhook'\nurl = 'https://u:hunter2@x.example'",
            "line 5, column 1, url: it contains credentials",
        ),
        (
            "name = 'a'\nkind = 'webhook'\nurl-file = '@none'",
            "line 5, column 1, url-file: failed to read @none",
        ),
        (&format!("{hook}\nsecret-file = '@token'"), "line 6, column 1, secret-file: @token: "),
        (
            &format!("{hook}\nargv = ['x']"),
            "line 6, column 1, argv: `argv` is not for an endpoint of kind \"webhook\"",
        ),
        (&format!("{hook}\ntimeout = '1m'"), "line 6, column 1, timeout: `timeout` is not for an endpoint"),
        (
            &format!("{hook}\nenv = ['X']"),
            "line 6, column 1, env: `env` is not for an endpoint of kind \"webhook\"",
        ),
        (
            "name = 'a'\nkind = 'command'\nargv = ['@program']\nenv = ['X=y']",
            "line 6, column 1, env: `X=y` is not the name of a variable",
        ),
        (
            "name = 'a'\nkind = 'command'\nargv = ['@program']\nenv = ['SNYK_TOKEN']",
            "line 6, column 1, env: `SNYK_TOKEN` may contain a credential for Snyk",
        ),
        (&format!("{hook}\non = []"), "line 6, column 1, on: `on` is empty"),
        (&format!("{hook}\non = ['done']"), "expected one of finished, failed, unauthorized"),
        (
            &format!("{hook}\n[[notify]]\n{hook}"),
            "line 7, column 1, name: there is another endpoint called `a`",
        ),
    ];
    for (endpoint, expected) in rows {
        let error = error(&TOKEN, &format!("\n[[notify]]\n{endpoint}"));
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_command_is_found_in_the_path() {
    let bed = SettingsDir::new();
    let text = "[[notify]]\nname = 'a'\nkind = 'command'\nargv = ['program']";
    let path = format!("/nowhere:{}", bed.0.path().display());
    assert!(bed.daemon(&[TOKEN[0], ("PATH", &path)], text).is_ok());
    assert!(bed.daemon(&TOKEN, text).is_err());
}
