//! How long a server asks us to wait before the next request.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};

use crate::http::{self, seconds};
use crate::moment::Moment;

/// From this number on, seconds are not a duration but a date, counted from the Unix epoch.
const EPOCH_SECONDS_FROM: u64 = 1_000_000_000;

/// The longest of the hints in an answer, if there is any. Hints that cannot be parsed are ignored.
///
/// `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3) counts on any answer. `X-RateLimit-Reset` (seconds,
/// in Snyk's clients) is sent on good answers too and counts only if the limit is reached.
#[must_use]
pub fn hint(http_status: u16, headers: &HeaderMap) -> Option<Duration> {
    let retry_after = http::retry_after(headers);
    let exhausted = headers.get("x-ratelimit-remaining").and_then(seconds) == Some(0);
    let reset = (http_status == 429 || exhausted).then(|| headers.get("x-ratelimit-reset")).flatten();
    let until_reset = |value: &HeaderValue| {
        let seconds = Duration::from_secs(seconds(value)?);
        let is_date = seconds.as_secs() >= EPOCH_SECONDS_FROM;
        Some(if is_date { Moment::from_unix(seconds).since(http::answered_at(headers)) } else { seconds })
    };
    retry_after.max(reset.and_then(until_reset))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, RETRY_AFTER};

    use super::*;
    use crate::clock::Clock;

    /// When the server answers, by its own clock: 1732529622 seconds after the epoch.
    const ANSWERED_AT: &str = "Mon, 25 Nov 2024 10:13:42 GMT";

    #[track_caller]
    fn check(status: u16, headers: &[(&'static str, &str)], seconds: Option<u64>) {
        let map = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (reqwest::header::HeaderName::from_static(name), value)
        });
        let mut map: HeaderMap = map.collect();
        map.insert(DATE, HeaderValue::from_static(ANSWERED_AT));
        assert_eq!(hint(status, &map), seconds.map(Duration::from_secs), "{status} {headers:?}");
    }

    #[test]
    fn dates_are_compared_with_our_wall_clock_if_the_answer_has_no_date() {
        let after = |moment: Moment, date: &str| {
            let date = HeaderValue::from_str(date).unwrap();
            let epoch = HeaderValue::from(moment.unix_ms() / 1000);
            let now = Clock::wall_now();
            for headers in [vec![(RETRY_AFTER, date)], vec![("x-ratelimit-reset".parse().unwrap(), epoch)]] {
                let hint = hint(429, &headers.into_iter().collect()).unwrap();
                // The header has whole seconds, and asking takes a moment.
                let expected = moment.since(now);
                assert!(
                    hint <= expected && expected - hint < Duration::from_secs(60),
                    "{hint:?} {expected:?}"
                );
            }
        };
        let in_an_hour = Clock::wall_now().plus(Duration::from_secs(3600));
        let system = std::time::UNIX_EPOCH + Duration::from_millis(in_an_hour.unix_ms());
        after(in_an_hour, &httpdate::fmt_http_date(system));
        after(Moment::from_unix(Duration::from_secs(1_732_529_622)), ANSWERED_AT);
    }

    #[test]
    fn reads_retry_after_on_any_answer() {
        for status in [200, 429, 503] {
            check(status, &[("retry-after", "45")], Some(45));
            check(status, &[("retry-after", " 0 ")], Some(0));
            check(status, &[("retry-after", "Mon, 25 Nov 2024 10:14:42 GMT")], Some(60));
            check(status, &[("retry-after", "Monday, 25-Nov-24 10:14:42 GMT")], Some(60));
            check(status, &[("retry-after", "Mon, 25 Nov 2024 10:00:00 GMT")], Some(0));
        }
    }

    #[test]
    fn ignores_junk() {
        for junk in [
            "",
            "soon",
            "-5",
            "+5",
            "1.5",
            "1e3",
            "12abc",
            "99999999999999999999999",
            "Mon, 99 Nov 2024",
            "é",
        ] {
            check(503, &[("retry-after", junk)], None);
            check(429, &[("x-ratelimit-reset", junk)], None);
        }
        check(429, &[("retry-after", "soon"), ("x-ratelimit-reset", "7")], Some(7));
    }

    #[test]
    fn reads_the_reset_only_if_the_limit_is_reached() {
        check(429, &[("x-ratelimit-reset", "30")], Some(30));
        check(200, &[("x-ratelimit-reset", "30"), ("x-ratelimit-remaining", "0")], Some(30));
        check(200, &[("x-ratelimit-reset", "30"), ("x-ratelimit-remaining", "12")], None);
        check(200, &[("x-ratelimit-reset", "30")], None);
        check(503, &[("x-ratelimit-reset", "30")], None);
        check(429, &[("x-ratelimit-reset", "1732529652")], Some(30));
        check(429, &[("x-ratelimit-reset", "1732529000")], Some(0));
    }

    #[test]
    fn obeys_the_longest() {
        check(429, &[("retry-after", "5"), ("x-ratelimit-reset", "30")], Some(30));
        check(429, &[("retry-after", "50"), ("x-ratelimit-reset", "30")], Some(50));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(status in 100_u16..1000, value: Vec<u8>) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(RETRY_AFTER, value.clone());
                headers.insert("x-ratelimit-reset", value);
            }
            let _ = hint(status, &headers);
        }
    }
}
