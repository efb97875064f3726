//! The request that starts an export: a document that is made from options or given as a whole.
//!
//! A request that contradicts itself, or Snyk's documentation, is rejected before anything is sent, since Snyk allows
//! 20 starts per hour. An unknown word is sent.

mod check;
mod dates;
mod filter;
mod known;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use self::check::shown;
pub use self::dates::{Date, DateError, Zone};
pub use self::filter::{Filter, FilterError};
pub(crate) use self::known::dataset_names;
pub use self::known::datasets;

use crate::export::ScopeRef;
use crate::text::Text;

/// The default format.
pub const FORMAT: &str = "csv";

/// The longest lifetime of signed links, in seconds.
pub const MAX_URL_EXPIRATION: u64 = 3600;

/// A start that Snyk would reject. Each message names what is wrong and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The document is not JSON.
    #[error("{0} is not JSON: {1}")]
    NoJson(String, Text),
    /// The document does not have the form that Snyk documents.
    #[error(
        "`data.attributes` is missing: the body of a start looks like {{\"data\": {{\"type\": \"resource\", \"attributes\": \
         {{\"formats\": [\"csv\"], \"dataset\": \"issues\", \"filters\": {{…}}}}}}}}"
    )]
    NoAttributes,
    /// The type is missing or malformed.
    #[error("`data.type` is missing or malformed: it is \"resource\"")]
    Type,
    /// No dataset is named.
    #[error("no dataset: give --dataset, such as one of {}", datasets())]
    NoDataset,
    /// The dataset is not a word.
    #[error("`dataset`: `{0}` is not the name of a dataset, such as one of {known}", known = datasets())]
    Dataset(Text),
    /// A format is not a word.
    #[error("`formats`: `{0}` is not a list of formats such as [\"csv\"]")]
    Format(Text),
    /// No format is named.
    #[error("no formats: the body of a start has \"formats\": [\"csv\"]")]
    NoFormats,
    /// The filters have no keys.
    #[error("`filters`: `{0}` is not an object such as {{\"environment\": [\"production\"]}}")]
    Filters(Text),
    /// The filter by date is missing.
    #[error("no date filter, without which Snyk exports nothing of `{dataset}`: give {}", ways(needed))]
    NoDates {
        /// The dataset.
        dataset: &'static str,
        /// The filters; the dataset needs one of them.
        needed: &'static [&'static str],
    },
    /// An end of a range that is not a date.
    #[error("`filters.{0}`: `{1}` is not a date such as 2025-01-31T00:00:00Z")]
    Date(String, Text),
    /// A filter by date that is not a range.
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
    /// A filter for groups only, in an organization's export.
    #[error("the filter `{0}` is for the export of a group: leave it out with --org-id")]
    FilterOfGroup(&'static str),
    /// A filter that takes ids has another value.
    #[error("the filter `{0}`: `{1}` is not a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b")]
    NotAnId(&'static str, Text),
    /// A filter that takes `true` or `false` has another value.
    #[error("the filter `{0}`: `{1}` is neither true nor false")]
    NotBoolean(&'static str, Text),
    /// A lifetime of links that Snyk does not allow.
    #[error("`url_expiration_seconds`: `{0}` is not a number of seconds from 0 to {MAX_URL_EXPIRATION}")]
    UrlExpiration(Text),
}

impl RequestError {
    /// The error of a start of this dataset without dates, if it needs some.
    #[must_use]
    pub(crate) fn no_dates(dataset: &str) -> Option<Self> {
        let dataset = known::DATASETS.into_iter().find(|known| known.name == dataset)?;
        Some(Self::NoDates { dataset: dataset.name, needed: dataset.dates })
    }
}

/// The options and the members of a body for these date filters.
fn ways(dates: &[&str]) -> String {
    let list = |each: fn(&&str) -> String| dates.iter().map(each).collect::<Vec<_>>().join(" or ");
    let options = list(|date| format!("--{date}-from, --{date}-to"));
    format!("{options} ({} in a body)", list(|date| format!("`filters.{date}`")))
}

/// A part of a start that this version does not know. It is sent anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// A word in a member of the document.
    Word(&'static str, Text),
    /// A member that Snyk removed.
    Removed(&'static str),
}

impl Unknown {
    /// The known word that may be meant.
    pub(crate) fn near(&self) -> Option<&'static str> {
        match self {
            Self::Word(member, word) => known::near(member, word.as_str()),
            Self::Removed(_) => None,
        }
    }
}

/// A start request: the scope, the document, and the query.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// The group or organization.
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
    /// The formats. If empty, csv.
    pub formats: Vec<String>,
    /// The columns. If empty, all.
    pub columns: Vec<String>,
    /// When issues were introduced: from, to.
    pub introduced: [Option<Timestamp>; 2],
    /// When anything last changed: from, to.
    pub updated: [Option<Timestamp>; 2],
    /// When an event happened: from, to.
    pub event: [Option<Timestamp>; 2],
    /// The other filters.
    pub filters: Vec<Filter>,
    /// The lifetime of signed links.
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
        let dates = [("introduced", self.introduced), ("updated", self.updated), ("event", self.event)];
        for (name, [from, to]) in dates {
            let ends = [("from", from), ("to", to)];
            let range: Map<String, Value> = ends
                .into_iter()
                .filter_map(|(end, at)| Some((end.to_owned(), at?.to_string().into())))
                .collect();
            if !range.is_empty() && filters.insert(name.to_owned(), range.into()).is_some() {
                return Err(FilterError::Twice(name.to_owned()));
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

/// Written as its dataset and its path.
impl StartRequest {
    /// What is exported, for people: `issues, 27 Nov 00:00 → 28 Nov 00:00 UTC`.
    #[must_use]
    pub fn summary(&self) -> String {
        let attributes = &self.body["data"]["attributes"];
        let range = |name: &str| {
            let [from, to] = ["from", "to"].map(|end| {
                let text = attributes["filters"][name][end].as_str()?;
                text.parse::<Timestamp>().ok().map(|moment| TimeZone::UTC.to_datetime(moment))
            });
            let with_year =
                from.is_none() || to.is_none() || from.map(DateTime::year) != to.map(DateTime::year);
            let day = |moment: DateTime| {
                const MONTHS: [&str; 12] =
                    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
                let month = MONTHS[usize::try_from(moment.month() - 1).unwrap_or_default() % 12];
                let year = if with_year { format!(" {}", moment.year()) } else { String::new() };
                format!("{} {month}{year} {:02}:{:02}", moment.day(), moment.hour(), moment.minute())
            };
            match (from.map(day), to.map(day)) {
                (Some(from), Some(to)) => Some(format!("{from} → {to} UTC")),
                (Some(from), None) => Some(format!("since {from} UTC")),
                (None, Some(to)) => Some(format!("until {to} UTC")),
                (None, None) => None,
            }
        };
        let ranges = ["introduced", "updated", "event"].into_iter().filter_map(range);
        std::iter::once(shown(&attributes["dataset"]).to_string())
            .chain(ranges)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for StartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dataset = shown(&self.body["data"]["attributes"]["dataset"]);
        write!(f, "{dataset} of /{}/{}", self.scope.scope.path_segment(), self.scope.id)
    }
}

#[cfg(test)]
mod tests;
