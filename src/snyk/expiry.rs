//! When a signed link stops working, by what it says of itself.
//!
//! Snyk's results are in Google's or Amazon's storage. Both write into the link when it was signed and for how many
//! seconds it is good (`X-Goog-Date` and `X-Goog-Expires`, `X-Amz-…`); older signatures name the second at which it ends
//! (`Expires`).

use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::moment::Moment;

/// A number of seconds that is smaller is no date.
const FIRST_DATE: u64 = 1_000_000_000;

/// When `link` stops working; nothing if it does not say, or not in a form that is known.
pub(super) fn of(link: &Url) -> Option<Moment> {
    let value = |name: &str| {
        let mut pairs = link.query_pairs();
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
    };
    let signed = |service: &str| {
        let signed_at: Timestamp = value(&format!("x-{service}-date"))?.parse().ok()?;
        let signed_at = Moment::from_unix_ms(signed_at.as_millisecond().try_into().ok()?);
        Some(signed_at.plus(Duration::from_secs(value(&format!("x-{service}-expires"))?.parse().ok()?)))
    };
    let until = || {
        let seconds: u64 = value("expires")?.parse().ok()?;
        (seconds >= FIRST_DATE).then(|| Moment::from_unix(Duration::from_secs(seconds)))
    };
    signed("goog").or_else(|| signed("amz")).or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_link_says_of_its_end() {
        let rows = [
            (
                "X-Goog-Date=20260212T200947Z&X-Goog-Expires=3600&X-Goog-Signature=s",
                Some("2026-02-12T21:09:47.000Z"),
            ),
            ("X-Amz-Expires=60&X-Amz-Date=20260212T200947Z", Some("2026-02-12T20:10:47.000Z")),
            ("x-amz-date=20260212T200947Z&x-amz-expires=0", Some("2026-02-12T20:09:47.000Z")),
            ("GoogleAccessId=a&Expires=1770930587&Signature=s", Some("2026-02-12T21:09:47.000Z")),
            (
                "X-Goog-Date=20260212T200947Z&X-Goog-Expires=18446744073709551615",
                Some("9999-12-31T23:59:59.000Z"),
            ),
            ("X-Goog-Date=20260212T200947Z", None),
            ("X-Goog-Date=yesterday&X-Goog-Expires=3600", None),
            ("X-Goog-Date=19691231T235959Z&X-Goog-Expires=3600", None),
            ("X-Goog-Date=20260212T200947Z&X-Goog-Expires=-1", None),
            ("X-Goog-Date=20260212T200947Z&X-Amz-Expires=3600", None),
            ("Expires=3600", None),
            ("", None),
        ];
        for (query, expected) in rows {
            let link = Url::parse(&format!("https://bucket.example/x.csv?{query}")).unwrap();
            assert_eq!(of(&link).map(|at| at.to_string()).as_deref(), expected, "{query}");
        }
    }
}
