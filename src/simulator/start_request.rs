//! The document that starts an export, checked as Snyk checks it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::problem::Problem;
use super::route::ScopeKind;

const DATASETS: [&str; 6] = [
    "issues",
    "usage",
    "pr_checks",
    "pr_checks_project_adoption",
    "pr_checks_integration_adoption",
    "prevention_events",
];
/// The filters that only a group's export has.
const GROUP_FILTERS: [&str; 9] = [
    "orgs",
    "effective_severity",
    "event",
    "event_type",
    "git_branch",
    "git_repo",
    "is_suppressed",
    "sdlc_stage",
    "test_user_email",
];
const MAX_COLUMNS: usize = 100;
const MAX_COLUMN_LENGTH: usize = 64;

/// What a valid document asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StartRequest {
    /// Empty if the document does not list columns.
    pub(super) columns: Vec<String>,
    /// How long download links work, if the document says so.
    pub(super) url_expiration: Option<Duration>,
}

impl StartRequest {
    /// Reads and checks the body of a POST.
    pub(super) fn parse(body: &[u8], scope: ScopeKind) -> Result<StartRequest, Problem> {
        let document: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::of(400).with_detail(format!("The body is not JSON: {error}")))?;
        check_type(&document)?;
        let attributes = &document["data"]["attributes"];
        if !attributes.is_object() {
            return Err(invalid("", "The attributes are missing"));
        }
        check_formats(&attributes["formats"])?;
        let dataset = attributes["dataset"].as_str().unwrap_or_default();
        if !DATASETS.contains(&dataset) {
            return Err(invalid("/dataset", format!("The dataset must be one of {}", DATASETS.join(", "))));
        }
        check_filters(&attributes["filters"], dataset, scope)?;
        Ok(StartRequest {
            columns: columns(&attributes["columns"])?,
            url_expiration: url_expiration(&attributes["url_expiration_seconds"])?,
        })
    }
}

fn check_type(document: &Value) -> Result<(), Problem> {
    let name = document["data"]["type"].as_str().unwrap_or_default();
    let shaped = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_');
    if shaped {
        return Ok(());
    }
    Err(Problem::of(400).with_detail("The type is missing or malformed").at_pointer("/data/type"))
}

fn check_formats(formats: &Value) -> Result<(), Problem> {
    let only_csv = |formats: &Vec<Value>| {
        !formats.is_empty() && formats.iter().all(|format| format.as_str() == Some("csv"))
    };
    if formats.as_array().is_some_and(only_csv) {
        return Ok(());
    }
    Err(invalid("/formats", "The formats must be [\"csv\"]"))
}

fn check_filters(filters: &Value, dataset: &str, scope: ScopeKind) -> Result<(), Problem> {
    let of_group = GROUP_FILTERS.into_iter().find(|key| !filters[key].is_null());
    if let Some(key) = of_group.filter(|_| scope == ScopeKind::Org) {
        return Err(invalid(&format!("/filters/{key}"), "Only a group's export has this filter"));
    }
    let is_suppressed = &filters["is_suppressed"];
    if !is_suppressed.is_null() && !is_suppressed.is_boolean() {
        return Err(invalid("/filters/is_suppressed", "It must be true or false"));
    }
    let introduced = check_range(&filters["introduced"], "/filters/introduced")?;
    let updated = check_range(&filters["updated"], "/filters/updated")?;
    let event = check_range(&filters["event"], "/filters/event")?;
    let (has_dates, needed) = match dataset {
        "prevention_events" => (event || updated, "event or updated"),
        _ => (introduced || updated, "introduced or updated"),
    };
    if has_dates {
        return Ok(());
    }
    Err(invalid("/filters", format!("A filter by date is required: {needed}")))
}

/// Checks a range of dates. Returns whether there is one.
fn check_range(range: &Value, pointer: &str) -> Result<bool, Problem> {
    if range.is_null() {
        return Ok(false);
    }
    let from = end_of_range(&range["from"], pointer)?;
    let to = end_of_range(&range["to"], pointer)?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(invalid(pointer, "The range ends before it begins"));
    }
    Ok(from.is_some() || to.is_some())
}

fn end_of_range(end: &Value, pointer: &str) -> Result<Option<Timestamp>, Problem> {
    if end.is_null() {
        return Ok(None);
    }
    let parsed = end.as_str().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| invalid(pointer, "A date looks like 2025-01-31T00:00:00Z"))
}

fn columns(columns: &Value) -> Result<Vec<String>, Problem> {
    let refused = || invalid("/columns", "The columns must be names such as ISSUE_SEVERITY");
    if columns.is_null() {
        return Ok(Vec::new());
    }
    let names = columns.as_array().filter(|names| names.len() <= MAX_COLUMNS).ok_or_else(refused)?;
    let name = |name: &Value| {
        let name = name.as_str().filter(|name| (1..=MAX_COLUMN_LENGTH).contains(&name.len()))?;
        let plain = name.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
        plain.then(|| name.to_ascii_uppercase())
    };
    names.iter().map(|each| name(each).ok_or_else(refused)).collect()
}

fn url_expiration(seconds: &Value) -> Result<Option<Duration>, Problem> {
    if seconds.is_null() {
        return Ok(None);
    }
    let within = seconds.as_u64().filter(|seconds| *seconds <= 3600);
    within.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        invalid("/url_expiration_seconds", "The expiration must be a number of seconds from 0 to 3600")
    })
}

/// A 400 that blames a member of the attributes.
fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::of(400).with_detail(detail).at_pointer(&format!("/data/attributes{pointer}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn valid() -> Value {
        json!({ "data": { "type": "resource", "attributes": {
            "formats": ["csv"], "dataset": "issues", "columns": ["ISSUE_SEVERITY", "problem_title"],
            "filters": { "introduced": { "from": "2025-01-01T00:00:00Z", "to": "2025-02-01T00:00:00Z" } },
            "url_expiration_seconds": 60,
        } } })
    }

    fn parse(document: &Value) -> Result<StartRequest, Problem> {
        StartRequest::parse(document.to_string().as_bytes(), ScopeKind::Org)
    }

    #[test]
    fn a_group_exports_prevention_events() {
        let mut document = valid();
        let attributes = document.pointer_mut("/data/attributes").unwrap();
        attributes["dataset"] = json!("prevention_events");
        let by_dataset = |document: &Value| {
            StartRequest::parse(document.to_string().as_bytes(), ScopeKind::Group).map(|_| ()).is_ok()
        };
        assert!(!by_dataset(&document), "introduced is not a date of an event");
        document["data"]["attributes"]["filters"] = json!({
            "event": { "from": "2026-07-01T00:00:00Z" }, "is_suppressed": false, "git_repo": ["a"],
        });
        assert!(by_dataset(&document));
        assert!(parse(&document).is_err(), "an organization's export has no filter by event");
        document["data"]["attributes"]["filters"]["is_suppressed"] = json!(["false"]);
        assert!(!by_dataset(&document));
    }

    #[test]
    fn a_valid_document_is_taken() {
        let parsed = parse(&valid()).unwrap();
        assert_eq!(parsed.columns, ["ISSUE_SEVERITY", "PROBLEM_TITLE"]);
        assert_eq!(parsed.url_expiration, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_wrong_is_blamed() {
        let rows = [
            ("/data/type", json!("Not A Type")),
            ("/data/attributes/formats", json!(["json"])),
            ("/data/attributes/formats", json!([])),
            ("/data/attributes/dataset", json!("secrets")),
            ("/data/attributes/columns", json!(["a,b"])),
            ("/data/attributes/filters", json!({})),
            ("/data/attributes/filters/introduced", json!({ "from": "yesterday" })),
            (
                "/data/attributes/filters/introduced",
                json!({ "from": "2025-02-01T00:00:00Z", "to": "2025-01-01T00:00:00Z" }),
            ),
            ("/data/attributes/filters/orgs", json!(["11111111-2222-4333-8444-555555555555"])),
            ("/data/attributes/url_expiration_seconds", json!(3601)),
        ];
        for (pointer, value) in rows {
            let mut document = valid();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[member] = value;
            let body = parse(&document).unwrap_err().response().body;
            let error: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(error["errors"][0]["source"]["pointer"], pointer, "{error}");
        }
        assert!(StartRequest::parse(b"{", ScopeKind::Org).is_err());
        assert!(parse(&json!({ "data": { "type": "export" } })).is_err());
    }
}
