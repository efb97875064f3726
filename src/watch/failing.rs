//! The runs of failed polls of a watch, for people who look at it later. No rule reads them.

use crate::moment::Moment;

/// How many runs are kept. The oldest is dropped for another.
pub(super) const MOST: usize = 16;

/// A run of polls that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// When the first of them failed.
    pub since: Moment,
    /// When the last of them failed.
    pub last: Moment,
    /// When a poll was answered again.
    pub until: Option<Moment>,
    /// How many there were.
    pub polls: u32,
}

/// A poll failed `now`.
pub(super) fn fail(all: &mut Vec<Failing>, now: Moment) {
    match all.last_mut() {
        Some(run) if run.until.is_none() => (run.last, run.polls) = (now, run.polls.saturating_add(1)),
        _ => {
            if all.len() == MOST {
                all.remove(0);
            }
            all.push(Failing { since: now, last: now, until: None, polls: 1 });
        }
    }
}

/// A poll was answered `now`.
pub(super) fn answer(all: &mut [Failing], now: Moment) {
    if let Some(run) = all.last_mut() {
        run.until.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(1_732_529_622 + seconds))
    }

    #[test]
    fn a_run_ends_with_an_answer_and_only_so_many_are_kept() {
        let mut all = Vec::new();
        answer(&mut all, at(0));
        fail(&mut all, at(1));
        fail(&mut all, at(3));
        answer(&mut all, at(4));
        answer(&mut all, at(5));
        fail(&mut all, at(9));
        let ended = Failing { since: at(1), last: at(3), until: Some(at(4)), polls: 2 };
        let goes_on = Failing { since: at(9), last: at(9), until: None, polls: 1 };
        assert_eq!(all, [ended, goes_on]);
        for n in 0..40 {
            answer(&mut all, at(10 + 2 * n));
            fail(&mut all, at(11 + 2 * n));
        }
        assert_eq!((all.len(), all[MOST - 1].since), (MOST, at(89)));
    }
}
