//! Credentials and APIs: which one counts, and what is never shown.

use super::*;

#[test]
fn the_first_credential_wins() {
    let all = [
        ("SNYK_OAUTH_TOKEN", "o"),
        ("SNYK_TOKEN", "t"),
        ("SNYK_TOKEN_FILE", "/run/f"),
        ("SNYK_CLIENT_ID", "i"),
        ("SNYK_CLIENT_SECRET", "s"),
    ];
    let origin = |flags: &[&str], variables: &[(&str, &str)], file| match load(flags, variables, file)
        .and_then(|settings| settings.credential_source())
    {
        Ok((_, name)) => name,
        Err(error) => error.to_string(),
    };
    assert_eq!(origin(&["--token-file=/run/x"], &all, None), "--token-file /run/x");
    let expected = ["SNYK_OAUTH_TOKEN", "SNYK_TOKEN", "SNYK_TOKEN_FILE /run/f", "SNYK_CLIENT_ID"];
    for (skipped, expected) in expected.iter().enumerate() {
        let file = Some("[snyk]\ntoken-file = \"/run/y\"");
        assert_eq!(origin(&[], &all[skipped..], file), *expected);
    }
    assert_eq!(
        origin(&[], &[], Some("[snyk]\ntoken-file = \"/run/y\"")),
        "the settings file's token-file /run/y"
    );
    assert!(origin(&[], &all[4..], None).contains("SNYK_CLIENT_ID is not"));
    assert!(origin(&[], &[("HOME", "/nowhere")], None).contains("no credential: set SNYK_TOKEN"));
    assert_eq!(origin(&[], &[("SNYK_CFG_API", "c")], Some("[snyk]\n")), "SNYK_CFG_API");
    let after_the_file = [("SNYK_CFG_API", "c")];
    assert_eq!(
        origin(&[], &after_the_file, Some("[snyk]\ntoken-file = \"/run/y\"")),
        "the settings file's token-file /run/y"
    );
    assert_eq!(origin(&[], &[all[1], after_the_file[0]], None), "SNYK_TOKEN");
}

#[test]
fn what_is_no_credential_is_named_by_its_variable_and_never_shown() {
    let values = [
        ("$(SNYK_TOKEN)", "a variable"),
        ("${SNYK_TOKEN}", "a variable"),
        ("$SNYK_TOKEN", "a variable"),
        ("%SNYK_TOKEN%", "a variable"),
        ("{{ secrets.hunter2 }}", "a template"),
        ("${{ secrets.hunter2 }}", "a template"),
        ("<your token>", "placeholder"),
        ("'hunter2'", "in quotes"),
        ("\"hunter2\"", "in quotes"),
        ("null", "a word for nothing"),
        ("undefined", "a word for nothing"),
        ("SNYK_TOKEN=hunter2", "an assignment"),
        ("***", "masked"),
    ];
    let of_tokens =
        [("/run/secrets/hunter2", "the path"), ("./hunter2", "the path"), ("hunter2 x", "white space")];
    let error = |variables: &[(&str, &str)]| {
        let found = load(&[], variables, None).and_then(|settings| settings.credential_source());
        found.expect_err("no credential").to_string()
    };
    let check = |name: &str, variables: &[(&str, &str)], looks: &str| {
        let error = error(variables);
        let says = error.starts_with(&format!("{name} holds no usable ")) && error.contains(looks);
        assert!(says && !error.contains("hunter2"), "{name}: {error}");
    };
    for (value, looks) in values {
        check("SNYK_CLIENT_ID", &[("SNYK_CLIENT_ID", value), ("SNYK_CLIENT_SECRET", "s")], looks);
        check("SNYK_CLIENT_SECRET", &[("SNYK_CLIENT_ID", "i"), ("SNYK_CLIENT_SECRET", value)], looks);
    }
    for (value, looks) in values.into_iter().chain(of_tokens) {
        for name in ["SNYK_OAUTH_TOKEN", "SNYK_TOKEN", "SNYK_CFG_API"] {
            check(name, &[(name, value)], looks);
        }
    }
}

#[test]
fn the_api_has_its_place_and_that_of_the_snyk_cli_comes_last() {
    let chosen = |flags: &[&str], variables: &[(&str, &str)], file: &str| {
        let settings = load(flags, variables, Some(file)).unwrap();
        let chosen = settings.api().unwrap().chosen(None, None);
        format!("{} from {}", chosen.api, chosen.source)
    };
    let variables = [("SNYK_API", "us2"), ("SNYK_CFG_ENDPOINT", "https://app.au.snyk.io/api")];
    let file = "[snyk]\napi = 'gov'";
    assert_eq!(chosen(&["--api=eu"], &variables, file), "https://api.eu.snyk.io from --api");
    assert_eq!(chosen(&[], &variables, file), "https://api.us.snyk.io from SNYK_API");
    let of_file = chosen(&[], &variables[1..], file);
    assert!(
        of_file.starts_with("https://api.snykgov.io from /") && of_file.ends_with("line 2, column 1, api"),
        "{of_file}"
    );
    assert_eq!(chosen(&[], &variables[1..], ""), "https://api.au.snyk.io from SNYK_CFG_ENDPOINT");
    assert_eq!(chosen(&[], &[], ""), "https://api.snyk.io from the default");
    let wrong = [("SNYK_CFG_ENDPOINT", "mars")];
    assert!(error(&[], &wrong, None).starts_with("SNYK_CFG_ENDPOINT: `mars` is not an API"));
    assert!(load(&["--api=eu"], &wrong, None).is_ok(), "what is overridden need not be right");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown_and_the_error_says_where_it_belongs() {
    const UUID: &str = "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1e2f3a4b";
    let slack = "https://hooks.slack.com/services/T00/B00/hunter2hunter2";
    let rows = [
        ("[snyk]\ntoken = \"$\"", "line 2, column 1, [snyk] token: there is no such key", "`token-file`"),
        ("[snyk]\napi-version = '2024-10-15'\ntoken = \"$", "line 3, column ", "`token-file`"),
        ("[snyk]\nclient-secret = '$'", "[snyk] client-secret: ", "SNYK_CLIENT_SECRET"),
        (
            "[snyk.accounts.acme]\nclient-secret = '$'",
            "[snyk.accounts.acme] client-secret: ",
            "`client-secret-file`",
        ),
        ("[[notify]]\nname = 'x'\nsecret = \"$\"", "line 3, column 1, [notify] secret: ", "`secret-file`"),
        ("[[notify]]\nwebhook = \"$\"", "line 2, column 1, [notify] webhook: ", "`url-file`"),
        ("[server]\ntoken = '$'", "[server] token: ", "`token-file`"),
        ("[snyk]\napi = '$'", "line 2, column 7, [snyk] api: ", "line 2"),
        (
            "[snyk]\nrequests-per-minute = '$'",
            "[snyk] requests-per-minute: invalid type: string, expected",
            "line 2",
        ),
        ("[limits]\nmax-wait = \"$\"", "line 2, column 12, [limits] max-wait: ", "line 2"),
        ("[limits]\nmax-in-progress = [\"$\"]", "line 2, column 20, [limits] max-in-progress: ", "line 2"),
        ("[snyk]\n$", "line 2, column ", "line 2"),
        ("[snyk]\ntoken: $", "line 2, column ", "line 2"),
        ("[snyk]\ntoken-file = $", "line 2, column ", "the path of a file needs quotes"),
        ("[snyk]\ntoken-file = \"$", "line 2, column ", "the path of a file needs quotes"),
        ("[$]\n", "line 1, column ", "line 1"),
    ];
    let secrets = [
        "snyk_uat.1a2b3c4d.e30.hunter2hunter2",
        UUID,
        "whsec_hunter2hunter2hunter2hunter2",
        slack,
        "hunter2 \\\\ \\\"hunter2",
    ];
    for (file, place, hint) in rows {
        for secret in secrets {
            let error = error(&[], &[], Some(&file.replace('$', secret)));
            assert!(error.contains(place) && error.contains(hint), "{file} with {secret}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&UUID[..8]), "{file}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
    let signing_key = "[[notify]]\nwebhook = 'whsec_hunter2hunter2hunter2hunter2'";
    let error = error(&[], &[], Some(signing_key));
    assert!(
        error.ends_with("; put the signing key into a separate file, and name that as `secret-file`"),
        "{error}"
    );
}

#[test]
fn a_token_in_the_place_of_its_file_is_not_shown() {
    for token in ["snyk_uat.1a2b3c4d.e30.x-y", "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1e2f3a4b"] {
        for (flags, variables) in
            [(vec!["--token-file", token], vec![]), (vec![], vec![("SNYK_TOKEN_FILE", token)])]
        {
            let (_, origin) = load(&flags, &variables, None).unwrap().credential_source().unwrap();
            assert!(!origin.contains(token) && origin.ends_with("***"), "{origin}");
        }
    }
}
