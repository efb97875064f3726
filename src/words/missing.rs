//! What to do if there is no such export, which Snyk answers for many reasons: the likeliest first, and the others in short.

use std::time::Duration;

use super::{Case, Surroundings};
use crate::event::Ending;

/// How many days Snyk keeps an export.
const KEPT: u64 = 3;

/// What to do.
pub(super) fn cure(case: &Case<'_>, surroundings: &Surroundings) -> String {
    let Surroundings { api, credential, general_version, .. } = surroundings;
    let scope = format!("{} {}", case.scope.scope, case.scope.id);
    if let Some(likely) = of_other_api(surroundings) {
        return format!("{likely}; else check the {scope}");
    }
    let days = case.age.map(|age| age.as_secs() / (24 * 60 * 60));
    if let Some(days) = days.filter(|days| *days >= KEPT) {
        return format!("it was made {days} days ago, and Snyk keeps an export for {KEPT}: start a new one");
    }
    if case.status.is_some() {
        return format!(
            "it was there before: the credential from {credential} may have lost its access to the {scope}; else the \
             export is gone, as Snyk keeps one for {KEPT} days"
        );
    }
    let old =
        if case.is_of_export { format!("the export is older than {KEPT} days, ") } else { String::new() };
    format!(
        "check the {scope} and the region {api} (--api); else the credential from {credential} has no access to it, \
         {old}or the API version is gone (--api-version {general_version})"
    )
}

/// The likeliest cause of a refusal if the credential says to which API it belongs, and another one is asked.
pub(super) fn of_other_api(Surroundings { api, other_api, .. }: &Surroundings) -> Option<String> {
    let other = other_api.as_ref()?;
    Some(format!("the credential belongs to {other}, not to {api}: use --api {other}"))
}

/// How old the export of a watch was when the watch ended, if Snyk has said when it was made.
pub(super) fn age(ending: &Ending) -> Option<Duration> {
    let created: jiff::Timestamp = ending.watch.progress.created()?.parse().ok()?;
    let created = u64::try_from(created.as_millisecond()).ok()?;
    Some(Duration::from_millis(ending.at.wall_ms().saturating_sub(created)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::GoOn;
    use super::*;
    use crate::export::{Scope, ScopeRef, Status};
    use crate::watch::outcome::Outcome;

    fn said(
        other: Option<&str>,
        status: Option<&Status>,
        age: Option<Duration>,
        is_of_export: bool,
    ) -> String {
        let surroundings = Surroundings {
            api: "the-api".to_owned(),
            credential: "SNYK_TOKEN".to_owned(),
            other_api: other.map(str::to_owned),
            general_version: "x",
            go_on: GoOn::new("wait"),
        };
        let scope = ScopeRef { scope: Scope::Group, id: Uuid::nil() };
        let (outcome, problem, go_on) = (Outcome::NotFound, None, None);
        cure(&Case { outcome, scope, is_of_export, status, problem, age, go_on }, &surroundings)
    }

    #[test]
    fn the_likeliest_cause_comes_first_by_what_is_known() {
        let status: Status = "PENDING".parse().unwrap();
        let (seen, hour, days) =
            (Some(&status), Duration::from_secs(3600), Duration::from_secs(4 * 24 * 3600));
        let scope = "check the group 00000000-0000-0000-0000-000000000000";
        // What is said, how it begins, what else is in it, and what is not.
        let rows = [
            (
                said(None, None, None, true),
                scope,
                "the export is older than 3 days, or the API version",
                "before",
            ),
            (said(None, None, None, false), scope, "has no access to it, or the API version", "3 days"),
            (
                said(Some("eu"), None, None, true),
                "the credential belongs to eu, not to the-api",
                "--api eu",
                "3 days",
            ),
            (said(Some("eu"), seen, Some(hour), true), "the credential belongs to eu", scope, "before"),
            (said(None, seen, Some(hour), true), "it was there before", "SNYK_TOKEN may have lost", "--api"),
            (said(None, seen, Some(days), true), "it was made 4 days ago", "start a new one", "--api"),
        ];
        for (cure, begin, part, other) in rows {
            assert!(cure.starts_with(begin) && cure.contains(part) && !cure.contains(other), "{cure}");
        }
    }
}
