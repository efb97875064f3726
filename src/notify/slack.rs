//! Messages for Slack's incoming webhooks.
//!
//! A message is one text, without blocks, so that what speaks like Slack (Mattermost and others) shows it too. What
//! others wrote stands in it as code: there Slack sees no links, no mentions and no formatting, and what could end the
//! code or begin a mention is replaced.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use url::Url;

use super::event::Told;
use super::post::Receiver;
use super::{Attempt, EndpointError};
use crate::http::Network;
use crate::secret::Secret;
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// How many labels are shown.
const MAX_LABELS: usize = 10;

/// How much of a label is shown, in characters.
const LABEL_CHARS: usize = 100;

pub(super) struct Slack(Receiver);

impl Slack {
    pub(super) fn new(url: &Secret, network: &Network) -> Result<Self, EndpointError> {
        let url = Url::parse(url.expose().trim()).map_err(|_| EndpointError::Url)?;
        Receiver::new(url, network).map(Self)
    }

    pub(super) async fn send(&self, event: &str) -> Attempt {
        let message = json!({"text": text(&Told::of(event)), "unfurl_links": false, "unfurl_media": false});
        let headers = |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, "application/json");
        self.0.post(message.to_string(), headers).await
    }
}

/// The lines of a message.
fn text(told: &Told) -> String {
    let problem = told.problem().map(|problem| format!("error: {}", code(problem.as_str())));
    if told.is_of_account() {
        let account = told.data.account.as_deref().unwrap_or_default();
        let head = format!("*unauthorized*: Snyk refuses the credential of the account {}", code(account));
        let advice =
            "its polls pause until the credential works: it may have expired, or belong to another region";
        return [Some(head), problem, Some(advice.to_owned())]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n");
    }
    let outcome = told.outcome();
    let word = outcome.map_or_else(
        || code(told.data.outcome.as_deref().unwrap_or("ended")),
        |outcome| format!("*{outcome}*"),
    );
    let head = format!("{word}: {}", code(told.subject.as_deref().unwrap_or("an export")));
    let advice = outcome.and_then(advice).map(str::to_owned);
    let lines = [Some(head), Some(facts(told)), problem, labels(told), advice];
    lines.into_iter().flatten().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// How long it took, and what came of it.
fn facts(told: &Told) -> String {
    let data = &told.data;
    let waited = data.waited_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.round()).ok());
    let waited = waited.map(|waited| format!("after {}", humantime::format_duration(waited)));
    let polls = data.polls.map(|polls| count(polls, "poll"));
    let account = data.account.as_deref().map(|account| format!("account {}", code(account)));
    let status = data.status.as_deref().map(|status| format!("status {}", code(status)));
    let rows = data.row_count.map(|rows| count(rows, "row"));
    let links = data.links_expire_at.as_deref().map(|at| format!("its links work until {}", code(at)));
    [waited, polls, account, status, rows, links].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn labels(told: &Told) -> Option<String> {
    let labels = &told.data.labels;
    let shown = |(name, value): (&String, &String)| {
        let label = format!("{name}={value}");
        code(&label.chars().take(LABEL_CHARS).collect::<String>())
    };
    let mut list: Vec<String> = labels.iter().take(MAX_LABELS).map(shown).collect();
    list.extend((labels.len() > MAX_LABELS).then(|| format!("{} more", labels.len() - MAX_LABELS)));
    (!list.is_empty()).then(|| format!("labels: {}", list.join(", ")))
}

/// What to do now, where we know it.
const fn advice(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Failed => Some("this export will never be ready: start a new one"),
        Outcome::Unauthorized => Some("the credential may have expired, or belong to another region"),
        Outcome::Forbidden => Some("the credential needs the permission to view reports"),
        Outcome::NotFound => {
            Some("the group or organization may be the wrong one, or the export is older than three days")
        }
        Outcome::UnknownStatus => Some("the settings can teach that status word"),
        Outcome::Stalled | Outcome::TimedOut => {
            Some("the export may still become ready: watch it anew to go on")
        }
        Outcome::Unavailable => Some("Snyk could not be asked for too long: watch it anew to go on"),
        Outcome::Finished
        | Outcome::Conflict
        | Outcome::Rejected
        | Outcome::Interrupted(_)
        | Outcome::Abandoned => None,
    }
}

/// The text of others as code. Slack reads `&`, `<` and `>` as its own even there, and a back quote would end it.
fn code(text: &str) -> String {
    let text = Text::new(text).as_str().replace('`', "'");
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use uuid::Uuid;

    use super::super::event::tests::{ending, problem};
    use super::super::event::{ended, unauthorized};
    use super::*;
    use crate::moment::Moment;

    const EXPORT: &str =
        "/groups/00000000-0000-0000-0000-000000000001/jobs/export/00000000-0000-0000-0000-000000000002";

    fn message(event: &str) -> String {
        text(&Told::of(event))
    }

    #[test]
    fn says_what_people_ask_first() {
        let finished = "after 2m 31s, 0 polls, account `acme`, 1061 rows, its links work until \
            `2024-11-25T11:13:42.470Z`\nlabels: `team=payments`";
        assert_eq!(
            message(&ended(&ending(Outcome::Finished), None)),
            format!("*finished*: `{EXPORT}`\n{finished}")
        );
        let not_found = message(&ended(&ending(Outcome::NotFound), None));
        assert!(not_found.starts_with(&format!("*not-found*: `{EXPORT}`\nafter ")), "{not_found}");
        assert!(not_found.ends_with("older than three days"), "{not_found}");
        let refused = message(&unauthorized("acme", &problem(), Moment::from_unix_ms(0), Uuid::nil()));
        assert_eq!(
            refused,
            "*unauthorized*: Snyk refuses the credential of the account `acme`\n\
             error: `HTTP 401: Unauthorized: the token has expired`\n\
             its polls pause until the credential works: it may have expired, or belong to another region"
        );
    }

    #[test]
    fn text_of_others_gives_no_orders() {
        let mut event: Value = serde_json::from_str(&ended(&ending(Outcome::Failed), None)).unwrap();
        let hostile = "`*<!channel> <https://evil.example|ok> & @here\n*finished*: all is well";
        event["subject"] = hostile.into();
        for member in ["status", "account", "links_expire_at"] {
            event["data"][member] = hostile.into();
        }
        event["data"]["labels"] = json!({hostile: hostile});
        event["data"]["error"] = json!({"title": hostile, "detail": hostile, "code": hostile});
        let text = message(&event.to_string());
        assert!(!text.contains(['<', '>']), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        // What is left outside of code is all ours.
        let outside: String = text.split('`').step_by(2).collect();
        for word in ["channel", "evil", "here", "well", "amp"] {
            assert!(!outside.contains(word), "{outside}");
        }
    }

    #[test]
    fn shows_so_many_labels_and_no_more() {
        let mut ending = ending(Outcome::Failed);
        Arc::make_mut(&mut ending.watch).labels =
            (10..22).map(|n| (format!("l{n}"), "v".repeat(1000))).collect();
        let text = message(&ended(&ending, None));
        let line = text.lines().find(|line| line.starts_with("labels: ")).unwrap();
        assert!(line.contains("`l19=v") && !line.contains("l20") && line.ends_with(", 2 more"), "{line}");
        assert!(line.len() < 1100, "{line}");
    }

    #[test]
    fn an_event_that_cannot_be_read_is_told_of_all_the_same() {
        assert_eq!(message("junk"), "`ended`: `an export`");
        let later = r#"{"subject":"/x","data":{"outcome":"better","polls":1}}"#;
        assert_eq!(message(later), "`better`: `/x`\n1 poll");
    }
}
