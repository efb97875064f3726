//! How much of the daemon one client, and all of them together, may use, so that polls do not suffer.

use std::time::Duration;

/// The largest body of a request, in bytes. A watch with all its labels needs less than half of it.
pub(super) const BODY: usize = 64 * 1024;

/// How many bytes of a body that is too large are read and discarded, so that a client that sends before it reads gets the
/// answer.
pub(super) const BODY_TO_DISCARD: usize = 1024 * 1024;

/// The largest request line and headers together, in bytes.
pub(super) const HEAD: usize = 16 * 1024;

/// How long the first request of a connection may take to arrive, and the body of each.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

/// How long a connection that has sent a request may take to send the next one. Proxies keep connections for 60 s: if we
/// closed them earlier, a proxy would send requests to connections that we are closing.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a route may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// How long a client may receive nothing of an answer that is being sent.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// How long a client may take to receive a whole answer.
pub(super) const TAKE: Duration = Duration::from_secs(60);

/// How many connections there may be.
pub(super) const CONNECTIONS: usize = 128;

/// How many of them may come from one address.
pub(super) const CONNECTIONS_EACH: usize = 64;

/// How many more connections from this machine there may be, for one health check each.
pub(super) const CONNECTIONS_FOR_HEALTH: usize = 32;

/// How long a new connection keeps its place for its first request, if there is another way.
pub(super) const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// How many routes may run at once, including those whose clients disconnected, without health checks.
pub(super) const REQUESTS: usize = 128;

/// How many viewers of the page are told of news at once.
pub(super) const VIEWERS: usize = 32;

/// How long the store may take to answer a health check.
pub(super) const STORE: Duration = Duration::from_secs(2);

/// How many bytes of watches are read for a page, and after how many it ends.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// How many pages are written at once.
pub(super) const PAGES: usize = 4;

/// How many bytes of answers may be in flight, without the small ones.
pub(super) const OUTSTANDING: u64 = 8 * 1024 * 1024;

/// The size of a small answer, in bytes.
pub(super) const SMALL: u64 = 64 * 1024;

/// The largest number of watches on a page, and the default.
pub(super) const PAGE: usize = 1000;
/// See [`PAGE`].
pub(super) const DEFAULT_PAGE: usize = 100;
