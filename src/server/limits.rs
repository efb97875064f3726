//! How much of the daemon one client may use up, and all of them together. Polls must not suffer from them.

use std::time::Duration;

/// The largest body of a request, in bytes. A watch with all its labels needs less than half of it.
pub(super) const BODY: usize = 64 * 1024;

/// How much of a body that is too large is read and thrown away, in bytes, so that a client that sends it all before it
/// reads learns why it is refused.
pub(super) const BODY_TO_DISCARD: usize = 1024 * 1024;

/// The largest request line and headers together, in bytes.
pub(super) const HEAD: usize = 16 * 1024;

/// How long a request's head may take to arrive, and then its body. A connection that is kept alive may be idle for
/// as long.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

/// How long an answer may take to be made.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// How long a client may take none of an answer that was sent.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// How long a client may take for a whole answer, however little of it is left.
pub(super) const TAKE: Duration = Duration::from_secs(60);

/// How many connections there are at most.
pub(super) const CONNECTIONS: usize = 128;

/// How many of them may come from one address.
pub(super) const CONNECTIONS_EACH: usize = 64;

/// How many there may be besides from this machine, for one health check each.
pub(super) const CONNECTIONS_FOR_HEALTH: usize = 32;

/// How long a new connection is left in its place for its first request, if that is possible.
pub(super) const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// How many requests are worked on at once, those included whose clients are gone. Health checks do not count.
pub(super) const REQUESTS: usize = 128;

/// How long the store may take to say that it works.
pub(super) const STORE: Duration = Duration::from_secs(2);

/// How many bytes of watches are read for a page, and how many a page has, before it ends with a watch.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// How many pages are made at once.
pub(super) const PAGES: usize = 4;

/// How many bytes of answers may be on their way to clients, all together, but for those that are small.
pub(super) const OUTSTANDING: u64 = 8 * 1024 * 1024;

/// How many bytes a small answer has at most.
pub(super) const SMALL: u64 = 64 * 1024;

/// How many watches a page has at most, and unless it is said.
pub(super) const PAGE: usize = 1000;
/// See [`PAGE`].
pub(super) const DEFAULT_PAGE: usize = 100;
