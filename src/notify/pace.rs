//! When a failed delivery is tried again.

use std::sync::LazyLock;
use std::time::Duration;

use crate::moment::Moment;
use crate::watch::pace::{Pace, Position, lengthen_hint};

/// How long a delivery is tried.
pub const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest pause. A receiver that asks for a longer one is asked again after this one all the same: the day is all
/// that there is.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What is added to a pause at most, as a share of it, so that deliveries that failed together do not come back together.
const JITTER: f64 = 0.1;

/// 1 s, doubled up to an hour: nine attempts in the five minutes that a run with `--until-idle` has, while a receiver
/// that is being restarted gets its event seconds after it is back; and about 35 in a day, so that one that is down for
/// the night gets it within an hour.
static PACE: LazyLock<Pace> = LazyLock::new(|| {
    Pace::new(Duration::from_secs(1), 2.0, LONGEST, JITTER)
        .unwrap_or_else(|_| unreachable!("these values do not contradict each other"))
});

/// The pause after an attempt that failed `now`, and where the pace then stands; nothing if the delivery, which is owed
/// since `created_at`, is to be given up, or left alone by a run that has no more time for it. `limit` is usually
/// [`LIMIT`].
///
/// A `hint` is a floor, of an hour at most. The last attempt is at the limit; if the hint lies beyond it, there is none.
/// One attempt is always made before this is asked, however long nobody was there to make it.
#[must_use]
pub fn next_attempt(
    created_at: Moment,
    position: Position,
    hint: Option<Duration>,
    now: Moment,
    limit: Duration,
    rng: &mut fastrand::Rng,
) -> Option<(Duration, Position)> {
    let mut position = position;
    let left = limit.saturating_sub(now.since(created_at));
    let hint = hint.unwrap_or_default().min(LONGEST);
    let wanted = PACE.next(&mut position, rng).max(lengthen_hint(hint, rng));
    (!left.is_zero() && hint <= left).then(|| (wanted.min(left), position))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);
    const OWED: Moment = Moment::from_unix(Duration::from_secs(1_732_529_622));

    /// When attempts are made, in seconds after the delivery was owed, if each fails at once.
    fn attempts(limit: Duration, hint: Option<Duration>) -> Vec<u64> {
        let (mut at, mut position, mut rng) = (OWED, None, fastrand::Rng::with_seed(7));
        let mut attempts = vec![0];
        while let Some((delay, next)) = next_attempt(OWED, position, hint, at, limit, &mut rng) {
            (at, position) = (at.plus(delay), next);
            attempts.push(at.since(OWED).as_secs());
        }
        attempts
    }

    #[test]
    fn tries_soon_at_first_and_for_a_day() {
        let attempts = attempts(LIMIT, None);
        assert!(attempts[1] <= 1 && attempts[2] <= 3 && attempts[3] <= 7, "{attempts:?}");
        assert_eq!(attempts.last(), Some(&LIMIT.as_secs()));
        assert!((32..=36).contains(&attempts.len()), "{attempts:?}");
        assert!(attempts.windows(2).all(|two| two[1] - two[0] <= 3961), "{attempts:?}");
    }

    #[test]
    fn is_of_use_in_five_minutes() {
        let attempts = attempts(S * 300, None);
        assert!((9..=10).contains(&attempts.len()) && attempts.last() == Some(&300), "{attempts:?}");
    }

    #[test]
    fn a_hint_is_a_floor_of_an_hour_at_most() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut delay = |hint, limit| {
            next_attempt(OWED, None, Some(hint), OWED, limit, &mut rng).map(|(delay, _)| delay.as_secs())
        };
        assert!((45..=49).contains(&delay(S * 45, LIMIT).unwrap()));
        assert!((3600..=3960).contains(&delay(S * 86_400 * 365, LIMIT).unwrap()));
        assert_eq!(delay(Duration::ZERO, LIMIT), Some(1));
        assert_eq!(delay(S * 300, S * 300), Some(300), "the last attempt is at the limit");
        assert_eq!(delay(S * 301, S * 300), None, "the receiver would not accept it in time");
        assert!((22..=25).contains(&attempts(LIMIT, Some(S * 86_400)).len()));
    }

    #[test]
    fn gives_up_what_is_too_old_after_one_more_attempt() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut next = |age| next_attempt(OWED, Some(S * 64), None, OWED.plus(age), LIMIT, &mut rng);
        assert_eq!(next(LIMIT), None);
        assert_eq!(next(LIMIT * 3), None);
        assert_eq!(next(LIMIT - S).unwrap().0, S);
    }

    proptest! {
        #[test]
        fn never_passes_the_limit(age in 0_u64..100_000, hint in proptest::option::of(0_u64..100_000), seed: u64) {
            let (age, hint) = (S * u32::try_from(age).unwrap(), hint.map(Duration::from_secs));
            let next = next_attempt(OWED, None, hint, OWED.plus(age), LIMIT, &mut fastrand::Rng::with_seed(seed));
            if let Some((delay, _)) = next {
                prop_assert!(!delay.is_zero() && age + delay <= LIMIT);
            } else {
                prop_assert!(age + hint.unwrap_or_default() >= LIMIT);
            }
        }
    }
}
