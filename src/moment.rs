//! A point in time: a plain value that is passed in, never read from a clock here.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, counted from the Unix epoch.
///
/// Its guarantees depend on its source: [`Clock`](crate::clock::Clock) is monotonic from its creation on, so that a wall
/// clock that is set does not move a pace or a deadline. Arithmetic saturates: a limit of centuries does not overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The last moment that RFC 3339 can express (the end of the year 9999).
    const LAST_WRITABLE: Duration = Duration::from_secs(253_402_300_799);

    /// A moment that never comes.
    pub const NEVER: Self = Self(Duration::MAX);

    /// The moment `since_epoch` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The moment `ms` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        let ms = self.0.as_millis();
        if ms > u64::MAX as u128 { u64::MAX } else { ms as u64 }
    }

    /// The moment `duration` later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The moment `duration` earlier, if there was one.
    #[must_use]
    pub fn before(self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }

    /// How long after `earlier` this moment is; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC with milliseconds, as documents and logs write it.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = UNIX_EPOCH + self.0.min(Self::LAST_WRITABLE);
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
        Ok(Self(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
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
        assert_eq!(moment.plus(Duration::MAX).since(moment), Duration::MAX - moment.0);
        assert_eq!(moment.since(moment.plus(Duration::from_secs(1))), Duration::ZERO);
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
