//! Signed links to the files of an export.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::moment::Moment;
use crate::text::without_our_secrets;

/// A smaller number of seconds is not a date.
const FIRST_DATE: u64 = 1_000_000_000;

/// A signed link, parsed once: anybody who has it can read the file until it expires. It prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(Arc<Url>);

impl Link {
    /// The link in a server's text. `None` if it is not an HTTP URL. A URL has neither spaces nor control characters, so
    /// that the text cannot start a line of its own where the link is shown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "https" | "http").then(|| Self(Arc::new(url)))
    }

    /// The URL itself, for the one place that sends the request.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The link for a user who asked for it. Secrets of ours in it are masked.
    #[must_use]
    pub fn show(&self) -> String {
        without_our_secrets(self.0.as_str())
    }

    /// The object that the link leads to: the link without its signature.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}{}", self.0.origin().ascii_serialization(), self.0.path())
    }

    /// The name of the object, without the folders that it is in.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.path().rsplit('/').next().unwrap_or_default()
    }

    /// When the link expires. `None` if it does not say.
    ///
    /// Google and Amazon write into a link when it was signed and for how many seconds it is valid (`X-Goog-Date` and
    /// `X-Goog-Expires`, `X-Amz-…`). Older signatures name the second at which it ends (`Expires`).
    #[must_use]
    pub fn expires_at(&self) -> Option<Moment> {
        let value = |name: &str| {
            let mut pairs = self.0.query_pairs();
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
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_when_it_expires() {
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
            let link = Link::parse(&format!("https://bucket.example/x.csv?{query}")).unwrap();
            assert_eq!(link.expires_at().map(|at| at.to_string()).as_deref(), expected, "{query}");
        }
    }
}
