//! Starting an export: one POST. It is never repeated blindly, since each one may create an export.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::transport::{Reply, Unanswered};
use super::{Client, failure, throttle, wire};
use crate::export::ExportRef;
use crate::request::StartRequest;
use crate::watch::observation::{Failure, FailureKind};

/// An export that Snyk has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The export.
    pub export: ExportRef,
    /// When it was created, as Snyk says: RFC 3339 in UTC.
    pub created: Option<String>,
}

/// Why no export is known to have started.
#[derive(Debug, Clone, PartialEq)]
pub struct NotStarted {
    /// What went wrong.
    pub failure: Failure,
    /// How long the server asks us to stay away, if it does.
    pub hint: Option<Duration>,
    /// Whether an export may exist all the same: the request was sent, and no answer rules it out.
    pub may_exist: bool,
}

/// Whether a start is in flight: a part of it was sent, and no answer has arrived. Clones share this state.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<AtomicBool>);

impl InFlight {
    /// Whether the request may have reached Snyk.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Relaxed);
    }
}

/// A document that is being sent.
#[derive(Debug, Clone)]
pub(super) struct Posting {
    bytes: Bytes,
    in_flight: InFlight,
}

impl Posting {
    fn new(request: &StartRequest, in_flight: &InFlight) -> Self {
        Self { bytes: request.body.to_string().into(), in_flight: in_flight.clone() }
    }

    /// The body of a request. When it is first polled, there is a connection, and the request is being sent.
    pub(super) fn body(&self) -> reqwest::Body {
        let length = self.bytes.len() as u64;
        reqwest::Body::wrap(Marked {
            bytes: Some(self.bytes.clone()),
            length,
            in_flight: self.in_flight.clone(),
        })
    }

    /// Notes that an answer has arrived: it says whether there is an export.
    pub(super) fn answered(&self) {
        self.in_flight.set(false);
    }
}

/// A body that notes when it is sent. A request that fails before, such as in connecting, has reached nobody.
struct Marked {
    bytes: Option<Bytes>,
    length: u64,
    in_flight: InFlight,
}

impl Body for Marked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.in_flight.set(true);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // The length is announced: not every server accepts a chunked body.
        SizeHint::with_exact(if self.bytes.is_some() { self.length } else { 0 })
    }
}

impl Client {
    /// Starts an export. The request is sent once, with a timeout of `limit`. A caller may repeat it only if the failure says
    /// that no export can exist. A caller that stops waiting for the answer learns from `in_flight` whether one may exist.
    ///
    /// # Errors
    ///
    /// If the answer is not the id of an export.
    pub async fn start(
        &self,
        request: &StartRequest,
        limit: Duration,
        in_flight: &InFlight,
    ) -> Result<Started, NotStarted> {
        let posting = Posting::new(request, in_flight);
        let asking = self.ask(Some(&posting), |version| self.api.start_url(request, version));
        let reply = match tokio::time::timeout(limit, asking).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(Unanswered { failure, hint })) => {
                // A failure that no retry can heal has kept the request from Snyk's server.
                let may_exist = in_flight.may_have_arrived() && failure.kind != FailureKind::Unrecoverable;
                return Err(NotStarted { failure, hint, may_exist });
            }
            Err(_) => {
                let mut failure = Failure::transient("request timed out", "");
                failure.problem.cure = self.connections.network().route(self.api.url());
                return Err(NotStarted { failure, hint: None, may_exist: in_flight.may_have_arrived() });
            }
        };
        let created = (200..300).contains(&reply.http_status).then(|| wire::created(&reply.body)).flatten();
        let Some((export_id, created)) = created else { return Err(not_started(&reply)) };
        let (scope, scope_id) = (request.scope.scope, request.scope.id);
        Ok(Started { export: ExportRef { scope, scope_id, export_id }, created })
    }
}

fn not_started(reply: &Reply) -> NotStarted {
    NotStarted {
        failure: failure(reply, "the answer does not name an export"),
        hint: throttle::hint(reply.http_status, &reply.headers),
        may_exist: may_have_started(reply.http_status),
    }
}

/// Whether a request may have started an export if this was the status of its answer, and the answer names none. After a
/// gateway's timeout (502, 504), an error of the server (500) or a damaged answer nobody knows. A server that refuses a request
/// or sends it away (429, 503, 425) has not carried it out.
const fn may_have_started(http_status: u16) -> bool {
    let is_transient = matches!(FailureKind::of_http_status(http_status), FailureKind::Transient);
    is_transient && !matches!(http_status, 425 | 503)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_rules_an_export_out() {
        for status in [200, 202, 204, 408, 500, 502, 504, 507, 520] {
            assert!(may_have_started(status), "{status}");
        }
        for status in [302, 400, 401, 403, 404, 409, 410, 413, 425, 429, 503] {
            assert!(!may_have_started(status), "{status}");
        }
    }
}
