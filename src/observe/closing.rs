//! The last words on an export, for people: how it ended, why, and what to do now.

use std::fmt;

use super::GoOn;
use crate::duration::rounded;
use crate::event::Ending;
use crate::export::{Phase, ScopeRef};
use crate::text::{Text, gives_orders, is_plain};
use crate::watch::Watch;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;

/// What of the call is worth naming when something went wrong.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The API that was asked.
    pub api: String,
    /// Where the credential came from.
    pub credential: String,
    /// The version of the API that is in general use.
    pub general_version: &'static str,
    /// The command that goes on where this one stops.
    pub go_on: GoOn,
}

const REFUSED: &str = "the credential was refused";
const CONFLICT: &str = "Snyk reports a conflict";
const REJECTED: &str = "Snyk does not accept the request";
const NO_ANSWER: &str = "no usable answer";

/// How the export ended, in one sentence.
#[must_use]
pub fn sentence(ending: &Ending) -> String {
    let export = ending.watch.export;
    let waited = rounded(ending.waited());
    let polls = match ending.watch.progress.polls() {
        1 => "1 poll".to_owned(),
        polls => format!("{polls} polls"),
    };
    let late = ending.late_at_most().map(|late| format!("; its end was seen at most {} late", rounded(late)));
    let late = late.unwrap_or_default();
    let status = status_words(&ending.watch);
    let how = match ending.outcome {
        Outcome::Finished => {
            let seen = if late.is_empty() { "; it had finished before the first" } else { &late };
            return format!("finished: {export} after {waited} and {polls}{seen}");
        }
        Outcome::Failed => format!("Snyk says that the export has failed ({status})"),
        Outcome::Unauthorized => REFUSED.to_owned(),
        Outcome::Forbidden => "the credential may not see this export".to_owned(),
        Outcome::NotFound => "there is no such export for this credential".to_owned(),
        Outcome::Conflict => CONFLICT.to_owned(),
        Outcome::Rejected => REJECTED.to_owned(),
        Outcome::UnknownStatus => {
            format!("the export has left PENDING for a status that is not known here ({status})")
        }
        Outcome::Stalled => format!("the export stays in one status for too long ({status})"),
        Outcome::Unavailable => NO_ANSWER.to_owned(),
        Outcome::TimedOut if ending.watch.progress.overlong().is_some() => {
            format!("the export is not ready ({status}), and there is no time left for another poll")
        }
        Outcome::TimedOut => format!("the time is over and the export is not ready ({status})"),
        Outcome::Interrupted(signal) => {
            format!("{} came before the export was ready ({status})", signal.name())
        }
        Outcome::Abandoned => format!("another export finished first ({status})"),
    };
    let problem = ending.watch.progress.problem().map(|problem| format!(": {problem}")).unwrap_or_default();
    let overlong = ending.watch.progress.overlong().map(|overlong| format!("; Snyk {overlong}"));
    let overlong = overlong.unwrap_or_default();
    format!(
        "{}: polling {export} ended after {waited} and {polls}: {how}{problem}{overlong}{late}",
        ending.outcome
    )
}

fn status_words(watch: &Watch) -> String {
    watch.progress.status().map_or_else(|| "no status seen".to_owned(), |status| format!("status {status}"))
}

/// What to do now, where we know it.
pub(super) fn advice(ending: &Ending, surroundings: &Surroundings) -> Option<String> {
    let export = ending.watch.export;
    let go_on = surroundings.go_on.hint(export, Some(ending.outcome));
    if let Some(overlong) = ending.watch.progress.overlong() {
        return Some(format!("allow more with {}; {go_on}", overlong.option));
    }
    let cure = ending.watch.progress.problem().and_then(cure);
    match ending.outcome {
        Outcome::Finished | Outcome::Abandoned => None,
        Outcome::Conflict | Outcome::Rejected => cure,
        Outcome::Failed => Some("this export will never be ready: start a new one".to_owned()),
        Outcome::Unauthorized | Outcome::Forbidden | Outcome::NotFound => {
            let gone = "an export is gone 3 days after it was made; ";
            cure.or_else(|| advice_on_access(ending.outcome, export.scope_ref(), gone, surroundings))
        }
        Outcome::UnknownStatus => ending.watch.progress.status().map(|status| {
            let [a, b, c] = [Phase::InProgress, Phase::Finished, Phase::Failed].map(Phase::option);
            let word = quoted(status.as_str());
            format!("say what {status} means with {a} {word}, {b} {word} or {c} {word}")
        }),
        Outcome::Stalled => Some(format!("allow more with --max-in-progress; {go_on}")),
        Outcome::Unavailable => {
            Some(advice_on_reach(ending.watch.progress.problem(), &surroundings.api, Some(&go_on)))
        }
        Outcome::TimedOut => {
            let cure = cure.map(|cure| format!("{cure}; ")).unwrap_or_default();
            Some(format!("{cure}allow more with --max-wait; {go_on}"))
        }
        Outcome::Interrupted(_) => Some(go_on),
    }
}

/// A word as a shell takes it, since a hint is there to be copied.
#[must_use]
pub fn quoted(word: impl fmt::Display) -> String {
    let word = word.to_string();
    let plain =
        !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || "_-./:=,".contains(char));
    // A shell undoes these escapes, and a terminal that shows them takes no orders.
    let escaped = |char: char| match char {
        '\\' | '\'' => format!("\\{char}"),
        char if gives_orders(char) => format!("\\U{:08x}", u32::from(char)),
        char => char.to_string(),
    };
    match word {
        word if plain => word,
        word if is_plain(&word) => format!("'{}'", word.replace('\'', r"'\''")),
        word => format!("$'{}'", word.chars().map(escaped).collect::<String>()),
    }
}

/// What may be the matter where a credential does not lead to what it is asked for.
fn advice_on_access(
    outcome: Outcome,
    scope: ScopeRef,
    gone: &str,
    surroundings: &Surroundings,
) -> Option<String> {
    let Surroundings { api, credential, general_version, .. } = surroundings;
    let ScopeRef { scope, id } = scope;
    match outcome {
        Outcome::Unauthorized => Some(format!(
            "the credential from {credential} may have expired, or belong to another region than {api} (--api or \
             SNYK_API names the region)"
        )),
        Outcome::Forbidden => Some(format!(
            "the credential from {credential} needs the permission to view reports of this {scope}, in an Enterprise plan"
        )),
        Outcome::NotFound => Some(format!(
            "the {scope} {id} may be the wrong one, or of another region than {api}; the credential from \
             {credential} may have no access to it; {gone}or the API version \
             is gone (--api-version {general_version} is the one in general use)"
        )),
        Outcome::Finished
        | Outcome::Failed
        | Outcome::Conflict
        | Outcome::Rejected
        | Outcome::UnknownStatus
        | Outcome::Stalled
        | Outcome::Unavailable
        | Outcome::TimedOut
        | Outcome::Interrupted(_)
        | Outcome::Abandoned => None,
    }
}

/// What whoever met a failure knows of its cure.
#[must_use]
pub fn cure(problem: &Problem) -> Option<String> {
    problem.cure.as_ref().map(Text::to_string)
}

fn advice_on_reach(problem: Option<&Problem>, api: &str, go_on: Option<&str>) -> String {
    let go_on = go_on.map(|go_on| format!("; {go_on}")).unwrap_or_default();
    if let Some(cure) = problem.and_then(cure) {
        return format!("{cure}{go_on}");
    }
    match problem.and_then(|problem| problem.http_status) {
        Some(429) => format!("{api} allows no more requests for now{go_on}"),
        Some(_) => format!("{api} did not answer as it should{go_on}"),
        None => format!("{api} could not be reached, or did not answer as it should{go_on}"),
    }
}

/// How it ended that an export was to be started in `scope`, or that its results were to be listed: a few words, and what
/// to do now.
#[must_use]
pub fn words_on_request(
    outcome: Outcome,
    problem: &Problem,
    scope: ScopeRef,
    surroundings: &Surroundings,
) -> (String, Option<String>) {
    let how = match outcome {
        Outcome::Unauthorized => REFUSED.to_owned(),
        Outcome::Forbidden => format!("the credential may not see the reports of this {}", scope.scope),
        Outcome::NotFound => format!("there is no such {} or export for this credential", scope.scope),
        Outcome::Conflict => CONFLICT.to_owned(),
        Outcome::Rejected => REJECTED.to_owned(),
        Outcome::Finished
        | Outcome::Failed
        | Outcome::UnknownStatus
        | Outcome::Stalled
        | Outcome::Unavailable
        | Outcome::TimedOut
        | Outcome::Interrupted(_)
        | Outcome::Abandoned => NO_ANSWER.to_owned(),
    };
    let advice = if outcome == Outcome::Unavailable {
        Some(advice_on_reach(Some(problem), &surroundings.api, None))
    } else {
        cure(problem).or_else(|| advice_on_access(outcome, scope, "", surroundings))
    };
    (format!("{how}: {problem}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("ON_HOLD"), "ON_HOLD");
        assert_eq!(quoted("$(reboot) it's"), r"'$(reboot) it'\''s'");
        assert_eq!(quoted("a\x1b[31m\u{202e}'\\"), r"$'a\U0000001b[31m\U0000202e\'\\'");
    }
}
