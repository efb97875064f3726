//! Filters as people type them: `KEY=VALUE`, each as often as there are values, or `KEY:=JSON`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::known::{self, Takes};
use crate::text::Text;

/// One value of a filter, or the whole of it as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    key: String,
    value: Value,
    form: Form,
}

/// How a filter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `KEY=VALUE`, one word of a list.
    Word,
    /// `KEY=VALUE`, the only value.
    Only,
    /// `KEY:=JSON`, the whole value.
    Json,
}

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not a filter at all.
    #[error(
        "expected KEY=VALUE, such as environment=production (repeat --filter for more values), or KEY:=JSON for any value"
    )]
    Form,
    /// What follows `:=` is not JSON.
    #[error("{key}: what follows := is not JSON: {why}")]
    Json {
        /// The key of the filter.
        key: String,
        /// What is wrong, and at which column.
        why: Text,
    },
    /// A filter that has options of its own.
    #[error("dates have options of their own: --{0}-from and --{0}-to")]
    Dates(&'static str),
    /// A value of a filter that takes `true` or `false`.
    #[error("{0}: `{1}` is neither true nor false")]
    Boolean(&'static str, Text),
    /// A filter with two values that takes one.
    #[error("--filter {0}: it takes one value, and two are given")]
    Twice(String),
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or(FilterError::Form)?;
        let (key, is_json) = key.strip_suffix(':').map_or((key, false), |key| (key, true));
        let (key, value) = (key.trim(), value.trim());
        let is_name = !key.is_empty()
            && key.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.'));
        if !is_name || value.is_empty() {
            return Err(FilterError::Form);
        }
        // An unknown key is sent as it was typed.
        let known = known::filter(&key.to_ascii_lowercase().replace('-', "_"));
        let key = known.map_or(key, |known| known.key).to_owned();
        if is_json {
            return match serde_json::from_str(value) {
                Ok(value) => Ok(Self { key, value, form: Form::Json }),
                Err(error) => Err(FilterError::Json { key, why: Text::new(&error.to_string()) }),
            };
        }
        let (value, form) = match known.map(|known| (known.key, known.takes)) {
            Some((key, Takes::Dates)) => return Err(FilterError::Dates(key)),
            Some((key, Takes::Boolean)) => match value.to_ascii_lowercase().parse::<bool>() {
                Ok(boolean) => (boolean.into(), Form::Only),
                Err(_) => return Err(FilterError::Boolean(key, Text::of_input(value))),
            },
            Some((_, Takes::OneOf(_))) => (value.into(), Form::Only),
            Some((_, Takes::Words | Takes::Ids)) | None => (value.into(), Form::Word),
        };
        Ok(Self { key, value, form })
    }
}

/// Displayed in a form that parses to the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, form } = self;
        match (form, value.as_str()) {
            (Form::Json, _) => write!(f, "{key}:={value}"),
            (_, Some(word)) => write!(f, "{key}={word}"),
            (_, None) => write!(f, "{key}={value}"),
        }
    }
}

/// The member `filters` of a document, without the dates, which have options of their own.
pub(super) fn all(filters: &[Filter]) -> Result<Map<String, Value>, FilterError> {
    let mut members = Map::new();
    let mut whole = BTreeSet::new();
    for Filter { key, value, form } in filters.iter().cloned() {
        if form != Form::Word {
            whole.insert(key.clone());
            if members.insert(key.clone(), value).is_some() {
                return Err(FilterError::Twice(key));
            }
        } else if whole.contains(&key) {
            return Err(FilterError::Twice(key));
        } else {
            let list = members.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
        }
    }
    Ok(members)
}
