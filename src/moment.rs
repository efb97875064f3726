//! A point in time: a plain value that is passed in, never read from a clock here.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{Duration, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: on a steady time line, and what the wall clock said then.
///
/// Moments are compared, and durations between them measured, on the steady time line, so that a wall clock that is set does
/// not move a pace or a deadline. What is shown is the time of the wall clock. Both count from the Unix epoch, and differ after
/// the wall clock was set. Arithmetic saturates: a limit of centuries does not overflow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    steady: Duration,
    wall: Duration,
}

impl Moment {
    /// The last moment that RFC 3339 can express (the end of the year 9999).
    const LAST_WRITABLE: Duration = Duration::from_secs(253_402_300_799);

    /// A moment that never comes.
    pub const NEVER: Self = Self::from_unix(Duration::MAX);

    /// The moment `since_epoch` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self { steady: since_epoch, wall: since_epoch }
    }

    /// The moment `ms` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self::from_unix(Duration::from_millis(ms))
    }

    /// The same moment, at which the wall clock says that so many milliseconds have passed since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn with_wall_ms(self, ms: u64) -> Self {
        self.with_wall(Duration::from_millis(ms))
    }

    /// The same moment, at which the wall clock says that it is `since_epoch` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn with_wall(self, since_epoch: Duration) -> Self {
        Self { wall: since_epoch, ..self }
    }

    /// The same moment, as a wall clock shows it that goes on as it is `now`.
    #[must_use]
    pub const fn as_seen(self, now: Self) -> Self {
        let (later, earlier) = (self.since(now), now.since(self));
        self.with_wall(now.wall.saturating_add(later).saturating_sub(earlier))
    }

    /// Whole milliseconds on the steady time line.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        whole_ms(self.steady)
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z, by the wall clock.
    #[must_use]
    pub const fn wall_ms(self) -> u64 {
        whole_ms(self.wall)
    }

    /// The time since 1970-01-01T00:00:00Z, by the wall clock.
    #[must_use]
    pub const fn wall(self) -> Duration {
        self.wall
    }

    /// The moment `duration` later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self { steady: self.steady.saturating_add(duration), wall: self.wall.saturating_add(duration) }
    }

    /// The moment `duration` earlier, if there was one.
    #[must_use]
    pub fn before(self, duration: Duration) -> Option<Self> {
        let wall = self.wall.saturating_sub(duration);
        self.steady.checked_sub(duration).map(|steady| Self { steady, wall })
    }

    /// How long after `earlier` this moment is; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.steady.saturating_sub(earlier.steady)
    }
}

const fn whole_ms(duration: Duration) -> u64 {
    let ms = duration.as_millis();
    if ms > u64::MAX as u128 { u64::MAX } else { ms as u64 }
}

/// On the steady time line: what a wall clock says does not matter.
impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.steady.cmp(&other.steady)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.steady == other.steady
    }
}

impl Eq for Moment {}

impl Hash for Moment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.steady.hash(state);
    }
}

/// The wall clock's time: RFC 3339 in UTC with milliseconds, as documents and logs write it.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = UNIX_EPOCH + self.wall.min(Self::LAST_WRITABLE);
        humantime::format_rfc3339_millis(writable).fmt(f)
    }
}

/// As [`Display`](fmt::Display) writes it.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        Ok(Self::from_unix(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc_3339_and_survives_the_end_of_time() {
        let moment = Moment::from_unix(Duration::from_millis(1_732_529_622_470));
        assert_eq!(moment.to_string(), "2024-11-25T10:13:42.470Z");
        let written = serde_json::to_value(moment).unwrap();
        assert_eq!(
            (&written, serde_json::from_value(written.clone()).unwrap()),
            (&"2024-11-25T10:13:42.470Z".into(), moment)
        );
        assert_eq!(Moment::from_unix(Duration::MAX).to_string(), "9999-12-31T23:59:59.000Z");
        assert_eq!(moment.plus(Duration::MAX).since(moment), Duration::MAX - moment.steady);
        assert_eq!(moment.since(moment.plus(Duration::from_secs(1))), Duration::ZERO);
    }

    #[test]
    fn shows_the_wall_clock_and_measures_on_the_steady_time_line() {
        let (hour, ms) = (Duration::from_secs(3600), 1_732_529_622_470);
        let moment = Moment::from_unix_ms(ms).with_wall_ms(ms + 8 * 3_600_000);
        assert_eq!(moment, Moment::from_unix_ms(ms), "what the wall clock says does not matter");
        assert_eq!((moment.unix_ms(), moment.wall_ms()), (ms, ms + 8 * 3_600_000));
        assert_eq!(moment.to_string(), "2024-11-25T18:13:42.470Z");
        let later = moment.plus(hour);
        assert_eq!((later.since(moment), later.to_string()), (hour, "2024-11-25T19:13:42.470Z".to_owned()));
        assert_eq!(later.before(hour).unwrap().to_string(), moment.to_string());
        for other in [Moment::from_unix_ms(ms).plus(hour), Moment::from_unix_ms(ms - 3_600_000)] {
            let shown = if other > moment { "2024-11-25T19:13:42.470Z" } else { "2024-11-25T17:13:42.470Z" };
            assert_eq!(other.as_seen(moment).to_string(), shown);
        }
    }

    #[test]
    fn counts_whole_milliseconds_from_the_epoch_on() {
        assert_eq!(Moment::from_unix(Duration::from_micros(1_234_999)).unix_ms(), 1234);
        let last = Moment::from_unix_ms(u64::MAX);
        assert_eq!(last.unix_ms(), u64::MAX);
        assert_eq!(last.plus(Duration::from_millis(1)).unix_ms(), u64::MAX);
        let moment = Moment::from_unix_ms(1000);
        assert_eq!(moment.before(Duration::from_millis(400)), Some(Moment::from_unix_ms(600)));
        assert_eq!(moment.before(Duration::from_millis(1001)), None);
    }
}
