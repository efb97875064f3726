//! Who may look: the form that takes a token, and the cookie that it gives.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::{HOST, ORIGIN, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use url::{Url, form_urlencoded};

use super::html::{Failure, Login};
use super::{Frame, page, see_other, written};
use crate::server::Shared;
use crate::server::connection::Peer;
use crate::server::problem::Problem;
use crate::server::session;

/// `GET /login`
pub(in crate::server) async fn ask_to_log_in(State(shared): State<Arc<Shared>>) -> Response {
    match shared.service.terms.agreed().tokens.is_empty() {
        true => see_other("/"),
        false => form(StatusCode::OK, ""),
    }
}

/// `POST /login`
pub(in crate::server) async fn log_in(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (service, agreed) = (&shared.service, shared.service.terms.agreed());
    let Some(is_over_tls) = own_origin(&headers) else { return foreign() };
    if agreed.tokens.is_empty() {
        return see_other("/");
    }
    let now = service.clock.now();
    let address: IpAddr = peer.address;
    if let Err(pause) = shared.page.attempts.take(address, now) {
        let seconds = pause.as_secs() + 1;
        let said = format!("Too many wrong tokens came from your address. Try again in {seconds} s.");
        let mut response = form(StatusCode::TOO_MANY_REQUESTS, &said);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return response;
    }
    let given = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let given = given.map(|(_, value)| value.into_owned()).unwrap_or_default();
    match session::token(given.as_bytes(), &agreed.tokens) {
        Some(token) => {
            shared.page.attempts.forgive(address);
            let mut response = see_other("/");
            response.headers_mut().insert(SET_COOKIE, session::cookie(token, now, is_over_tls));
            response
        }
        None => form(StatusCode::UNAUTHORIZED, "This is not the token."),
    }
}

/// `POST /logout`
pub(in crate::server) async fn log_out(headers: HeaderMap) -> Response {
    if own_origin(&headers).is_none() {
        return foreign();
    }
    without_session(see_other("/login"))
}

/// Whether a form of ours was sent, and not one of another site; and if so, whether the browser sees TLS. Browsers say both, and
/// no page can make them say something else. `X-Forwarded-Proto` is not read: it is only as good as the proxy.
fn own_origin(headers: &HeaderMap) -> Option<bool> {
    let text = |name| headers.get(name).and_then(|value| HeaderValue::to_str(value).ok());
    let origin = Url::parse(text(ORIGIN.as_str())?).ok()?;
    let is_over_tls = origin.scheme() == "https";
    // A proxy may have another name for us.
    if let Some(site) = text("sec-fetch-site") {
        return (site == "same-origin").then_some(is_over_tls);
    }
    let host = Authority::try_from(text(HOST.as_str())?).ok()?;
    let default = if is_over_tls { 443 } else { 80 };
    let is_same_host = origin.host_str()?.eq_ignore_ascii_case(host.host());
    let is_same_port = origin.port().unwrap_or(default) == host.port_u16().unwrap_or(default);
    (is_same_host && is_same_port).then_some(is_over_tls)
}

fn form(status: StatusCode, said: &str) -> Response {
    let frame = Frame { title: "Log in", path: "/login", is_login: true, has_login: false };
    let mut response = page(status, frame, &written(&Login { said }));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn foreign() -> Response {
    let detail = "The form was not sent from this page by a browser. Programs use /v1 with the token.";
    failure(StatusCode::FORBIDDEN, "This form is from elsewhere", detail)
}

fn failure(status: StatusCode, title: &str, detail: &str) -> Response {
    let frame = Frame { title, path: "/", is_login: true, has_login: false };
    page(status, frame, &written(&Failure { title, detail }))
}

fn without_session(mut response: Response) -> Response {
    for cookie in session::end() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The answer to a request that the guard has refused, for people.
pub(in crate::server) fn refused(problem: &Problem) -> Response {
    match problem.code() {
        "no-session" => see_other("/login"),
        "foreign-session" => {
            without_session(form(StatusCode::UNAUTHORIZED, "Your session is over. Log in again."))
        }
        _ => failure(problem.status(), problem.title(), problem.detail()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_form_is_taken() {
        let headers = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            lines
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect()
        };
        let own = |lines: &[(&'static str, &'static str)]| own_origin(&headers(lines));
        let host = ("host", "exports.internal:8686");
        let site = |site| ("sec-fetch-site", site);
        let rows = [
            (own(&[host, ("origin", "http://exports.internal:8686")]), Some(false)),
            (own(&[host, ("origin", "http://EXPORTS.internal:8686")]), Some(false)),
            (own(&[("host", "x.example"), ("origin", "https://x.example")]), Some(true)),
            (own(&[("host", "[::1]:8686"), ("origin", "http://[::1]:8686")]), Some(false)),
            (own(&[host, ("origin", "https://x.example"), site("same-origin")]), Some(true)),
            (own(&[host, ("origin", "http://exports.internal:8686"), site("same-site")]), None),
            (own(&[host, ("origin", "http://exports.internal:8686"), site("cross-site")]), None),
            (own(&[host, ("origin", "http://exports.internal:8687")]), None),
            (own(&[host, ("origin", "http://exports.internal")]), None),
            (own(&[host, ("origin", "http://evil.example:8686")]), None),
            (own(&[host, ("origin", "null")]), None),
            (own(&[host]), None),
            (own(&[("origin", "http://x.example")]), None),
        ];
        for (number, (found, expected)) in rows.into_iter().enumerate() {
            assert_eq!(found, expected, "row {number}");
        }
    }
}
