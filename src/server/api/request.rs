//! Requests to follow an export.

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::export::{ExportRef, Scope, parse_id};
use crate::server::Terms;
use crate::server::problem::{Problem, Problems};
use crate::text::Text;
use crate::watch::{DEFAULT_ACCOUNT, Labels, NewWatch, labels};

/// An export to follow. Give the group's id or the organization's, not both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchRequest {
    /// The group whose export it is.
    #[serde(default, deserialize_with = "given")]
    group_id: Option<String>,
    /// The organization whose export it is.
    #[serde(default, deserialize_with = "given")]
    org_id: Option<String>,
    /// The export.
    export_id: String,
    /// The account whose credential is used, as the settings name it.
    #[serde(default, deserialize_with = "given")]
    account: Option<String>,
    /// Labels, which notifications repeat.
    #[serde(default)]
    labels: Labels,
}

/// A member that may be missing, but not null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl WatchRequest {
    /// Parses the body of a request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::bad_request("the body is empty: send a JSON document"));
        }
        // serde would accept an array of the members.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad_request("the body: expected a JSON object"));
        }
        serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(format!("the body: {}", Text::new(&error.to_string()))))
    }

    /// The watch to add. The error has everything that is wrong.
    pub(super) fn check(self, terms: &Terms) -> Result<NewWatch, Problems> {
        let mut problems = Vec::new();
        let mut id = |name: &str, text: &str| {
            let id = parse_id(text);
            if id.is_none() {
                let detail = format!("`{}` is not a UUID of 36 characters", Text::of_input(text));
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
        let labels = labels::check(&self.labels).err();
        problems.extend(labels.map(|error| Problem::unusable(error.to_string(), "/labels")));
        Problems::of(problems)?;
        let (scope, scope_id) = scope.unwrap_or((Scope::Group, Uuid::nil()));
        let export = ExportRef { scope, scope_id, export_id };
        Ok(NewWatch { account: account.unwrap_or_else(|| name.into()), export, labels: self.labels })
    }
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
    fn accepts_a_complete_request() {
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
    fn names_invalid_members() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "group_id": GROUP, "export_id": EXPORT });
            body[name] = value;
            body
        };
        let rows: [(Value, &[&str]); 9] = [
            (json!({ "export_id": EXPORT }), &[""]),
            (with("org_id", json!(GROUP)), &[""]),
            (with("group_id", json!("x")), &["/group_id"]),
            (with("group_id", json!(GROUP.replace('-', ""))), &["/group_id"]),
            (with("group_id", json!(format!("{{{GROUP}}}"))), &["/group_id"]),
            (with("export_id", json!("")), &["/export_id"]),
            (with("account", json!("nobody")), &["/account"]),
            (with("labels", json!({ "": "x" })), &["/labels"]),
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
    fn refuses_other_documents() {
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
