//! Each answer that a test of the API gets is compared with the OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::client::Answer;

/// What the daemon serves adds the answers that every operation can give.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../src/server/openapi.json")).unwrap());

/// Checks that the document describes an answer to a request of this line.
#[track_caller]
pub(super) fn check(method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    let media_type = answer.header("content-type").unwrap_or_default();
    if method == "HEAD" || path == "/openapi.json" || !media_type.ends_with("json") {
        return;
    }
    let value = answer.json();
    let nothing_there = ["no-such-path", "no-such-method"].map(Value::from);
    let is_route = !nothing_there.contains(&value["errors"][0]["code"]);
    let operation = operation(method, path);
    assert!(
        !is_route || !path.starts_with("/v1") || answer.status == 401 || operation.is_some(),
        "{method} {path}"
    );
    let described = operation.map(|operation| &operation["responses"][answer.status.to_string()]["content"]);
    let schema = described.and_then(|content| content.get(media_type)).map(|content| &content["schema"]);
    let schema = schema.unwrap_or_else(|| {
        assert!(answer.status >= 400, "{method} {path} may not answer {answer:?}");
        &DOCUMENT["components"]["schemas"]["Problems"]
    });
    if let Some(fault) = fault(schema, &value) {
        panic!("the answer to {method} {path} is not as described: {fault}: {answer:?}");
    }
}

/// The operation of a path that has ids in it.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let mut pairs = parts.iter().zip(&segments);
        parts.len() == segments.len() && pairs.all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let (_, item) = DOCUMENT["paths"].as_object()?.iter().find(|(template, _)| fits(template))?;
    item.get(method.to_ascii_lowercase())
}

/// Why a value does not fit its schema. All members must be described.
fn fault(schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| fault(choice, value).is_none());
        return (!fits).then(|| format!("{value} is none of {choices:?}"));
    }
    let known = Known::of(schema);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !known.types.contains(kind) {
        return Some(format!("{value} is not of the types {:?}", known.types));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Some(format!("{value} is not one of {}", schema["enum"]));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| fault(&schema["items"], item)),
        Value::Object(members) => {
            let missing = known.required.iter().find(|name| !members.contains_key(**name));
            missing.map(|name| format!("`{name}` is missing")).or_else(|| {
                members.iter().find_map(|(name, value)| {
                    let of_name = known.properties.get(name.as_str()).copied();
                    let Some(of_name) = of_name.or_else(|| schema.get("additionalProperties")) else {
                        return Some(format!("`{name}` is not described"));
                    };
                    fault(of_name, value).map(|fault| format!("`{name}`: {fault}"))
                })
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn resolved(schema: &Value) -> &Value {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.map_or(schema, |pointer| DOCUMENT.pointer(pointer).unwrap())
}

/// What a schema says about members, with the schemas that it consists of.
#[derive(Default)]
struct Known<'a> {
    properties: BTreeMap<&'a str, &'a Value>,
    required: BTreeSet<&'a str>,
    types: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(schema: &'a Value) -> Self {
        let names = |list: &'a Value| {
            let items = list.as_array().into_iter().flatten().chain([list]);
            items.filter_map(Value::as_str).collect()
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut known = Self {
            properties: properties.map(|(name, schema)| (name.as_str(), schema)).collect(),
            required: names(&schema["required"]),
            types: names(&schema["type"]),
        };
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let part = Self::of(resolved(part));
            known.properties.extend(part.properties);
            known.required.extend(part.required);
            known.types.extend(part.types);
        }
        known
    }
}
