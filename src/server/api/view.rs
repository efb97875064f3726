//! A watch, as clients see it: the members of its document, and its times.

use serde::Serialize;
use uuid::Uuid;

use crate::document::Document;
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::store::{Listed, ListedDelivery};
use crate::text::Text;
use crate::watch::Labels;
use crate::watch::outcome::Outcome;

/// Whether a watch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It has not.
    Active,
    /// It has.
    Ended,
}

impl State {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Active, Self::Ended];

    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }
}

/// A watch.
#[derive(Debug, Serialize)]
pub(super) struct View {
    /// Its id.
    id: Uuid,
    /// Whether it has ended.
    state: State,
    /// The account whose credential is used.
    account: String,
    /// Labels, which its owner chooses.
    labels: Labels,
    #[serde(flatten)]
    document: Document,
    /// When it was added.
    started_at: Moment,
    /// When it is due to be polled; null if it has ended.
    next_poll_at: Option<Moment>,
    /// When it ended.
    ended_at: Option<Moment>,
}

/// A watch with its deliveries.
#[derive(Debug, Serialize)]
pub(super) struct ViewWithDeliveries {
    #[serde(flatten)]
    watch: View,
    /// The notifications about its end.
    deliveries: Vec<DeliveryView>,
}

/// A notification to one endpoint.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryView {
    /// Its id, the same in each attempt.
    id: String,
    /// The endpoint's name.
    endpoint: String,
    /// The watch whose end it reports; null if it is about an account.
    watch_id: Option<Uuid>,
    /// Since when it is owed: since it was queued, or since somebody asked for it again.
    owed_since: Moment,
    /// Its state.
    state: &'static str,
    /// The number of attempts so far.
    attempts: u32,
    /// When the next attempt is due; null if there will be none.
    next_attempt_at: Option<Moment>,
    /// Why the last attempt failed.
    problem: Option<Text>,
}

impl View {
    /// A watch as it is `now`.
    pub(super) fn new(listed: &Listed, now: Moment) -> Self {
        let Listed { watch, due_at, end, deliveries: _ } = listed;
        let mut document = document(listed, now);
        document.links_expire_at.get_or_insert_default();
        Self {
            id: watch.id,
            state: if end.is_some() { State::Ended } else { State::Active },
            account: watch.account.to_string(),
            labels: watch.labels.clone(),
            document,
            started_at: watch.progress.started_at(),
            // What is overdue, as while its account is blocked, is not polled in the past.
            next_poll_at: due_at.filter(|_| end.is_none()).map(|due_at| due_at.max(now).as_seen(now)),
            ended_at: end.as_ref().map(|(_, at, _)| *at),
        }
    }
}

impl ViewWithDeliveries {
    /// A watch as it is `now`.
    pub(super) fn new(listed: &Listed, now: Moment) -> Self {
        let deliveries = listed.deliveries.iter().map(|delivery| DeliveryView::new(delivery, now)).collect();
        Self { watch: View::new(listed, now), deliveries }
    }
}

impl DeliveryView {
    /// A delivery as it is `now`.
    pub(super) fn new(delivery: &ListedDelivery, now: Moment) -> Self {
        Self {
            id: delivery.id.clone(),
            endpoint: delivery.endpoint.clone(),
            watch_id: delivery.watch,
            owed_since: delivery.at.as_seen(now),
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            // What is overdue is not sent in the past.
            next_attempt_at: delivery.due_at.map(|due_at| due_at.max(now).as_seen(now)),
            problem: delivery.problem.clone(),
        }
    }
}

/// The document of the end. If the watch has not ended, or the document cannot be read, one made from the watch.
fn document(listed: &Listed, now: Moment) -> Document {
    let Listed { watch, end, .. } = listed;
    let Some((word, at, document)) = end else { return Document::under_way(watch, now) };
    serde_json::from_str(document).unwrap_or_else(|_| {
        let outcome = Outcome::from_word(word);
        let exit_code = outcome.and_then(ExitCode::of).map(ExitCode::code);
        Document { outcome, exit_code, ..Document::under_way(watch, *at) }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::event::Ending;
    use crate::export::{ExportRef, Scope};
    use crate::store::DeliveryState;
    use crate::watch::Watch;

    #[test]
    fn a_watch_that_goes_on_has_all_members() {
        let listed = Listed {
            watch: watch(),
            due_at: Some(Moment::from_unix_ms(2500)),
            end: None,
            deliveries: vec![ListedDelivery {
                id: "msg_1".to_owned(),
                endpoint: "platform".to_owned(),
                watch: Some(Uuid::nil()),
                at: Moment::from_unix_ms(1500),
                state: DeliveryState::Pending,
                attempts: 2,
                due_at: Some(Moment::from_unix_ms(9000)),
                problem: Some(Text::new("refused")),
            }],
        };
        let view = json(&listed, 2000);
        let id = Uuid::nil();
        let expected = json!({
            "id": id, "state": "active", "account": "default", "labels": { "team": "payments" },
            "outcome": null, "exit_code": null,
            "export": { "scope": "group", "scope_id": id, "export_id": id },
            "status": "PENDING", "created": null, "waited_seconds": 1.0, "polls": 3,
            "timeline": [{ "status": "PENDING", "at": "1970-01-01T00:00:01.500Z" }],
            "row_count": null, "results": null,
            "error": { "http_status": 503, "code": null, "title": "down", "detail": null, "request_id": null },
            "hint": null, "links_expire_at": null,
            "started_at": "1970-01-01T00:00:01.000Z", "next_poll_at": "1970-01-01T00:00:02.500Z",
            "ended_at": null,
            "deliveries": [{
                "id": "msg_1", "endpoint": "platform", "watch_id": id, "owed_since": "1970-01-01T00:00:01.500Z",
                "state": "pending", "attempts": 2, "next_attempt_at": "1970-01-01T00:00:09.000Z", "problem": "refused",
            }],
        });
        assert_eq!(view, expected);
        let clock_was_set = Moment::from_unix_ms(2000).with_wall_ms(3_602_000);
        let set = serde_json::to_value(ViewWithDeliveries::new(&listed, clock_was_set)).unwrap();
        assert_eq!(set["next_poll_at"], "1970-01-01T01:00:02.500Z", "it follows the wall clock");
        assert_eq!(set["deliveries"][0]["next_attempt_at"], "1970-01-01T01:00:09.000Z");
        assert_eq!(
            (&set["started_at"], &set["waited_seconds"]),
            (&view["started_at"], &view["waited_seconds"])
        );
        let overdue = json(&listed, 60_000);
        assert_eq!(overdue["next_poll_at"], "1970-01-01T00:01:00.000Z", "no poll lies in the past");
    }

    #[test]
    fn an_ended_one_says_what_its_document_says_whatever_became_of_that() {
        let at = Moment::from_unix_ms(4000);
        let watch_of_ending = Arc::new(watch());
        let ending =
            Ending { watch: watch_of_ending, outcome: Outcome::NotFound, report: None, at, timing: None };
        for document in [Document::of_ending(&ending, false).to_line(), String::new()] {
            let end = Some(("not-found".to_owned(), at, document));
            let view = json(&Listed { watch: watch(), due_at: None, end, deliveries: Vec::new() }, 9000);
            let said = ["state", "outcome", "exit_code", "waited_seconds", "ended_at", "next_poll_at"];
            let said = said.map(|name| view[name].clone());
            let expected = json!(["ended", "not-found", 5, 3.0, "1970-01-01T00:00:04.000Z", null]);
            assert_eq!(json!(said), expected);
        }
    }

    #[test]
    fn no_member_of_a_document_is_left_out() {
        let document = serde_json::to_value(Document::under_way(&watch(), Moment::from_unix_ms(0))).unwrap();
        let view = json(&Listed { watch: watch(), due_at: None, end: None, deliveries: Vec::new() }, 0);
        for name in document.as_object().unwrap().keys() {
            assert!(view.get(name).is_some(), "{name}");
        }
    }

    fn json(listed: &Listed, now_ms: u64) -> Value {
        serde_json::to_value(ViewWithDeliveries::new(listed, Moment::from_unix_ms(now_ms))).unwrap()
    }

    fn watch() -> Watch {
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::nil() };
        let mut watch = Watch::unnamed(export, Moment::from_unix_ms(1000));
        watch.labels = Labels::from([("team".to_owned(), "payments".to_owned())]);
        let kept = json!({
            "started_at": 1000, "polls": 3, "timeline": [["PENDING", 1500]],
            "problem": { "http_status": 503, "title": "down" },
        });
        watch.progress = crate::watch::Progress::from_kept(&kept.to_string()).unwrap();
        watch
    }
}
