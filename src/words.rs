//! What an outcome means for people: what happened, why, and what to do now.
//!
//! It is said here once, as plain data. The console, log lines, annotations, summaries, documents and Slack messages
//! render it.

mod closing;
mod go_on;
mod missing;

use std::fmt;
use std::time::Duration;

pub use self::closing::{Closing, short, size, sized, thousands};
pub use self::go_on::GoOn;

use crate::duration::rounded;
use crate::event::Ending;
use crate::export::{ExportRef, Phase, ScopeRef, Status};
use crate::text::{Text, gives_orders, is_plain};
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;

/// What to do about an account whose credential is refused.
pub const REFUSED_ACCOUNT: &str = "give the account a credential that works: this one may have expired, or belong to \
    another region; the account's polls pause until then. A token in a regular file is read again every 30 s, one in a \
    variable or a pipe when the daemon starts";

/// The settings of a call that its messages name.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The API that is asked.
    pub api: String,
    /// Where the credential came from.
    pub credential: String,
    /// The API that the credential belongs to, if it is another one.
    pub other_api: Option<String>,
    /// The version of the API that is in general use.
    pub general_version: &'static str,
    /// The command that goes on where this one stops.
    pub go_on: GoOn,
}

/// What an outcome means for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What happened: a clause.
    pub what: String,
    /// Why: what the server said, or what failed on the way to it.
    pub why: Option<String>,
    /// What to do now, if we know.
    pub cure: Option<String>,
}

impl Words {
    /// What the end of a watch means.
    #[must_use]
    pub fn of_ending(ending: &Ending, surroundings: &Surroundings) -> Self {
        let Ending { watch, outcome, .. } = ending;
        let go_on = surroundings.go_on.hint(watch.export, Some(*outcome));
        let progress = &watch.progress;
        let case = Case {
            outcome: *outcome,
            scope: watch.export.scope_ref(),
            is_of_export: true,
            status: progress.status(),
            problem: progress.problem(),
            age: missing::age(ending),
            go_on: Some(&go_on),
        };
        let words = case.words(surroundings);
        let Some(overlong) = progress.overlong() else { return words };
        let what = if *outcome == Outcome::TimedOut {
            format!("the export is not ready ({}), and there is no time left for another poll", case.status())
        } else {
            words.what
        };
        let why = words.why.map(|why| format!("{why}; ")).unwrap_or_default();
        let cure = format!("allow more with {}; {go_on}", overlong.option);
        Self { what, why: Some(format!("{why}Snyk {overlong}")), cure: Some(cure) }
    }

    /// What it means that a request other than a poll failed: the start of an export, or a request about `export`.
    #[must_use]
    pub fn of_request(
        outcome: Outcome,
        problem: &Problem,
        scope: ScopeRef,
        export: Option<&ExportRef>,
        surroundings: &Surroundings,
    ) -> Self {
        let is_of_export = export.is_some();
        let problem = Some(problem);
        Case { outcome, scope, is_of_export, status: None, problem, age: None, go_on: None }
            .words(surroundings)
    }

    /// What the status of an export means for a download: it is not ready (without an outcome) or never will be.
    #[must_use]
    pub fn of_unready(
        export: &ExportRef,
        report: &Report,
        phase: Option<Phase>,
        go_on: &GoOn,
    ) -> (Option<Outcome>, Self) {
        let status = &report.status;
        let (outcome, what, cure) = match phase {
            Some(Phase::Failed) => (Some(Outcome::Failed), failed(Some(status)), START_ANOTHER.to_owned()),
            None => (Some(Outcome::UnknownStatus), unknown(status), teach(status)),
            Some(Phase::InProgress | Phase::Finished) => {
                let wait = format!("to wait for it: {}", go_on.command(export, None));
                (None, format!("the export is not ready (status {status})"), wait)
            }
        };
        let why = report.error.as_ref().map(Text::to_string);
        (outcome, Self { what, why, cure: Some(cure) })
    }
}

/// What happened, and why.
impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// What happened to an export, and why, without what to do.
#[must_use]
pub fn said(outcome: Outcome, scope: ScopeRef, status: Option<&Status>, problem: Option<&Problem>) -> String {
    let case = Case { outcome, scope, is_of_export: true, status, problem, age: None, go_on: None };
    Words { what: case.what(), why: case.why(), cure: None }.to_string()
}

/// `after 2m 31s and 35 polls`: how long a watch lasted.
#[must_use]
pub fn after(ending: &Ending) -> String {
    let polls = counted(ending.watch.progress.polls().into(), "poll");
    format!("after {} and {polls}", rounded(ending.waited()))
}

/// `1 poll`, `2 polls`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

const START_ANOTHER: &str = "this export will never be ready: start a new one; if that fails too, ask for less, with a shorter range of \
                             dates or more filters";

fn failed(status: Option<&Status>) -> String {
    format!("Snyk stopped with {}", status.map_or("a failure", Status::as_str))
}

fn unknown(status: impl fmt::Display) -> String {
    format!("the export has left PENDING for a status that is not known here ({status})")
}

/// How to teach us a status.
fn teach(status: &Status) -> String {
    let [a, b, c] = [Phase::InProgress, Phase::Finished, Phase::Failed].map(Phase::option);
    let word = quoted(status.as_str());
    format!("say what {status} means with {a} {word}, {b} {word} or {c} {word}")
}

/// What the words depend on.
struct Case<'a> {
    outcome: Outcome,
    scope: ScopeRef,
    /// Whether there is an export, and not only a scope in which one was to be started.
    is_of_export: bool,
    status: Option<&'a Status>,
    problem: Option<&'a Problem>,
    /// How old the export is, if Snyk has said when it was made.
    age: Option<Duration>,
    /// How to go on, if something can.
    go_on: Option<&'a str>,
}

impl Case<'_> {
    fn words(&self, surroundings: &Surroundings) -> Words {
        Words { what: self.what(), why: self.why(), cure: self.cure(surroundings) }
    }

    fn why(&self) -> Option<String> {
        match (self.outcome, self.problem) {
            // The answer is a good one, and the status stands before this.
            (Outcome::Failed, Some(problem)) if self.status.is_some() => {
                problem.detail.as_ref().map(Text::to_string)
            }
            (_, problem) => problem.map(Problem::to_string).filter(|why| !why.is_empty()),
        }
    }

    fn status(&self) -> String {
        self.status.map_or_else(|| "no status seen".to_owned(), |status| format!("status {status}"))
    }

    fn what(&self) -> String {
        let scope = self.scope.scope;
        match self.outcome {
            Outcome::Finished => "the export is ready".to_owned(),
            Outcome::Failed => failed(self.status),
            // Something other than the credential is the reason.
            Outcome::Unauthorized | Outcome::Forbidden | Outcome::NotFound
                if self.problem.and_then(cure).is_some() =>
            {
                "the request was refused".to_owned()
            }
            Outcome::Unauthorized => "the credential was refused".to_owned(),
            Outcome::Forbidden if self.is_of_export => "the credential may not see this export".to_owned(),
            Outcome::Forbidden => format!("the credential may not see the reports of this {scope}"),
            Outcome::NotFound if self.is_of_export => {
                "there is no such export for this credential".to_owned()
            }
            Outcome::NotFound => format!("there is no such {scope} for this credential"),
            Outcome::Conflict => "Snyk reports a conflict".to_owned(),
            Outcome::Rejected if self.problem.is_some_and(|problem| problem.http_status == Some(407)) => {
                "a proxy before the API wants a login".to_owned()
            }
            Outcome::Rejected => "Snyk does not accept the request".to_owned(),
            Outcome::UnknownStatus => unknown(self.status()),
            Outcome::Stalled => format!("the export stays in one status for too long ({})", self.status()),
            Outcome::Unavailable => "no usable answer".to_owned(),
            Outcome::TimedOut => format!("the time is over and the export is not ready ({})", self.status()),
            Outcome::Interrupted(signal) => {
                format!("{} came before the export was ready ({})", signal.name(), self.status())
            }
            Outcome::Abandoned => format!("another export finished first ({})", self.status()),
        }
    }

    fn cure(&self, surroundings: &Surroundings) -> Option<String> {
        let known = self.problem.and_then(cure);
        let with_go_on = |cure: String| match self.go_on {
            Some(go_on) => format!("{cure}; {go_on}"),
            None => cure,
        };
        match self.outcome {
            Outcome::Finished | Outcome::Abandoned => None,
            // Only a wait can retry it.
            Outcome::Conflict => known.or_else(|| {
                let retry = "it may pass: poll on with --retry-conflict, for as long as --max-outage allows";
                self.go_on.map(|_| retry.to_owned())
            }),
            Outcome::Rejected => known,
            Outcome::Failed => Some(START_ANOTHER.to_owned()),
            Outcome::Unauthorized => known.or_else(|| missing::of_other_api(surroundings)).or_else(|| {
                let Surroundings { api, credential, .. } = surroundings;
                Some(format!(
                    "the credential from {credential} may have expired, or belong to another region than {api} (--api \
                     or SNYK_API names the region)"
                ))
            }),
            Outcome::Forbidden => known.or_else(|| {
                let (credential, scope) = (&surroundings.credential, self.scope.scope);
                Some(format!(
                    "the credential from {credential} needs the permission to view reports of this {scope}, in an \
                     Enterprise plan"
                ))
            }),
            Outcome::NotFound => known.or_else(|| Some(missing::cure(self, surroundings))),
            Outcome::UnknownStatus => self.status.map(teach),
            Outcome::Stalled => Some(with_go_on("allow more with --max-in-progress".to_owned())),
            Outcome::Unavailable => {
                Some(with_go_on(known.unwrap_or_else(|| self.cure_of_silence(&surroundings.api))))
            }
            Outcome::TimedOut => {
                let known = known.map(|cure| format!("{cure}; ")).unwrap_or_default();
                Some(with_go_on(format!("{known}allow more with --max-wait")))
            }
            Outcome::Interrupted(_) => self.go_on.map(str::to_owned),
        }
    }

    fn cure_of_silence(&self, api: &str) -> String {
        match self.problem.and_then(|problem| problem.http_status) {
            Some(429) => format!("{api} allows no more requests for now"),
            Some(_) => format!("{api} did not answer as it should"),
            None => {
                format!(
                    "check --api and SNYK_API: {api} could not be reached, or did not answer as it should"
                )
            }
        }
    }
}

/// What to do about a problem, if the code that met it knows.
#[must_use]
pub fn cure(problem: &Problem) -> Option<String> {
    problem.cure.as_ref().map(Text::to_string)
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
