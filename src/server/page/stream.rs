//! Server-sent events: a viewer's browser is told that there is something new, and then asks for the page again.
//!
//! An event says nothing else. So there is nothing in it to protect or to compress, and a viewer that misses one misses nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::clock::Clock;
use crate::moment::Moment;
use crate::server::Shared;
use crate::server::connection::Stop;

/// The time between two events at least: a person sees no more.
const APART: Duration = Duration::from_secs(2);

/// The time between two events at most. Times that the page shows move on, and a viewer that is gone is noticed.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);

/// How long a stream lasts. Then the browser asks for another, and shows its cookie again.
const LASTS: Duration = Duration::from_secs(10 * 60);

/// A viewer of the page.
struct Viewer {
    news: watch::Receiver<u64>,
    stop: Stop,
    clock: Clock,
    ends_at: Moment,
    has_begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// Waits for the next event; `None` at the end of the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !self.has_begun {
            self.has_begun = true;
            return Some((Ok(Bytes::from_static(b"retry: 5000\n\n")), self));
        }
        if self.clock.now() >= self.ends_at {
            return None;
        }
        let waiting = async {
            tokio::time::sleep(APART).await;
            // A sender that is gone has no news.
            let _ = tokio::time::timeout(AT_LEAST_EVERY - APART, self.news.changed()).await;
        };
        tokio::select! {
            () = self.stop.clone() => None,
            () = waiting => Some((Ok(Bytes::from_static(b"data: new\n\n")), self)),
        }
    }
}

/// A stream of events, if there is a place for another viewer.
pub(in crate::server) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let service = &shared.service;
    let Ok(place) = Arc::clone(&shared.page.viewers).try_acquire_owned() else {
        let later = [(RETRY_AFTER, HeaderValue::from_static("15"))];
        return (StatusCode::SERVICE_UNAVAILABLE, later, "there are too many viewers").into_response();
    };
    let clock = service.clock;
    let viewer = Viewer {
        news: service.health.news(),
        stop: shared.page.stop.clone(),
        clock,
        ends_at: clock.now().plus(LASTS),
        has_begun: false,
        _place: place,
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // nginx would keep events until there are many.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(unfold(viewer, Viewer::next))).into_response()
}
