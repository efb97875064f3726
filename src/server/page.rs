//! The page: what the daemon does, for people. It shows, and changes nothing.
//!
//! It is HTML without anything from elsewhere: one style and one script, which its Content-Security-Policy names by their
//! digests. Without the script everything is there, but does not update itself.

mod entry;
mod html;
mod query;
mod rows;
mod show;
mod stream;
mod timeline;
mod verdict;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;

pub(super) use self::entry::{ask_to_log_in, log_in, log_out, refused};
pub(super) use self::show::{notifications, overview, watch};
pub(super) use self::stream::events;

use self::html::Shell;
use self::verdict::{Judge, LOOK_EVERY};
use super::Service;
use super::connection::Stop;
use super::limits;
use super::session::Attempts;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// How late a poll may start before it is worth a word: as for the alert.
const LATE: Duration = Duration::from_secs(60);

/// What the page's routes share.
#[derive(Debug)]
pub(super) struct Page {
    judge: Judge,
    attempts: Attempts,
    /// How many more pages may be searched and written at once. Pages of the API do not wait for them.
    making: Semaphore,
    /// How many more viewers may be told of news.
    viewers: Arc<Semaphore>,
    stop: Stop,
}

impl Page {
    /// A page whose streams end when `stop` is done.
    pub(super) fn new(stop: Stop) -> Self {
        let viewers = Arc::new(Semaphore::new(limits::VIEWERS));
        let (judge, attempts, making) =
            (Judge::default(), Attempts::default(), Semaphore::new(limits::PAGES));
        Self { judge, attempts, making, viewers, stop }
    }

    /// Looks whether all is well, so that the page can say since when. Never returns.
    pub(super) async fn watch(&self, service: &Service) -> std::convert::Infallible {
        loop {
            self.judge.look(service).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What the browser may load, run and send: what is in the page, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| unreachable!("Base64 can stand in a header"))
});

/// How a page is framed.
#[derive(Debug, Clone, Copy, Default)]
struct Frame<'a> {
    title: &'a str,
    /// Where it is, for its link to itself.
    path: &'a str,
    /// Whether it asks for the token, and shows nothing else.
    is_login: bool,
    /// Whether there is a token, and so a way out.
    has_login: bool,
}

/// An answer with this page. `main` is HTML.
fn page(status: StatusCode, frame: Frame<'_>, main: &str) -> Response {
    let Frame { title, path, is_login, has_login } = frame;
    let (style, script, version) = (STYLE, SCRIPT, env!("CARGO_PKG_VERSION"));
    let page = Shell { title, style, script, main, path, version, is_login, has_login };
    let mut response = (status, Body::from(written(&page))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    // The login's Origin would be `null` without any referrer.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    response
}

/// Leads the browser to another page, by GET.
fn see_other(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static(path))]).into_response()
}

fn written(template: &impl askama::Template) -> String {
    template.render().unwrap_or_else(|error| unreachable!("a text can be written: {error}"))
}
