//! Notifications: `CloudEvents` 1.0 in JSON, all in one document (an interface: docs/reference/documents.md shows one).
//!
//! A document is made when something happens, is kept until each endpoint has it, and is sent as it was made. It says
//! when signed links stop working, and never contains one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::document::{Document, SCHEMA};
use crate::event::Ending;
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::Labels;
use crate::watch::observation::{Problem, Report};

/// The media type of these documents.
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// What the types of events about the ends of watches begin with; the outcome follows.
const WATCH: &str = "io.snyk-export.watch.";

/// The type of the event that says that the credential of an account is refused.
const UNAUTHORIZED: &str = "io.snyk-export.account.unauthorized";

/// The type of the event of `watch --test-notify`.
const TEST: &str = "io.snyk-export.test";

/// The type of the event that says that it works again.
const AUTHORIZED: &str = "io.snyk-export.account.authorized";

#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'a str,
    id: Uuid,
    source: String,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: Moment,
    datacontenttype: &'a str,
    data: D,
}

/// The document of the end, as `--output json` prints it, and what only a daemon knows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    schema: u8,
    #[serde(flatten)]
    pub(super) document: Document,
    watch_id: Uuid,
    pub(super) account: String,
    pub(super) labels: Labels,
    pub(super) links_expire_at: Option<Moment>,
}

/// The credential of an account is refused.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unauthorized {
    pub(super) account: String,
    pub(super) error: Problem,
}

/// The credential of an account works again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Authorized {
    pub(super) account: String,
}

/// The notification that a watch has ended as its `document` says. Its id is the watch's own: a watch ends once.
#[must_use]
pub fn ended(ending: &Ending, document: Document) -> String {
    let Ending { watch, outcome, report, at, .. } = ending;
    let data = Ended {
        schema: SCHEMA,
        document,
        watch_id: watch.id,
        account: watch.account.to_string(),
        labels: watch.labels.clone(),
        links_expire_at: report.as_ref().and_then(Report::links_expire_at),
    };
    let of = format!("{WATCH}{outcome}");
    written(watch.id, &watch.account, &of, Some(watch.export.to_string()), *at, data)
}

/// The event that the credential of `account` is refused, and its polls pause, since `at`. Each such time has an `id` of
/// its own.
#[must_use]
pub fn unauthorized(account: &str, problem: &Problem, at: Moment, id: Uuid) -> String {
    let data = Unauthorized { account: account.to_owned(), error: problem.clone() };
    written(id, account, UNAUTHORIZED, None, at, data)
}

/// A test event for the endpoint `endpoint`. It says that nothing has happened.
#[must_use]
pub fn test(endpoint: &str, at: Moment, id: Uuid) -> String {
    let message = "this is a test: somebody has tried the endpoint with `snyk-export watch --test-notify`";
    let data = serde_json::json!({ "endpoint": endpoint, "message": message });
    written_from("/snyk-export".to_owned(), id, TEST, None, at, data)
}

/// The event that the credential of `account` works again, since `at`. Each such time has an `id` of its own.
#[must_use]
pub fn authorized(account: &str, at: Moment, id: Uuid) -> String {
    written(id, account, AUTHORIZED, None, at, Authorized { account: account.to_owned() })
}

fn written(
    id: Uuid,
    account: &str,
    of: &str,
    subject: Option<String>,
    at: Moment,
    data: impl Serialize,
) -> String {
    let source = format!("/snyk-export/accounts/{}", percent_encoded(account));
    written_from(source, id, of, subject, at, data)
}

fn written_from(
    source: String,
    id: Uuid,
    of: &str,
    subject: Option<String>,
    at: Moment,
    data: impl Serialize,
) -> String {
    let event = CloudEvent {
        specversion: "1.0",
        id,
        source,
        r#type: of,
        subject,
        time: at,
        datacontenttype: "application/json",
        data,
    };
    serde_json::to_string(&event).unwrap_or_else(|_| unreachable!("all members can be written as JSON"))
}

/// The id under which an endpoint gets an event: the same in each attempt, after a restart too, and another for each
/// endpoint and each event. Safe in a header.
#[must_use]
pub fn delivery_id(event_id: &str, endpoint: &str) -> String {
    format!("msg_{}_{}", percent_encoded(event_id), percent_encoded(endpoint))
}

/// `text` with all but ASCII letters, digits, `-` and `_` as `%` and two digits.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// What a notification says, for endpoints that put it into their own words.
#[derive(Debug)]
pub(super) enum Notice {
    /// A watch has ended.
    Ended {
        /// The word of the outcome, which may be one of a later version.
        outcome: Text,
        /// The document and the rest.
        ended: Box<Ended>,
    },
    /// The credential of an account is refused.
    Unauthorized(Unauthorized),
    /// It works again.
    Authorized(Authorized),
    /// A test.
    Test,
}

impl Notice {
    /// What `event` says; `None` if it is not one of ours.
    pub(super) fn read(event: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            r#type: Cow<'a, str>,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let Envelope { r#type, data } = serde_json::from_str(event).ok()?;
        if r#type == TEST {
            return Some(Self::Test);
        }
        if r#type == UNAUTHORIZED {
            return serde_json::from_str(data.get()).ok().map(Self::Unauthorized);
        }
        if r#type == AUTHORIZED {
            return serde_json::from_str(data.get()).ok().map(Self::Authorized);
        }
        let outcome = Text::new(r#type.strip_prefix(WATCH)?);
        serde_json::from_str(data.get()).ok().map(|ended| Self::Ended { outcome, ended })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{export, report};
    use crate::secret::Link;
    use crate::watch::observation::Part;
    use crate::watch::outcome::Outcome;
    use crate::watch::{Progress, Watch};

    const ID: Uuid = Uuid::from_u128(0x0193_5f00_0000_7000_8000_0000_0000_0001);
    const AT: Moment = Moment::from_unix_ms(1_732_529_622_470);

    /// The end of a watch of the account `acme`, seen 151.2 s after its start.
    pub(in crate::notify) fn ending(outcome: Outcome) -> Ending {
        let report = Report {
            row_count: Some(1061),
            results: Some(vec![Part {
                link: Link::parse("https://b.example/x?X-Goog-Signature=hunter2"),
                expires_at: Some(AT.plus(Duration::from_secs(3600))),
                file_size: Some(1328),
                row_count: Some(1061),
            }]),
            ..report("FINISHED")
        };
        let watch = Arc::new(Watch {
            id: ID,
            account: Arc::from("acme"),
            labels: [("team".to_owned(), "payments".to_owned())].into(),
            export: export(2),
            progress: Progress::new(AT),
        });
        let report = (outcome == Outcome::Finished).then_some(report);
        Ending { watch, outcome, report, at: AT.plus(Duration::from_millis(151_200)), timing: None }
    }

    pub(in crate::notify) fn problem() -> Problem {
        Problem { http_status: Some(401), ..Problem::new("Unauthorized", "the token has expired") }
    }

    /// The notification of an end without a hint.
    pub(in crate::notify) fn told(ending: &Ending) -> String {
        ended(ending, Document::of_ending(ending, false))
    }

    #[test]
    fn tells_of_an_end_as_the_document_does_and_more() {
        let ending = ending(Outcome::Finished);
        let text = told(&ending);
        assert!(!text.contains("hunter2"), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        let mut data: Value = serde_json::from_str(&Document::of_ending(&ending, false).to_line()).unwrap();
        let more = json!({"watch_id": ID, "account": "acme", "labels": {"team": "payments"},
            "links_expire_at": "2024-11-25T11:13:42.470Z"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let expected = json!({
            "specversion": "1.0",
            "id": "01935f00-0000-7000-8000-000000000001",
            "source": "/snyk-export/accounts/acme",
            "type": "io.snyk-export.watch.finished",
            "subject": "/groups/00000000-0000-0000-0000-000000000001/jobs/export/00000000-0000-0000-0000-000000000002",
            "time": "2024-11-25T10:16:13.670Z",
            "datacontenttype": "application/json",
            "data": data,
        });
        assert_eq!(event, expected);
        assert_eq!((&data["outcome"], &data["row_count"]), (&json!("finished"), &json!(1061)));
    }

    #[test]
    fn members_are_there_when_nothing_is_known_of_them() {
        let event: Value = serde_json::from_str(&told(&ending(Outcome::TimedOut))).unwrap();
        assert_eq!(event["type"], "io.snyk-export.watch.timed-out");
        let data = event["data"].as_object().unwrap();
        for member in ["links_expire_at", "row_count", "results", "error", "status"] {
            assert_eq!(data.get(member), Some(&Value::Null), "{member}");
        }
    }

    #[test]
    fn tells_of_an_account_that_is_refused() {
        let event: Value = serde_json::from_str(&unauthorized("ac me/é", &problem(), AT, ID)).unwrap();
        assert_eq!(event["type"], "io.snyk-export.account.unauthorized");
        assert_eq!(event["source"], "/snyk-export/accounts/ac%20me%2F%C3%A9");
        assert_eq!((event.get("subject"), &event["id"]), (None, &json!(ID)));
        assert_eq!(event["data"]["account"], "ac me/é");
        assert_eq!(event["data"]["error"]["http_status"], 401);
        assert_eq!(event["data"]["error"]["detail"], "the token has expired");
    }

    #[test]
    fn a_delivery_has_one_id_of_its_own() {
        assert_eq!(
            delivery_id(&ID.to_string(), "platform"),
            "msg_01935f00-0000-7000-8000-000000000001_platform"
        );
        let ids = ["a", "b", "a b", "a_b", "a%20b", "ä", "a.b", "a\nb"].map(|name| delivery_id("e", name));
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        assert!(ids.iter().flat_map(|id| id.chars()).all(|char| char.is_ascii_graphic() && char != '.'));
    }

    #[test]
    fn reads_back_what_was_written() {
        let ending = ending(Outcome::Finished);
        let Some(Notice::Ended { outcome, ended }) = Notice::read(&told(&ending)) else { panic!() };
        assert_eq!(outcome.as_str(), "finished");
        let mut document = Document::of_ending(&ending, false);
        // That there is a link is not kept, and neither is the link.
        document.results.iter_mut().flatten().for_each(|part| part.url = None);
        assert_eq!(ended.document, document);
        let refused = Notice::read(&unauthorized("acme", &problem(), AT, ID));
        let Some(Notice::Unauthorized(refused)) = refused else { panic!() };
        assert_eq!((refused.account.as_str(), refused.error), ("acme", problem()));
        let works = authorized("acme", AT, ID);
        assert!(works.contains("\"type\":\"io.snyk-export.account.authorized\""), "{works}");
        let Some(Notice::Authorized(works)) = Notice::read(&works) else { panic!() };
        assert_eq!(works.account, "acme");
        for junk in ["", "[]", "{\"data\":7}", "{\"type\":null}", "{\"type\":\"x\",\"data\":{}}"] {
            assert!(Notice::read(junk).is_none(), "{junk}");
        }
    }

    #[test]
    fn an_outcome_of_a_later_version_keeps_its_word() {
        let event = told(&ending(Outcome::Finished)).replace("finished", "better");
        let Some(Notice::Ended { outcome, ended }) = Notice::read(&event) else { panic!() };
        assert_eq!((outcome.as_str(), ended.document.outcome), ("better", None));
    }
}
