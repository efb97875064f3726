//! How long an outage has lasted.

use std::time::Duration;

use crate::moment::Moment;

/// A run of transient failures with no answer between them.
///
/// Its length is the sum of the gaps between the failures. A gap counts at most as long as the planned pause and the
/// request's own time. During the rest of a gap there was no poll, because the server asked for a pause, the account was
/// blocked, or the daemon was not running. So a single failure is not an outage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outage {
    /// When the last poll failed; `None` if it was answered.
    pub(super) failed_at: Option<Moment>,
    /// The pause planned after it.
    pub(super) planned: Duration,
    /// The sum of the gaps so far.
    pub(super) length: Duration,
}

impl Outage {
    /// A poll that began at `began_at` fails `now`.
    pub fn fail(&mut self, began_at: Moment, now: Moment) {
        let gap = self.failed_at.map_or(Duration::ZERO, |failed_at| now.since(failed_at));
        let longest = self.planned.saturating_add(now.since(began_at));
        self.length = self.length.saturating_add(gap.min(longest));
        self.failed_at = Some(now);
    }

    /// The next poll follows after `pause`.
    pub const fn plan(&mut self, pause: Duration) {
        self.planned = pause;
    }

    /// How much longer it may last, if its limit is `max`.
    #[must_use]
    pub const fn left(&self, max: Duration) -> Duration {
        max.saturating_sub(self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(1_732_529_622 + seconds))
    }

    /// The length after failures that began and ended then, each followed by this plan (all in seconds).
    fn length(failures: &[(u64, u64, u64)]) -> u64 {
        let mut outage = Outage::default();
        for (began_at, now, pause) in failures {
            outage.fail(at(*began_at), at(*now));
            outage.plan(Duration::from_secs(*pause));
        }
        outage.length.as_secs()
    }

    #[test]
    fn a_single_failure_is_not_an_outage() {
        assert_eq!(length(&[(0, 30, 1)]), 0);
    }

    #[test]
    fn gaps_add_up() {
        assert_eq!(length(&[(0, 0, 1), (1, 2, 2), (4, 5, 4)]), 5);
    }

    #[test]
    fn a_gap_counts_at_most_as_long_as_planned() {
        assert_eq!(length(&[(0, 0, 4), (86_400, 86_403, 4)]), 7, "a day in which the daemon was not running");
    }

    proptest! {
        #[test]
        fn it_is_never_longer_than_the_elapsed_time(
            failures in prop::collection::vec((0_u64..100, 0_u64..100, 0_u64..100), 1..50),
        ) {
            let (mut outage, mut now) = (Outage::default(), at(0));
            for (pause, took, planned) in failures {
                let began_at = now.plus(Duration::from_secs(pause));
                now = began_at.plus(Duration::from_secs(took));
                outage.fail(began_at, now);
                outage.plan(Duration::from_secs(planned));
                prop_assert!(outage.length <= now.since(at(0)));
            }
        }
    }
}
