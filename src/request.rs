//! What is asked of Snyk when an export is started: the document that is posted, made of options or taken as it is.
//!
//! What is known to be wrong is refused here, before anything is sent: a start counts against the 20 of an hour.

mod dates;
mod filter;

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use self::dates::{Date, DateError, Zone};
pub use self::filter::{Filter, FilterError};

use crate::export::{Scope, ScopeRef, parse_id};
use crate::text::Text;

/// The datasets that Snyk exports.
pub const DATASETS: [&str; 5] =
    ["issues", "usage", "pr_checks", "pr_checks_project_adoption", "pr_checks_integration_adoption"];

/// The one format that Snyk exports.
pub const FORMAT: &str = "csv";

/// How long signed links work at most, in seconds, as Snyk allows it.
pub const MAX_URL_EXPIRATION: u64 = 3600;

/// The filters by date, one of which every export needs.
const DATE_FILTERS: [&str; 2] = ["introduced", "updated"];

/// A start that Snyk would refuse. Each message names what is wrong and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no document.
    #[error("{0} is not JSON: {1}")]
    NoJson(String, Text),
    /// The document has another form than Snyk's.
    #[error(
        "`data.attributes` is missing: the body of a start looks like {{\"data\": {{\"type\": \"resource\", \"attributes\": \
         {{\"formats\": [\"csv\"], \"dataset\": \"issues\", \"filters\": {{…}}}}}}}}"
    )]
    NoAttributes,
    /// The type is missing or malformed.
    #[error("`data.type` is missing or malformed: it is \"resource\"")]
    Type,
    /// No dataset is named.
    #[error("no dataset: give --dataset, one of {}", DATASETS.join(", "))]
    NoDataset,
    /// Snyk has no such dataset.
    #[error("`{0}` is no dataset: it is one of {known}", known = DATASETS.join(", "))]
    Dataset(Text),
    /// The format is missing, or one that Snyk does not export.
    #[error("`{0}` is no format: Snyk exports csv only (--format csv, or \"formats\": [\"csv\"] in a body)")]
    Format(Text),
    /// No format is named.
    #[error("no formats: the body of a start has \"formats\": [\"csv\"]")]
    NoFormats,
    /// No filter by date.
    #[error(
        "no date filter, without which Snyk exports nothing: give --introduced-from, --introduced-to, --updated-from or \
         --updated-to (`filters.introduced` or `filters.updated` in a body)"
    )]
    NoDates,
    /// A date that is none.
    #[error("`filters.{0}`: `{1}` is not a date such as 2025-01-31T00:00:00Z")]
    Date(String, Text),
    /// A range that is none.
    #[error("`filters.{0}`: `{1}` is not a range such as {{\"from\": \"2025-01-31T00:00:00Z\"}}")]
    Range(&'static str, Text),
    /// A range that ends before it begins.
    #[error("the `{filter}` dates end before they begin: from {from} is after to {to}")]
    FromAfterTo {
        /// The filter.
        filter: &'static str,
        /// Where it begins.
        from: Timestamp,
        /// Where it ends.
        to: Timestamp,
    },
    /// A filter by organizations in an organization.
    #[error("the filter `orgs` is for the export of a group: leave it out with --org-id")]
    OrgsOfOrg,
    /// An organization that is no id.
    #[error("the filter `orgs`: `{0}` is not a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b")]
    OrgId(Text),
    /// A lifetime that Snyk does not give to links.
    #[error("`url_expiration_seconds`: `{0}` is not a number of seconds from 0 to {MAX_URL_EXPIRATION}")]
    UrlExpiration(Text),
}

/// What a start asks for: whose export, the document, and what the query adds to it.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// Whose export it will be.
    pub scope: ScopeRef,
    /// The JSON:API document that is posted.
    pub body: Value,
    /// Whether deleted issues are exported too.
    pub include_deleted: bool,
    /// Whether projects that are deactivated are exported too.
    pub include_deactivated: bool,
}

/// The options that make up a document.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The dataset.
    pub dataset: String,
    /// The formats; csv where there is none.
    pub formats: Vec<String>,
    /// The columns; all of them where there is none.
    pub columns: Vec<String>,
    /// When issues were introduced: from, to.
    pub introduced: [Option<Timestamp>; 2],
    /// When anything last changed: from, to.
    pub updated: [Option<Timestamp>; 2],
    /// The other filters.
    pub filters: Vec<Filter>,
    /// How long signed links shall work.
    pub url_expiration_seconds: Option<u64>,
}

impl Options {
    /// The document of these options.
    ///
    /// # Errors
    ///
    /// When filters contradict each other.
    pub fn to_body(&self) -> Result<Value, FilterError> {
        let mut filters = filter::all(&self.filters)?;
        for (name, [from, to]) in DATE_FILTERS.into_iter().zip([self.introduced, self.updated]) {
            let ends = [("from", from), ("to", to)];
            let range: Map<String, Value> = ends
                .into_iter()
                .filter_map(|(end, at)| Some((end.to_owned(), at?.to_string().into())))
                .collect();
            if !range.is_empty() {
                filters.insert(name.to_owned(), range.into());
            }
        }
        let formats = if self.formats.is_empty() { vec![FORMAT.to_owned()] } else { self.formats.clone() };
        let mut attributes = json!({ "formats": formats, "dataset": self.dataset, "filters": filters });
        if !self.columns.is_empty() {
            attributes["columns"] = self.columns.clone().into();
        }
        if let Some(seconds) = self.url_expiration_seconds {
            attributes["url_expiration_seconds"] = seconds.into();
        }
        Ok(json!({ "data": { "type": "resource", "attributes": attributes } }))
    }
}

impl StartRequest {
    /// Looks at everything in the document that is known to be wrong. What is not known is Snyk's to judge.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), RequestError> {
        let data = &self.body["data"];
        let attributes = data["attributes"].as_object().ok_or(RequestError::NoAttributes)?;
        let is_type = |name: &str| {
            let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
            name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(plain)
        };
        if !data["type"].as_str().is_some_and(is_type) {
            return Err(RequestError::Type);
        }
        let member = |name: &str| attributes.get(name).unwrap_or(&Value::Null);
        let dataset = member("dataset");
        if dataset.is_null() || dataset.as_str().is_some_and(str::is_empty) {
            return Err(RequestError::NoDataset);
        }
        if !dataset.as_str().is_some_and(|name| DATASETS.contains(&name)) {
            return Err(RequestError::Dataset(shown(dataset)));
        }
        check_formats(member("formats"))?;
        check_url_expiration(member("url_expiration_seconds"))?;
        self.check_orgs(&member("filters")["orgs"])?;
        let mut has_dates = false;
        for filter in DATE_FILTERS {
            has_dates |= check_range(filter, &member("filters")[filter])?;
        }
        if has_dates { Ok(()) } else { Err(RequestError::NoDates) }
    }

    fn check_orgs(&self, orgs: &Value) -> Result<(), RequestError> {
        if orgs.is_null() {
            return Ok(());
        }
        if self.scope.scope == Scope::Org {
            return Err(RequestError::OrgsOfOrg);
        }
        let list = orgs.as_array().ok_or_else(|| RequestError::OrgId(shown(orgs)))?;
        let is_id = |org: &&Value| org.as_str().and_then(parse_id).is_some();
        list.iter().find(|org| !is_id(org)).map_or(Ok(()), |org| Err(RequestError::OrgId(shown(org))))
    }
}

/// Written as its path, with what it asks for.
impl fmt::Display for StartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dataset = shown(&self.body["data"]["attributes"]["dataset"]);
        write!(f, "{dataset} of /{}/{}", self.scope.scope.path_segment(), self.scope.id)
    }
}

fn check_formats(formats: &Value) -> Result<(), RequestError> {
    let wrong = |value: &Value| Err(RequestError::Format(shown(value)));
    match formats.as_array() {
        None if formats.is_null() => Err(RequestError::NoFormats),
        None => wrong(formats),
        Some(list) if list.is_empty() => Err(RequestError::NoFormats),
        Some(list) => list.iter().find(|format| *format != FORMAT).map_or(Ok(()), wrong),
    }
}

fn check_url_expiration(seconds: &Value) -> Result<(), RequestError> {
    let is_fine = seconds.is_null() || seconds.as_u64().is_some_and(|seconds| seconds <= MAX_URL_EXPIRATION);
    if is_fine { Ok(()) } else { Err(RequestError::UrlExpiration(shown(seconds))) }
}

/// Whether there is a range, whose ends are dates in their order.
fn check_range(filter: &'static str, range: &Value) -> Result<bool, RequestError> {
    let end = |name: &str| {
        let value = Some(&range[name]).filter(|value| !value.is_null());
        let wrong = |value: &Value| RequestError::Date(format!("{filter}.{name}"), shown(value));
        let read = |value: &Value| {
            value.as_str().and_then(|text| text.parse::<Timestamp>().ok()).ok_or_else(|| wrong(value))
        };
        value.map(read).transpose()
    };
    if !range.is_null() && !range.is_object() {
        return Err(RequestError::Range(filter, shown(range)));
    }
    match (end("from")?, end("to")?) {
        (Some(from), Some(to)) if from > to => Err(RequestError::FromAfterTo { filter, from, to }),
        (from, to) => Ok(from.is_some() || to.is_some()),
    }
}

/// A value as it is shown in a message.
fn shown(value: &Value) -> Text {
    if value.is_null() {
        return Text::new("nothing");
    }
    value.as_str().map_or_else(|| Text::new(&value.to_string()), Text::of_input)
}

#[cfg(test)]
mod tests;
