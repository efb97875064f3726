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

/// As people write it, as exact as it matters at its length: `525ms`, `8.1s`, `1m 4s`, `49m`, `23h 5m`, `2d 3h`.
#[must_use]
pub fn brief(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    match in_ms(duration) {
        ms @ ..1_000 => return format!("{ms}ms"),
        1_000..10_000 => return format!("{:.1}s", duration.as_secs_f64()).replace(".0", ""),
        _ => {}
    }
    let first = UNITS.iter().position(|(unit, _)| *unit <= seconds).unwrap_or(UNITS.len() - 1);
    let last = match first {
        0 | 1 => first + 2,
        // Ten minutes and more have no seconds.
        2 if seconds >= 600 => 3,
        _ => 4,
    };
    let mut rest = seconds;
    let parts = UNITS.iter().take(last).skip(first).map(|(unit, name)| {
        let count = rest / unit;
        rest %= unit;
        (count, name)
    });
    let shown = parts.filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count}{name}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// Without the seconds of a minute and more, for a line that is redrawn: `48m`, `1h 5m`, `12s`.
#[must_use]
pub fn in_minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds => brief(Duration::from_secs(seconds / 60 * 60)),
    }
}

/// The same without blanks: `1m4s`.
#[must_use]
pub fn compact(duration: Duration) -> String {
    brief(duration).replace(' ', "")
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
        let rows = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_049, "1s"),
            (1_100, "1.1s"),
            (9_990, "10s"),
            (64_900, "1m 4s"),
            (599_000, "9m 59s"),
            (600_000, "10m"),
            (2_999_000, "49m"),
            (3_600_000, "1h"),
            (83_100_000, "23h 5m"),
            (183_600_000, "2d 3h"),
        ];
        for (ms, text) in rows {
            assert_eq!(brief(Duration::from_millis(ms)), text);
        }
        assert_eq!(compact(Duration::from_secs(64)), "1m4s");
        assert_eq!(to_the_ms(Duration::from_micros(1_500_900)).to_string(), "1s 500ms");
        assert_eq!(in_ms(Duration::MAX), u64::MAX);
    }
}
