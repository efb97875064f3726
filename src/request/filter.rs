//! Filters as people type them: `KEY=VALUE`, each as often as there are values.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::DATE_FILTERS;
use crate::text::Text;

/// The one filter that has a single value, and its values. All others are lists.
const SINGLE: (&str, [&str; 3]) = ("empty_project_tags", ["include", "exclude", "only"]);

/// One value of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    key: String,
    value: String,
}

/// A filter that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No filter at all.
    #[error("expected KEY=VALUE, such as environment=production; repeat --filter for more values")]
    Form,
    /// A filter that has options of its own.
    #[error("dates have options of their own: --{0}-from and --{0}-to")]
    Dates(&'static str),
    /// A value that the filter does not take.
    #[error("--filter {key}: `{0}` is none of its values, {values}", key = SINGLE.0, values = SINGLE.1.join(", "))]
    Value(Text),
    /// Two values where one can be.
    #[error("--filter {}: it has one value, and was given two", SINGLE.0)]
    Twice,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or(FilterError::Form)?;
        let (key, value) = (key.trim().to_ascii_lowercase().replace('-', "_"), value.trim());
        let is_name = !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        if !is_name || value.is_empty() {
            return Err(FilterError::Form);
        }
        if let Some(dates) = DATE_FILTERS.into_iter().find(|dates| *dates == key) {
            return Err(FilterError::Dates(dates));
        }
        if key == SINGLE.0 && !SINGLE.1.contains(&value) {
            return Err(FilterError::Value(Text::of_input(value)));
        }
        Ok(Self { key, value: value.to_owned() })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The member `filters` of a document, without its dates.
pub(super) fn all(filters: &[Filter]) -> Result<Map<String, Value>, FilterError> {
    let mut members = Map::new();
    for Filter { key, value } in filters {
        if key == SINGLE.0 {
            if members.insert(key.clone(), value.clone().into()).is_some() {
                return Err(FilterError::Twice);
            }
            continue;
        }
        let list = members.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut().into_iter().for_each(|list| list.push(value.clone().into()));
    }
    Ok(members)
}
