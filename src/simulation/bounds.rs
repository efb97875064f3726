//! How late something may be, and why.

use std::time::Duration;

use super::scene::{AccountScene, Limits};

/// What the runner itself takes: a pass that keeps, a pass that claims, timers that round up. A daemon whose store is
/// well needs milliseconds; the rest is room for passes that follow each other.
pub(super) const OWN: Duration = Duration::from_secs(2);

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

/// How much later than it was due a watch may be polled, if `watches` of its account may be due at once, whatever the
/// other `accounts` do.
///
/// * The budget gives each of them a request in turn.
/// * Polls under way may hang until their time is over. An account whose server answers soon waits for that once, since
///   a quarter of the room is kept for such; then only for others like it. Where there is no quarter (fewer than four
///   at once), and for an account whose own server hangs, it waits for each of its own polls and for its turn among the
///   accounts.
pub(super) fn late(
    limits: &Limits,
    concurrency: usize,
    account: &AccountScene,
    interval: Duration,
    (watches, accounts): (usize, usize),
    is_well: bool,
) -> Duration {
    let (watches, turns) = (count(watches), count(accounts.div_ceil(concurrency)));
    let budget = interval * watches;
    let kept_free = concurrency / 4;
    let room = if is_well && kept_free > 0 {
        let answer =
            Duration::from_millis(account.latency.0 + account.latency.1).max(Duration::from_millis(1700));
        let rivals = count(accounts.div_ceil(kept_free));
        limits.request_timeout * (turns + 1) + answer * watches * rivals
    } else {
        limits.request_timeout * (watches + 1) * (turns + 1)
    };
    OWN + budget + room
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
