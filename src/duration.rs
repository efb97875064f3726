//! Durations as people and logs read them.

use std::time::Duration;

use humantime::{FormattedDuration, format_duration};

/// Whole milliseconds, as logs have them.
#[must_use]
pub fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// To the millisecond: what a computed limit has below that means nothing to people.
pub(crate) fn to_the_ms(duration: Duration) -> FormattedDuration {
    format_duration(Duration::from_millis(in_ms(duration)))
}

/// To the second.
pub(crate) fn to_the_second(duration: Duration) -> FormattedDuration {
    format_duration(Duration::from_secs(duration.as_secs()))
}

/// As exact as it matters at its length.
#[must_use]
pub fn rounded(duration: Duration) -> String {
    match in_ms(duration) {
        ms @ ..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{:.1}s", duration.as_secs_f64()),
        _ => to_the_second(duration).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_it_matters() {
        let rows = [
            (0, "0ms"),
            (525, "525ms"),
            (1_000, "1.0s"),
            (8_149, "8.1s"),
            (10_999, "10s"),
            (151_200, "2m 31s"),
        ];
        for (ms, text) in rows {
            assert_eq!(rounded(Duration::from_millis(ms)), text);
        }
        assert_eq!(to_the_ms(Duration::from_micros(1_500_900)).to_string(), "1s 500ms");
        assert_eq!(in_ms(Duration::MAX), u64::MAX);
    }
}
