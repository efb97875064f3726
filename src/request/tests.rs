//! What a start asks for, and what is refused.

use super::*;

const GROUP: &str = "11111111-2222-4333-8444-555555555555";

fn request(scope: Scope, body: Value) -> StartRequest {
    let scope = ScopeRef { scope, id: parse_id(GROUP).unwrap() };
    StartRequest { scope, body, include_deleted: false, include_deactivated: false }
}

fn valid() -> Value {
    json!({ "data": { "type": "resource", "attributes": {
        "formats": ["csv"], "dataset": "issues",
        "filters": { "introduced": { "from": "2025-01-01T00:00:00Z", "to": "2025-02-01T00:00:00Z" } },
    } } })
}

#[test]
fn options_make_a_document() {
    let at = |text: &str| Some(text.parse().unwrap());
    let filters =
        ["orgs=11111111-2222-4333-8444-555555555555", "Project-Tags=team: a", "project_tags=team: b"];
    let mut filters: Vec<Filter> = filters.map(|text| text.parse().unwrap()).into();
    filters.push("empty_project_tags=only".parse().unwrap());
    let options = Options {
        dataset: "issues".to_owned(),
        columns: vec!["ISSUE_URL".to_owned()],
        introduced: [at("2025-01-01T00:00:00Z"), None],
        updated: [None, at("2025-02-01T01:00:00+01:00")],
        filters,
        url_expiration_seconds: Some(60),
        ..Options::default()
    };
    let body = options.to_body().unwrap();
    let expected = json!({ "data": { "type": "resource", "attributes": {
        "formats": ["csv"], "dataset": "issues", "columns": ["ISSUE_URL"], "url_expiration_seconds": 60,
        "filters": {
            "introduced": { "from": "2025-01-01T00:00:00Z" },
            "updated": { "to": "2025-02-01T00:00:00Z" },
            "orgs": ["11111111-2222-4333-8444-555555555555"],
            "project_tags": ["team: a", "team: b"],
            "empty_project_tags": "only",
        },
    } } });
    assert_eq!(body, expected);
    assert_eq!(request(Scope::Group, body).check(), Ok(()));
}

#[test]
fn what_is_known_to_be_wrong_is_refused() {
    let rows = [
        ("/data/attributes", Value::Null, "`data.attributes` is missing"),
        ("/data/type", Value::Null, "it is \"resource\""),
        ("/data/type", json!("Not A Type"), "it is \"resource\""),
        ("/data/attributes/dataset", Value::Null, "no dataset: give --dataset, one of issues, usage"),
        ("/data/attributes/dataset", json!("secrets"), "`secrets` is no dataset: it is one of issues, usage"),
        ("/data/attributes/dataset", json!(5), "`5` is no dataset"),
        ("/data/attributes/formats", Value::Null, "no formats: the body"),
        ("/data/attributes/formats", json!([]), "no formats: the body"),
        ("/data/attributes/formats", json!("csv"), "`csv` is no format"),
        ("/data/attributes/formats", json!(["csv", "json"]), "`json` is no format: Snyk exports csv only"),
        ("/data/attributes/filters", Value::Null, "no date filter"),
        ("/data/attributes/filters", json!({ "updated": {} }), "no date filter"),
        ("/data/attributes/filters/introduced", json!("2025"), "`filters.introduced`: `2025` is not a range"),
        ("/data/attributes/filters/introduced/from", json!("1 May"), "`filters.introduced.from`: `1 May`"),
        (
            "/data/attributes/filters/introduced/from",
            json!("2025-02-01T00:00:01Z"),
            "the `introduced` dates end before they begin: from 2025-02-01T00:00:01Z is after to 2025-02-01T00:00:00Z",
        ),
        ("/data/attributes/filters/orgs", json!(["acme"]), "the filter `orgs`: `acme` is not a UUID"),
        ("/data/attributes/filters/orgs", json!("acme"), "the filter `orgs`: `acme` is not a UUID"),
        (
            "/data/attributes/url_expiration_seconds",
            json!(3601),
            "`3601` is not a number of seconds from 0 to 3600",
        ),
    ];
    assert_eq!(request(Scope::Group, valid()).check(), Ok(()));
    for (pointer, value, expected) in rows {
        let mut body = valid();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        let error = request(Scope::Group, body).check().unwrap_err().to_string();
        assert!(error.contains(expected), "{pointer}: {error}");
    }
    for body in [Value::Null, json!([]), json!("x"), json!({ "data": [] })] {
        assert_eq!(request(Scope::Group, body).check(), Err(RequestError::NoAttributes));
    }
}

#[test]
fn organizations_are_chosen_in_groups_only() {
    let mut body = valid();
    body["data"]["attributes"]["filters"]["orgs"] = json!([GROUP]);
    assert_eq!(request(Scope::Group, body.clone()).check(), Ok(()));
    assert_eq!(request(Scope::Org, body).check(), Err(RequestError::OrgsOfOrg));
}

#[test]
fn filters_are_a_key_and_a_value() {
    for text in ["", "x", "=x", "x=", "x= ", "a b=c"] {
        assert_eq!(text.parse::<Filter>(), Err(FilterError::Form), "{text}");
    }
    assert_eq!("introduced=2025".parse::<Filter>(), Err(FilterError::Dates("introduced")));
    assert!(
        "empty_project_tags=all"
            .parse::<Filter>()
            .unwrap_err()
            .to_string()
            .contains("include, exclude, only")
    );
    let twice = ["empty_project_tags=only", "empty-project-tags=include"].map(|text| text.parse().unwrap());
    let options = Options { filters: twice.into(), ..Options::default() };
    assert_eq!(options.to_body(), Err(FilterError::Twice));
}

#[test]
fn dates_are_days_moments_or_ago() {
    let rows = [
        ("2025-01-31", "UTC", "2025-01-31T00:00:00Z"),
        ("2025-01-31", "Europe/Berlin", "2025-01-30T23:00:00Z"),
        ("2025-01-31T10:00:00Z", "Europe/Berlin", "2025-01-31T10:00:00Z"),
        ("2025-01-31T10:00:00.9+02:00", "UTC", "2025-01-31T08:00:00Z"),
        ("2025-01-31T10:00", "America/New_York", "2025-01-31T15:00:00Z"),
        ("-1d", "UTC", "2025-03-30T00:00:00Z"),
        ("0d", "UTC", "2025-03-31T00:00:00Z"),
        ("-0d", "UTC", "2025-03-31T00:00:00Z"),
        // The night before had 23 hours there.
        ("-1d", "Europe/Berlin", "2025-03-29T23:00:00Z"),
        ("0d", "Europe/Berlin", "2025-03-30T22:00:00Z"),
        // It is still the day before there.
        ("0d", "America/New_York", "2025-03-30T04:00:00Z"),
        ("-2w", "UTC", "2025-03-17T00:00:00Z"),
        ("-1mo", "UTC", "2025-02-28T00:00:00Z"),
        ("-12h", "UTC", "2025-03-30T14:30:15Z"),
        ("-90m", "UTC", "2025-03-31T01:00:15Z"),
        ("-1d 1h", "UTC", "2025-03-30T01:30:15Z"),
        ("0h", "UTC", "2025-03-31T02:30:15Z"),
        ("0 seconds", "UTC", "2025-03-31T02:30:15Z"),
        ("0 days", "UTC", "2025-03-31T00:00:00Z"),
    ];
    let now = "2025-03-31T02:30:15.5Z".parse().unwrap();
    for (text, zone, expected) in rows {
        let date: Date = text.parse().unwrap();
        let at = date.resolve(now, &zone.parse().unwrap()).unwrap();
        assert_eq!(at.to_string(), expected, "{text} in {zone}");
    }
    for text in ["", "5", "yesterday", "2025-02-30", "2025-1-1", "31.01.2025", "-1", "-1x", "T10:00"] {
        assert_eq!(text.parse::<Date>().unwrap_err(), DateError::Form, "{text}");
    }
    assert_eq!("1d".parse::<Date>().unwrap_err(), DateError::Ahead);
    let beyond = "-19000y".parse::<Date>().unwrap();
    assert_eq!(beyond.resolve(now, &Zone::default()), Err(DateError::Beyond));
}

#[test]
fn a_day_is_where_it_is() {
    let now = "2025-03-31T23:30:00Z".parse().unwrap();
    assert_eq!(Zone::default().date(now), "2025-03-31");
    assert_eq!("Europe/Berlin".parse::<Zone>().unwrap().date(now), "2025-04-01");
    assert!("Mars/Olympus".parse::<Zone>().unwrap_err().contains("Europe/Berlin"));
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_or_taken_panics(text: String, number: i64, unit in "[a-z]{0,3}", second: i32) {
        let now = Timestamp::from_second(second.into()).unwrap();
        for typed in [text.clone(), format!("{number}{unit}"), format!("-{}{unit}", number.unsigned_abs())] {
            if let Ok(date) = typed.parse::<Date>() {
                let _ = date.resolve(now, &"Europe/Berlin".parse().unwrap());
            }
            let _ = typed.parse::<Filter>();
        }
        for value in [json!(text), json!([text]), json!({ "from": text }), json!(number)] {
            for member in ["dataset", "formats", "filters", "url_expiration_seconds"] {
                let mut body = valid();
                body["data"]["attributes"][member] = value.clone();
                let _ = request(Scope::Group, body).check();
            }
        }
    }
}
