//! A watch as clients see it: what the document of its end says, and when things happen.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, Schema};
use uuid::Uuid;

use crate::document::Document;
use crate::exit::ExitCode;
use crate::export::Scope;
use crate::moment::Moment;
use crate::store::{DeliveryState, Listed, ListedDelivery};
use crate::watch::Labels;
use crate::watch::outcome::Outcome;

/// Whether a watch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Watch)]
pub(super) struct View {
    /// Its id.
    id: Uuid,
    /// Whether it has ended.
    state: State,
    /// Whose credential asks.
    account: String,
    #[schema(schema_with = labels_schema)]
    labels: Labels,
    #[serde(flatten)]
    followed: Followed,
    /// When it was taken on.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it is polled next, if all goes well; null if it has ended.
    #[schema(required, format = DateTime)]
    next_poll_at: Option<String>,
    /// When it ended.
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
}

/// A watch with its deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchWithDeliveries)]
pub(super) struct ViewWithDeliveries {
    #[serde(flatten)]
    watch: View,
    /// The notifications that are owed, or were, for its end.
    deliveries: Vec<DeliveryView>,
}

/// What the document of an end says; of a watch that has not ended, as far as it has come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Followed {
    #[schema(required, schema_with = outcome_schema)]
    outcome: Option<String>,
    /// The exit code that `snyk-export wait` has for that; some outcomes have none.
    #[schema(required)]
    exit_code: Option<u8>,
    /// The export that is followed.
    export: ExportView,
    /// The last status seen.
    #[schema(required)]
    status: Option<String>,
    /// When the export was created, as Snyk says.
    #[schema(required)]
    created: Option<String>,
    /// How long it was followed, or has been until now.
    #[schema(minimum = 0)]
    waited_seconds: f64,
    /// How often Snyk was asked.
    polls: u32,
    /// The statuses seen, in order.
    timeline: Vec<ChangeView>,
    /// How many rows the export has, as Snyk says.
    #[schema(required)]
    row_count: Option<u64>,
    /// The files of the export's result, as far as Snyk has listed them.
    #[schema(required)]
    results: Option<Vec<PartView>>,
    /// Why the last poll failed, or the export.
    #[schema(required)]
    error: Option<ProblemView>,
    /// What to do now, where it is known.
    #[serde(default)]
    #[schema(required)]
    hint: Option<String>,
}

/// An export at Snyk.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Export)]
struct ExportView {
    #[schema(schema_with = scope_schema)]
    scope: Scope,
    /// The id of the group or the organization.
    scope_id: Uuid,
    /// The id of the export.
    export_id: Uuid,
}

/// A status and when it was first seen.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Change)]
struct ChangeView {
    /// The status.
    status: String,
    /// When it was first seen.
    #[schema(format = DateTime)]
    at: String,
}

/// One file of an export's result. Its link is shown to nobody: it lets everybody read the file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Part)]
struct PartView {
    /// Its size in bytes.
    #[schema(required)]
    file_size: Option<u64>,
    /// Its number of rows.
    #[schema(required)]
    row_count: Option<u64>,
}

/// What is known of a failure at Snyk.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Failure)]
struct ProblemView {
    /// The HTTP status, if there was an answer.
    #[schema(required)]
    http_status: Option<u16>,
    /// Snyk's code, such as `SNYK-OPENAPI-0004`.
    #[schema(required)]
    code: Option<String>,
    /// A few words.
    #[schema(required)]
    title: Option<String>,
    /// A sentence or more.
    #[schema(required)]
    detail: Option<String>,
    /// The id by which Snyk's support can find the request.
    #[schema(required)]
    request_id: Option<String>,
}

/// A notification to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    /// Its id, the same in each attempt.
    id: String,
    /// The endpoint's name.
    endpoint: String,
    #[schema(schema_with = delivery_state_schema)]
    state: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next; null if it is not.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// Why the last attempt failed.
    #[schema(required)]
    problem: Option<String>,
}

impl View {
    /// A watch as it is `now`.
    pub(super) fn new(listed: &Listed, now: Moment) -> Self {
        let Listed { watch, due_at, end, deliveries: _ } = listed;
        let text = |moment: Moment| moment.to_string();
        Self {
            id: watch.id,
            state: if end.is_some() { State::Ended } else { State::Active },
            account: watch.account.to_string(),
            labels: watch.labels.clone(),
            followed: Followed::new(listed, now),
            started_at: text(watch.progress.started_at()),
            // What is overdue, as while its account is blocked, is not polled in the past.
            next_poll_at: due_at.filter(|_| end.is_none()).map(|due_at| text(due_at.max(now))),
            ended_at: end.as_ref().map(|(_, at, _)| text(*at)),
        }
    }
}

impl ViewWithDeliveries {
    /// A watch as it is `now`.
    pub(super) fn new(listed: &Listed, now: Moment) -> Self {
        let deliveries = listed.deliveries.iter().map(DeliveryView::new).collect();
        Self { watch: View::new(listed, now), deliveries }
    }
}

impl DeliveryView {
    fn new(delivery: &ListedDelivery) -> Self {
        Self {
            id: delivery.id.clone(),
            endpoint: delivery.endpoint.clone(),
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_at.map(|moment| moment.to_string()),
            problem: delivery.problem.as_ref().map(ToString::to_string),
        }
    }
}

impl Followed {
    /// What the document of the end says. Where it cannot be read, and where there is none yet, what the watch knows.
    fn new(listed: &Listed, now: Moment) -> Self {
        let Listed { watch, end, .. } = listed;
        let Some((word, at, document)) = end else {
            return Self::read(&Document::under_way(watch, now).to_line()).unwrap_or_else(|error| {
                unreachable!("a document that was just written can be read: {error}")
            });
        };
        Self::read(document).unwrap_or_else(|_| {
            let exit_code = Outcome::from_word(word).and_then(ExitCode::of).map(ExitCode::code);
            let known = Self::new(&Listed { end: None, ..listed.clone() }, *at);
            Self { outcome: Some(word.clone()), exit_code, ..known }
        })
    }

    fn read(document: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(document)
    }
}

fn outcome_schema() -> Schema {
    let words = Outcome::ALL.map(|outcome| Some(outcome.as_str()));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words.into_iter().chain([None])))
        .description(Some("How it ended; null if it has not."))
        .into()
}

fn scope_schema() -> Schema {
    word_schema(
        [Scope::Group, Scope::Org].map(Scope::as_str),
        "Whose export it is: a group's or an organization's.",
    )
}

fn delivery_state_schema() -> Schema {
    word_schema(DeliveryState::ALL.map(DeliveryState::as_str), "Where it stands.")
}

fn word_schema<const N: usize>(words: [&'static str; N], description: &str) -> Schema {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    schema.description(Some(description)).into()
}

fn labels_schema() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("What its owner notes on it."))
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::event::Ending;
    use crate::export::ExportRef;
    use crate::text::Text;
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
            "hint": null,
            "started_at": "1970-01-01T00:00:01.000Z", "next_poll_at": "1970-01-01T00:00:02.500Z",
            "ended_at": null,
            "deliveries": [{
                "id": "msg_1", "endpoint": "platform", "state": "pending", "attempts": 2,
                "next_attempt_at": "1970-01-01T00:00:09.000Z", "problem": "refused",
            }],
        });
        assert_eq!(view, expected);
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
        let document: Value =
            serde_json::from_str(&Document::under_way(&watch(), Moment::from_unix_ms(0)).to_line()).unwrap();
        let view = json(&Listed { watch: watch(), due_at: None, end: None, deliveries: Vec::new() }, 0);
        for name in document.as_object().unwrap().keys().filter(|name| *name != "schema") {
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
