//! Connections: how they are taken, and how long they may keep us waiting.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{BoxFuture, Shared};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::audit::Audit;
use super::limits;
use super::places::{Answering, Place, Places, Seat};
use super::problem::Problem;
use super::send_timeout::SendTimeout;
use crate::clock::Clock;
use crate::event::{ApiEvent, ApiWhat};
use crate::observe::Metrics;

/// How long to leave a system alone that has no connection to give, as when it is out of file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// How many connections are taken in a row. They are fewer than there are places for health checks, so that one of those is
/// looked at before it has to make room.
const TAKEN_AT_ONCE: usize = limits::CONNECTIONS_FOR_HEALTH / 4;

/// Is done when the server has to stop.
pub(super) type Stop = Shared<BoxFuture<'static, ()>>;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// Where the request comes from.
    pub(super) address: IpAddr,
    /// Whether there is no room but for a health check.
    pub(super) only_health: bool,
}

/// What connections have in common.
#[derive(Clone)]
pub(super) struct Common {
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// How many more KiB of answers may be on their way to clients.
    outstanding: Arc<Semaphore>,
}

impl Common {
    pub(super) fn new(audit: Arc<Audit>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let outstanding = usize::try_from(limits::OUTSTANDING / 1024).unwrap_or(usize::MAX);
        Self { audit, metrics, clock, outstanding: Arc::new(Semaphore::new(outstanding)) }
    }

    fn crowded(&self, address: IpAddr) {
        let peer = address.to_canonical().to_string();
        self.audit.note(ApiEvent { what: ApiWhat::Crowded, peer, request: None, omitted: 0 });
    }
}

/// Answers what comes in on `listener` until `stop` is done, and then what has come in before.
pub(super) async fn serve(listener: TcpListener, router: Router, common: Common, mut stop: Stop) {
    let places = Arc::new(Places::default());
    let mut connections = JoinSet::new();
    let mut taken = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, address) = accept(&listener) => {
                if let Some(place) = seat(&places, address, &common) {
                    connections.spawn(answer(stream, router.clone(), stop.clone(), place, common.clone()));
                }
                // What they ask is looked at before others come, which may be in need of their places.
                taken = (taken + 1) % TAKEN_AT_ONCE;
                if taken == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address.ip()),
            // The client was faster than we were.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(error.title = %error, "failed to accept a connection, trying again");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

/// A place for a connection; nothing where it has to go.
fn seat(places: &Arc<Places>, address: IpAddr, common: &Common) -> Option<Place> {
    let place = match places.take(address, common.clock.now()) {
        Seat::Taken(place) => place,
        Seat::InPlaceOf(place, lost) => {
            common.metrics.api_closed();
            common.crowded(lost);
            place
        }
        Seat::None => {
            common.metrics.api_refused();
            common.crowded(address);
            return None;
        }
    };
    common.metrics.api_accepted();
    Some(place)
}

async fn answer(stream: TcpStream, router: Router, stop: Stop, place: Place, common: Common) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let gone = Arc::clone(&place.gone);
    let peer = Peer { address: place.address, only_health: place.only_health };
    let service = service_fn(|mut request: Request<Incoming>| {
        let (router, answering, common) = (router.clone(), place.answer(), common.clone());
        request.extensions_mut().insert(peer);
        async move {
            // Who sends many requests at once waits for the others in turn.
            tokio::task::yield_now().await;
            let response = router.oneshot(request.map(Body::new)).await;
            let response = response.unwrap_or_else(|never| match never {});
            Ok::<_, std::convert::Infallible>(common.paced(response, answering).await)
        }
    });
    let (reader, writer) = stream.into_split();
    let stream = tokio::io::join(reader, SendTimeout::new(writer, &place));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ARRIVAL)
        // A place that is kept for health checks is for one of them, whatever else its client has sent.
        .keep_alive(!place.only_health)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // How a connection ends is its client's affair: what broke off is known where it was worked on.
    tokio::select! {
        _ = connection.as_mut() => {}
        // Another connection needs its place, and it waits for its client.
        () = gone.notified() => {}
        () = stop => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

impl Common {
    /// The answer, once so little is on its way to others that it may be sent. One that is small is bounded by the number of
    /// connections, and waits for nobody: a health check must not.
    async fn paced(&self, response: Response, answering: Answering) -> Response {
        let size = response.body().size_hint().lower();
        let room = if size <= limits::SMALL {
            None
        } else {
            let kib = size.div_ceil(1024).min(limits::OUTSTANDING / 1024);
            let room =
                Arc::clone(&self.outstanding).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
            let Ok(Ok(room)) = timeout(limits::ANSWER, room).await else {
                let detail = "other clients are slow to take their answers: try again later";
                return Problem::unavailable("busy", "The daemon is busy", detail).into_response();
            };
            Some(room)
        };
        response.map(|body| Body::new(Outgoing { body, _room: room, _answering: answering }))
    }
}

/// An answer on its way.
struct Outgoing {
    body: Body,
    _room: Option<OwnedSemaphorePermit>,
    _answering: Answering,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::server::places::{Places, Seat};

    #[tokio::test(start_paused = true)]
    async fn large_answers_wait_for_each_other_and_small_ones_for_nobody() {
        let audit = Arc::new(Audit::new(Arc::new(|_| {}), Clock::start()));
        let common = Common::new(audit, Arc::new(Metrics::new()), Clock::start());
        let Seat::Taken(place) = Arc::new(Places::default()).take([127, 0, 0, 1].into(), Moment::default())
        else {
            unreachable!("it is the first")
        };
        let answer = async |bytes: u64| {
            let body = Body::from(vec![0; usize::try_from(bytes).unwrap()]);
            common.paced(Response::new(body), place.answer()).await
        };
        let all = answer(limits::OUTSTANDING).await;
        assert_eq!(all.status(), 200);
        let clock = Clock::start();
        let start = clock.now();
        assert_eq!(answer(limits::SMALL).await.status(), 200);
        assert_eq!(clock.now().since(start), Duration::ZERO);
        assert_eq!(answer(limits::SMALL + 1).await.status(), 503);
        assert!((limits::ANSWER..2 * limits::ANSWER).contains(&clock.now().since(start)));
        drop(all);
        assert_eq!(
            answer(2 * limits::OUTSTANDING).await.status(),
            200,
            "one that is larger than all may be sent alone"
        );
    }
}
