//! The routes of watches, and all routers.

mod deliveries;
mod list;
mod request;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::list::Query;
use self::request::WatchRequest;
use self::view::ViewWithDeliveries;
use super::guard::{self, Changed, Door, Guard};
use super::problem::{Problem, Problems};
use super::{Service, Shared, health, limits, new_id, openapi, page};
use crate::event::What;
use crate::export::parse_id;
use crate::store::{Added, Filter, Listed, NoRoom};
use crate::text::Text;
use crate::watch::NewWatch;

/// The routes of an address, each behind the guard that it needs. Everything below `/v1` requires the token, unknown paths
/// too.
pub(super) fn router(service: Service, open: &Guard, door: Door, page: Arc<super::page::Page>) -> Router {
    let asking = open.asking_for_token();
    // If metrics have another address, they require the token at this one.
    let details = if door == (Door::Api { has_another: true }) { &asking } else { open };
    let router = Router::new()
        .merge(behind(open.of_health(), Router::new().route("/healthz", get(health::healthz))))
        .merge(behind(details.of_health(), Router::new().route("/readyz", get(health::readyz))))
        .merge(behind(details.clone(), Router::new().route("/metrics", get(health::metrics))));
    let rest = Router::new().fallback(no_such_path);
    let router = match door {
        Door::Api { .. } => {
            let mut watches = Router::new()
                .route("/v1/watches", get(list).post(add))
                .route("/v1/watches/{id}", get(look_at).delete(remove))
                .route(
                    "/v1/watches/{id}/deliveries/{delivery}/redeliver",
                    post(deliveries::redeliver_of_watch),
                )
                .route("/v1/deliveries", get(deliveries::list))
                .route("/v1/deliveries/{id}/redeliver", post(deliveries::redeliver));
            for path in guard::UNKNOWN {
                watches = watches.route(path, any(no_such_path));
            }
            let rest = rest.route("/openapi.json", get(self::document));
            router.merge(behind(asking, watches)).merge(behind(open.clone(), rest)).merge(for_people(open))
        }
        Door::Metrics => router.merge(behind(open.clone(), rest)),
    };
    let (document, pages) = (openapi::Document::new(), Semaphore::new(limits::PAGES));
    router.with_state(Arc::new(Shared { service, document, page, pages }))
}

/// The page, behind the token like `/v1`, and what asks for it.
fn for_people(open: &Guard) -> Router<Arc<Shared>> {
    let open = open.for_people(page::refused);
    let shown = Router::new()
        .route("/", get(page::overview))
        .route("/watches/{id}", get(page::watch))
        .route("/notifications", get(page::notifications))
        .route("/events", get(page::events));
    let entry = Router::new()
        .route("/login", get(page::ask_to_log_in).post(page::log_in))
        .route("/logout", post(page::log_out));
    behind(open.asking_for_session(), shown).merge(behind(open, entry))
}

/// Puts routes, and their answer to unknown methods, behind a guard.
fn behind(guard: Guard, routes: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    routes.method_not_allowed_fallback(no_such_method).layer(from_fn_with_state(guard, guard::stand))
}

async fn no_such_path(uri: Uri) -> Problem {
    let path = Text::new(uri.path());
    let detail = format!("there is nothing at {path}; GET /openapi.json lists what there is");
    Problem::new(StatusCode::NOT_FOUND, "no-such-path", "There is no such path", detail)
}

async fn no_such_method(method: Method) -> Problem {
    let method = Text::new(method.as_str());
    let detail = format!("{method} means nothing here; the Allow header lists what does");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "There is no such method", detail)
}

async fn document(State(shared): State<Arc<Shared>>) -> Json<serde_json::Value> {
    Json(shared.document.of(!shared.service.terms.agreed().tokens.is_empty()))
}

/// List watches
///
/// In the order in which they were added, in pages, without their deliveries. A page has at most about 1 MiB, so it may have
/// fewer watches than `limit` says: `next` says whether there are more.
async fn list(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Result<Response, Problems> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    // It is never closed.
    let _making = shared.pages.acquire().await;
    let (ended, after, limit) = (query.ended(), query.after, query.limit);
    let filter = Filter { ended, after, limit, bytes: limits::PAGE_BYTES, ..Filter::default() };
    let Some(listing) = shared.service.store.list(filter).await? else {
        let id = after.map(|id| id.to_string()).unwrap_or_default();
        return Err(Problem::no_such_watch(&id, "after").into());
    };
    let page = list::written(&listing, &query, shared.service.clock.now());
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], page).into_response())
}

/// Follow an export
///
/// Adds a watch. An account follows each export once: if there is a watch already, ended or not, it is returned, and nothing
/// changes, not even its labels. To follow an export again, delete its watch first.
async fn add(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problems> {
    guard::check_content_type(&headers)?;
    let new = WatchRequest::parse(&body)?.check(&shared.service.terms)?;
    // Another client may delete the watch between the two calls, but not three times in a row.
    for _ in 0..3 {
        let (status, id) = take_on(&shared.service, new.clone()).await?;
        if let Some(listed) = shared.service.store.look(id).await? {
            let location = HeaderValue::try_from(format!("/v1/watches/{id}"))
                .unwrap_or_else(|_| unreachable!("an id has no control characters"));
            let view = Json(ViewWithDeliveries::new(&listed, shared.service.clock.now()));
            let mut response = (status, [(LOCATION, location)], view).into_response();
            if status == StatusCode::CREATED {
                response.extensions_mut().insert(Changed(Some(id)));
            }
            return Ok(response);
        }
    }
    let detail = "the watch was deleted meanwhile: try again later";
    Err(Problem::busy(detail).into())
}

async fn take_on(service: &Service, new: NewWatch) -> Result<(StatusCode, Uuid), Problems> {
    let now = service.clock.now();
    match service.store.add(new, new_id(now), service.terms.agreed().quota, now).await? {
        Added::New(watch) => {
            let id = watch.id;
            (service.tell)(&What::Added { watch: Arc::from(watch) }.at(now));
            service.changed.notify_one();
            Ok((StatusCode::CREATED, id))
        }
        Added::Existing(id) => Ok((StatusCode::OK, id)),
        Added::NoRoom(no_room) => Err(full(no_room).into()),
    }
}

fn full(no_room: NoRoom) -> Problem {
    let (what, key) = match no_room {
        NoRoom::Watches(most) => (format!("the daemon keeps {most} watches, ended or not"), "max-watches"),
        NoRoom::Labels(most) => (format!("the labels of all watches may have {most} bytes"), "max-labels"),
    };
    Problem::full(format!(
        "{what}: delete some, or have the settings say more as [store] {key}, or forget them earlier by keep-ended"
    ))
}

/// Get a watch
///
/// With its deliveries: the notifications of its end.
async fn look_at(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ViewWithDeliveries>, Problems> {
    let listed = find(&shared.service, id).await?;
    Ok(Json(ViewWithDeliveries::new(&listed, shared.service.clock.now())))
}

/// Delete a watch
///
/// It is no longer polled, and no notification follows. If it had ended, its notifications are still delivered. If it is in
/// the settings, a reload adds it again.
async fn remove(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problems> {
    let (id, text) = read_id(id)?;
    if shared.service.store.remove(id).await? {
        shared.service.changed.notify_one();
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.extensions_mut().insert(Changed(Some(id)));
        Ok(response)
    } else {
        Err(Problem::no_such_watch(&text, "id").into())
    }
}

async fn find(service: &Service, id: Result<Path<String>, PathRejection>) -> Result<Listed, Problems> {
    let (id, text) = read_id(id)?;
    let listed = service.store.look(id).await?;
    listed.ok_or_else(|| Problem::no_such_watch(&text, "id").into())
}

/// A malformed id is treated as an unknown one.
fn read_id(id: Result<Path<String>, PathRejection>) -> Result<(Uuid, String), Problems> {
    let text = id.map(|Path(text)| text).unwrap_or_default();
    match parse_id(&text) {
        Some(id) => Ok((id, text)),
        None => Err(Problem::no_such_watch(&text, "id").into()),
    }
}
