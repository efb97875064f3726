//! Accounts, and the watches that are theirs.

use super::*;

#[test]
fn an_account_inherits_everything_except_the_credential() {
    let bed = SettingsDir::new();
    let text = "[snyk]\napi = 'eu'\napi-version = '2024-10-15'\nrequests-per-minute = 100\n\
        [snyk.accounts.acme]\ntoken-file = '@token'\n\
        [snyk.accounts.beta]\napi = 'au'\napi-version = '2025-01-01'\nrequests-per-minute = 7\n\
        client-id = ' id '\nclient-secret-file = '@secret'\n";
    let settings = bed.daemon(&TOKEN, text).unwrap();
    let all: Vec<_> = settings
        .accounts
        .iter()
        .map(|account| {
            let version = account.api_version.clone().unwrap_or_default();
            format!("{} {} {version} {}", account.name, asked(account), account.requests_per_minute)
        })
        .collect();
    let expected = [
        "default https://api.eu.snyk.io 2024-10-15 100",
        "acme https://api.eu.snyk.io 2024-10-15 100",
        "beta https://api.au.snyk.io 2025-01-01 7",
    ];
    assert_eq!(all, expected);
    assert!(matches!(&settings.accounts[1].source, Source::TokenFile(path) if *path == bed.path("token")));
    let Source::Client { id, secret } = &settings.accounts[2].source else { panic!("{settings:?}") };
    assert_eq!((id.as_str(), secret.expose()), ("id", "client-secret"));
    assert!(!format!("{settings:?}").contains("client-secret\""), "{settings:?}");
}

#[test]
fn a_flag_or_variable_changes_the_default_account_but_not_a_named_one() {
    let text = "[snyk]\napi = 'eu'\n[snyk.accounts.acme]\napi = 'us2'\ntoken-file = '@token'\n";
    let settings = SettingsDir::new().daemon(&[("SNYK_TOKEN", "t"), ("SNYK_API", "au")], text).unwrap();
    let apis: Vec<_> = settings.accounts.iter().map(asked).collect();
    assert_eq!(apis, ["https://api.au.snyk.io", "https://api.us.snyk.io"]);
}

#[test]
fn an_account_without_an_api_uses_the_region_of_its_credential() {
    let chosen = |variables: &[(&str, &str)], text: &str| {
        let settings = SettingsDir::new().daemon(variables, text).unwrap();
        let of_token: Api = "eu".parse().unwrap();
        let chosen = |account: &AccountSettings| account.api.clone().chosen(Some(&of_token), None);
        settings.accounts.iter().map(|account| chosen(account).api.to_string()).collect::<Vec<_>>()
    };
    let [au, eu] = ["https://api.au.snyk.io", "https://api.eu.snyk.io"];
    let acme = "[snyk.accounts.acme]\ntoken-file = '@token'\n";
    assert_eq!(chosen(&TOKEN, acme), [eu, eu]);
    assert_eq!(chosen(&TOKEN, &format!("{acme}api = 'au'")), [eu, au]);
    assert_eq!(chosen(&TOKEN, &format!("[snyk]\napi = 'au'\n{acme}")), [au, au]);
    assert_eq!(chosen(&[TOKEN[0], ("SNYK_API", "au")], acme), [au, au]);
    assert_eq!(chosen(&[TOKEN[0], ("SNYK_CFG_ENDPOINT", "au")], acme), [au, au]);
}

#[test]
fn the_default_account_may_be_missing_if_nothing_needs_it() {
    let acme = "[snyk.accounts.acme]\ntoken-file = '@token'\n";
    let settings = SettingsDir::new().daemon(&[], &format!("{acme}{}", watch("account = 'acme'"))).unwrap();
    assert_eq!((settings.accounts.len(), &*settings.watches[0].account), (1, "acme"));
    assert!(error(&[], "").starts_with("no credential: set SNYK_TOKEN"));
    let needed = error(&[], &format!("{acme}{}", watch("")));
    assert!(
        needed.starts_with("@settings.toml line 3, column 1, [[watch]]: it uses the account `default`"),
        "{needed}"
    );
    let half = error(&[("SNYK_CLIENT_ID", "i")], acme);
    assert!(half.contains("SNYK_CLIENT_SECRET is not"), "{half}");
}

#[test]
fn an_error_names_the_line_of_a_wrong_account() {
    let rows = [
        ("", "line 2, column 16, [snyk.accounts.acme]: it has no credential: give `token-file`"),
        (
            "token-file = '@token'\nclient-id = 'i'",
            "line 2, column 16, [snyk.accounts.acme]: it has two credentials",
        ),
        ("client-id = 'i'", "line 2, column 16, [snyk.accounts.acme]: `client-secret-file` is missing"),
        ("client-secret-file = '@secret'", "line 2, column 16, [snyk.accounts.acme]: `client-id` is missing"),
        (
            "client-id = ' '\nclient-secret-file = '@secret'",
            "line 3, column 1, client-id: `client-id` is missing",
        ),
        (
            "\ntoken-file = '@none'",
            "line 4, column 1, token-file: failed to read the token file @none: No such file",
        ),
        ("token-file = '@empty'", "line 3, column 1, token-file: @empty holds no token"),
        (
            "token-file = '@unset'",
            "line 3, column 1, token-file: @unset holds no usable token: it looks like a variable that was not replaced",
        ),
        (
            "client-id = 'i'\nclient-secret-file = '@empty'",
            "line 4, column 1, client-secret-file: @empty is empty",
        ),
        (
            "client-id = 'i'\nclient-secret-file = '@unset'",
            "line 4, column 1, client-secret-file: @unset holds no usable value: it looks like a variable",
        ),
        (
            "client-id = '<id>'\nclient-secret-file = '@secret'",
            "line 3, column 1, client-id: client-id holds no usable value: it looks like the placeholder",
        ),
        (
            "token-file = '@token'\napi = 'http://snyk:1'",
            "line 4, column 1, api: http://snyk:1 is plain http",
        ),
        (
            "token-file = '@token'\nca-cert = '@token'",
            "line 4, column 1, ca-cert: failed to read CA certificates from @token",
        ),
        ("token-file = '@token'\ntoken = 't'", "line 4, column 1"),
        ("requests-per-minute = 0", "line 3, column"),
    ];
    for (account, expected) in rows {
        let error = error(&TOKEN, &format!("\n[snyk.accounts.acme]\n{account}"));
        assert!(error.contains(expected), "{error}");
    }
    let taken = error(&TOKEN, "[snyk.accounts.default]\ntoken-file = '@token'");
    assert!(taken.contains("line 1, column 16, [snyk.accounts.default]: `default` is the name"), "{taken}");
    let name = error(&TOKEN, "[snyk.accounts.'a b']\ntoken-file = '@token'");
    assert!(name.contains("line 1") && name.contains("expected a name of letters"), "{name}");
}

#[test]
fn plain_http_to_an_account_is_allowed_by_allow_http() {
    let text =
        "[snyk]\nallow-http = true\n[snyk.accounts.acme]\napi = 'http://snyk:1'\ntoken-file = '@token'";
    assert_eq!(asked(&daemon(text).accounts[1]), "http://snyk:1");
}

#[test]
fn watches_are_read_with_their_labels() {
    let org = format!("[[watch]]\norg-id = '{G}'\nexport-id = '{E}'\n");
    let settings = daemon(&format!("{}{org}", watch("labels = { team = 'payments' }")));
    let [group, org] = &settings.watches[..] else { panic!("{settings:?}") };
    assert_eq!(group.export.to_string(), format!("/groups/{G}/jobs/export/{E}"));
    assert_eq!((&*group.account, group.labels["team"].as_str()), ("default", "payments"));
    assert_eq!(org.export.to_string(), format!("/orgs/{G}/jobs/export/{E}"));
}

#[test]
fn an_error_names_the_line_of_a_wrong_watch() {
    let ids = format!("group-id = '{G}'\nexport-id = '{E}'");
    let rows = [
        (format!("export-id = '{E}'"), "line 2, column 1, [[watch]]: it needs either `group-id` or `org-id`"),
        (
            format!("{ids}\norg-id = '{G}'"),
            "line 2, column 1, [[watch]]: it needs either `group-id` or `org-id`",
        ),
        (format!("group-id = '{G}'"), "line 2, column 1, [[watch]]: `export-id` is missing"),
        ("group-id = 'acme'".to_owned(), "expected a UUID such as 7f2c1a9e"),
        (
            format!("{ids}\naccount = 'acme'"),
            "line 2, column 1, [[watch]]: there is no account `acme`: the settings have default",
        ),
        (
            format!("{ids}\nlabels = {{ '' = 'x' }}"),
            "line 2, column 1, [[watch]]: a watch has at most 32 labels",
        ),
        (
            format!("{ids}\nlabels = {{ x = \"a\\u202eb\" }}"),
            "line 2, column 1, [[watch]]: a label contains a control",
        ),
        (format!("{ids}\nlabels = {{ x = 'the-token-of-this-test-1' }}"), "contains a secret of this daemon"),
        (format!("{ids}\naccount = '{E}'"), "there is no account `***`"),
        (format!("{ids}\nlabels = {{ x = 1 }}"), "line 5, column"),
        (
            format!("{ids}\n[[watch]]\n{ids}"),
            "line 5, column 1, [[watch]]: the account `default` follows this export already, by \
            the entry at @settings.toml line 2, column 1, [[watch]]",
        ),
    ];
    let _held = crate::secret::Secret::new("the-token-of-this-test-1");
    for (entry, expected) in rows {
        let error = error(&TOKEN, &format!("\n[[watch]]\n{entry}"));
        assert!(error.contains(expected), "{error}");
    }
}
