//! A thread for each peer, for the daemon.
//!
//! The thread that owns a connection reads what a peer sends, as fast as it arrives. A peer may send interim responses (1xx)
//! without end. The HTTP client skips them silently, and its thread has no time for anything else. With a thread for each
//! peer, a peer keeps only its own thread busy: the system divides the processors fairly among threads, and the rest of the
//! process continues. All work of the thread is for this peer, so its CPU time shows a flood: a request that uses more than any
//! response needs is ended.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::Url;

use crate::clock::Clock;

/// The threads of all peers, by origin. They end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<BTreeMap<String, Arc<Lane>>>);

/// How much CPU time a request may use until the head of its response has arrived: a thousand times what TLS and a head need.
const TIME: Duration = Duration::from_secs(2);

/// How much CPU time each other request may have used in the meantime.
const TIME_OF_OTHERS: Duration = Duration::from_millis(10);

/// How often the CPU time is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A peer has sent more than a response can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flooded;

/// The thread of a peer.
#[derive(Debug)]
struct Lane {
    runtime: Handle,
    requests: Arc<Requests>,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<Infallible>,
}

impl Lanes {
    /// Runs `work`, which sends a request to the peer at `url` and waits for the head of its response. Connections that it opens
    /// belong to the thread of the peer.
    pub(super) async fn run<F: Future>(&self, url: &Url, work: F) -> Result<F::Output, Flooded> {
        // If no thread can be created, the work runs here.
        let Some(lane) = self.lane(url) else { return Ok(work.await) };
        tokio::select! {
            biased;
            output = Within { runtime: &lane.runtime, work: pin!(work) } => Ok(output),
            () = lane.flooded() => Err(Flooded),
        }
    }

    fn lane(&self, url: &Url) -> Option<Arc<Lane>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = url.origin().ascii_serialization();
        if let Some(lane) = lanes.get(&origin) {
            return Some(Arc::clone(lane));
        }
        let lane = Arc::new(Lane::open().ok()?);
        lanes.insert(origin, Arc::clone(&lane));
        Some(lane)
    }
}

impl Lane {
    fn open() -> std::io::Result<Self> {
        // A flood never pauses: timers have to be checked more often than every 61 turns.
        let runtime = Builder::new_current_thread().enable_all().event_interval(8).build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        std::thread::Builder::new().name("peer".to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // Do not wait for work that cannot be cancelled, such as resolving a name.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, requests: Arc::default(), _stop: stop })
    }

    /// Waits until the thread has used more CPU time than all its requests may use together.
    async fn flooded(&self) {
        let _waiting = Waiting::begin(&self.requests);
        let requests = Arc::clone(&self.requests);
        let looking = async move {
            let (start, answered) = (Clock::thread_time(), requests.done.load(Ordering::Relaxed));
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let waiting = requests.waiting.load(Ordering::Relaxed);
                let others = requests.done.load(Ordering::Relaxed).wrapping_sub(answered);
                let allowed = TIME * waiting.max(1) + TIME_OF_OTHERS.saturating_mul(others);
                if Clock::thread_time().saturating_sub(start) > allowed {
                    return;
                }
            }
        };
        // Dropping this ends the check.
        let mut task = JoinSet::new();
        task.spawn_on(looking, &self.runtime);
        task.join_next().await;
    }
}

/// The requests to a peer.
#[derive(Debug, Default)]
struct Requests {
    /// How many wait for the head of a response.
    waiting: AtomicU32,
    /// How many have ended.
    done: AtomicU32,
}

/// A request that waits for the head of its response.
struct Waiting<'a>(&'a Requests);

impl<'a> Waiting<'a> {
    fn begin(requests: &'a Requests) -> Self {
        requests.waiting.fetch_add(1, Ordering::Relaxed);
        Self(requests)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Work whose tasks and sockets belong to another runtime than the one that awaits it.
struct Within<'a, F> {
    runtime: &'a Handle,
    work: Pin<&'a mut F>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _within = self.runtime.enter();
        self.work.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_peer_has_one_thread() {
        let lanes = Lanes::default();
        let thread = async |url: &str| {
            let url = Url::parse(url).unwrap();
            // What is begun while the work is done is done by the peer's thread.
            let begin = async { tokio::spawn(async { std::thread::current().id() }).await.unwrap() };
            lanes.run(&url, begin).await.unwrap()
        };
        let one = thread("https://one.example/a").await;
        assert_eq!(one, thread("https://one.example:443/b").await);
        assert_ne!(one, thread("https://other.example/a").await);
        assert_ne!(one, std::thread::current().id());
    }

    #[tokio::test]
    async fn who_takes_all_of_its_time_is_not_listened_to() {
        let lanes = Lanes::default();
        let url = Url::parse("https://flood.example").unwrap();
        let flood = async {
            // As a connection that always has something to read: it lets others go on now and then.
            let mut reading = JoinSet::new();
            reading.spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            reading.join_next().await;
        };
        assert_eq!(lanes.run(&url, flood).await, Err(Flooded));
        let silence = tokio::time::sleep(2 * LOOK_EVERY);
        assert_eq!(lanes.run(&url, silence).await, Ok(()), "who is only slow is waited for");
    }
}
