//! What a client wants to be followed.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, Schema, schema::Type};
use uuid::Uuid;

use crate::export::{ExportRef, Scope, parse_id};
use crate::server::problem::{Problem, Problems};
use crate::server::{Terms, limits};
use crate::text::{self, Text};
use crate::watch::{Labels, NewWatch};

/// The account that is meant where none is named.
const DEFAULT_ACCOUNT: &str = "default";

/// An export to follow. Give the group's id or the organization's, not both.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchRequest {
    /// The group whose export it is.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Uuid)]
    group_id: Option<String>,
    /// The organization whose export it is.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Uuid)]
    org_id: Option<String>,
    /// The export.
    #[schema(value_type = Uuid)]
    export_id: String,
    /// Whose credential asks: an account that the settings name.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, default = "default")]
    account: Option<String>,
    #[serde(default)]
    #[schema(schema_with = labels_schema)]
    labels: Labels,
}

/// A member that may be missing, but is no null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl WatchRequest {
    /// Reads the body of a request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::bad_request("the body is empty: send a JSON document"));
        }
        // serde would take a list for the members in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad_request("the body: expected a JSON object"));
        }
        serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(format!("the body: {}", Text::new(&error.to_string()))))
    }

    /// The watch that it means. All that is wrong is named at once.
    pub(super) fn check(self, terms: &Terms) -> Result<NewWatch, Problems> {
        let mut problems = Vec::new();
        let mut id = |name: &str, text: &str| {
            let id = parse_id(text);
            if id.is_none() {
                let detail = format!("`{}` is no UUID in its form of 36 characters", Text::of_input(text));
                problems.push(Problem::unusable(detail, format!("/{name}")));
            }
            id.unwrap_or_default()
        };
        let export_id = id("export_id", &self.export_id);
        let scope = match (&self.group_id, &self.org_id) {
            (Some(group), None) => Some((Scope::Group, id("group_id", group))),
            (None, Some(org)) => Some((Scope::Org, id("org_id", org))),
            (None, None) | (Some(_), Some(_)) => None,
        };
        if scope.is_none() {
            problems.push(Problem::unusable("give either `group_id` or `org_id`", ""));
        }
        let name = self.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        let account = terms.agreed().accounts.get(name).cloned();
        if account.is_none() {
            let detail = format!("the settings name no account `{}`", Text::of_wrong_value(name));
            problems.push(Problem::unusable(detail, "/account"));
        }
        problems.extend(check_labels(&self.labels));
        Problems::of(problems)?;
        let (scope, scope_id) = scope.unwrap_or((Scope::Group, Uuid::nil()));
        let export = ExportRef { scope, scope_id, export_id };
        Ok(NewWatch { account: account.unwrap_or_else(|| name.into()), export, labels: self.labels })
    }
}

fn check_labels(labels: &Labels) -> Option<Problem> {
    let lengths = |(key, value): (&String, &String)| {
        let key = key.chars().count();
        (1..=limits::LABEL_KEY).contains(&key) && value.chars().count() <= limits::LABEL_VALUE
    };
    let is_plain = |(key, value): (&String, &String)| text::is_plain(key) && text::is_plain(value);
    if !labels.iter().all(is_plain) {
        let detail = "a label has a control character, one that changes the direction of the text, or one that nobody sees";
        return Some(Problem::unusable(detail, "/labels"));
    }
    if labels.iter().any(|(key, value)| text::has_our_secret(key) || text::has_our_secret(value)) {
        return Some(Problem::unusable("a label has a secret of this daemon in it", "/labels"));
    }
    if labels.len() <= limits::LABELS && labels.iter().all(lengths) {
        return None;
    }
    let detail = format!(
        "there may be {} labels, each with a key of 1 to {} characters and a value of up to {}",
        limits::LABELS,
        limits::LABEL_KEY,
        limits::LABEL_VALUE
    );
    Some(Problem::unusable(detail, "/labels"))
}

fn labels_schema() -> Schema {
    let pattern = Some(text::plain_pattern());
    let text =
        |max| ObjectBuilder::new().schema_type(Type::String).max_length(Some(max)).pattern(pattern.clone());
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "What to note on the watch, for whoever hears of its end: no control characters, none that change the \
             direction of a text or that nobody sees, and no secret of the daemon.",
        ))
        .additional_properties(Some(text(limits::LABEL_VALUE)))
        .property_names(Some(text(limits::LABEL_KEY).min_length(Some(1)).build()))
        .max_properties(Some(limits::LABELS))
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::server::Agreed;

    const GROUP: &str = "11111111-2222-4333-8444-555555555555";
    const EXPORT: &str = "d6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40";

    #[test]
    fn takes_what_is_complete() {
        let new = check(&json!({ "group_id": GROUP, "export_id": EXPORT })).unwrap();
        assert_eq!(new.export.to_string(), format!("/groups/{GROUP}/jobs/export/{EXPORT}"));
        assert_eq!((&*new.account, new.labels.len()), ("default", 0));
        let labels: Value = (0..32).map(|n| (format!("{n:0>64}"), json!("ü".repeat(256)))).collect();
        let all = json!({ "org_id": GROUP, "export_id": EXPORT, "account": "acme", "labels": labels });
        let new = check(&all).unwrap();
        assert_eq!(new.export.to_string(), format!("/orgs/{GROUP}/jobs/export/{EXPORT}"));
        assert_eq!((&*new.account, new.labels.len()), ("acme", 32));
    }

    #[test]
    fn a_label_has_no_secret_of_ours_and_nothing_that_nobody_sees() {
        let _held = crate::secret::Secret::new("Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2");
        let refused =
            |label: &str| check_labels(&Labels::from([("x".to_owned(), label.to_owned())])).is_some();
        for label in [
            "Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2",
            "WnE5d1hwU3NyZDdoVHVNa0UzdkI1blE4eUxjMg==",
            "a\u{200b}b",
            "\u{e0061}",
        ] {
            assert!(refused(label), "{label}");
        }
        assert!(!refused("payments"));
    }

    #[test]
    fn names_what_cannot_be_used() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "group_id": GROUP, "export_id": EXPORT });
            body[name] = value;
            body
        };
        let label = |key: &str, value: &str| with("labels", json!({ key: value }));
        let many: Value = (0..33).map(|n| (n.to_string(), json!(""))).collect();
        let rows: [(Value, &[&str]); 16] = [
            (json!({ "export_id": EXPORT }), &[""]),
            (with("org_id", json!(GROUP)), &[""]),
            (with("group_id", json!("x")), &["/group_id"]),
            (with("group_id", json!(GROUP.replace('-', ""))), &["/group_id"]),
            (with("group_id", json!(format!("{{{GROUP}}}"))), &["/group_id"]),
            (with("export_id", json!("")), &["/export_id"]),
            (with("account", json!("nobody")), &["/account"]),
            (label("", "x"), &["/labels"]),
            (label(&"k".repeat(65), "x"), &["/labels"]),
            (label("k", &"v".repeat(257)), &["/labels"]),
            (with("labels", many), &["/labels"]),
            (label("k", "two\nlines"), &["/labels"]),
            (label("k\u{1b}", ""), &["/labels"]),
            (label("k", "\u{202e}v"), &["/labels"]),
            (label("\u{2066}k\u{2069}", "v"), &["/labels"]),
            (
                json!({ "org_id": "x", "export_id": "y", "account": "z" }),
                &["/export_id", "/org_id", "/account"],
            ),
        ];
        for (body, pointers) in rows {
            let problems = serde_json::to_value(check(&body).unwrap_err()).unwrap();
            let errors = problems["errors"].as_array().unwrap();
            let named: Vec<&str> =
                errors.iter().map(|error| error["source"]["pointer"].as_str().unwrap()).collect();
            assert_eq!(named, pointers, "{body}");
            assert!(errors.iter().all(|error| error["status"] == "422"), "{body}");
        }
    }

    #[test]
    fn refuses_what_is_no_such_document() {
        let rows = [
            ("", "empty"),
            ("{", "EOF"),
            ("[]", "object"),
            ("null", "object"),
            ("[null,null,\"x\",\"y\",{}]", "object"),
            ("{\"group_id\":\"x\"}", "missing field `export_id`"),
            ("{\"export_id\":null}", "null"),
            ("{\"export_id\":\"x\",\"org_id\":null}", "null"),
            ("{\"export_id\":\"x\",\"labels\":{\"a\":1}}", "integer"),
            ("{\"export_id\":\"x\",\"exportid\":\"x\"}", "unknown field `exportid`"),
            ("{\"export_id\":\"x\",\"export_id\":\"x\"}", "duplicate field"),
            ("{\"export_id\":\"x\"} {}", "trailing"),
            ("{\"export_id\":\"\\ud800\"}", "hex escape"),
        ];
        for (body, said) in rows {
            let problem = serde_json::to_value(WatchRequest::parse(body.as_bytes()).unwrap_err()).unwrap();
            assert_eq!(problem["status"], "400", "{body}");
            assert!(problem["detail"].as_str().unwrap().contains(said), "{body}: {problem}");
        }
        assert!(WatchRequest::parse(b"{\"export_id\":\"\xff\"}").is_err());
    }

    fn check(body: &Value) -> Result<NewWatch, Problems> {
        let accounts: BTreeSet<Arc<str>> = ["default", "acme"].map(Arc::from).into();
        WatchRequest::parse(body.to_string().as_bytes())
            .unwrap()
            .check(&Terms::new(Agreed { accounts, ..Agreed::default() }))
    }
}
