//! Snyk's words as this version knows them: datasets, formats, filters.
//!
//! Snyk adds words without a new API version, so these lists become outdated. A value that contradicts them is
//! rejected; an unknown word is sent.

use crate::export::Scope;
use crate::text::nearest;

/// A dataset that Snyk exports.
#[derive(Debug)]
pub(super) struct Dataset {
    pub(super) name: &'static str,
    /// The filters by date; an export needs one of them.
    pub(super) dates: &'static [&'static str],
}

const ISSUE_DATES: &[&str] = &["introduced", "updated"];

/// The datasets that Snyk exports.
pub(super) const DATASETS: [Dataset; 6] = [
    Dataset { name: "issues", dates: ISSUE_DATES },
    Dataset { name: "usage", dates: ISSUE_DATES },
    Dataset { name: "pr_checks", dates: ISSUE_DATES },
    Dataset { name: "pr_checks_project_adoption", dates: ISSUE_DATES },
    Dataset { name: "pr_checks_integration_adoption", dates: ISSUE_DATES },
    Dataset { name: "prevention_events", dates: &["event", "updated"] },
];

/// The names of the datasets, for messages and help.
#[must_use]
pub fn datasets() -> String {
    dataset_names().join(", ")
}

/// The datasets that are known.
pub(crate) fn dataset_names() -> [&'static str; 6] {
    DATASETS.map(|dataset| dataset.name)
}

/// The members of a start's attributes.
pub(super) const ATTRIBUTES: [&str; 5] =
    ["formats", "dataset", "columns", "filters", "url_expiration_seconds"];

/// A member that Snyk removed from the attributes on 2025-08-06. Old scripts still send it.
pub(super) const REMOVED: &str = "destination";

/// What a filter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// A list of words.
    Words,
    /// A list of organizations' ids.
    Ids,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A range of dates.
    Dates,
}

/// A filter that Snyk documents.
#[derive(Debug)]
pub(super) struct KnownFilter {
    pub(super) key: &'static str,
    pub(super) takes: Takes,
    /// The only scope that has it; `None` if both do.
    pub(super) only_of: Option<Scope>,
}

impl KnownFilter {
    const fn of_both(key: &'static str, takes: Takes) -> Self {
        Self { key, takes, only_of: None }
    }

    const fn of_group(key: &'static str, takes: Takes) -> Self {
        Self { key, takes, only_of: Some(Scope::Group) }
    }
}

/// The filters that Snyk documents.
pub(super) const FILTERS: [KnownFilter; 25] = [
    KnownFilter::of_both("introduced", Takes::Dates),
    KnownFilter::of_both("updated", Takes::Dates),
    KnownFilter::of_group("event", Takes::Dates),
    KnownFilter::of_group("orgs", Takes::Ids),
    KnownFilter::of_both("cve", Takes::Words),
    KnownFilter::of_both("empty_project_tags", Takes::OneOf(&["include", "exclude", "only"])),
    KnownFilter::of_both("environment", Takes::Words),
    KnownFilter::of_both("issue_status", Takes::Words),
    KnownFilter::of_both("issue_type", Takes::Words),
    KnownFilter::of_both("lifecycle", Takes::Words),
    KnownFilter::of_both("nvd_severity", Takes::Words),
    KnownFilter::of_both("product_name", Takes::Words),
    KnownFilter::of_both("project_origin", Takes::Words),
    KnownFilter::of_both("project_tags", Takes::Words),
    KnownFilter::of_both("project_target_display_name", Takes::Words),
    KnownFilter::of_both("project_target_ref", Takes::Words),
    KnownFilter::of_both("project_type", Takes::Words),
    KnownFilter::of_both("reachability", Takes::Words),
    KnownFilter::of_group("effective_severity", Takes::Words),
    KnownFilter::of_group("event_type", Takes::Words),
    KnownFilter::of_group("git_branch", Takes::Words),
    KnownFilter::of_group("git_repo", Takes::Words),
    KnownFilter::of_group("is_suppressed", Takes::Boolean),
    KnownFilter::of_group("sdlc_stage", Takes::Words),
    KnownFilter::of_group("test_user_email", Takes::Words),
];

/// The word of this member that another one is nearest to.
pub(super) fn near(member: &str, word: &str) -> Option<&'static str> {
    match member {
        "dataset" => nearest(word, dataset_names(), 2),
        "formats" => nearest(word, ["csv"], 1),
        "filters" => nearest(word, FILTERS.iter().map(|filter| filter.key), 2),
        "data.attributes" => nearest(word, ATTRIBUTES, 2),
        _ => None,
    }
}

/// The filter of this key.
pub(super) fn filter(key: &str) -> Option<&'static KnownFilter> {
    FILTERS.iter().find(|filter| filter.key == key)
}
