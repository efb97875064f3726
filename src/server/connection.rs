//! Connections: how they are taken, and how long they may keep us waiting.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, timeout};
use tower::ServiceExt as _;

use super::audit::Audit;
use super::limits;
use super::places::{Answering, Place, Places, Seat};
use super::problem::Problem;
use crate::event::{ApiEvent, ApiWhat};
use crate::observe::Metrics;

/// How long to leave a system alone that has no connection to give, as when it is out of file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// How many connections are taken in a row. They are fewer than there are places for health checks, so that one of those is
/// looked at before it has to make room.
const TAKEN_AT_ONCE: usize = limits::CONNECTIONS_FOR_HEALTH / 4;

/// How long a connection that has to make room may take for its first request, which may be on its way.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// How many of them have that chance at once.
const LAST_CHANCES: usize = 64;

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
pub(super) struct Shared {
    pub(super) audit: Arc<Audit>,
    pub(super) metrics: Arc<Metrics>,
    /// How many KiB of answers may be sent besides those that are.
    outstanding: Arc<Semaphore>,
    last_chances: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(audit: Arc<Audit>, metrics: Arc<Metrics>) -> Self {
        Self {
            audit,
            metrics,
            last_chances: Arc::new(Semaphore::new(LAST_CHANCES)),
            outstanding: Arc::new(Semaphore::new(
                usize::try_from(limits::OUTSTANDING / 1024).unwrap_or(usize::MAX),
            )),
        }
    }

    fn crowded(&self, address: IpAddr) {
        let peer = address.to_canonical().to_string();
        self.audit.note(ApiEvent { what: ApiWhat::Crowded, peer, request: None, omitted: 0 });
    }
}

/// Answers what comes in on `listener` until `stop` is done, and then what has come in before.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shared: Shared,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Places::default());
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    let mut taken = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, address) = accept(&listener) => {
                if let Some(place) = seat(&places, address, &shared) {
                    connections.spawn(answer(stream, router.clone(), stopped.clone(), place, shared.clone()));
                }
                // What they ask is looked at before others come, which may be in need of their places.
                taken = (taken + 1) % TAKEN_AT_ONCE;
                if taken == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    drop((listener, stopping));
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
fn seat(places: &Arc<Places>, address: IpAddr, shared: &Shared) -> Option<Place> {
    let place = match places.take(address) {
        Seat::Taken(place) => place,
        Seat::InPlaceOf(place, lost) => {
            shared.metrics.api_closed();
            shared.crowded(lost);
            place
        }
        Seat::None => {
            shared.metrics.api_refused();
            shared.crowded(address);
            return None;
        }
    };
    shared.metrics.api_accepted();
    Some(place)
}

async fn answer(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    place: Place,
    shared: Shared,
) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let gone = Arc::clone(&place.gone);
    let peer = Peer { address: place.address, only_health: place.only_health };
    let asked = AtomicU32::new(0);
    let service = service_fn(|mut request: Request<Incoming>| {
        asked.fetch_add(1, Ordering::Relaxed);
        let (router, answering, shared) = (router.clone(), place.answer(), shared.clone());
        request.extensions_mut().insert(peer);
        async move {
            // Who sends many requests at once waits for the others in turn.
            tokio::task::yield_now().await;
            let response = router.oneshot(request.map(Body::new)).await;
            let response = response.unwrap_or_else(|never| match never {});
            Ok::<_, std::convert::Infallible>(shared.paced(response, answering).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ARRIVAL)
        // A place that is kept for health checks is for one of them, whatever else its client has sent.
        .keep_alive(!place.only_health)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(Taken::new(stream, &place)), service);
    tokio::pin!(connection);
    // How a connection ends is its client's affair: what broke off is known where it was worked on.
    tokio::select! {
        _ = connection.as_mut() => {}
        // Another needs its place, and it waits for its client. The first request may be on its way at this moment.
        () = gone.notified() => {
            let chance = (asked.load(Ordering::Relaxed) <= 1).then(|| shared.last_chances.try_acquire());
            if let Some(Ok(_chance)) = chance {
                let _ = timeout(LAST_CHANCE, connection).await;
            }
        }
        // The sender is gone: that is the sign.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

impl Shared {
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

/// A connection that breaks when its client takes nothing of what is sent to it for [`limits::STALL`], or not all of an
/// answer within [`limits::TAKE`].
struct Taken<'a, S> {
    stream: S,
    place: &'a Place,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs from when a client could not take all at once until it has.
    late: Option<Pin<Box<Sleep>>>,
}

impl<'a, S> Taken<'a, S> {
    const fn new(stream: S, place: &'a Place) -> Self {
        Self { stream, place, stalled: None, late: None }
    }

    /// Lets `sent` through, unless nothing could be sent for too long.
    fn within_limit<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            if self.stalled.take().is_some() {
                self.place.stalls(false);
            }
            return sent;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::TAKE)));
        if late.as_mut().poll(context).is_pending() {
            let stalled = self.stalled.get_or_insert_with(|| {
                self.place.stalls(true);
                Box::pin(tokio::time::sleep(limits::STALL))
            });
            ready!(stalled.as_mut().poll(context));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_limit(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.within_limit(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when all that there was to be sent is.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.late = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::clock::Clock;

    fn place() -> Place {
        let places = Arc::new(Places::default());
        let Seat::Taken(place) = places.take([127, 0, 0, 1].into()) else { unreachable!("it is the first") };
        place
    }

    /// Sends to `taken` without an end until it breaks; says how long that took.
    async fn given_up_after(mut taken: Taken<'_, DuplexStream>) -> Duration {
        let clock = Clock::start();
        let start = clock.now();
        let error = loop {
            if let Err(error) = taken.write_all(&[0; 4096]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        clock.now().since(start)
    }

    // Sockets would not do: time that stands still runs ahead of what the system has under way.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (place, (_client, ours)) = (place(), duplex(4096));
        let waited = given_up_after(Taken::new(ours, &place)).await;
        assert!((limits::STALL..2 * limits::STALL).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_given_up_too() {
        let (place, (mut client, ours)) = (place(), duplex(4096));
        let taking = tokio::spawn(async move {
            while client.read_exact(&mut [0; 1024]).await.is_ok() {
                tokio::time::sleep(limits::STALL / 3).await;
            }
        });
        let waited = given_up_after(Taken::new(ours, &place)).await;
        assert!((limits::TAKE..limits::TAKE + limits::STALL).contains(&waited), "{waited:?}");
        taking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_wait_for_each_other_and_small_ones_for_nobody() {
        let audit = Arc::new(Audit::new(Arc::new(|_| {}), Clock::start()));
        let shared = Shared::new(audit, Arc::new(Metrics::new()));
        let place = place();
        let answer = async |bytes: u64| {
            let body = Body::from(vec![0; usize::try_from(bytes).unwrap()]);
            shared.paced(Response::new(body), place.answer()).await
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
