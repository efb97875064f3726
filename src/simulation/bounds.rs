//! How late something may be, and why.

use std::time::Duration;

use super::scene::Limits;

/// How long a call to the store takes at most where the store is well, with the calls that are before it in the queue.
pub(super) const CALL: Duration = Duration::from_millis(20);

/// What the runner itself takes: a pass that keeps, a pass that claims, timers that round up.
pub(super) const OWN: Duration = Duration::from_millis(200);

/// How often a blocked account is looked at for watches whose time is over.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// What the last poll gets.
pub(super) const LAST_POLL: Duration = Duration::from_secs(1);

/// How much longer than it may a poll can take: timers round up.
pub(super) const TIMER: Duration = Duration::from_millis(2);

/// How long it takes until `/readyz` and the journal say what is so: a pass.
pub(super) const TOLD: Duration = Duration::from_secs(2);

/// How often a daemon that works makes a pass, and when `/healthz` begins to doubt it.
pub(super) const PASS: Duration = Duration::from_secs(30);

/// How many steps the daemon may make in a second of its time, besides those that its work takes.
pub(super) const STEPS_A_SECOND: u64 = 60;

/// How many steps a poll, a pass, or a delivery may take.
pub(super) const STEPS_A_DEED: u64 = 12;

/// How many passes may begin at one moment.
pub(super) const PASSES_AT_ONCE: u64 = 4000;

/// How large a watch may grow in the store.
pub(super) const KEPT_BYTES: usize = 16 << 10;

/// How many attempts to one endpoint are under way at once.
pub(super) const ATTEMPTS_AT_ONCE: u32 = 8;

/// How many watches and how many deliveries may be claimed: those that are polled or brought, and those that are polled
/// next, of which each account has four, or its share of the polls at once.
pub(super) fn claims(accounts: usize, endpoints: usize) -> (usize, usize) {
    /// No settings that are invented allow more polls at once.
    const CONCURRENCY: usize = 64;
    (CONCURRENCY + CONCURRENCY.max(4 * accounts) + accounts, endpoints * ATTEMPTS_AT_ONCE as usize)
}

/// An account whose server has just taken so long, or half of what a request may take, has no place of those that are
/// kept from servers that hang, until it answers sooner.
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

/// How many polls may be under way at servers that do not answer soon: a quarter of the room is kept from them, and one
/// place at least, if there are two.
fn places_of_slow_ones(limits: &Limits) -> usize {
    limits.concurrency - (limits.concurrency / 4).max(1).min(limits.concurrency - 1)
}

/// For how long nothing may have changed until the runner knows which servers hang: each account is asked in its turn, and
/// a poll may take all of its time.
pub(super) fn until_known(limits: &Limits, accounts: usize) -> Duration {
    limits.request_timeout * (count(accounts.div_ceil(places_of_slow_ones(limits))) + 2)
}

/// How long an account waits at most until one of its watches has a turn: each account before it may hold the room for
/// as long as a poll takes.
pub(super) fn turn(limits: &Limits, accounts: usize, answer: Duration) -> Duration {
    answer * (count(accounts.div_ceil(places_of_slow_ones(limits))) + 2)
}

/// How much later than it was due a watch may be polled, if `watches` of its account may be due at once, whatever the
/// other `accounts` do, of which so many have servers that are `well`.
///
/// * The budget gives each of them a request in turn.
/// * Where all servers answer within `answer`, it waits for its turn among the accounts, an answer long.
/// * Polls under way may hang until their time is over. An account whose server answers soon waits for that once, since
///   a quarter of the room is kept for such; then only for others like it. Where there is no quarter (fewer than four
///   at once), and for an account whose own server hangs, it waits for each of its own polls and for its turn among the
///   accounts, in the places that servers may have which do not answer soon.
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
