//! `Retry-After` and the rate-limit headers. The first line of an input is the HTTP status and the date of the answer in seconds
//! since the Unix epoch (`429 @1732529622`). Each further line is a header.

#![no_main]

use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use snyk_export::moment::Moment;
use snyk_export::snyk::throttle::hint;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (status, now) = first.split_once('@').unwrap_or((&first, "1732529622"));
    let status: u16 = status.trim().parse().unwrap_or(200);
    // A date in a header cannot be after the year 9999.
    let now = Duration::from_secs(now.trim().parse::<u64>().unwrap_or_default() % 253_402_300_800);
    let mut headers: HeaderMap = lines.filter_map(header).collect();
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + now);
    headers.insert(DATE, HeaderValue::from_str(&date).expect("a date is a header's value"));
    let now = Moment::from_unix(now);

    let hint = hint(status, &headers);
    let values =
        |name| headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let digits = |text: &str| {
        let all = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.trim().parse().ok()).flatten().map(Duration::from_secs)
    };
    let until = |moment: Duration| Moment::from_unix(moment).since(now);

    // What each header asks for, whether or not it counts.
    let seconds = values("retry-after").filter_map(digits);
    let dates = values("retry-after").filter_map(|text| {
        let date =
            httpdate::parse_http_date(text.trim()).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(until(date))
    });
    let retry_after = seconds.chain(dates).max();
    let first = |name: &str| headers.get(name).and_then(|value| digits(value.to_str().ok()?));
    let reset = first("x-ratelimit-reset");
    let exhausted = first("x-ratelimit-remaining") == Some(Duration::ZERO);

    assert!(hint >= retry_after, "Retry-After counts on any answer: {hint:?} instead of {retry_after:?}");
    match reset {
        Some(reset) if status == 429 || exhausted => {
            let asked = if reset.as_secs() < 1_000_000_000 { reset } else { until(reset) };
            assert_eq!(hint, retry_after.max(Some(asked)), "the longest counts");
        }
        _ => assert_eq!(hint, retry_after, "nothing else counts"),
    }
});

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?))
}
