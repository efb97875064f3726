//! The OpenAPI document. Paths, parameters and schemas come from the code of the routes; this adds what all have in common.

use serde_json::{Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

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

/// The document without routes.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new().title("snyk-export").version(env!("CARGO_PKG_VERSION")).description(Some(
        "The daemon of snyk-export: which exports of Snyk's it follows, and how they ended.",
    ));
    OpenApiBuilder::new().info(info).build()
}

/// The document.
#[derive(Debug)]
pub(super) struct Document(Value);

impl Document {
    /// The document with all routes.
    pub(super) fn new(openapi: OpenApi) -> Self {
        let mut document = serde_json::to_value(openapi)
            .unwrap_or_else(|error| unreachable!("the document can be written as JSON: {error}"));
        // Either scope; a derived schema cannot say that.
        document["components"]["schemas"]["WatchRequest"]["oneOf"] =
            json!([{ "required": ["group_id"] }, { "required": ["org_id"] }]);
        document["components"]["securitySchemes"] = json!({ "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of [server] token-file, if the daemon has one.",
        } });
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
