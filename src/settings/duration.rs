//! Durations as people write them in flags, variables and files: one parser for all.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// A duration such as `90s` or `1h 30m`; `0` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

/// A duration of more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause(pub(crate) Duration);

/// A text that is not a duration, or an ambiguous one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotADuration {
    /// A number without a unit.
    #[error("`{0}` has no unit: did you mean `{0}s`?")]
    NoUnit(String),
    /// `M`, which means months to humantime and minutes to many people.
    #[error("`{given}` can mean minutes or months: write `{minutes}` or `{months}`")]
    MinutesOrMonths {
        /// What was written.
        given: String,
        /// How to write it with minutes.
        minutes: String,
        /// How to write it with months.
        months: String,
    },
    /// 0, although a pause is needed.
    #[error("expected a duration of more than 0, such as `500ms` or `30s`")]
    Nothing,
    /// Anything else.
    #[error("expected a duration such as `500ms`, `90s`, `5m` or `1h 30m`")]
    Unreadable,
}

impl FromStr for HumanDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let parsed = humantime::parse_duration(text).map_err(|_| without_unit(text))?;
        let [minutes, months] = ["m", "months"].map(|unit| with_m_as(text, unit));
        match minutes == text {
            true => Ok(Self(parsed)),
            false => Err(NotADuration::MinutesOrMonths { given: text.to_owned(), minutes, months }),
        }
    }
}

impl FromStr for Pause {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let HumanDuration(duration) = text.parse()?;
        (!duration.is_zero()).then_some(Self(duration)).ok_or(NotADuration::Nothing)
    }
}

/// The error for a text that humantime cannot parse.
fn without_unit(text: &str) -> NotADuration {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match is_number && humantime::parse_duration(&format!("{text}s")).is_ok() {
        true => NotADuration::NoUnit(text.to_owned()),
        false => NotADuration::Unreadable,
    }
}

/// The text with `unit` in place of each `M`.
fn with_m_as(text: &str, unit: &str) -> String {
    let words = text.split_inclusive(|char: char| !char.is_alphabetic());
    let replaced = words.map(|word| match word.strip_prefix('M') {
        Some(rest) if !rest.starts_with(char::is_alphabetic) => format!("{unit}{rest}"),
        _ => word.to_owned(),
    });
    replaced.collect()
}

/// Deserializes a TOML value with the parser of the flag.
struct Written<T>(PhantomData<T>);

impl<T: FromStr<Err = NotADuration>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, such as \"500ms\", \"90s\", \"5m\" or \"1h 30m\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(|why| E::custom(in_quotes(&why)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(|why| E::custom(in_quotes(&why)))
    }
}

fn in_quotes(why: &NotADuration) -> String {
    format!("{why}\na settings file has a duration in quotes, such as \"90s\"")
}

macro_rules! deserialize_as_written {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Written(PhantomData))
            }
        }
    )*};
}

deserialize_as_written!(HumanDuration, Pause);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let parse = |text: &str| text.parse::<HumanDuration>().map(|duration| duration.0.as_millis());
        let minute = 60_000;
        let rows = [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("90s", 90_000),
            (" 1h 30m ", 90 * minute),
            ("10min", 10 * minute),
            ("10m 5ms", 10 * minute + 5),
        ];
        for (text, ms) in rows {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        assert!(parse("2months").is_ok_and(|ms| ms > 50 * 24 * 60 * minute));
        for text in ["", "-5s", "-5", "soon", "1.5.5s", "1h 30", "5 5", "99999999999999999999999y"] {
            assert_eq!(parse(text), Err(NotADuration::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_an_error_with_a_suggestion() {
        for text in ["5", "3600", " 00 ", "99999"] {
            let error = text.parse::<HumanDuration>().unwrap_err().to_string();
            let text = text.trim();
            assert_eq!(error, format!("`{text}` has no unit: did you mean `{text}s`?"));
        }
    }

    #[test]
    fn a_capital_m_is_ambiguous() {
        let rows = [
            ("10M", "10m", "10months"),
            ("1h 10M", "1h 10m", "1h 10months"),
            ("10 M", "10 m", "10 months"),
            ("2M5s", "2m5s", "2months5s"),
        ];
        for (text, minutes, months) in rows {
            let expected = format!("`{text}` can mean minutes or months: write `{minutes}` or `{months}`");
            assert_eq!(text.parse::<HumanDuration>().unwrap_err().to_string(), expected);
            assert!(text.parse::<Pause>().unwrap_err().to_string().contains(minutes));
            for unambiguous in [minutes, months] {
                assert!(unambiguous.parse::<HumanDuration>().is_ok(), "{unambiguous}");
            }
        }
    }

    #[test]
    fn a_pause_is_never_0() {
        assert_eq!("1ns".parse(), Ok(Pause(Duration::from_nanos(1))));
        for text in ["0", "0s", "0ms"] {
            assert_eq!(text.parse::<Pause>(), Err(NotADuration::Nothing), "{text}");
        }
    }
}
