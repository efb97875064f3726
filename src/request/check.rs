//! Checks a start request, and finds what this version does not know.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::known::{self, ATTRIBUTES, DATASETS, Dataset, KnownFilter, REMOVED, Takes};
use super::{FORMAT, MAX_URL_EXPIRATION, RequestError, StartRequest, Unknown};
use crate::export::parse_id;
use crate::text::Text;

impl StartRequest {
    /// Checks the document, and returns what this version does not know. That is sent anyway, since Snyk adds words
    /// without a new API version.
    ///
    /// # Errors
    ///
    /// When the document contradicts itself, or Snyk's documentation.
    pub fn check(&self) -> Result<Vec<Unknown>, RequestError> {
        let data = &self.body["data"];
        let attributes = data["attributes"].as_object().ok_or(RequestError::NoAttributes)?;
        if !data["type"].as_str().is_some_and(is_type) {
            return Err(RequestError::Type);
        }
        let mut unknown = Vec::new();
        unknown.extend(members(&self.body, &["data"]).map(|member| Unknown::Word("the document", member)));
        unknown.extend(members(data, &["type", "attributes"]).map(|member| Unknown::Word("data", member)));
        for member in attributes.keys().filter(|member| !ATTRIBUTES.contains(&member.as_str())) {
            unknown.push(match member.as_str() {
                REMOVED => Unknown::Removed(REMOVED),
                _ => Unknown::Word("data.attributes", Text::of_input(member)),
            });
        }
        let member = |name: &str| attributes.get(name).unwrap_or(&Value::Null);
        let dataset = check_dataset(member("dataset"), &mut unknown)?;
        check_formats(member("formats"), &mut unknown)?;
        check_columns(member("columns"), &mut unknown);
        check_url_expiration(member("url_expiration_seconds"))?;
        let filters = member("filters");
        let dates = match filters.as_object() {
            Some(filters) => self.check_filters(filters, &mut unknown)?,
            None if filters.is_null() => Vec::new(),
            None => return Err(RequestError::Filters(shown(filters))),
        };
        match dataset {
            Some(Dataset { name, dates: needed }) if !dates.iter().any(|date| needed.contains(date)) => {
                Err(RequestError::NoDates { dataset: name, needed })
            }
            _ => Ok(unknown),
        }
    }

    /// Checks each filter, and returns the keys of those that are ranges of dates.
    fn check_filters(
        &self,
        filters: &Map<String, Value>,
        unknown: &mut Vec<Unknown>,
    ) -> Result<Vec<&'static str>, RequestError> {
        let mut dates = Vec::new();
        for (key, value) in filters.iter().filter(|(_, value)| !value.is_null()) {
            let Some(KnownFilter { key, takes, only_of }) = known::filter(key) else {
                unknown.push(Unknown::Word("filters", Text::of_input(key)));
                continue;
            };
            if only_of.is_some_and(|scope| scope != self.scope.scope) {
                return Err(RequestError::FilterOfGroup(key));
            }
            match takes {
                Takes::Words if value.is_array() => {}
                Takes::Words => unknown.push(Unknown::Word(key, shown(value))),
                Takes::Ids => check_ids(key, value)?,
                Takes::Boolean if value.is_boolean() => {}
                Takes::Boolean => return Err(RequestError::NotBoolean(key, shown(value))),
                Takes::OneOf(words) if value.as_str().is_some_and(|word| words.contains(&word)) => {}
                Takes::OneOf(_) => unknown.push(Unknown::Word(key, shown(value))),
                Takes::Dates => {
                    dates.extend(check_range(key, value)?.then_some(*key));
                    unknown.extend(members(value, &["from", "to"]).map(|member| Unknown::Word(key, member)));
                }
            }
        }
        Ok(dates)
    }
}

/// The unknown members of an object.
fn members<'a>(object: &'a Value, known: &'a [&str]) -> impl Iterator<Item = Text> + 'a {
    let names = object.as_object().into_iter().flat_map(Map::keys);
    names.filter(|name| !known.contains(&name.as_str())).map(|name| Text::of_input(name))
}

fn is_type(name: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(is_plain)
}

fn check_dataset(
    dataset: &Value,
    unknown: &mut Vec<Unknown>,
) -> Result<Option<&'static Dataset>, RequestError> {
    if dataset.is_null() || dataset.as_str().is_some_and(|name| name.trim().is_empty()) {
        return Err(RequestError::NoDataset);
    }
    let name = dataset.as_str().ok_or_else(|| RequestError::Dataset(shown(dataset)))?;
    let known = DATASETS.iter().find(|dataset| dataset.name == name);
    if known.is_none() {
        unknown.push(Unknown::Word("dataset", Text::of_wrong_value(name)));
    }
    Ok(known)
}

fn check_formats(formats: &Value, unknown: &mut Vec<Unknown>) -> Result<(), RequestError> {
    if formats.is_null() || formats.as_array().is_some_and(Vec::is_empty) {
        return Err(RequestError::NoFormats);
    }
    let list = formats.as_array().ok_or_else(|| RequestError::Format(shown(formats)))?;
    for format in list {
        match format.as_str() {
            Some(FORMAT) => {}
            Some(word) if !word.trim().is_empty() => {
                unknown.push(Unknown::Word("formats", Text::of_input(word)));
            }
            _ => return Err(RequestError::Format(shown(format))),
        }
    }
    Ok(())
}

/// Columns differ between datasets, and there is no list of them here. Only a name with unusual characters is unknown.
fn check_columns(columns: &Value, unknown: &mut Vec<Unknown>) {
    let is_usual = |column: &Value| {
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        column.as_str().is_some_and(|name| !name.is_empty() && name.chars().all(is_part))
    };
    if !columns.is_null() && !columns.is_array() {
        unknown.push(Unknown::Word("columns", shown(columns)));
    }
    let odd = columns.as_array().into_iter().flatten().filter(|column| !is_usual(column));
    unknown.extend(odd.map(|column| Unknown::Word("columns", shown(column))));
}

fn check_url_expiration(seconds: &Value) -> Result<(), RequestError> {
    let is_fine = seconds.is_null() || seconds.as_u64().is_some_and(|seconds| seconds <= MAX_URL_EXPIRATION);
    if is_fine { Ok(()) } else { Err(RequestError::UrlExpiration(shown(seconds))) }
}

fn check_ids(key: &'static str, ids: &Value) -> Result<(), RequestError> {
    let list = ids.as_array().ok_or_else(|| RequestError::NotAnId(key, shown(ids)))?;
    let is_id = |id: &&Value| id.as_str().and_then(parse_id).is_some();
    list.iter().find(|id| !is_id(id)).map_or(Ok(()), |id| Err(RequestError::NotAnId(key, shown(id))))
}

/// Whether a range has an end. Its ends must be dates in order.
fn check_range(filter: &'static str, range: &Value) -> Result<bool, RequestError> {
    let end = |name: &str| {
        let value = Some(&range[name]).filter(|value| !value.is_null());
        let wrong = |value: &Value| RequestError::Date(format!("{filter}.{name}"), shown(value));
        let read = |value: &Value| {
            value.as_str().and_then(|text| text.parse::<Timestamp>().ok()).ok_or_else(|| wrong(value))
        };
        value.map(read).transpose()
    };
    if !range.is_object() {
        return Err(RequestError::Range(filter, shown(range)));
    }
    match (end("from")?, end("to")?) {
        (Some(from), Some(to)) if from > to => Err(RequestError::FromAfterTo { filter, from, to }),
        (from, to) => Ok(from.is_some() || to.is_some()),
    }
}

/// A value as messages show it.
pub(super) fn shown(value: &Value) -> Text {
    if value.is_null() {
        return Text::new("nothing");
    }
    value.as_str().map_or_else(|| Text::new(&value.to_string()), Text::of_input)
}
