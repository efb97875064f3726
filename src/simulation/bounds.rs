//! How late something may be, and why.

use std::time::Duration;

use super::scene::Limits;

/// How long a call to a healthy store takes at most, including the calls before it in the queue.
pub(super) const CALL: Duration = Duration::from_millis(20);

/// The time that the runner itself needs: a pass that stores, a pass that claims, timers that round up.
pub(super) const OWN: Duration = Duration::from_millis(200);

/// How often a blocked account is checked for watches whose time is over.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// The time for the last poll.
pub(super) const LAST_POLL: Duration = Duration::from_secs(1);

/// By how much a poll may exceed its limit: timers round up.
pub(super) const TIMER: Duration = Duration::from_millis(2);

/// How long it takes until `/readyz` and the log are up to date: a pass.
pub(super) const TOLD: Duration = Duration::from_secs(2);

/// How often a healthy daemon makes a pass, and after how long `/healthz` reports that it does not.
pub(super) const PASS: Duration = Duration::from_secs(30);

/// How many steps the daemon may make in a second, in addition to those for its work.
pub(super) const STEPS_A_SECOND: u64 = 60;

/// How many steps a poll, a pass, or a delivery may take.
pub(super) const STEPS_A_DEED: u64 = 12;

/// How many passes may begin at one moment.
pub(super) const PASSES_AT_ONCE: u64 = 4000;

/// How large a watch may grow in the store.
pub(super) const KEPT_BYTES: usize = 16 << 10;

/// How many attempts to one endpoint are under way at once.
pub(super) const ATTEMPTS_AT_ONCE: u32 = 8;

/// How many watches and deliveries may be claimed: those being polled or delivered, and those that are polled next (for
/// each account four, or its share of the concurrent polls).
pub(super) fn claims(accounts: usize, endpoints: usize) -> (usize, usize) {
    /// The generated settings allow no more polls at once.
    const CONCURRENCY: usize = 64;
    (CONCURRENCY + CONCURRENCY.max(4 * accounts) + accounts, endpoints * ATTEMPTS_AT_ONCE as usize)
}

/// An account whose last answer took longer than this, or than half of the request timeout, counts as slow until it answers
/// sooner.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// How the servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Servers {
    /// All answer soon, and have for a while.
    Well,
    /// The account's own answers soon; which of the others do has not changed for a while.
    OthersKnown,
    /// The account's own answers soon.
    OthersIll,
    /// The account's own may hang.
    OwnIll,
}

/// How many polls of slow servers may be in flight: a quarter of all places, and at least one of two, is reserved for
/// others.
fn places_of_slow_ones(limits: &Limits) -> usize {
    limits.concurrency - (limits.concurrency / 4).max(1).min(limits.concurrency - 1)
}

/// How long it takes until the runner knows which servers hang: each account has its turn, and each poll may time out.
pub(super) fn until_known(limits: &Limits, accounts: usize) -> Duration {
    limits.request_timeout * (count(accounts.div_ceil(places_of_slow_ones(limits))) + 2)
}

/// How long an account waits for its turn at most: each account before it may use a place for one poll.
pub(super) fn turn(limits: &Limits, accounts: usize, answer: Duration) -> Duration {
    answer * (count(accounts.div_ceil(places_of_slow_ones(limits))) + 2)
}

/// How late a watch may be polled if `watches` of its account are due at once, whatever the other `accounts` do. `well` of
/// them have healthy servers.
///
/// * The budget allows one request after the other.
/// * If all servers answer within `answer`, it waits for its turn among the accounts, one answer each.
/// * Polls in flight may hang until they time out. An account whose server is not slow waits for that once, since a
///   quarter of the places is reserved; after that it waits only for other healthy accounts. With fewer than four places,
///   or if its own server hangs, it waits for its own polls and for its turn in the places that slow servers may use.
pub(super) fn late(
    limits: &Limits,
    interval: Duration,
    (watches, accounts, well): (usize, usize, usize),
    (servers, answer): (Servers, Duration),
) -> Duration {
    let (concurrency, kept_free) = (limits.concurrency, limits.concurrency / 4);
    let (own, turns) = (count(watches), count(accounts.div_ceil(concurrency)));
    let among_the_well = answer * (own + 1) * count(well.div_ceil(kept_free.max(1)) + 1);
    let room = match servers {
        Servers::Well => answer * (own + 1) * (turns + 2),
        Servers::OthersKnown if kept_free > 0 => among_the_well,
        Servers::OthersIll if kept_free > 0 => until_known(limits, accounts) + among_the_well,
        Servers::OthersKnown | Servers::OthersIll | Servers::OwnIll => {
            let turns = count(accounts.div_ceil(places_of_slow_ones(limits)));
            limits.request_timeout * (own + 1) * (turns + 1)
        }
    };
    OWN + CALL * own + interval * own + room
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
