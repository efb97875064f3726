//! When a failed delivery is tried again, and when an endpoint that failed.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use crate::moment::Moment;
use crate::watch::pace::{Pace, Position, lengthen_hint};

/// How long a delivery is tried.
pub const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest pause of a delivery that is refused, and the longest that an endpoint may ask for: the day is all that there is.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The longest pause of an endpoint that does not ask for one: when it is back, it gets everything soon.
const LONGEST_OF_ENDPOINT: Duration = Duration::from_secs(5 * 60);

/// What is added to a pause at most, as a share of it, so that several daemons do not come back together.
const JITTER: f64 = 0.1;

/// What is added to the time between two deliveries, as a share of it: a receiver measures it with its own clock, and the
/// way there takes longer at one time than at another.
const SLACK: f64 = 0.05;

/// 1 s, doubled up to the longest pause: a receiver that is being restarted gets its event seconds after it is back.
fn pace(longest: Duration) -> Pace {
    Pace::new(Duration::from_secs(1), 2.0, longest, JITTER)
        .unwrap_or_else(|_| unreachable!("these values do not contradict each other"))
}

static OF_DELIVERY: LazyLock<Pace> = LazyLock::new(|| pace(LONGEST));

static OF_ENDPOINT: LazyLock<Pace> = LazyLock::new(|| pace(LONGEST_OF_ENDPOINT));

/// The pause of an endpoint that has just failed. Moves its pace on. A `hint` is a floor, of an hour at most.
#[must_use]
pub fn pause_of_endpoint(
    position: &mut Position,
    hint: Option<Duration>,
    rng: &mut fastrand::Rng,
) -> Duration {
    OF_ENDPOINT.next(position, rng).max(asked(hint, rng))
}

/// The pause that an endpoint asks for.
#[must_use]
pub fn asked(hint: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
    lengthen_hint(hint.unwrap_or_default().min(LONGEST), rng)
}

/// The time between the starts of two deliveries to an endpoint that takes so many in a minute.
#[must_use]
pub fn spacing(max_per_minute: NonZeroU32) -> Duration {
    (Duration::from_secs(60) / max_per_minute.get()).mul_f64(1.0 + SLACK)
}

/// The pause of a delivery that its receiver refused `now`, though it may take others, and where its pace then stands. Nothing
/// if the delivery, which is owed since `created_at`, is given up.
///
/// A `hint` is a floor, of an hour at most. The last attempt is at the [`LIMIT`]; if the hint lies beyond it, there is none.
#[must_use]
pub fn next_attempt(
    created_at: Moment,
    position: Position,
    hint: Option<Duration>,
    now: Moment,
    rng: &mut fastrand::Rng,
) -> Option<(Duration, Position)> {
    let mut position = position;
    let left = LIMIT.saturating_sub(now.since(created_at));
    let hint = hint.unwrap_or_default().min(LONGEST);
    let wanted = OF_DELIVERY.next(&mut position, rng).max(lengthen_hint(hint, rng));
    (!left.is_zero() && hint <= left).then(|| (wanted.min(left), position))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);
    const OWED: Moment = Moment::from_unix(Duration::from_secs(1_732_529_622));

    /// When attempts are made, in seconds after the delivery was owed, if each is refused at once.
    fn attempts(hint: Option<Duration>) -> Vec<u64> {
        let (mut at, mut position, mut rng) = (OWED, None, fastrand::Rng::with_seed(7));
        let mut attempts = vec![0];
        while let Some((delay, next)) = next_attempt(OWED, position, hint, at, &mut rng) {
            (at, position) = (at.plus(delay), next);
            attempts.push(at.since(OWED).as_secs());
        }
        attempts
    }

    #[test]
    fn tries_soon_at_first_and_for_a_day() {
        let attempts = attempts(None);
        assert!(attempts[1] <= 1 && attempts[2] <= 3 && attempts[3] <= 7, "{attempts:?}");
        assert_eq!(attempts.last(), Some(&LIMIT.as_secs()));
        assert!((32..=36).contains(&attempts.len()), "{attempts:?}");
        assert!(attempts.windows(2).all(|two| two[1] - two[0] <= 3961), "{attempts:?}");
    }

    #[test]
    fn an_endpoint_is_tried_soon_at_first_and_then_every_five_minutes() {
        let (mut position, mut rng) = (None, fastrand::Rng::with_seed(7));
        let pauses: Vec<Duration> =
            (0..12).map(|_| pause_of_endpoint(&mut position, None, &mut rng)).collect();
        assert!(pauses[0] <= S * 11 / 10 && pauses[1] <= S * 22 / 10, "{pauses:?}");
        assert!(pauses[11] >= S * 300 && pauses[11] <= S * 330, "{pauses:?}");
        assert!(pauses[..7].iter().sum::<Duration>() < S * 150, "of use in five minutes: {pauses:?}");
        let asked = pause_of_endpoint(&mut None, Some(Duration::from_millis(2500)), &mut rng);
        assert!((2500..=2750).contains(&asked.as_millis()), "{asked:?}");
        let too_long = pause_of_endpoint(&mut None, Some(S * 86_400), &mut rng);
        assert!((3600..=3960).contains(&too_long.as_secs()), "{too_long:?}");
    }

    #[test]
    fn deliveries_to_a_limited_endpoint_have_a_little_more_time_between_them() {
        assert_eq!(spacing(NonZeroU32::new(60).unwrap()), Duration::from_millis(1050));
    }

    #[test]
    fn a_hint_is_a_floor_of_an_hour_at_most() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut delay = |hint, age| {
            let next = next_attempt(OWED, None, Some(hint), OWED.plus(age), &mut rng);
            next.map(|(delay, _)| delay.as_secs())
        };
        assert!((45..=49).contains(&delay(S * 45, S).unwrap()));
        assert!((3600..=3960).contains(&delay(S * 86_400 * 365, S).unwrap()));
        assert_eq!(delay(Duration::ZERO, S), Some(1));
        assert_eq!(delay(S * 300, LIMIT - S * 300), Some(300), "the last attempt is at the limit");
        assert_eq!(delay(S * 301, LIMIT - S * 300), None, "the receiver would not accept it in time");
        assert!((22..=25).contains(&attempts(Some(S * 86_400)).len()));
    }

    #[test]
    fn gives_up_what_is_too_old_after_one_more_attempt() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut next = |age| next_attempt(OWED, Some(S * 64), None, OWED.plus(age), &mut rng);
        assert_eq!(next(LIMIT), None);
        assert_eq!(next(LIMIT * 3), None);
        assert_eq!(next(LIMIT - S).unwrap().0, S);
    }

    proptest! {
        #[test]
        fn never_passes_the_limit(age in 0_u64..100_000, hint in proptest::option::of(0_u64..100_000), seed: u64) {
            let (age, hint) = (S * u32::try_from(age).unwrap(), hint.map(Duration::from_secs));
            let next = next_attempt(OWED, None, hint, OWED.plus(age), &mut fastrand::Rng::with_seed(seed));
            if let Some((delay, _)) = next {
                prop_assert!(!delay.is_zero() && age + delay <= LIMIT);
            } else {
                prop_assert!(age + hint.unwrap_or_default() >= LIMIT);
            }
        }
    }
}
