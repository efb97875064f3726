//! Messages for Slack's incoming webhooks.
//!
//! A message is one text without blocks, so that compatible services (such as Mattermost) show it too. Text from outside is
//! formatted as code: Slack recognizes no links, mentions or formatting there. Characters that could end the code or begin a
//! mention are replaced.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use url::Url;

use super::cloud_event::{Authorized, Ended, Notice, Unauthorized};
use super::post::Receiver;
use super::{Attempt, EndpointError};
use crate::document::Document;
use crate::http::Network;
use crate::secret::Secret;
use crate::text::Text;
use crate::watch::observation::Problem;
use crate::words::{self, counted};

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
        let message = json!({"text": text(event), "unfurl_links": false, "unfurl_media": false});
        let headers = |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, "application/json");
        self.0.post(message.to_string(), headers, accepted).await
    }
}

/// Incoming webhooks answer `ok`. Other methods of Slack, and compatible services, answer a JSON document, which says that
/// it failed though the status is 200.
fn accepted(said: &[u8]) -> Result<(), Text> {
    #[derive(serde::Deserialize)]
    struct Answer {
        ok: bool,
        error: Option<String>,
    }
    match serde_json::from_slice(said) {
        Ok(Answer { ok: false, error }) => {
            // A word of Slack's, such as `channel_not_found`. Nothing else is shown.
            let is_word = |error: &String| {
                error.len() <= 40 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            let error = error.filter(is_word).map(|error| format!(" ({error})")).unwrap_or_default();
            Err(Text::new(&format!("HTTP 200, but the answer says that it is not ok{error}")))
        }
        Ok(Answer { ok: true, .. }) | Err(_) => Ok(()),
    }
}

/// The lines of a message. If the event cannot be read, the message still says that a watch has ended.
fn text(event: &str) -> String {
    match Notice::read(event) {
        Some(Notice::Ended { outcome, ended }) => text_of_end(&outcome, &ended),
        Some(Notice::Unauthorized(Unauthorized { account, error })) => lines([
            Some(format!("*unauthorized*: Snyk refuses the credential of the account {}", code(&account))),
            problem(&error),
            Some(words::REFUSED_ACCOUNT.to_owned()),
        ]),
        Some(Notice::Test) => {
            "*test*: this is a test of the notifications of snyk-export; nothing has happened".to_owned()
        }
        Some(Notice::Authorized(Authorized { account })) => {
            format!("*authorized*: the credential of the account {} works again", code(&account))
        }
        None => "`ended`: `an export`".to_owned(),
    }
}

fn text_of_end(outcome: &Text, ended: &Ended) -> String {
    let Document { outcome: known, export, error, hint, .. } = &ended.document;
    let word = known.map_or_else(|| code(outcome.as_str()), |outcome| format!("*{outcome}*"));
    let export = export.map_or_else(|| "an export".to_owned(), |export| export.to_string());
    lines([
        Some(format!("{word}: {}", code(&export))),
        Some(facts(ended)),
        error.as_ref().and_then(problem),
        labels(ended),
        hint.as_deref().map(|hint| format!("what to do: {}", code(hint))),
    ])
}

fn lines<const N: usize>(lines: [Option<String>; N]) -> String {
    lines.into_iter().flatten().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn problem(problem: &Problem) -> Option<String> {
    (*problem != Problem::default()).then(|| format!("error: {}", code(&problem.to_string())))
}

/// How long it took, and the results.
fn facts(ended: &Ended) -> String {
    let Document { waited_seconds, polls, status, row_count, .. } = &ended.document;
    let waited = Duration::try_from_secs_f64(waited_seconds.round()).ok();
    let waited = waited.map(|waited| format!("after {}", humantime::format_duration(waited)));
    let polls = Some(counted((*polls).into(), "poll"));
    let account = Some(format!("account {}", code(&ended.account)));
    let status = status.as_ref().map(|status| format!("status {}", code(status.as_str())));
    let rows = row_count.map(|rows| counted(rows, "row"));
    let links = ended.links_expire_at.map(|at| format!("its links work until {}", code(&at.to_string())));
    [waited, polls, account, status, rows, links].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn labels(ended: &Ended) -> Option<String> {
    let labels = &ended.labels;
    let shown = |(name, value): (&String, &String)| {
        let label = format!("{name}={value}");
        code(&label.chars().take(LABEL_CHARS).collect::<String>())
    };
    let mut list: Vec<String> = labels.iter().take(MAX_LABELS).map(shown).collect();
    list.extend((labels.len() > MAX_LABELS).then(|| format!("{} more", labels.len() - MAX_LABELS)));
    (!list.is_empty()).then(|| format!("labels: {}", list.join(", ")))
}

/// Text from outside as code. Slack interprets `&`, `<` and `>` even there, and a back quote would end it.
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

    use super::super::cloud_event::tests::{ending, problem, told};
    use super::super::cloud_event::{authorized, ended, unauthorized};
    use super::*;
    use crate::moment::Moment;
    use crate::watch::outcome::Outcome;

    const EXPORT: &str =
        "/groups/00000000-0000-0000-0000-000000000001/jobs/export/00000000-0000-0000-0000-000000000002";

    #[test]
    fn says_what_people_ask_first() {
        let finished = "after 2m 31s, 0 polls, account `acme`, 1061 rows, its links work until \
            `2024-11-25T11:13:42.470Z`\nlabels: `team=payments`";
        assert_eq!(text(&told(&ending(Outcome::Finished))), format!("*finished*: `{EXPORT}`\n{finished}"));
        let not_found = ending(Outcome::NotFound);
        let document = Document::of_ending(&not_found, false).with_hint(Some("<look> again".to_owned()));
        let not_found = text(&ended(&not_found, document));
        assert!(not_found.starts_with(&format!("*not-found*: `{EXPORT}`\nafter ")), "{not_found}");
        assert!(not_found.ends_with("\nwhat to do: `&lt;look&gt; again`"), "{not_found}");
        let refused = text(&unauthorized("acme", &problem(), Moment::from_unix_ms(0), Uuid::nil()));
        assert_eq!(
            refused,
            format!(
                "*unauthorized*: Snyk refuses the credential of the account `acme`\n\
                 error: `HTTP 401: Unauthorized: the token has expired`\n{}",
                words::REFUSED_ACCOUNT
            )
        );
    }

    #[test]
    fn text_from_outside_controls_nothing() {
        let mut event: Value = serde_json::from_str(&told(&ending(Outcome::Failed))).unwrap();
        let hostile = "`*<!channel> <https://evil.example|ok> & @here\n*finished*: all is well";
        for member in ["status", "account", "hint"] {
            event["data"][member] = hostile.into();
        }
        event["data"]["labels"] = json!({hostile: hostile});
        event["data"]["error"] = json!({"title": hostile, "detail": hostile, "code": hostile});
        let text = text(&event.to_string());
        assert!(!text.contains(['<', '>']), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        // Everything outside of code is our own text.
        let outside: String = text.split('`').step_by(2).collect();
        for word in ["channel", "evil", "here", "well", "amp"] {
            assert!(!outside.contains(word), "{outside}");
        }
    }

    #[test]
    fn shows_a_limited_number_of_labels() {
        let mut ending = ending(Outcome::Failed);
        Arc::make_mut(&mut ending.watch).labels =
            (10..22).map(|n| (format!("l{n}"), "v".repeat(1000))).collect();
        let text = text(&told(&ending));
        let line = text.lines().find(|line| line.starts_with("labels: ")).unwrap();
        assert!(line.contains("`l19=v") && !line.contains("l20") && line.ends_with(", 2 more"), "{line}");
        assert!(line.len() < 1100, "{line}");
    }

    #[test]
    fn an_answer_that_is_not_ok_is_a_failure() {
        for said in ["ok", "", "{\"ok\":true}", "{\"ok\":1}", "<html>", "null", "[]"] {
            assert_eq!(accepted(said.as_bytes()), Ok(()), "{said}");
        }
        let why = |said: &str| accepted(said.as_bytes()).unwrap_err().to_string();
        assert!(why(r#"{"ok":false,"error":"channel_not_found"}"#).ends_with("not ok (channel_not_found)"));
        assert!(why(r#"{"error":"no https://hooks.example/hunter2","ok":false}"#).ends_with("not ok"));
        assert!(why(r#"{"ok":false}"#).ends_with("not ok"));
    }

    #[test]
    fn says_that_a_credential_works_again() {
        let works = text(&authorized("ac`me", Moment::from_unix_ms(0), Uuid::nil()));
        assert_eq!(works, "*authorized*: the credential of the account `ac'me` works again");
    }

    #[test]
    fn an_event_that_cannot_be_read_still_makes_a_message() {
        assert_eq!(text("junk"), "`ended`: `an export`");
        let test = text(&super::super::cloud_event::test("a", Moment::from_unix_ms(0), Uuid::nil()));
        assert!(test.starts_with("*test*: this is a test"), "{test}");
        let later = told(&ending(Outcome::Failed)).replace("failed", "better");
        assert!(text(&later).starts_with(&format!("`better`: `{EXPORT}`\nafter ")), "{later}");
    }
}
