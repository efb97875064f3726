//! The OpenAPI document. `openapi.json` is written by hand; this adds what all operations have in common. Tests compare the
//! answers of the daemon with it (`tests/it/server/described.rs`).

use serde_json::{Value, json};

use super::problem::MEDIA_TYPE;

/// Answers that every route can give (see `guard`).
const REFUSALS: [(&str, &str); 7] = [
    ("400", "The request cannot be understood."),
    ("403", "The request is for another host, and the daemon has no token."),
    ("408", "The body took too long to arrive."),
    ("413", "The body is too large."),
    ("415", "The body is of another type than JSON."),
    ("500", "An unforeseen failure of ours."),
    ("503", "The store failed, or the daemon is busy."),
];

/// The document.
#[derive(Debug)]
pub(super) struct Document(Value);

impl Document {
    /// The document with all routes.
    pub(super) fn new() -> Self {
        let mut document: Value = serde_json::from_str(include_str!("openapi.json"))
            .unwrap_or_else(|error| unreachable!("the document is JSON: {error}"));
        document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
        for (path, operation) in operations(&mut document) {
            for (status, description) in REFUSALS {
                refuse(operation, status, description);
            }
            if path.starts_with("/v1/") {
                refuse(operation, "401", "The token is missing or wrong.");
            }
        }
        Self(document)
    }

    /// The document of a daemon with or without a token.
    pub(super) fn of(&self, has_token: bool) -> Value {
        let mut document = self.0.clone();
        for (_, operation) in
            operations(&mut document).filter(|(path, _)| has_token && path.starts_with("/v1/"))
        {
            operation["security"] = json!([{ "token": [] }]);
        }
        document
    }
}

/// All operations with their paths.
fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object_mut().into_iter().flatten();
        operations.map(move |(_, operation)| (path.as_str(), operation))
    })
}

/// Adds an answer, unless the operation describes it.
fn refuse(operation: &mut Value, status: &str, description: &str) {
    let answer = &mut operation["responses"][status];
    if answer.is_null() {
        let schema = json!({ "$ref": "#/components/schemas/Problems" });
        *answer = json!({ "description": description, "content": { MEDIA_TYPE: { "schema": schema } } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Scope;
    use crate::server::limits;
    use crate::store::DeliveryState;
    use crate::text::plain_pattern;
    use crate::watch::labels;
    use crate::watch::outcome::Outcome;

    #[test]
    fn it_has_the_words_and_limits_of_the_code() {
        let document = Document::new().of(false);
        let at = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("{path}")).clone();
        let schema = |path: &str| at(&format!("/components/schemas/{path}"));
        let outcomes: Vec<_> = Outcome::ALL.into_iter().map(|outcome| Some(outcome.as_str())).collect();
        let states = json!(DeliveryState::ALL.map(DeliveryState::as_str));
        let longest = |path: &str| schema(&format!("WatchRequest/properties/labels/{path}"));
        let rows = [
            (schema("Followed/properties/outcome/enum"), json!([outcomes, vec![None]].concat())),
            (schema("Export/properties/scope/enum"), json!([Scope::Group, Scope::Org].map(Scope::as_str))),
            (schema("Delivery/properties/state/enum"), states.clone()),
            (at("/paths/~1v1~1deliveries/get/parameters/0/schema/enum"), states),
            (at("/paths/~1v1~1deliveries/get/parameters/1/schema/maximum"), json!(limits::PAGE)),
            (at("/paths/~1v1~1watches/get/parameters/1/schema/maximum"), json!(limits::PAGE)),
            (at("/paths/~1v1~1watches/get/parameters/1/schema/default"), json!(limits::DEFAULT_PAGE)),
            (longest("maxProperties"), json!(labels::MOST)),
            (longest("propertyNames/maxLength"), json!(labels::LONGEST_KEY)),
            (longest("propertyNames/pattern"), json!(plain_pattern())),
            (longest("additionalProperties/maxLength"), json!(labels::LONGEST_VALUE)),
            (longest("additionalProperties/pattern"), json!(plain_pattern())),
        ];
        for (said, true_one) in rows {
            assert_eq!(said, true_one);
        }
    }
}
