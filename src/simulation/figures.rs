//! Figures about worlds.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;

/// The figures of one world.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Figures {
    pub(super) polls: u64,
    pub(super) ends: u64,
    pub(super) lives: u64,
    pub(super) deliveries: u64,
    /// How long all watches were followed, added up.
    pub(super) followed: Duration,
    /// How long the world lasted.
    pub(super) lasted: Duration,
}

/// The figures of many worlds, and the processor time that they took.
#[derive(Debug)]
pub(super) struct Total {
    pub(super) worlds: u64,
    of: Figures,
    /// The processor time of this thread when the first world began.
    began: Duration,
}

impl Total {
    pub(super) fn start() -> Self {
        Self { worlds: 0, of: Figures::default(), began: Clock::thread_time() }
    }

    pub(super) fn add(&mut self, other: &Figures) {
        let Figures { polls, ends, lives, deliveries, followed, lasted } = &mut self.of;
        self.worlds += 1;
        *polls += other.polls;
        *ends += other.ends;
        *lives += other.lives;
        *deliveries += other.deliveries;
        *followed += other.followed;
        *lasted += other.lasted;
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let years = |time: Duration| time.as_secs_f64() / (365.25 * 24.0 * 3600.0);
        let Figures { polls, ends, lives, deliveries, followed, lasted } = self.of;
        let took = (Clock::thread_time() - self.began).as_secs_f64();
        write!(
            f,
            "{} worlds in {took:.0} s of a processor: {polls} polls, {ends} ends, {lives} lives, {deliveries} attempts to deliver; \
             watches were followed for {:.2} years, the daemon lived for {:.2} years, {:.0} times as fast as time",
            self.worlds,
            years(followed),
            years(lasted),
            lasted.as_secs_f64() / took.max(0.001),
        )
    }
}
