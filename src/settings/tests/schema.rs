//! The JSON Schema of a settings file, for editors: `config/settings.schema.json`. It is made from the types that read the
//! file and from the texts of `config/default.toml`, and compared with the file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use clap::ValueEnum as _;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::export::Status;
use crate::notify::PingUrl;
use crate::settings::DEFAULTS;
use crate::settings::daemon::values::{Name, OutcomeWord, SecretText, StoreUrl};
use crate::settings::layers::Layer;
use crate::settings::values::{
    HumanDuration, Id, Listen, LogFormat, Multiplier, Pause, Share, Size, StatusLimit, Version,
};
use crate::snyk::region::{Api, region_names};
use crate::watch::outcome::Outcome;

/// The repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Defines the schema of a type that a parser of its own reads. The parser is stricter: its errors say more than a pattern.
macro_rules! schema_of {
    ($($type:ty: $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schema_of! {
    Api: { "type": "string", "examples": (region_names()) }
    HumanDuration: { "type": "string", "pattern": "^ *(0|[0-9].*[a-z]) *$" }
    Id: { "type": "string", "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" }
    Listen: { "type": "string", "pattern": "^.+:[0-9]+$" }
    LogFormat: { "type": "string", "enum": (log_formats()) }
    Multiplier: { "type": "number", "minimum": 1 }
    Name: { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }
    OutcomeWord: { "type": "string", "enum": (Outcome::ALL.map(Outcome::as_str)) }
    Pause: { "type": "string", "pattern": "^ *[0-9].*[a-z] *$" }
    PingUrl: { "type": "string", "pattern": "^https?://" }
    SecretText: { "type": "string" }
    Share: { "type": "number", "minimum": 0, "maximum": 1 }
    Size: { "type": "string", "pattern": "^ *[0-9]+ *([kKmMgGtT][iI]?[bB]|[bB])? *$" }
    Status: { "type": "string", "minLength": 1 }
    StatusLimit: { "type": "string", "pattern": "^[^=]+=.*[0-9].*[a-z] *$" }
    StoreUrl: { "type": "string", "pattern": "^ *(sqlite|postgres|postgresql)://" }
    Version: { "type": "string", "examples": ["2024-10-15", "2024-05-10~experimental"] }
}

fn log_formats() -> Vec<String> {
    let values = LogFormat::value_variants().iter().filter_map(LogFormat::to_possible_value);
    values.flat_map(|value| value.get_name_and_aliases().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What `config/default.toml` says about each key, by its section and its name. Keys in a row share a text.
fn texts() -> BTreeMap<(String, String), String> {
    let is_name = |text: &str| text.chars().all(|char| char == '-' || char.is_ascii_lowercase());
    let (mut section, mut text, mut is_below_key) = (String::new(), String::new(), false);
    let mut texts = BTreeMap::new();
    for line in DEFAULTS.lines() {
        let bare = line.trim_start_matches("# ");
        if let Some(name) = bare.strip_prefix('[').filter(|name| name.ends_with(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
            text.clear();
        } else if let Some((key, value)) = bare.split_once(" = ").filter(|(key, _)| is_name(key)) {
            let beside = value.rsplit_once(" # ").map_or("", |(_, beside)| beside);
            let said = if text.is_empty() { beside } else { &text };
            texts.insert((section.clone(), key.to_owned()), said.trim().to_owned());
            is_below_key = true;
        } else {
            if is_below_key || line.is_empty() {
                text.clear();
            }
            is_below_key = false;
            text.extend([" ", line.trim_start_matches('#').trim()]);
        }
    }
    texts
}

/// TOML has no `null`: what is missing is not there. Formats such as `uint32` are Rust's.
fn simplify(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| name != "default" && !(name == "format" && value.is_string()));
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [name] = types.as_slice() {
                    let name = name.clone();
                    members.insert("type".to_owned(), name);
                }
            }
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| *choice != json!({ "type": "null" }));
                if let [Value::Object(choice)] = choices.as_slice() {
                    let choice = choice.clone();
                    members.remove("anyOf");
                    members.extend(choice);
                }
            }
            members.values_mut().for_each(simplify);
        }
        Value::Array(values) => values.iter_mut().for_each(simplify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The keys of a section, such as `snyk.accounts.acme`.
fn keys<'a>(schema: &'a mut Value, section: &str) -> &'a mut serde_json::Map<String, Value> {
    let mut found = schema;
    for step in section.split('.') {
        let is_named = found.get("properties").is_some();
        found = match is_named {
            true => &mut found["properties"][step],
            // Names of accounts have a pattern.
            false => found["patternProperties"].as_object_mut().unwrap().values_mut().next().unwrap(),
        };
        if found.get("items").is_some() {
            found = &mut found["items"];
        }
    }
    found["properties"].as_object_mut().unwrap_or_else(|| panic!("there is no section [{section}]"))
}

fn made() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Layer>().to_value();
    simplify(&mut schema);
    schema["title"] = "Settings of snyk-export".into();
    let (texts, defaults) = (texts(), DEFAULTS.parse::<toml::Table>().unwrap());
    let described = |section: &str, key: &str| texts.get(&(section.to_owned(), key.to_owned()));
    let mut sections: Vec<&str> = texts.keys().map(|(section, _)| section.as_str()).collect();
    sections.dedup();
    for section in sections {
        let own = texts.keys().filter(|(of, _)| of == section);
        let keys = keys(&mut schema, section);
        let unknown: Vec<_> = own.filter(|(_, key)| !keys.contains_key(key)).collect();
        assert!(unknown.is_empty(), "the types have no {unknown:?}");
        for (key, member) in keys.iter_mut().filter(|(key, _)| *key != "accounts") {
            let general = ["limits", "pace", "snyk"].into_iter().find_map(|general| described(general, key));
            let text = described(section, key).filter(|text| !text.is_empty()).or(general);
            let text =
                text.unwrap_or_else(|| panic!("config/default.toml does not explain `{key}` of [{section}]"));
            member["description"] = text.as_str().into();
            if let Some(default) = defaults.get(section).and_then(|section| section.get(key)) {
                member["default"] = serde_json::to_value(default).unwrap();
            }
        }
    }
    schema
}

fn kept() -> String {
    std::fs::read_to_string(format!("{ROOT}/config/settings.schema.json")).unwrap()
}

#[test]
fn the_schema_for_editors_is_that_of_the_types_and_the_defaults() {
    let made = format!("{:#}\n", made());
    if made != kept() {
        std::fs::create_dir_all(format!("{ROOT}/target")).unwrap();
        std::fs::write(format!("{ROOT}/target/settings.schema.json"), &made).unwrap();
        panic!("the settings have changed: cp target/settings.schema.json config/settings.schema.json");
    }
}

#[test]
fn every_section_and_every_default_is_in_the_schema() {
    let mut schema: Value = serde_json::from_str(&kept()).unwrap();
    for (section, members) in DEFAULTS.parse::<toml::Table>().unwrap() {
        let keys = keys(&mut schema, &section);
        for (key, default) in members.as_table().unwrap() {
            assert_eq!(keys[key]["default"], serde_json::to_value(default).unwrap(), "[{section}] {key}");
        }
    }
    let texts = texts();
    for section in schema["properties"].as_object().unwrap().keys() {
        assert!(
            texts.keys().any(|(of, _)| of == section),
            "config/default.toml does not explain [{section}]"
        );
    }
}
