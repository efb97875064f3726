//! How often an account may ask: a budget of requests, shared by all its watches.

use std::num::NonZeroU32;
use std::time::Duration;

use super::pace::{Pace, Position, lengthen};
use crate::moment::Moment;

/// How many requests may come at once after a rest; more only where a tenth of a second earns more.
pub const BURST: u32 = 20;

/// How long an account is held at most: a hint of a year must not stop it for good. Each watch that met such a hint heeds
/// all of it, so that what is tried every ten minutes is one of the others.
pub const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

/// A token bucket, and a hold on all of it while the server asks us to stay away.
///
/// The bucket is kept as the moment at which it will be full again: each request moves that moment on by the time
/// that it takes to earn one, and a request has to wait while it lies further ahead than the burst takes to earn.
#[derive(Debug, Clone)]
pub struct Budget {
    interval: Duration,
    burst: u32,
    full_at: Moment,
    held_until: Moment,
    throttle: Position,
}

impl Budget {
    /// A budget of so many requests per minute, with a full bucket.
    #[must_use]
    pub fn per_minute(requests: NonZeroU32, now: Moment) -> Self {
        let (interval, burst) = interval_and_burst(requests);
        Self { interval, burst, full_at: now, held_until: now, throttle: None }
    }

    /// How many requests may be sent now.
    #[must_use]
    pub fn available(&self, now: Moment) -> usize {
        if now < self.held_until {
            return 0;
        }
        let room = (self.interval * self.burst).saturating_sub(self.full_at.since(now));
        let requests = room.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(requests).unwrap_or(usize::MAX)
    }

    /// Whether the server has asked us to stay away until later than `now`.
    #[must_use]
    pub fn is_held(&self, now: Moment) -> bool {
        now < self.held_until
    }

    /// Takes so many requests out.
    pub fn take(&mut self, requests: usize, now: Moment) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now).plus(self.interval.saturating_mul(requests));
    }

    /// When the next request may be sent.
    #[must_use]
    pub fn ready_at(&self, now: Moment) -> Moment {
        let ahead = self.full_at.since(now);
        let earned = now.plus(ahead.saturating_sub(self.interval * (self.burst - 1)));
        earned.max(self.held_until).max(now)
    }

    /// A 429: nobody asks for as long as the server said, or else for the next delay of `pace`; then one by one.
    /// Answers to requests that were sent before the first of several 429s add nothing to it.
    pub fn hold(&mut self, hint: Option<Duration>, pace: &Pace, now: Moment, rng: &mut fastrand::Rng) {
        let is_held = now < self.held_until;
        let pause = match hint {
            Some(hint) => lengthen(hint.min(LONGEST_HOLD), super::HINT_JITTER, rng),
            None if is_held => return,
            None => pace.next(&mut self.throttle, rng),
        };
        self.held_until = self.held_until.max(now.plus(pause));
        self.full_at = self.full_at.max(self.held_until.plus(self.interval * (self.burst - 1)));
    }

    /// An answer that is no 429, to a poll that began after the last hold: the pauses start anew.
    pub fn relax(&mut self, polled_at: Moment) {
        if polled_at >= self.held_until {
            self.throttle = None;
        }
    }

    /// As this budget, at another rate: what was taken and held stays so.
    #[must_use]
    pub fn at_rate(self, requests: NonZeroU32) -> Self {
        let (interval, burst) = interval_and_burst(requests);
        Self { interval, burst, ..self }
    }
}

/// How long it takes to earn a request, and how many may come at once.
fn interval_and_burst(requests: NonZeroU32) -> (Duration, u32) {
    (Duration::from_secs(60) / requests.get(), BURST.max(requests.get() / 600))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment::from_unix_ms(1_732_529_622_000);

    fn rate(requests: u32) -> NonZeroU32 {
        NonZeroU32::new(requests).unwrap()
    }

    fn at(ms: u64) -> Moment {
        START.plus(Duration::from_millis(ms))
    }

    fn pace() -> Pace {
        Pace::new(Duration::from_secs(5), 2.0, Duration::from_secs(60), 0.0).unwrap()
    }

    #[test]
    fn a_burst_then_one_every_tenth_of_a_second() {
        let mut budget = Budget::per_minute(rate(600), START);
        assert_eq!((budget.available(START), budget.ready_at(START)), (20, START));
        budget.take(20, START);
        assert_eq!((budget.available(START), budget.ready_at(START)), (0, at(100)));
        assert_eq!(
            (budget.available(at(99)), budget.available(at(100)), budget.available(at(350))),
            (0, 1, 3)
        );
        assert_eq!(budget.available(at(60_000)), 20, "a rest earns no more than a burst");
    }

    #[test]
    fn a_hold_is_as_long_as_the_server_says_and_then_one_by_one() {
        let (mut budget, mut rng) = (Budget::per_minute(rate(600), START), fastrand::Rng::with_seed(1));
        budget.hold(Some(Duration::from_secs(10)), &pace(), START, &mut rng);
        let ready_at = budget.ready_at(START);
        assert!(at(10_000) <= ready_at && ready_at <= at(11_000), "{ready_at}");
        assert_eq!((budget.available(at(9_999)), budget.available(ready_at)), (0, 1));
    }

    #[test]
    fn holds_without_a_hint_double_and_start_anew_after_an_answer() {
        let (mut budget, mut rng) = (Budget::per_minute(rate(600), START), fastrand::Rng::with_seed(1));
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            budget.hold(None, &pace(), now, &mut rng);
            budget.hold(None, &pace(), now, &mut rng);
            let ready_at = budget.ready_at(now);
            pauses.push(ready_at.since(now).as_secs());
            now = ready_at;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60], "several 429s at once are one");
        budget.relax(START);
        budget.hold(None, &pace(), now, &mut rng);
        assert_eq!(budget.ready_at(now).since(now).as_secs(), 60, "what was asked before says nothing");
        now = budget.ready_at(now);
        budget.relax(now);
        budget.hold(None, &pace(), now, &mut rng);
        assert_eq!(budget.ready_at(now).since(now).as_secs(), 5);
    }

    #[test]
    fn another_rate_keeps_what_was_taken() {
        let mut budget = Budget::per_minute(rate(60), START);
        budget.take(20, START);
        assert_eq!(budget.at_rate(rate(6000)).ready_at(START), at(20_000 - 190));
    }

    proptest! {
        /// Whoever asks whenever it may never has more than a burst and what the rate earns.
        #[test]
        fn never_more_than_a_burst_and_the_rate(
            requests in 1_u32..12_000, pauses in prop::collection::vec(0_u64..5_000, 1..200),
        ) {
            let mut budget = Budget::per_minute(rate(requests), START);
            let (mut now, mut taken) = (START, 0_u64);
            for pause in pauses {
                now = now.plus(Duration::from_millis(pause));
                let available = budget.available(now);
                budget.take(available, now);
                taken += available as u64;
                let earned = now.since(START).as_secs_f64() * f64::from(requests) / 60.0;
                prop_assert!(taken as f64 <= f64::from(BURST) + earned + 0.001 * taken as f64 + 1.0);
                let ready_at = budget.ready_at(now);
                prop_assert!(ready_at > now && budget.available(ready_at) >= 1);
            }
        }
    }
}
