//! The simulator's time: durations since it started, and the wall clock that belongs to them.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// Counts from the start of a simulator. The wall clock is read once and then follows the monotonic one,
/// so that a stepped clock neither ends an export nor revives a link.
#[derive(Debug)]
pub(super) struct Timeline {
    started: Instant,
    started_wall: SystemTime,
}

impl Timeline {
    pub(super) fn begin() -> Timeline {
        let (started, started_wall) = now();
        Timeline { started, started_wall }
    }

    /// How long ago the simulator started.
    pub(super) fn elapsed(&self) -> Duration {
        now().0.saturating_duration_since(self.started)
    }

    /// The wall clock at a moment of this timeline, as a timestamp for documents and signatures.
    pub(super) fn timestamp(&self, at: Duration) -> Timestamp {
        Timestamp::try_from(self.started_wall + at).unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads the time")]
fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}
