//! Rate limits as Snyk's gateway has them: in fixed windows, for each principal.

use std::collections::HashMap;
use std::time::Duration;

/// A limit, and how much of it each principal has used in the current window.
#[derive(Debug)]
pub(super) struct Quota {
    limit: u32,
    window: Duration,
    /// When the current window began, on the simulator's timeline.
    began: Duration,
    used: HashMap<u64, u32>,
}

/// What a principal has left after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) allowed: bool,
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Whole seconds until the window ends, rounded up.
    pub(super) reset_seconds: u64,
}

impl Quota {
    pub(super) fn new(limit: u32, window: Duration) -> Quota {
        Quota { limit, window, began: Duration::ZERO, used: HashMap::new() }
    }

    /// Counts a request of `principal` at `at`. A refused one does not count.
    pub(super) fn take(&mut self, principal: u64, at: Duration) -> Standing {
        if at >= self.began + self.window {
            self.began = at;
            self.used.clear();
        }
        let used = self.used.entry(principal).or_default();
        let allowed = *used < self.limit;
        if allowed {
            *used += 1;
        }
        let left = (self.began + self.window).saturating_sub(at);
        Standing {
            allowed,
            limit: self.limit,
            remaining: self.limit - *used,
            reset_seconds: left.as_millis().div_ceil(1000) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_principal_has_its_own_and_gets_it_anew() {
        let mut quota = Quota::new(2, Duration::from_secs(60));
        let mut take = |principal, second| {
            let standing = quota.take(principal, Duration::from_secs(second));
            (standing.allowed, standing.remaining, standing.reset_seconds)
        };
        assert_eq!(take(1, 0), (true, 1, 60));
        assert_eq!(take(1, 10), (true, 0, 50));
        assert_eq!(take(1, 59), (false, 0, 1));
        assert_eq!(take(2, 59), (true, 1, 1));
        assert_eq!(take(1, 60), (true, 1, 60));
    }
}
