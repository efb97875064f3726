//! What a start asks for, and what is refused.

mod dates;

use super::*;
use crate::export::{Scope, parse_id};

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
    assert_eq!(request(Scope::Group, body).check(), Ok(Vec::new()));
}

#[test]
fn known_mistakes_are_rejected() {
    let rows = [
        ("/data/attributes", Value::Null, "`data.attributes` is missing"),
        ("/data/type", Value::Null, "it is \"resource\""),
        ("/data/type", json!("Not A Type"), "it is \"resource\""),
        ("/data/type", json!("not-a-type"), "it is \"resource\""),
        ("/data/type", json!("1st"), "it is \"resource\""),
        ("/data/attributes/dataset", Value::Null, "no dataset: give --dataset, such as one of issues, usage"),
        ("/data/attributes/dataset", json!(" "), "no dataset: give --dataset, such as one of issues, usage"),
        ("/data/attributes/dataset", json!(5), "`5` is not the name of a dataset, such as one of issues"),
        ("/data/attributes/formats", Value::Null, "no formats: the body"),
        ("/data/attributes/formats", json!([]), "no formats: the body"),
        ("/data/attributes/formats", json!("csv"), "`csv` is not a list of formats"),
        ("/data/attributes/formats", json!(["csv", 5]), "`5` is not a list of formats"),
        ("/data/attributes/formats", json!([" "]), "is not a list of formats"),
        ("/data/attributes/filters", Value::Null, "no date filter"),
        ("/data/attributes/filters", json!("x"), "`filters`: `x` is not an object"),
        ("/data/attributes/filters", json!({ "updated": {} }), "no date filter"),
        (
            "/data/attributes/filters",
            json!({ "event": { "from": "2025-01-01T00:00:00Z" } }),
            "nothing of `issues`: give --introduced-from, --introduced-to or --updated-from, --updated-to \
             (`filters.introduced` or `filters.updated` in a body)",
        ),
        (
            "/data/attributes/dataset",
            json!("prevention_events"),
            "nothing of `prevention_events`: give --event-from, --event-to or --updated-from, --updated-to",
        ),
        ("/data/attributes/filters/event", json!("2025"), "`filters.event`: `2025` is not a range"),
        (
            "/data/attributes/filters/is_suppressed",
            json!(["true"]),
            "`is_suppressed`: `[\"true\"]` is neither",
        ),
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
    assert_eq!(request(Scope::Group, valid()).check(), Ok(Vec::new()));
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
fn a_type_is_a_word_of_small_letters_digits_and_underscores() {
    for name in ["resource", "export_2"] {
        let mut body = valid();
        body["data"]["type"] = json!(name);
        assert_eq!(request(Scope::Group, body).check(), Ok(Vec::new()), "{name}");
    }
}

#[test]
fn a_request_is_shown_as_its_dataset_and_its_path() {
    assert_eq!(request(Scope::Org, valid()).to_string(), format!("issues of /orgs/{GROUP}"));
    assert_eq!(request(Scope::Group, json!({})).to_string(), format!("nothing of /groups/{GROUP}"));
}

#[test]
fn filters_for_groups_are_rejected_for_organizations() {
    let mut body = valid();
    let in_a_group = json!({
        "orgs": [GROUP], "event": { "to": "2026-07-06T00:00:00Z" }, "is_suppressed": false, "git_repo": ["x"],
        "effective_severity": ["high"], "event_type": ["new"], "git_branch": ["main"], "sdlc_stage": ["x"],
        "test_user_email": ["a@example.com"],
    });
    for (key, value) in in_a_group.as_object().unwrap() {
        body["data"]["attributes"]["filters"][key] = value.clone();
        assert_eq!(request(Scope::Group, body.clone()).check(), Ok(Vec::new()), "{key}");
        let refused = Err(RequestError::FilterOfGroup(known::filter(key).unwrap().key));
        assert_eq!(request(Scope::Org, body.clone()).check(), refused);
        body["data"]["attributes"]["filters"][key] = Value::Null;
        assert_eq!(request(Scope::Org, body.clone()).check(), Ok(Vec::new()), "{key}");
    }
}

#[test]
fn unknown_words_are_sent_with_a_warning() {
    let word = |member, word: &str| Unknown::Word(member, Text::new(word));
    let rows = [
        ("dataset", json!("sbom"), word("dataset", "sbom")),
        ("formats", json!(["csv", "parquet"]), word("formats", "parquet")),
        ("columns", json!(["ISSUE_URL", "a.b"]), word("columns", "a.b")),
        ("columns", json!(["ISSUE_URL", 5]), word("columns", "5")),
        ("columns", json!("ISSUE_URL"), word("columns", "ISSUE_URL")),
        ("compression", json!("gzip"), word("data.attributes", "compression")),
        ("destination", json!({ "type": "snyk" }), Unknown::Removed("destination")),
    ];
    for (member, value, expected) in rows {
        let mut body = valid();
        body["data"]["attributes"][member] = value;
        assert_eq!(request(Scope::Org, body).check(), Ok(vec![expected]), "{member}");
    }
    let filters = [
        ("new_filter", json!({ "any": [1] }), word("filters", "new_filter")),
        ("empty_project_tags", json!("all"), word("empty_project_tags", "all")),
        ("environment", json!("backend"), word("environment", "backend")),
        ("updated", json!({ "from": "2025-01-01T00:00:00Z", "until": "x" }), word("updated", "until")),
    ];
    for (key, value, expected) in filters {
        let mut body = valid();
        body["data"]["attributes"]["filters"][key] = value;
        assert_eq!(request(Scope::Org, body).check(), Ok(vec![expected]), "{key}");
    }
    let mut body = valid();
    (body["meta"], body["data"]["id"]) = (json!({}), json!("x"));
    let expected = vec![word("the document", "meta"), word("data", "id")];
    assert_eq!(request(Scope::Org, body).check(), Ok(expected));
    // An unknown dataset may need any date, or none.
    let mut body = valid();
    body["data"]["attributes"]["dataset"] = json!("sbom");
    body["data"]["attributes"]["filters"] = Value::Null;
    assert_eq!(request(Scope::Org, body).check(), Ok(vec![word("dataset", "sbom")]));
}

#[test]
fn filters_are_a_key_and_a_value() {
    for text in ["", "x", "=x", "x=", "x= ", "a b=c", ":=1", "x:="] {
        assert_eq!(text.parse::<Filter>(), Err(FilterError::Form), "{text}");
    }
    assert_eq!("introduced=2025".parse::<Filter>(), Err(FilterError::Dates("introduced")));
    assert_eq!("event=2025".parse::<Filter>(), Err(FilterError::Dates("event")));
    for text in ["is_suppressed=yes", "Is-Suppressed=1", "is_suppressed=null"] {
        let error = text.parse::<Filter>().unwrap_err().to_string();
        assert!(
            error.contains("is_suppressed: `") && error.ends_with("is neither true nor false"),
            "{error}"
        );
    }
    let error = r#"sdlc_stage:=["a",]"#.parse::<Filter>().unwrap_err().to_string();
    assert!(error.starts_with("sdlc_stage: what follows := is not JSON: "), "{error}");
    assert!(error.ends_with("at line 1 column 6"), "{error}");
}

#[test]
fn filters_have_the_values_that_they_take() {
    let typed =
        ["is-suppressed=True", "Git-Repo=a=b", "git_repo=c", "newKey=x", "other:={\"a\":[1]}", "cve:=[]"];
    let filters: Vec<Filter> = typed.map(|text| text.parse().unwrap()).into();
    let again: Vec<Filter> = filters.iter().map(|filter| filter.to_string().parse().unwrap()).collect();
    assert_eq!(again, filters);
    let body = Options { filters, ..Options::default() }.to_body().unwrap();
    let expected = json!({
        "is_suppressed": true, "git_repo": ["a=b", "c"], "newKey": ["x"], "other": { "a": [1] }, "cve": [],
    });
    assert_eq!(body["data"]["attributes"]["filters"], expected);
}

#[test]
fn a_single_value_is_given_once() {
    let rows: [&[&str]; 6] = [
        &["empty_project_tags=only", "empty-project-tags=include"],
        &["is_suppressed=true", "is_suppressed=true"],
        &["cve:=[]", "cve=CVE-1"],
        &["cve=CVE-1", "cve:=[]"],
        &["x:=1", "x:=2"],
        &["updated:={\"from\":\"2025-01-01T00:00:00Z\"}"],
    ];
    for typed in rows {
        let filters = typed.iter().map(|text| text.parse().unwrap()).collect();
        let updated = [Some(Timestamp::UNIX_EPOCH), None];
        let options = Options { filters, updated, ..Options::default() };
        assert!(matches!(options.to_body(), Err(FilterError::Twice(_))), "{typed:?}");
    }
}

use proptest::prelude::prop_assert_eq;

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_or_taken_panics(text: String, number: i64, unit in "[a-z]{0,3}", second: i32) {
        let now = Timestamp::from_second(second.into()).unwrap();
        for typed in [text.clone(), format!("{number}{unit}"), format!("-{}{unit}", number.unsigned_abs())] {
            if let Ok(date) = typed.parse::<Date>() {
                let _ = date.resolve(now, &"Europe/Berlin".parse().unwrap());
            }
            for typed in [typed.clone(), format!("is_suppressed={typed}"), format!("{unit}:={typed}")] {
                if let Ok(filter) = typed.parse::<Filter>() {
                    let written = filter.to_string();
                    prop_assert_eq!(&written.parse::<Filter>().unwrap(), &filter, "{}", written);
                    let _ = Options { filters: vec![filter.clone(), filter], ..Options::default() }.to_body();
                }
            }
        }
        let filters = ["orgs", "event", "is_suppressed", "empty_project_tags", &text];
        for value in [json!(text), json!([text]), json!({ "from": text }), json!(number)] {
            for member in ["dataset", "formats", "columns", "filters", "url_expiration_seconds", &text] {
                let mut body = valid();
                body["data"]["attributes"][member] = value.clone();
                let _ = request(Scope::Group, body).check();
            }
            for key in filters {
                let mut body = valid();
                body["data"]["attributes"]["filters"][key] = value.clone();
                let _ = request(Scope::Group, body).check();
            }
        }
    }
}
