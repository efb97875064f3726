//! Dates of a request: days, moments, or so long ago.

use super::*;

#[test]
fn a_range_may_begin_and_end_at_the_same_moment() {
    let mut body = valid();
    body["data"]["attributes"]["filters"]["introduced"]["to"] = json!("2025-01-01T00:00:00Z");
    assert_eq!(request(Scope::Group, body).check(), Ok(Vec::new()));
}

#[test]
fn dates_are_days_moments_or_time_spans() {
    let rows = [
        ("2025-01-31", "UTC", "2025-01-31T00:00:00Z"),
        ("2025-01-31", "Europe/Berlin", "2025-01-30T23:00:00Z"),
        ("2025-01-31T10:00:00Z", "Europe/Berlin", "2025-01-31T10:00:00Z"),
        ("2025-01-31T10:00:00.9+02:00", "UTC", "2025-01-31T08:00:00Z"),
        ("2025-01-31T10:00", "America/New_York", "2025-01-31T15:00:00Z"),
        ("-1d", "UTC", "2025-03-30T00:00:00Z"),
        ("0d", "UTC", "2025-03-31T00:00:00Z"),
        ("today", "UTC", "2025-03-31T00:00:00Z"),
        ("Yesterday", "Europe/Berlin", "2025-03-29T23:00:00Z"),
        ("-0d", "UTC", "2025-03-31T00:00:00Z"),
        // The night before had 23 hours there.
        ("-1d", "Europe/Berlin", "2025-03-29T23:00:00Z"),
        ("0d", "Europe/Berlin", "2025-03-30T22:00:00Z"),
        // It is still the day before there.
        ("0d", "America/New_York", "2025-03-30T04:00:00Z"),
        ("-2w", "UTC", "2025-03-17T00:00:00Z"),
        ("-1mo", "UTC", "2025-02-28T00:00:00Z"),
        ("-12h", "UTC", "2025-03-30T14:30:15Z"),
        ("-90m", "UTC", "2025-03-31T01:00:15Z"),
        ("-1d 1h", "UTC", "2025-03-30T01:30:15Z"),
        ("0h", "UTC", "2025-03-31T02:30:15Z"),
        ("0 seconds", "UTC", "2025-03-31T02:30:15Z"),
        ("0 days", "UTC", "2025-03-31T00:00:00Z"),
    ];
    let now = "2025-03-31T02:30:15.5Z".parse().unwrap();
    for (text, zone, expected) in rows {
        let date: Date = text.parse().unwrap();
        let at = date.resolve(now, &zone.parse().unwrap()).unwrap();
        assert_eq!(at.to_string(), expected, "{text} in {zone}");
        assert_eq!(date.to_string(), text, "it is shown as it was typed");
    }
    for text in
        ["", "5", "tomorrow", "2025-02-28 x", "2025-1-1", "2025-02-300", "31.01.2025", "-1", "-1x", "T10:00"]
    {
        assert_eq!(text.parse::<Date>().unwrap_err(), DateError::Form, "{text}");
    }
    assert_eq!("1d".parse::<Date>().unwrap_err(), DateError::Ahead);
    let beyond = "-19000y".parse::<Date>().unwrap();
    assert_eq!(beyond.resolve(now, &Zone::default()), Err(DateError::Beyond));
}

#[test]
fn a_day_that_the_calendar_lacks_is_named() {
    let rows = [
        ("2026-11-31", "November has 30 days"),
        ("2026-11-31T10:00:00Z", "November has 30 days"),
        ("2025-02-29", "February 2025 has 28 days"),
        ("2024-02-30", "February 2024 has 29 days"),
        ("2026-01-00", "January has 31 days"),
        ("2026-13-01", "there is no month 13: months go from 01 to 12"),
        ("2026-00-01", "there is no month 0: months go from 01 to 12"),
    ];
    for (text, why) in rows {
        assert_eq!(text.parse::<Date>().unwrap_err().to_string(), why, "{text}");
    }
}

#[test]
fn days_begin_in_the_time_zone() {
    let now = "2025-03-31T23:30:00Z".parse().unwrap();
    assert_eq!(Zone::default().date(now), "2025-03-31");
    assert_eq!("Europe/Berlin".parse::<Zone>().unwrap().date(now), "2025-04-01");
    for name in ["UTC", "Europe/Berlin"] {
        assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
    }
    assert!("Mars/Olympus".parse::<Zone>().unwrap_err().contains("Europe/Berlin"));
}
