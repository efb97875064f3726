//! The routes of deliveries.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::list::{read_limit, refused, take};
use super::view::DeliveryView;
use crate::export::parse_id;
use crate::server::guard::{self, Changed};
use crate::server::problem::{Problem, Problems, Source};
use crate::server::{Shared, limits};
use crate::store::{DeliveryFilter, DeliveryState, Redelivery};
use crate::text::Text;

/// A page of deliveries.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The deliveries.
    data: Vec<DeliveryView>,
    /// The path of the next page; null on the last one.
    next: Option<String>,
}

/// Parses the query of a request.
fn parsed(query: &str) -> Result<DeliveryFilter, Problems> {
    let (mut state, mut limit, mut after) = (None, None, None);
    let mut problems = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let taken = match &*name {
            "state" => {
                take(&mut state, DeliveryState::from_word(&value), "`pending`, `sent` or `undeliverable`")
            }
            "limit" => take(&mut limit, read_limit(&value), "a number from 1 to 1000"),
            "after" => take(&mut after, Some(value.into_owned()), "the id of a delivery"),
            _ => Err("the parameters are `state`, `limit` and `after`".to_owned()),
        };
        problems.extend(taken.err().map(|detail| refused(&name, detail)));
    }
    Problems::of(problems)?;
    Ok(DeliveryFilter { state, after, limit: limit.unwrap_or(limits::DEFAULT_PAGE) })
}

/// The path of the page after the delivery `last`.
fn next(filter: &DeliveryFilter, last: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(state) = filter.state {
        query.append_pair("state", state.as_str());
    }
    let query = query.append_pair("limit", &filter.limit.to_string()).append_pair("after", last).finish();
    format!("/v1/deliveries?{query}")
}

/// List deliveries
///
/// The notifications of all watches and accounts, in the order in which they were queued, in pages.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problems> {
    let filter = parsed(query.as_deref().unwrap_or_default())?;
    let Some((listed, has_more)) = shared.service.store.deliveries(filter.clone()).await? else {
        return Err(no_such_delivery(filter.after.as_deref().unwrap_or_default(), "after").into());
    };
    let next = listed.last().filter(|_| has_more).map(|last| next(&filter, &last.id));
    let now = shared.service.clock.now();
    Ok(Json(Page { data: listed.iter().map(|delivery| DeliveryView::new(delivery, now)).collect(), next }))
}

/// Deliver again
///
/// Makes a delivery that was sent or given up pending again, under the same id. Its attempts go on counting, and it has another
/// 24 hours. The body is empty.
pub(super) async fn redeliver(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problems> {
    let delivery = id.map(|Path(id)| id).unwrap_or_default();
    again(&shared, None, delivery, &headers).await
}

/// Deliver again what is about a watch
///
/// The same, if the delivery is about this watch.
pub(super) async fn redeliver_of_watch(
    State(shared): State<Arc<Shared>>,
    ids: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problems> {
    let (watch, delivery) = ids.map(|Path(ids)| ids).unwrap_or_default();
    let Some(watch) = parse_id(&watch) else { return Err(Problem::no_such_watch(&watch, "id").into()) };
    again(&shared, Some(watch), delivery, &headers).await
}

/// Makes a delivery pending again; if a watch is given, only if it is about that.
async fn again(
    shared: &Shared,
    watch: Option<Uuid>,
    delivery: String,
    headers: &HeaderMap,
) -> Result<Response, Problems> {
    // A web page of another origin can send an empty body, but says who it is, and cannot send JSON.
    if headers.contains_key(ORIGIN) {
        guard::check_content_type(headers)?;
    }
    let service = &shared.service;
    let known = service.terms.agreed().endpoints.clone();
    let now = service.clock.now();
    let conflict = |detail: String| {
        let title = "The delivery cannot be sent again";
        Problem::new(StatusCode::CONFLICT, "conflict", title, detail)
    };
    match service.store.redeliver(watch, delivery.clone(), known, now).await? {
        Some(Redelivery::Queued(queued)) => {
            service.owing.notify_waiters();
            let view = Json(DeliveryView::new(&queued, now));
            let mut response = (StatusCode::ACCEPTED, view).into_response();
            response.extensions_mut().insert(Changed(queued.watch));
            Ok(response)
        }
        Some(Redelivery::Pending) => {
            Err(conflict("it is pending: it is sent as soon as its endpoint takes it".to_owned()).into())
        }
        Some(Redelivery::NoEndpoint(name)) => {
            let name = Text::new(&name);
            Err(conflict(format!("the settings have no endpoint `{name}`: add it, and reload")).into())
        }
        None => Err(no_such_delivery(&delivery, if watch.is_some() { "delivery" } else { "id" }).into()),
    }
}

fn no_such_delivery(id: &str, parameter: &str) -> Problem {
    let id = Text::new(id);
    let detail = format!("there is no delivery `{id}`; GET /v1/deliveries lists those that there are");
    Problem::new(StatusCode::NOT_FOUND, "no-such-delivery", "There is no such delivery", detail)
        .at(Source::Parameter(parameter.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_parameters() {
        for query in ["state=undeliverable&limit=7", "limit=1000", ""] {
            let filter = parsed(query).unwrap();
            let next = next(&filter, "msg_1_a%20b&c");
            let next = parsed(next.strip_prefix("/v1/deliveries?").unwrap()).unwrap();
            assert_eq!(next, DeliveryFilter { after: Some("msg_1_a%20b&c".to_owned()), ..filter });
        }
    }

    #[test]
    fn names_the_invalid_parameter() {
        for (text, parameter) in
            [("state=", "state"), ("state=ended", "state"), ("limit=0", "limit"), ("aft=1", "aft")]
        {
            let problems = serde_json::to_value(parsed(text).unwrap_err()).unwrap();
            assert_eq!(problems["errors"][0]["source"]["parameter"], parameter, "{text}");
        }
    }
}
