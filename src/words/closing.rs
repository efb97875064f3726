//! The last lines of a command: how it ended, why, what to do next, and the ids that a support ticket needs.

use uuid::Uuid;

use super::Words;
use crate::duration::brief;
use crate::event::{Ending, TaskFailure};
use crate::exit::ExitCode;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;

/// The last lines, before they are rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closing {
    /// Whether it went well.
    pub is_well: bool,
    /// What happened.
    pub head: String,
    /// Why.
    pub reason: Option<String>,
    /// What to do next.
    pub next: Option<String>,
    /// The export.
    pub export: Option<Uuid>,
    /// The id of the last request, by which Snyk's support finds it.
    pub request: Option<String>,
    /// The exit code that this counts for, and the word for it.
    pub exit: Option<(u8, &'static str)>,
}

impl Closing {
    /// The end of a watch; with `several` the first line names the export.
    #[must_use]
    pub fn of_ending(ending: &Ending, words: &Words, several: bool) -> Self {
        let Ending { watch, outcome, .. } = ending;
        let (export, waited) = (watch.export.export_id, brief(ending.waited()));
        let named = |head: String| match several {
            true => format!("{} {}{}", short(&export.to_string()), head[..1].to_lowercase(), &head[1..]),
            false => head,
        };
        if *outcome == Outcome::Finished {
            let size = size(ending).map(|size| format!(": {size}")).unwrap_or_default();
            let head = named(format!("Ready after {waited}{size}"));
            return Self { is_well: true, head, ..Self::default() };
        }
        let verb = match outcome {
            Outcome::TimedOut => "Timed out",
            Outcome::Interrupted(_) => "Interrupted",
            Outcome::Abandoned => "Left",
            Outcome::Stalled | Outcome::Unavailable => "Gave up",
            Outcome::Finished
            | Outcome::Failed
            | Outcome::Unauthorized
            | Outcome::Forbidden
            | Outcome::NotFound
            | Outcome::Conflict
            | Outcome::Rejected
            | Outcome::UnknownStatus => "Failed",
        };
        let problem = watch.progress.problem();
        Self {
            is_well: *outcome == Outcome::Abandoned,
            head: named(format!("{verb} after {waited}: {}", words.what)),
            reason: words.why.clone().map(|why| without_id(why, problem)),
            next: words.cure.clone(),
            export: Some(export),
            request: problem.and_then(request),
            exit: ExitCode::of(*outcome).map(|code| (code.code(), outcome.as_str())),
        }
    }

    /// A start or a download that failed.
    #[must_use]
    pub fn of_failure(failure: &TaskFailure) -> Self {
        let TaskFailure { export, word, exit_code, problem, reason, hint } = failure;
        let why = problem.to_string();
        let (head, reason) = match reason.strip_suffix(&why).and_then(|head| head.strip_suffix(": ")) {
            Some(head) if !why.is_empty() => (head, Some(without_id(why, Some(problem)))),
            _ => (reason.as_str(), None),
        };
        Self {
            is_well: false,
            head: match export {
                Some(export) => head.replace(&export.to_string(), short(&export.export_id.to_string())),
                None => head.to_owned(),
            },
            reason,
            next: hint.clone(),
            export: export.map(|export| export.export_id),
            request: request(problem),
            exit: Some((exit_code.code(), word)),
        }
    }
}

/// `1,061 rows, 1 file`: how much a finished export has, as far as Snyk says.
#[must_use]
pub fn size(ending: &Ending) -> Option<String> {
    let rows = ending.row_count().map(|rows| sized(rows, "row"));
    let files = ending.report.as_ref().and_then(|report| report.results.as_ref()).map(Vec::len);
    let files = files.filter(|files| *files > 0).map(|files| sized(files as u64, "file"));
    let parts: Vec<String> = rows.into_iter().chain(files).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `1,061 rows`.
#[must_use]
pub fn sized(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

fn request(problem: &Problem) -> Option<String> {
    problem.request_id.as_ref().map(ToString::to_string)
}

/// The cause without the id of the request, which stands in the last line.
fn without_id(why: String, problem: Option<&Problem>) -> String {
    match problem.and_then(request) {
        Some(id) => why.replace(&format!(" (snyk-request-id {id})"), ""),
        None => why,
    }
}

/// The beginning of an id, which is enough where the whole one stands once.
#[must_use]
pub fn short(id: &str) -> &str {
    id.split_once('-').map_or(id, |(first, _)| first)
}

/// `1,061`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_of_three_digits() {
        let rows = [(0, "0"), (999, "999"), (1_061, "1,061"), (1_000_000, "1,000,000")];
        for (number, text) in rows {
            assert_eq!(thousands(number), text);
        }
    }
}
