//! What `doctor` finds, from what it has seen: rules only.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::CommandError;
use crate::duration::rounded;
use crate::http::Counted;
use crate::moment::Moment;
use crate::settings::SettingsError;
use crate::snyk::{GA_VERSION, Look};
use crate::text::Text;
use crate::watch::Policy;

/// What is looked at, in the order in which it is shown.
pub(super) const TOPICS: [&str; 13] = [
    "settings",
    "credential",
    "region",
    "group or org",
    "export",
    "proxy",
    "certificates",
    "answer",
    "clock",
    "API version",
    "rate limit",
    "state directory",
    "pace",
];

/// How long before its end a credential is reported.
const TWO_WEEKS: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// By how many seconds a clock may be wrong: a CI system's links and tokens live for an hour.
const SKEW: u64 = 60;

/// What a file or a directory of certificates has, or why it cannot be used.
pub(super) type Seen = (&'static str, Text, Result<Counted, String>);

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Grade {
    /// As it should be.
    Good,
    /// It works, but not for ever, or not for everything.
    Warning,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) topic: &'static str,
    pub(super) grade: Grade,
    /// What was found.
    pub(super) found: String,
    /// What to do.
    pub(super) cure: Option<String>,
}

impl Finding {
    pub(super) fn good(topic: &'static str, found: impl Into<String>) -> Self {
        Self { topic, grade: Grade::Good, found: found.into(), cure: None }
    }

    pub(super) fn warning(topic: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { topic, grade: Grade::Warning, found: found.into(), cure: Some(cure.into()) }
    }

    pub(super) fn bad(topic: &'static str, found: impl Into<String>, cure: Option<String>) -> Self {
        Self { topic, grade: Grade::Bad, found: found.into(), cure }
    }
}

/// What to do about a mistake, if its message does not say it.
pub(super) fn cure_of(topic: &str, error: &CommandError) -> Option<String> {
    let CommandError::Settings(mistake) = error else { return usual_cure(topic).map(str::to_owned) };
    Some(match mistake {
        SettingsError::File(_) => "correct this line of the settings file".to_owned(),
        SettingsError::Unreadable(..) => {
            "name a settings file that this user can read with --config or SNYK_EXPORT_CONFIG".to_owned()
        }
        SettingsError::HalfAClient(set, unset) => format!("set {unset} too, or unset {set}"),
        SettingsError::Wrong(..)
        | SettingsError::Contradiction(_)
        | SettingsError::Lost(_)
        | SettingsError::NoCredential
        | SettingsError::Placeholder(..)
        | SettingsError::Credential(_)
        | SettingsError::Trust(_) => return usual_cure(topic).map(str::to_owned),
    })
}

fn usual_cure(topic: &str) -> Option<&'static str> {
    Some(match topic {
        "settings" => "correct it, or leave it out",
        "export" => "give its id with --group-id or --org-id, or its URL",
        "group or org" => {
            "take the id from the settings of the group or organization in Snyk, and give it with --group-id or --org-id"
        }
        "credential" => "put a token into SNYK_TOKEN, or into the file that --token-file names",
        "region" => "use us, us2, eu, au, gov or a URL such as https://api.eu.snyk.io",
        "proxy" => "correct it, or unset it if this network needs no proxy",
        "certificates" => "name a PEM file with certificates that this user can read, or leave it out",
        "pace" => "correct it, or leave it out: the defaults suit most exports",
        _ => return None,
    })
}

/// Nothing was sent, because something that a request needs is wrong.
pub(super) fn of_nobody_asked() -> Finding {
    Finding::warning("answer", "Snyk was not asked", "correct what is wrong here, and run doctor again")
}

/// Whether a mistake leaves open which API is meant.
pub(super) fn is_about_region(mistake: &SettingsError) -> bool {
    matches!(mistake, SettingsError::Wrong(place, _) if ["SNYK_API", "SNYK_CFG_ENDPOINT"].contains(&place.as_str()))
}

/// A variable that looks like one of ours and is not.
pub(super) fn of_unknown_variable(name: &str, near: Option<&str>) -> Finding {
    let cure = near
        .map_or_else(|| "unset it, or correct its name".to_owned(), |near| format!("did you mean {near}?"));
    Finding::warning("settings", format!("there is no variable {name}: it is ignored"), cure)
}

/// The credential: from where, of what kind, and until when.
pub(super) fn of_credential(origin: &str, kind: &str, ends: Option<Moment>, now: Moment) -> Finding {
    const CURE: &str = "make a new one and replace it";
    let found = format!("{origin}: {kind}");
    let Some(ends) = ends else { return Finding::good("credential", found) };
    match ends.since(now) {
        left if left.is_zero() => {
            // What a server says about it decides, not our clock.
            Finding::warning("credential", format!("{found}, which ended at {ends}"), CURE)
        }
        left if left < TWO_WEEKS => {
            Finding::warning("credential", format!("{found}, until {ends} ({} left)", rough(left)), CURE)
        }
        left => Finding::good("credential", format!("{found}, until {ends} ({} left)", rough(left))),
    }
}

/// A long time in days, or a short one.
fn rough(left: Duration) -> String {
    match left.as_secs() / (24 * 60 * 60) {
        0 => rounded(left),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The API, and whether the credential names another.
pub(super) fn of_region(api: &str, source: &str, contradicted_by: Option<&str>) -> Finding {
    let found = format!("{api}, from {source}");
    match contradicted_by {
        None => Finding::good("region", found),
        Some(other) => Finding::warning(
            "region",
            format!("{found}, but the credential belongs to {other}"),
            format!("use --api {other}, or a credential of {api}"),
        ),
    }
}

pub(super) fn number_of(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".to_owned(),
        more => format!("{more} certificates"),
    }
}

/// The stores of certificates that variables name, and whether anything is trusted at all. `has_others` if `--ca-cert` names
/// some.
pub(super) fn of_certificates(stores: &[Seen], is_https: bool, has_others: bool) -> (Vec<Finding>, bool) {
    const TOPIC: &str = "certificates";
    const EXTRA: &str = "NODE_EXTRA_CA_CERTS";
    let replaces = |seen: &&Seen| seen.0 != EXTRA;
    let is_any_usable = has_others || stores.iter().any(|(_, _, seen)| seen.is_ok());
    let is_usable = !is_https || is_any_usable || !stores.iter().any(|seen| replaces(&seen));
    let mut findings = Vec::new();
    if !is_https {
        findings.push(Finding::good(TOPIC, "not needed: the API speaks plain http"));
    } else if !stores.iter().any(|seen| replaces(&seen)) {
        findings.push(Finding::good(TOPIC, "the system's"));
    }
    // Plain http needs none of them.
    let shown = stores.iter().filter(|(_, _, seen)| is_https || seen.is_err());
    for store in shown {
        let (variable, path, seen) = store;
        let cure = format!("correct {variable}, or unset it");
        let of = format!("{variable} {path}");
        findings.push(match seen {
            Ok(Counted { usable, damaged: 0 }) => {
                Finding::good(TOPIC, format!("{of}: {}", number_of(*usable)))
            }
            Ok(Counted { usable, damaged }) => {
                let found = format!("{of}: {}, and {damaged} that cannot be used", number_of(*usable));
                Finding::warning(TOPIC, found, "replace the damaged ones in it")
            }
            Err(why) if !is_usable && replaces(&store) => {
                Finding::bad(TOPIC, format!("{of}: {why}"), Some(cure))
            }
            Err(why) => Finding::warning(TOPIC, format!("{of} is ignored: {why}"), cure),
        });
    }
    (findings, is_usable)
}

/// The directory for state.
pub(super) fn of_state(path: &Text, is_there: bool, may_write: &io::Result<()>) -> Finding {
    const TOPIC: &str = "state directory";
    match may_write {
        Ok(()) if is_there => Finding::good(TOPIC, format!("{path} can be written")),
        Ok(()) => Finding::good(TOPIC, format!("{path} is not there yet, and can be made")),
        Err(error) => Finding::warning(
            TOPIC,
            format!("{path} cannot be written: {error}"),
            "run and watch need one: set XDG_STATE_HOME, or name --state and [store] url",
        ),
    }
}

/// Whether an answer shows that the credential is accepted.
pub(super) fn of_answer(host: &str, http_status: u16, is_accepted: bool) -> Finding {
    let unclear = || {
        format!(
            "{host} answers with HTTP {http_status}, which does not show whether it accepts the credential"
        )
    };
    match http_status {
        _ if is_accepted => Finding::good("answer", format!("{host} accepts the credential")),
        // Not every credential has a list of tokens.
        400 | 403..=405 | 410 => Finding::good("answer", unclear()),
        _ => Finding::warning(
            "answer",
            unclear(),
            "name an export that can be seen, or check --api and the proxy",
        ),
    }
}

/// What the head of an answer shows.
pub(super) fn of_look(look: &Look, host: &str) -> Vec<Finding> {
    const NEXT: &str = "use --api-version YYYY-MM-DD with the next one, which Snyk's API changelog names";
    let mut findings = vec![of_clock(look.ahead_s, host)];
    let version = look.version.as_ref().map_or("not said by the answer", |version| version.as_str());
    findings.push(match &look.deprecated {
        None => Finding::good("API version", version),
        Some(when) => Finding::warning(
            "API version",
            format!("{version}, which is deprecated ({when})"),
            match version.starts_with(GA_VERSION) {
                true => NEXT.to_owned(),
                false => format!("use --api-version {GA_VERSION} before it is removed"),
            },
        ),
    });
    findings.push(match &look.remaining {
        Some(left) if left.as_str() == "0" => Finding::warning(
            "rate limit",
            "no request is left for now",
            "wait a minute, or send fewer requests with this credential",
        ),
        Some(left) => Finding::good("rate limit", format!("{left} requests left for now")),
        None => Finding::good("rate limit", "not said by the answer"),
    });
    findings
}

fn of_clock(ahead_s: Option<i64>, host: &str) -> Finding {
    let Some(ahead) = ahead_s else {
        return Finding::good("clock", "not known: the answer has no Date to compare it with");
    };
    let by = rounded(Duration::from_secs(ahead.unsigned_abs()));
    match ahead {
        _ if ahead.unsigned_abs() <= SKEW => Finding::good("clock", format!("as that of {host}")),
        1.. => Finding::warning("clock", format!("{by} ahead of {host}"), "set this machine's clock"),
        _ => Finding::warning("clock", format!("{by} behind {host}"), "set this machine's clock"),
    }
}

/// The pace and the limits of a wait.
pub(super) fn of_policy(policy: &Policy) -> Finding {
    let limit = |limit: Option<Duration>| limit.map_or_else(|| "no limit".to_owned(), rounded);
    let (wait, outage) = (limit(policy.max_wait), limit(policy.max_outage));
    let [first, longest] = [policy.pace.first(), policy.pace.longest()].map(rounded);
    let found = format!(
        "pauses from {first} to {longest} between polls; a wait takes {wait} at most, and {outage} without an answer"
    );
    match (policy.max_wait, policy.max_outage) {
        (None, None) => Finding::warning(
            "pace",
            "a wait never gives up: --max-wait and --max-outage are 0",
            "set one of them, or a CI job may hang",
        ),
        _ => Finding::good("pace", found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix_ms(1_764_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_credential_is_reported_two_weeks_before_its_end() {
        let rows = [
            (None, Grade::Good, "SNYK_TOKEN: an API key"),
            (Some(NOW.plus(DAY * 15)), Grade::Good, "(15 days left)"),
            (Some(NOW.plus(DAY * 13)), Grade::Warning, "(13 days left)"),
            (Some(NOW.plus(DAY + DAY / 2)), Grade::Warning, "(1 day left)"),
            (Some(NOW.plus(Duration::from_secs(3600))), Grade::Warning, "left)"),
            (Some(NOW), Grade::Warning, "which ended at"),
            (Some(Moment::from_unix_ms(0)), Grade::Warning, "which ended at"),
        ];
        for (ends, grade, part) in rows {
            let finding = of_credential("SNYK_TOKEN", "an API key", ends, NOW);
            assert_eq!(finding.grade, grade, "{finding:?}");
            assert!(finding.found.contains(part), "{finding:?}");
            assert_eq!(finding.cure.is_some(), grade != Grade::Good, "{finding:?}");
        }
    }

    #[test]
    fn a_look_has_a_grade_for_each_thing() {
        let text = |text: &str| Some(Text::new(text));
        let grades =
            |look: &Look| of_look(look, "host").iter().map(|finding| finding.grade).collect::<Vec<_>>();
        use Grade::{Good, Warning};
        assert_eq!(grades(&Look::default()), [Good, Good, Good]);
        let well =
            Look { ahead_s: Some(-60), version: text("2024-10-15"), remaining: text("5"), ..Look::default() };
        assert_eq!(grades(&well), [Good, Good, Good]);
        let ill = Look { ahead_s: Some(-61), deprecated: text("2026-07-01"), remaining: text("0"), ..well };
        assert_eq!(grades(&ill), [Warning, Warning, Warning]);
        let said: String = of_look(&Look { ahead_s: Some(7200), ..ill.clone() }, "host")
            .iter()
            .map(|it| it.found.clone())
            .collect();
        assert!(said.contains("ahead of host") && said.contains("2026-07-01"), "{said}");
        for (version, names_it) in [("2024-10-15", false), ("2024-05-10~experimental", true)] {
            let cure =
                of_look(&Look { version: text(version), ..ill.clone() }, "host")[1].cure.clone().unwrap();
            assert_eq!(cure.contains(GA_VERSION), names_it, "{version}: {cure}");
        }
    }

    #[test]
    fn an_answer_is_only_said_to_accept_the_credential_if_it_shows_that() {
        let rows = [(200, true, Grade::Good), (404, true, Grade::Good), (404, false, Grade::Good)];
        for (http_status, is_accepted, grade) in
            rows.into_iter().chain([200, 204, 429].map(|status| (status, false, Grade::Warning)))
        {
            let finding = of_answer("host", http_status, is_accepted);
            assert_eq!(finding.grade, grade, "{finding:?}");
            assert_eq!(finding.found == "host accepts the credential", is_accepted, "{finding:?}");
        }
    }

    #[test]
    fn a_credential_of_another_region_is_reported() {
        assert_eq!(of_region("https://api.snyk.io", "the default", None).grade, Grade::Good);
        let other = of_region("https://api.snyk.io", "--api", Some("https://api.eu.snyk.io"));
        assert_eq!(other.grade, Grade::Warning);
        assert!(other.cure.unwrap().contains("--api https://api.eu.snyk.io"));
    }
}
