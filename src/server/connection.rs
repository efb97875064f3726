//! Accepts connections and answers their requests, within limits.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{BoxFuture, Shared};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::audit::Audit;
use super::limits;
use super::places::{Place, Places};
use super::problem::Problem;
use super::send_timeout::SendTimeout;
use crate::clock::Clock;
use crate::event::{ApiEvent, ApiWhat};
use crate::observe::Metrics;

/// The pause after a failed `accept`, for example when there are no more file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// How many connections are accepted in a row, before those that were accepted are served. They are fewer than the places
/// for health checks, so that a health check is answered before its place is needed.
const TAKEN_AT_ONCE: usize = limits::CONNECTIONS_FOR_HEALTH / 4;

/// Completes when the server has to stop.
pub(super) type Stop = Shared<BoxFuture<'static, ()>>;

/// The client of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// The client's address.
    pub(super) address: IpAddr,
    /// Whether this connection may only make a health check.
    pub(super) only_health: bool,
}

/// What all connections use.
#[derive(Clone)]
pub(super) struct Common {
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// How many more KiB of answers may be in flight.
    outstanding: Arc<Semaphore>,
}

impl Common {
    pub(super) fn new(audit: Arc<Audit>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let outstanding = usize::try_from(limits::OUTSTANDING / 1024).unwrap_or(usize::MAX);
        Self { audit, metrics, clock, outstanding: Arc::new(Semaphore::new(outstanding)) }
    }
}

/// Serves the connections of `listener` until `stop` is done, and then those that are still open.
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
                    // If this fails, answers are slower.
                    let _ = stream.set_nodelay(true);
                    let (reader, writer) = stream.into_split();
                    let (router, stop, common) = (router.clone(), stop.clone(), common.clone());
                    connections.spawn(answer(reader, writer, router, stop, place, common));
                }
                // They are served before others are accepted, which may need their places.
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

/// Accepts a connection.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address.ip()),
            // The client has closed it already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(error.title = %error, "failed to accept a connection, trying again");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

/// A place for a connection, or `None` if there is none.
fn seat(places: &Arc<Places>, address: IpAddr, common: &Common) -> Option<Place> {
    let crowded = |address: IpAddr, result| {
        common.metrics.api_connection(result);
        let peer = address.to_canonical().to_string();
        common.audit.note(ApiEvent { what: ApiWhat::Crowded, peer, request: None, omitted: 0 });
    };
    let Some((place, closed)) = places.take(address, common.clock.now()) else {
        crowded(address, "refused");
        return None;
    };
    closed.into_iter().for_each(|address| crowded(address, "closed"));
    common.metrics.api_connection("accepted");
    Some(place)
}

/// Answers the requests of a connection.
async fn answer(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    router: Router,
    stop: Stop,
    place: Place,
    common: Common,
) {
    let place = &place;
    place.waits(common.clock.now());
    let peer = Peer { address: place.address, only_health: place.only_health };
    let service = service_fn(|mut request: Request<Incoming>| {
        let (router, common) = (router.clone(), common.clone());
        place.asked();
        request.extensions_mut().insert(peer);
        async move {
            // A client that sends many requests at once does not delay others.
            tokio::task::yield_now().await;
            let response = router.oneshot(request.map(Body::new)).await;
            let response = response.unwrap_or_else(|never| match never {});
            let (mut response, room) = common.paced(response).await;
            place.answers(room);
            if place.is_crowded() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let stream = tokio::io::join(reader, SendTimeout::new(writer, place));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::KEEP_ALIVE)
        // A place for health checks is for one request.
        .keep_alive(!place.only_health)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Errors of a connection are its client's: a failed request is reported elsewhere.
    tokio::select! {
        _ = connection.as_mut() => {}
        // Another connection needs its place, and this one waits for its client.
        () = place.gone.notified() => {}
        () = sends_nothing(place) => {}
        () = stop => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Completes if the first request does not arrive in time.
async fn sends_nothing(place: &Place) {
    tokio::time::sleep(limits::ARRIVAL).await;
    if !place.is_new() {
        std::future::pending().await
    }
}

impl Common {
    /// Waits until there is room to send the answer, and returns both. Small answers (such as those to health checks) do not
    /// wait: the number of connections limits them.
    async fn paced(&self, response: Response) -> (Response, Option<OwnedSemaphorePermit>) {
        let size = response.body().size_hint().lower();
        if size <= limits::SMALL {
            return (response, None);
        }
        let kib = size.div_ceil(1024).min(limits::OUTSTANDING / 1024);
        let room = Arc::clone(&self.outstanding).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        match timeout(limits::ANSWER, room).await {
            Ok(Ok(room)) => (response, Some(room)),
            _ => {
                let detail = "other clients are slow to take their answers: try again later";
                (Problem::busy(detail).into_response(), None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::moment::Moment;

    /// A small answer, and one that takes all the room.
    fn routes() -> Router {
        let bytes = |bytes: u64| vec![0; usize::try_from(bytes).unwrap()];
        let router = Router::new().route("/small", get(async move || bytes(limits::SMALL)));
        let router = router.route("/tiny", get(async || "here"));
        router.route("/large", get(async move || bytes(2 * limits::OUTSTANDING)))
    }

    fn common() -> Common {
        let clock = Clock::start();
        let audit = Arc::new(Audit::new(Arc::new(|_| {}), clock));
        Common::new(audit, Arc::new(Metrics::new()), clock)
    }

    /// A client that has connected.
    fn connection(common: &Common) -> DuplexStream {
        let (ours, theirs) = duplex(1024);
        let (reader, writer) = tokio::io::split(theirs);
        let (place, _) = Arc::new(Places::default()).take([127, 0, 0, 1].into(), Moment::default()).unwrap();
        let stop = std::future::pending().boxed().shared();
        tokio::spawn(answer(reader, writer, routes(), stop, place, common.clone()));
        ours
    }

    /// A client that has sent a request.
    async fn client(path: &str, common: &Common) -> DuplexStream {
        let mut ours = connection(common);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        ours.write_all(request.as_bytes()).await.unwrap();
        ours
    }

    async fn status(client: &mut DuplexStream) -> String {
        let mut line = [0; 12];
        client.read_exact(&mut line).await.unwrap();
        String::from_utf8_lossy(&line[9..]).into_owned()
    }

    async fn answered(client: &mut DuplexStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0);
        }
    }

    async fn is_closed_within(client: &mut DuplexStream, limit: Duration) -> bool {
        let start = Clock::start();
        let end = timeout(limit, client.read(&mut [0])).await;
        matches!(end, Ok(Ok(0) | Err(_))) && start.elapsed() + Duration::from_secs(1) >= limit
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_been_answered_is_kept_for_longer_than_proxies_keep_theirs() {
        let second = Duration::from_secs(1);
        let mut kept = client("/tiny", &common()).await;
        for _ in 0..3 {
            answered(&mut kept).await;
            tokio::time::sleep(Duration::from_secs(70)).await;
            kept.write_all(b"GET /tiny HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        }
        answered(&mut kept).await;
        assert!(is_closed_within(&mut kept, limits::KEEP_ALIVE + second).await);
        // A part of a request is not a request.
        let mut new = connection(&common());
        new.write_all(b"GET /tiny HTTP/1.1\r\nHost: local").await.unwrap();
        assert!(is_closed_within(&mut new, limits::ARRIVAL + second).await);
    }

    // Not with sockets: a paused clock does not wait for them.
    #[tokio::test(start_paused = true)]
    async fn a_large_answer_waits_until_others_are_sent_and_a_small_one_does_not() {
        let common = common();
        let clock = common.clock;
        let start = clock.now();
        let mut slow = client("/large", &common).await;
        assert_eq!(status(&mut slow).await, "200");
        assert_eq!(status(&mut client("/small", &common).await).await, "200");
        assert_eq!(clock.now(), start);
        // It reads a little now and then.
        let slow = tokio::spawn(async move {
            while slow.read_exact(&mut [0; 512]).await.is_ok() {
                tokio::time::sleep(limits::STALL / 2).await;
            }
        });
        assert_eq!(status(&mut client("/large", &common).await).await, "503");
        let waited = clock.now().since(start);
        assert!((limits::ANSWER..2 * limits::ANSWER).contains(&waited), "{waited:?}");
        // An answer that is larger than all the room is sent when no other is.
        slow.abort();
        assert_eq!(status(&mut client("/large", &common).await).await, "200");
    }
}
