//! Dates as people type them: a day, a moment, or how long ago.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanFieldwise, Timestamp, ZonedDateTime};

use crate::text::Text;

/// A date of a filter, which may be relative. Displayed as it was typed.
#[derive(Debug, Clone)]
pub struct Date {
    text: String,
    meant: Meant,
}

#[derive(Debug, Clone)]
enum Meant {
    /// A moment.
    At(Timestamp),
    /// A day (its midnight) or a time of a day, in the time zone that is given later.
    Civil(DateTime),
    /// A time span ago; with days or longer units, the midnight of that day.
    Ago {
        /// The span, zero or negative.
        span: Span,
        /// Whether the midnight before is used.
        midnight: bool,
    },
}

/// A text that is not a date, or a date that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Not a date.
    #[error(
        "expected a date such as 2025-01-31 or 2025-01-31T10:00:00Z, today, yesterday, or how long ago: -1d, -2w, -1mo, -12h"
    )]
    Form,
    /// A day that its month does not have.
    #[error("{month} has {days} days")]
    NoSuchDay {
        /// The month, with its year where that matters.
        month: String,
        /// How many days it has.
        days: i8,
    },
    /// A month above 12, or 0.
    #[error("there is no month {0}: months go from 01 to 12")]
    NoSuchMonth(i8),
    /// A span into the future.
    #[error("that is in the future: write how long ago with a minus, such as -1d")]
    Ahead,
    /// Beyond the calendar.
    #[error("that is beyond the calendar")]
    Beyond,
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Ok(Self { text: text.to_owned(), meant: text.parse()? })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Meant {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        // jiff accepts a date with text behind it.
        if text.len() == "2025-01-31".len()
            && let Ok(day) = text.parse::<civil::Date>()
        {
            return Ok(Self::Civil(day.to_datetime(civil::Time::midnight())));
        }
        if text.contains(':')
            && let Ok(time) = text.parse::<DateTime>()
        {
            return Ok(Self::Civil(time));
        }
        let days_ago = ["today", "yesterday"].iter().position(|day| text.eq_ignore_ascii_case(day));
        if let Some(days) = days_ago {
            let span = Span::new().days(if days == 0 { 0 } else { -1 });
            return Ok(Self::Ago { span, midnight: true });
        }
        let span: Span = text.parse().map_err(|_| why_no_date(text))?;
        if span.is_positive() {
            return Err(DateError::Ahead);
        }
        // A span does not show units that are zero.
        let unit = text.trim_start_matches(|char: char| !char.is_ascii_alphabetic());
        let in_days = ["d", "w", "mo", "y"].iter().any(|days| unit.starts_with(days));
        let midnight =
            if span.is_zero() { in_days } else { SpanFieldwise(span) == SpanFieldwise(whole_days(span)) };
        Ok(Self::Ago { span, midnight })
    }
}

/// Why a text that starts with `YYYY-MM-DD` is not a date: the calendar may not have that day.
fn why_no_date(text: &str) -> DateError {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i16>().ok()).flatten()
    };
    let is_day = [4, 7].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'))
        && !text.as_bytes().get(10).is_some_and(u8::is_ascii_digit);
    let (Some(year), Some(month), Some(day), true) = (number(0..4), number(5..7), number(8..10), is_day)
    else {
        return DateError::Form;
    };
    let (month, day) = (i8::try_from(month).unwrap_or_default(), i8::try_from(day).unwrap_or_default());
    match civil::Date::new(year, month, 1) {
        Err(_) => DateError::NoSuchMonth(month),
        Ok(first) if day < 1 || day > first.days_in_month() => DateError::NoSuchDay {
            month: first.strftime(if month == 2 { "%B %Y" } else { "%B" }).to_string(),
            days: first.days_in_month(),
        },
        Ok(_) => DateError::Form,
    }
}

/// The calendar units of a span.
fn whole_days(span: Span) -> Span {
    Span::new()
        .years(span.get_years())
        .months(span.get_months())
        .weeks(span.get_weeks())
        .days(span.get_days())
}

impl Date {
    /// The moment, relative to `now`, in `zone`, in whole seconds.
    ///
    /// # Errors
    ///
    /// When it is beyond the calendar.
    pub fn resolve(&self, now: Timestamp, zone: &Zone) -> Result<Timestamp, DateError> {
        let Zone(zone) = zone;
        let at = match &self.meant {
            Meant::At(at) => Ok(*at),
            Meant::Civil(time) => zone.to_timestamp(*time),
            Meant::Ago { span, midnight } => {
                let then = ZonedDateTime::new(now, zone.clone()).checked_add(*span);
                let then = then.and_then(|then| if *midnight { then.start_of_day() } else { Ok(then) });
                then.map(|then| then.timestamp())
            }
        };
        let at = at.map_err(|_| DateError::Beyond)?;
        Timestamp::from_second(at.as_second()).map_err(|_| DateError::Beyond)
    }
}

/// A time zone by its name in the IANA database, which is compiled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The current date in the zone, such as `2026-11-26`.
    #[must_use]
    pub fn date(&self, now: Timestamp) -> String {
        ZonedDateTime::new(now, self.0.clone()).date().to_string()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || format!("`{}` is not a time zone such as UTC or Europe/Berlin", Text::of_input(text));
        TimeZone::get(text.trim()).map(Self).map_err(|_| expected())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}
