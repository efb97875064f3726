//! The middleware before every route: who may send a request, what it may contain, and how long it may take.
//!
//! Without a token, programs on this machine may use the API, but web pages in its browsers must not. A page can make a
//! browser send requests to 127.0.0.1, also under a host name of its own that resolves to it. So `Host` must name this
//! machine, and the body's type must be JSON, which a page cannot send to another origin without a permission (CORS) that the
//! API never gives.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use uuid::Uuid;

use super::audit::Audit;
use super::connection::Peer;
use super::limits;
use super::problem::{Problem, Source};
use super::session::{self, Session};
use super::{Service, Terms};
use crate::clock::Clock;
use crate::event::{ApiEvent, ApiRequest, ApiWhat};
use crate::http::{is_loopback_address, is_loopback_name};
use crate::observe::Metrics;
use crate::secret::Secret;
use crate::text::Text;

/// Which of the daemon's addresses a request comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The API's. If metrics have an address of their own, they require the token at this one.
    Api { has_another: bool },
    /// That of metrics and health, for everybody who can reach it.
    Metrics,
}

/// What routes require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    /// The token.
    Token,
    /// The token, or the cookie that somebody got for it.
    Session,
}

/// Checks requests before their routes answer them.
#[derive(Clone)]
pub(super) struct Guard {
    /// What the routes require, if there is a token.
    asks: Asks,
    /// The type of a body.
    takes: &'static str,
    /// What a refusal looks like.
    refuses: fn(&Problem) -> Response,
    /// Whether the routes are health checks, which are answered even if the daemon is busy.
    is_health: bool,
    /// Whether the routes stop if their clients disconnect.
    ends_with_client: bool,
    terms: Arc<Terms>,
    door: Door,
    only_this_machine: bool,
    room: Arc<Semaphore>,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The types of bodies: of the API, and of the page's forms.
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn as_json(problem: &Problem) -> Response {
    problem.clone().into_response()
}

/// The routes of unknown paths at and below `/v1`, which are behind the token like the rest of it.
pub(super) const UNKNOWN: [&str; 3] = ["/v1", "/v1/", "/v1/{*path}"];

/// A request has changed something, as an extension of its response: a watch or what belongs to it, or a delivery about an
/// account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed(pub(super) Option<Uuid>);

impl Guard {
    pub(super) fn new(service: &Service, audit: Arc<Audit>, door: Door, only_this_machine: bool) -> Self {
        let room = Arc::new(Semaphore::new(limits::REQUESTS));
        let (terms, metrics) = (Arc::clone(&service.terms), Arc::clone(&service.metrics));
        let (asks, takes, refuses) = (Asks::Nothing, JSON, as_json as fn(&Problem) -> Response);
        let (is_health, ends_with_client, clock) = (false, false, service.clock);
        Self {
            asks,
            takes,
            refuses,
            is_health,
            ends_with_client,
            terms,
            door,
            only_this_machine,
            room,
            audit,
            metrics,
            clock,
        }
    }

    /// This guard, for routes that require the token, if there is one.
    pub(super) fn asking_for_token(&self) -> Self {
        Self { asks: Asks::Token, ..self.clone() }
    }

    /// This guard, for routes that require the token or a session, if there is a token.
    pub(super) fn asking_for_session(&self) -> Self {
        Self { asks: Asks::Session, ..self.clone() }
    }

    /// This guard, for the pages that people see: they send forms, and read `refuses`. They change nothing of the store, so they
    /// end with their clients, and they take no room from programs.
    pub(super) fn for_people(&self, refuses: fn(&Problem) -> Response) -> Self {
        let room = Arc::new(Semaphore::new(limits::REQUESTS));
        Self { takes: FORM, refuses, room, ends_with_client: true, ..self.clone() }
    }

    /// This guard, for health checks.
    pub(super) fn of_health(&self) -> Self {
        Self { is_health: true, ..self.clone() }
    }

    /// Counts a request, and reports a change or a refusal.
    fn note(&self, peer: Option<Peer>, method: &str, route: &str, response: &Response) {
        let code = response.status().as_u16();
        self.metrics.api_request(route, code);
        let changed = response.extensions().get::<Changed>().map(|changed| changed.0);
        let what = match (changed, response.status()) {
            (Some(_), _) => ApiWhat::Changed,
            (
                None,
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::INSUFFICIENT_STORAGE,
            ) => ApiWhat::Refused,
            (None, _) => return,
        };
        let peer = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
        let (method, route) = (Text::new(method), route.to_owned());
        let request = Some(ApiRequest { method, route, code, watch: changed.flatten() });
        self.audit.note(ApiEvent { what, peer, request, omitted: 0 });
    }
}

/// Ends a task when it is dropped.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes a request to its route, or refuses it.
pub(super) async fn stand(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = route.filter(|route| !UNKNOWN.contains(route)).unwrap_or("other").to_owned();
    let mut response = match guard.admit(request, peer).await {
        Ok(request) => guard.answer(request, next).await,
        Err(problem) => (guard.refuses)(&problem),
    };
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::REQUEST_TIMEOUT {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    guard.note(peer, method.as_str(), &route, &response);
    response
}

impl Guard {
    /// Reads the body of a request, if it may be answered.
    async fn admit(&self, request: Request, peer: Option<Peer>) -> Result<Request, Problem> {
        let agreed = self.terms.agreed();
        let tokens = &agreed.tokens;
        if self.only_this_machine_asks(tokens) {
            check_host(&request)?;
        }
        let only_health = peer.is_some_and(|peer| peer.only_health);
        // A request with a body would have to be waited for.
        if only_health && !(self.is_health && request.body().is_end_stream()) {
            let detail =
                "there are so many connections that only health checks are answered: try again later";
            return Err(Problem::busy(detail));
        }
        if self.asks != Asks::Nothing {
            match tokens.is_empty() {
                false => self.check_credential(request.headers(), tokens)?,
                true if self.only_this_machine => {}
                // A reload can remove the token. `Host` proves nothing if other machines can connect.
                true => return Err(unauthorized("the daemon has no token: set [server] token-file")),
            }
        }
        if !request.body().is_end_stream() {
            check_type(request.headers(), self.takes)?;
        }
        let (parts, body) = request.into_parts();
        let declared =
            parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_too_large = declared.is_some_and(|length: usize| length > limits::BODY);
        // Do not read a body that is much too large, or that the client has not begun to send.
        let is_hopeless = declared.is_some_and(|length| length > limits::BODY_TO_DISCARD);
        if is_hopeless || (is_too_large && parts.headers.contains_key(EXPECT)) {
            return Err(too_large());
        }
        let body = timeout(limits::ARRIVAL, read(body)).await.map_err(|_| too_slow())??;
        Ok(Request::from_parts(parts, Body::from(body)))
    }

    fn check_credential(&self, headers: &HeaderMap, tokens: &[Secret]) -> Result<(), Problem> {
        // A proxy may have sent another scheme than ours on.
        let has_token = headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value).is_some());
        if self.asks != Asks::Session || has_token {
            return check_token(headers, tokens);
        }
        let refused = |code| {
            let detail = "log in with the token of [server] token-file";
            Problem::new(StatusCode::UNAUTHORIZED, code, "There is no session", detail)
        };
        match Session::of(headers, tokens, self.clock.now()) {
            Session::Valid => Ok(()),
            Session::None | Session::Over => Err(refused("no-session")),
            Session::Foreign => Err(refused("foreign-session")),
        }
    }

    /// Whether `Host` must name this machine.
    fn only_this_machine_asks(&self, tokens: &[Secret]) -> bool {
        match self.door {
            Door::Api { .. } => tokens.is_empty(),
            Door::Metrics => self.only_this_machine,
        }
    }

    /// Runs the route. It goes on even if the client disconnects, so that every change of the store is reported; but see
    /// [`Guard::for_people`].
    async fn answer(&self, request: Request, next: Next) -> Response {
        let busy = |detail| (self.refuses)(&Problem::busy(detail));
        // These change nothing, and the number of connections limits them.
        if self.is_health {
            return next.run(request).await;
        }
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return busy("too many requests are under way: try again later");
        };
        let answering = tokio::spawn(async move {
            let response = next.run(request).await;
            drop(permit);
            response
        });
        let _ends = self.ends_with_client.then(|| Ends(answering.abort_handle()));
        match timeout(limits::ANSWER, answering).await {
            Ok(Ok(response)) => response,
            // It panicked; the log has it.
            Ok(Err(_)) => (self.refuses)(&Problem::unforeseen()),
            Err(_) => busy(
                "there was no answer in time: whether the request was done is not known, try again later",
            ),
        }
    }
}

/// Checks that `Host` names this machine.
fn check_host(request: &Request) -> Result<(), Problem> {
    let refused = |detail: &str| {
        let detail = format!(
            "{detail}: without a token the API answers only to localhost, 127.0.0.1 and [::1]; set [server] \
             token-file to let others in"
        );
        Problem::new(StatusCode::FORBIDDEN, "foreign-host", "The request is for another host", detail)
            .at(Source::Header("Host"))
    };
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(refused("the request needs one Host header"));
    };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| refused("the Host header names no host"))?;
    let target = request.uri().authority();
    if is_this_machine(&host) && target.is_none_or(is_this_machine) {
        Ok(())
    } else {
        Err(refused("the Host header names another host than this machine"))
    }
}

fn is_this_machine(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => is_loopback_address(address),
        Err(_) => is_loopback_name(host),
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "The token is missing or wrong", detail)
        .at(Source::Header("Authorization"))
}

fn check_token(headers: &HeaderMap, tokens: &[Secret]) -> Result<(), Problem> {
    let refused = || unauthorized("send the token of [server] token-file as `Authorization: Bearer TOKEN`");
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(refused()) };
    let given = bearer(value).ok_or_else(refused)?;
    session::token(given, tokens).map(|_| ()).ok_or_else(refused)
}

/// What follows `Bearer `, if that is the scheme.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, given) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)
}

/// Checks that the type of the body is JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    check_type(headers, JSON)
}

fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter().map(HeaderValue::as_bytes);
    let essence = |value: &[u8]| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
    };
    if types.next().is_some_and(essence) && types.next().is_none() {
        return Ok(());
    }
    let detail = format!("send the body with `Content-Type: {wanted}`");
    let title = "The body is of another type than it should be";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title, detail)
        .at(Source::Header("Content-Type")))
}

/// Reads the body. A body that is too large is read up to a limit, so that the client gets the answer.
async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut taken = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| Problem::bad_request("the body is incomplete, or its chunks are malformed"))?;
        length = length.saturating_add(chunk.len());
        if length > limits::BODY_TO_DISCARD {
            break;
        }
        if length <= limits::BODY {
            taken.extend_from_slice(&chunk);
        }
    }
    if length > limits::BODY { Err(too_large()) } else { Ok(taken) }
}

fn too_large() -> Problem {
    let detail = format!("a body may have {} bytes", limits::BODY);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
}

fn too_slow() -> Problem {
    let detail = format!("the body did not arrive within {}", humantime::format_duration(limits::ARRIVAL));
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The request took too long to arrive", detail)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_route_that_takes_too_long_is_answered_503() {
        let (clock, guard) = (Clock::start(), guard(1));
        let start = clock.now();
        assert_eq!(ask(&guard, "/never").await, StatusCode::SERVICE_UNAVAILABLE);
        let waited = clock.now().since(start);
        assert!((limits::ANSWER..2 * limits::ANSWER).contains(&waited), "{waited:?}");
        assert_eq!(
            ask(&guard, "/now").await,
            StatusCode::SERVICE_UNAVAILABLE,
            "the first request still runs"
        );
        assert_eq!(clock.now().since(start), waited, "it is refused at once");
    }

    #[tokio::test]
    async fn an_answered_request_makes_room_for_another() {
        let guard = guard(1);
        for _ in 0..3 {
            assert_eq!(ask(&guard, "/now").await, StatusCode::OK);
            assert_eq!(ask(&guard, "/panic").await, StatusCode::INTERNAL_SERVER_ERROR);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_ends_with_its_client_and_takes_no_room_from_programs() {
        let programs = guard(0);
        let people = programs.for_people(as_json);
        assert_eq!(ask(&programs, "/now").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&people, "/now").await, StatusCode::OK);
        let people = Guard { room: Arc::new(Semaphore::new(1)), ..people };
        timeout(limits::ANSWER / 2, ask(&people, "/never")).await.unwrap_err();
        tokio::task::yield_now().await;
        assert_eq!(ask(&people, "/now").await, StatusCode::OK);
    }

    fn guard(room: usize) -> Guard {
        let audit = Arc::new(Audit::new(Arc::new(|_| {}), Clock::start()));
        let (terms, metrics) = (Arc::default(), Arc::new(Metrics::new()));
        let (door, room) = (Door::Api { has_another: false }, Arc::new(Semaphore::new(room)));
        let (asks, takes, refuses) = (Asks::Nothing, JSON, as_json as fn(&Problem) -> Response);
        let (is_health, ends_with_client, only_this_machine, clock) = (false, false, true, Clock::start());
        Guard {
            asks,
            takes,
            refuses,
            is_health,
            ends_with_client,
            terms,
            door,
            only_this_machine,
            room,
            audit,
            metrics,
            clock,
        }
    }

    async fn ask(guard: &Guard, path: &str) -> StatusCode {
        let router = Router::new()
            .route("/now", get(async || "x"))
            .route("/never", get(std::future::pending::<()>))
            .route("/panic", get(async || -> &'static str { panic!("as the test wants it") }))
            .layer(from_fn_with_state(guard.clone(), stand));
        let request = Request::builder().uri(path).header(HOST, "localhost").body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status()
    }
}
