//! How fast a file arrives. Without a limit, a trickle would keep a download alive for ever.

use std::time::Duration;

/// The slowest acceptable rate, in bytes a second.
pub(super) const SLOWEST: u64 = 1024;

/// How fast a file arrives.
#[derive(Debug)]
pub(super) struct Rate {
    /// How long it may be too slow.
    patience: Duration,
    bytes: u64,
    waited: Duration,
}

/// Whether a file arrives fast enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speed {
    /// It is too early to tell.
    Unknown,
    /// It is fast enough.
    Enough,
    /// It has been too slow for too long.
    TooSlow,
}

impl Rate {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, bytes: 0, waited: Duration::ZERO }
    }

    /// Counts bytes that arrived after a wait for storage. The time that our disk takes does not count.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Speed {
        self.bytes += bytes as u64;
        self.waited += waited;
        let wanted = u128::from(SLOWEST) * self.patience.as_millis() / 1000;
        let speed = if u128::from(self.bytes) >= wanted {
            Speed::Enough
        } else if self.waited >= self.patience {
            Speed::TooSlow
        } else {
            return Speed::Unknown;
        };
        *self = Self::new(self.patience);
        speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kibibyte_a_second_is_enough_and_less_is_not() {
        const SECOND: Duration = Duration::from_secs(1);
        let speeds = |bytes: usize, waited: Duration| {
            let mut rate = Rate::new(30 * SECOND);
            (0..60).map(|_| rate.came(bytes, waited)).find(|speed| *speed != Speed::Unknown)
        };
        assert_eq!(speeds(1024, SECOND), Some(Speed::Enough));
        assert_eq!(speeds(1023, SECOND), Some(Speed::TooSlow));
        assert_eq!(speeds(1, SECOND), Some(Speed::TooSlow));
        assert_eq!(speeds(1_000_000, SECOND), Some(Speed::Enough));
        assert_eq!(speeds(1, SECOND / 10), None);
        // Bytes that arrive after a long wait are counted together with that wait.
        assert_eq!(speeds(30 * 1024, 60 * SECOND), Some(Speed::Enough));
        assert_eq!(speeds(30 * 1024 - 1, 60 * SECOND), Some(Speed::TooSlow));
    }
}
