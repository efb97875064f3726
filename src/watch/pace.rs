//! The exponential schedule of polls. The curve is the `backoff` crate's; jitter, cap and clock are ours.
//!
//! This is the only file that uses `backoff` (docs/ARCHITECTURE.md says why). It computes one step of the curve at a time,
//! with its own jitter and time limit switched off.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backoff::backoff::Backoff as _;
use backoff::exponential::ExponentialBackoff;

/// An exponential schedule: each delay is `multiplier` times the one before, up to `max`. A random share of the delay, up
/// to `jitter`, is added, so that many clients do not poll at the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    initial: Duration,
    multiplier: f64,
    max: Duration,
    jitter: f64,
}

/// The shortest delay.
const SHORTEST: Duration = Duration::from_millis(1);

/// The share that is added to a server's hint at most, so that its clients do not return at the same time.
pub(super) const HINT_JITTER: f64 = 0.1;

/// The state of a pace: the next delay, without jitter.
pub type Position = Option<Duration>;

/// Why values do not make a pace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PaceError {
    /// The first delay is longer than the longest.
    #[error("initial-interval ({}) is above max-interval ({})",
        humantime::format_duration(*initial), humantime::format_duration(*max))]
    InitialAboveMax {
        /// The first delay.
        initial: Duration,
        /// The longest delay.
        max: Duration,
    },
    /// A pause of 0 would poll without end.
    #[error("initial-interval is 0")]
    Nothing,
    /// The delays would shrink, or the multiplier is not a number.
    #[error("multiplier ({0}) is not a number of at least 1")]
    Multiplier(f64),
    /// Jitter is a share of the delay.
    #[error("jitter ({0}) is not a number from 0 to 1")]
    Jitter(f64),
}

impl Pace {
    /// A pace of these values.
    ///
    /// # Errors
    ///
    /// When the values contradict each other or would poll without a pause.
    pub fn new(initial: Duration, multiplier: f64, max: Duration, jitter: f64) -> Result<Self, PaceError> {
        if initial.is_zero() {
            return Err(PaceError::Nothing);
        }
        if initial > max {
            return Err(PaceError::InitialAboveMax { initial, max });
        }
        if !(multiplier.is_finite() && multiplier >= 1.0) {
            return Err(PaceError::Multiplier(multiplier));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(PaceError::Jitter(jitter));
        }
        // Timers go no finer, and a delay of nanoseconds would not grow: a tenth of it is rounded away.
        let [initial, max] = [initial, max].map(|delay| delay.max(SHORTEST));
        Ok(Self { initial, multiplier, max, jitter })
    }

    /// The longest delay, without jitter.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.max
    }

    /// The first delay, without jitter.
    #[must_use]
    pub const fn first(&self) -> Duration {
        self.initial
    }

    /// The delay at `position`, jitter included; `position` moves on by one step.
    pub fn next(&self, position: &mut Position, rng: &mut fastrand::Rng) -> Duration {
        let mut curve = ExponentialBackoff {
            // The position may be of an earlier pace with other bounds.
            current_interval: position.unwrap_or(self.initial).clamp(self.initial, self.max),
            initial_interval: self.initial,
            randomization_factor: 0.0,
            multiplier: self.multiplier,
            max_interval: self.max,
            start_time: *FROZEN,
            max_elapsed_time: None,
            clock: FrozenClock,
        };
        // Without a time limit the curve never ends. `next_backoff` draws a random number even though its factor is 0: this
        // draw does not come from `rng`, and changes nothing.
        let delay = curve.next_backoff().unwrap_or(self.max);
        *position = Some(curve.current_interval);
        lengthen(delay, self.jitter, rng)
    }
}

/// A pause that a server asks for, lengthened by up to a tenth.
pub(crate) fn lengthen_hint(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    lengthen(pause, HINT_JITTER, rng)
}

/// `delay` with up to `share` of it added.
fn lengthen(delay: Duration, share: f64, rng: &mut fastrand::Rng) -> Duration {
    let longer = delay.as_secs_f64() * (1.0 + share * rng.f64());
    Duration::try_from_secs_f64(longer).unwrap_or(Duration::MAX).max(delay)
}

/// A clock that stands still: the curve does not depend on time.
struct FrozenClock;

static FROZEN: LazyLock<Instant> = LazyLock::new(frozen);

#[expect(
    clippy::disallowed_methods,
    reason = "backoff wants an Instant, and there is no other way to make one"
)]
fn frozen() -> Instant {
    Instant::now()
}

impl backoff::Clock for FrozenClock {
    fn now(&self) -> Instant {
        *FROZEN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn delays(pace: &Pace, count: usize) -> Vec<u128> {
        let (mut position, mut rng) = (None, fastrand::Rng::with_seed(7));
        (0..count).map(|_| pace.next(&mut position, &mut rng).as_millis()).collect()
    }

    #[test]
    fn grows_to_its_cap_and_stays() {
        let pace = Pace::new(MS * 1000, 2.0, MS * 30_000, 0.0).unwrap();
        assert_eq!(delays(&pace, 8), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        let fixed = Pace::new(MS * 10, 1.0, MS * 10, 0.0).unwrap();
        assert_eq!(delays(&fixed, 3), [10, 10, 10]);
    }

    #[test]
    fn jitter_spreads_over_its_whole_share() {
        let pace = Pace::new(MS * 1000, 1.0, MS * 1000, 0.5).unwrap();
        let delays = delays(&pace, 1000);
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(
            (1000..1050).contains(shortest) && (1450..=1500).contains(longest),
            "{shortest} to {longest}"
        );
    }

    #[test]
    fn a_delay_too_short_to_grow_is_lengthened() {
        let pace = Pace::new(Duration::from_nanos(1), 2.0, MS * 4, 0.0).unwrap();
        assert_eq!(delays(&pace, 4), [1, 2, 4, 4]);
        let fixed = Pace::new(Duration::from_nanos(1), 2.0, Duration::from_nanos(1), 0.0).unwrap();
        assert_eq!(delays(&fixed, 2), [1, 1]);
    }

    #[test]
    fn keeps_the_promise_of_half_a_second_plus_a_tenth() {
        let pace = Pace::new(MS * 500, 1.1, MS * 30_000, 0.0).unwrap();
        let (mut waited, mut position, mut rng) = (Duration::ZERO, None, fastrand::Rng::new());
        for _ in 0..200 {
            let delay = pace.next(&mut position, &mut rng);
            assert!(delay <= MS * 501 + waited / 10, "{delay:?} after {waited:?}");
            waited += delay;
        }
    }

    #[test]
    fn rejects_invalid_values() {
        let error = |initial, multiplier, max, jitter| {
            Pace::new(MS * initial, multiplier, MS * max, jitter).unwrap_err().to_string()
        };
        assert_eq!(error(60_000, 1.1, 30_000, 0.1), "initial-interval (1m) is above max-interval (30s)");
        assert_eq!(error(0, 1.1, 30_000, 0.1), "initial-interval is 0");
        assert_eq!(error(1, 0.5, 30_000, 0.1), "multiplier (0.5) is not a number of at least 1");
        assert_eq!(error(1, f64::NAN, 30_000, 0.1), "multiplier (NaN) is not a number of at least 1");
        assert_eq!(error(1, 1.1, 30_000, 1.5), "jitter (1.5) is not a number from 0 to 1");
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            initial in 1_u32..100_000, span in 0_u32..1_000_000, multiplier in 1.0..10.0, jitter in 0.0..=1.0, seed: u64,
        ) {
            let (low, high) = (MS * initial, MS * (initial + span));
            let pace = Pace::new(low, multiplier, high, jitter).unwrap();
            let (mut position, mut rng) = (None, fastrand::Rng::with_seed(seed));
            let mut last = Duration::ZERO;
            for _ in 0..100 {
                let delay = pace.next(&mut position, &mut rng);
                prop_assert!(delay >= low && delay <= high.mul_f64(1.0 + jitter) + MS);
                prop_assert!(position.unwrap() >= last && position.unwrap() <= high);
                last = position.unwrap();
            }
        }

        #[test]
        fn continues_from_a_stored_position(steps in 0_usize..60) {
            let pace = Pace::new(MS * 500, 1.1, MS * 30_000, 0.0).unwrap();
            let (mut position, mut rng) = (None, fastrand::Rng::new());
            for _ in 0..steps {
                pace.next(&mut position, &mut rng);
            }
            let mut kept = position.map(|interval| Duration::from_nanos(interval.as_nanos().try_into().unwrap()));
            prop_assert_eq!(pace.next(&mut kept, &mut rng), pace.next(&mut position, &mut rng));
        }
    }
}
