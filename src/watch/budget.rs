//! The request budget of an account, shared by all its watches.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::moment::Moment;

/// How many requests may be sent at once after a rest. It is more if a tenth of a second earns more.
pub const BURST: u32 = 20;

/// A token bucket.
///
/// It is stored as the moment at which the bucket is full again. Each request moves that moment by the time to earn one
/// request. A request must wait while the moment is further ahead than the time to earn a burst.
#[derive(Debug, Clone)]
pub struct Budget {
    interval: Duration,
    burst: u32,
    full_at: Moment,
}

impl Budget {
    /// A budget of this many requests per minute. It begins with one request, not with a burst: a program that is started
    /// again and again must not exceed the rate.
    #[must_use]
    pub fn per_minute(requests: NonZeroU32, now: Moment) -> Self {
        let (interval, burst) = interval_and_burst(requests);
        Self { interval, burst, full_at: now.plus(interval * (burst - 1)) }
    }

    /// How many requests may be sent now.
    #[must_use]
    pub fn available(&self, now: Moment) -> usize {
        let room = (self.interval * self.burst).saturating_sub(self.full_at.since(now));
        let requests = room.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(requests).unwrap_or(usize::MAX)
    }

    /// Takes requests out.
    pub fn take(&mut self, requests: usize, now: Moment) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now).plus(self.interval.saturating_mul(requests));
    }

    /// When the next request may be sent.
    #[must_use]
    pub fn ready_at(&self, now: Moment) -> Moment {
        let ahead = self.full_at.since(now);
        now.plus(ahead.saturating_sub(self.interval * (self.burst - 1)))
    }

    /// Leaves no request until `moment`. From then on they are earned one by one.
    pub fn drain_until(&mut self, moment: Moment) {
        self.full_at = self.full_at.max(moment.plus(self.interval * (self.burst - 1)));
    }

    /// This budget at another rate. The next request may be sent at the same time as before, and later ones are earned at
    /// the new rate.
    #[must_use]
    pub fn at_rate(self, requests: NonZeroU32, now: Moment) -> Self {
        let (interval, burst) = interval_and_burst(requests);
        if (interval, burst) == (self.interval, self.burst) {
            return self;
        }
        Self { interval, burst, full_at: self.ready_at(now).plus(interval * (burst - 1)) }
    }
}

/// The time to earn a request, and the size of a burst.
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

    #[test]
    fn a_burst_then_one_every_tenth_of_a_second() {
        let mut budget = Budget::per_minute(rate(600), START);
        assert_eq!((budget.available(START), budget.ready_at(START)), (1, START));
        assert_eq!([100, 1800, 1900].map(|ms| budget.available(at(ms))), [2, 19, 20]);
        budget.take(20, at(2000));
        assert_eq!((budget.available(at(2000)), budget.ready_at(at(2000))), (0, at(2100)));
        assert_eq!([2099, 2100, 2350].map(|ms| budget.available(at(ms))), [0, 1, 3]);
        assert_eq!(budget.available(at(60_000)), 20, "a rest earns no more than a burst");
        let fast = Budget::per_minute(rate(60_300), START);
        assert_eq!(fast.available(at(60_000)), 100, "unless a tenth of a second earns more");
    }

    #[test]
    fn after_a_pause_requests_are_earned_one_by_one() {
        let mut budget = Budget::per_minute(rate(600), START);
        budget.drain_until(at(10_000));
        assert_eq!(budget.ready_at(START), at(10_000));
        assert_eq!(
            [9_999, 10_000, 10_099, 10_100].map(|ms| budget.available(at(ms))),
            [0, 1, 1, 2],
            "no burst after the pause"
        );
        budget.drain_until(at(5_000));
        assert_eq!(budget.ready_at(START), at(10_000), "an earlier pause takes nothing back");
    }

    #[test]
    fn another_rate_keeps_the_next_request_and_earns_at_its_own() {
        let mut slow = Budget::per_minute(rate(6), START);
        slow.take(1, START);
        let fast = slow.clone().at_rate(rate(600), START);
        assert_eq!(fast.ready_at(START), at(10_000), "and not when all that was taken is earned");
        assert_eq!([10_000, 10_100].map(|ms| fast.available(at(ms))), [1, 2]);
        let same = slow.clone().at_rate(rate(6), START);
        assert_eq!(same.full_at, slow.full_at);
        let mut paused = Budget::per_minute(rate(6), START);
        paused.drain_until(at(90_000));
        assert_eq!(paused.at_rate(rate(600), START).ready_at(START), at(90_000), "a pause stays");
    }

    #[test]
    fn restarts_do_not_exceed_the_rate() {
        let mut asked = 0;
        for start in 0..12 {
            let now = at(start * 5000);
            let mut budget = Budget::per_minute(rate(6), now);
            asked += budget.available(now);
            budget.take(1, now);
            assert_eq!(budget.available(at(start * 5000 + 4999)), 0);
        }
        assert_eq!(asked, 12, "one for each start");
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
