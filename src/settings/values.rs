//! Values as people write them in flags, variables and files.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Deserializer;
use uuid::Uuid;

pub(crate) use super::duration::{HumanDuration, Pause};

use super::duration::NotADuration;
use crate::export::{Status, parse_id};
use crate::request::MAX_URL_EXPIRATION;
use crate::snyk::region::Api;

/// `STATUS=DURATION`: how long an export may stay in one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusLimit {
    pub(crate) status: Status,
    pub(crate) limit: Duration,
}

impl FromStr for StatusLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || "expected STATUS=DURATION, such as `PENDING=30m`".to_owned();
        let (status, limit) = text.split_once('=').ok_or_else(error)?;
        let Pause(limit) = limit.parse().map_err(|why| match why {
            NotADuration::Unreadable | NotADuration::Nothing => error(),
            why @ (NotADuration::NoUnit(_) | NotADuration::MinutesOrMonths { .. }) => why.to_string(),
        })?;
        Ok(Self { status: status.parse().map_err(|_| error())?, limit })
    }
}

/// How long signed links work: whole seconds, up to an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UrlExpiration(pub(crate) u64);

impl FromStr for UrlExpiration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => match text.parse() {
                Ok(HumanDuration(time)) => Some(time),
                Err(why @ NotADuration::MinutesOrMonths { .. }) => return Err(why.to_string()),
                Err(_) => None,
            },
        };
        let within = time.filter(|time| time.subsec_nanos() == 0 && time.as_secs() <= MAX_URL_EXPIRATION);
        let expected = || format!("expected a number of seconds from 0 to {MAX_URL_EXPIRATION}");
        within.map(|time| Self(time.as_secs())).ok_or_else(expected)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "kb" => Some(1000),
            "mb" => Some(1_000_000),
            "gb" => Some(1_000_000_000),
            "tb" => Some(1_000_000_000_000),
            "kib" => Some(1 << 10),
            "mib" => Some(1 << 20),
            "gib" => Some(1 << 30),
            "tib" => Some(1 << 40),
            _ => None,
        };
        let size = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        size.map(Self).ok_or_else(|| "expected a size such as `500MB` or `10GiB`".to_owned())
    }
}

/// A UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) Uuid);

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || "expected a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b".to_owned();
        parse_id(text.trim()).map(Self).ok_or_else(expected)
    }
}

/// Where to listen: an address, or `localhost`, which is loopback in both families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    first: SocketAddr,
    second: Option<SocketAddr>,
}

impl Listen {
    /// The address; that of IPv4 if there are two.
    #[must_use]
    pub const fn first(&self) -> SocketAddr {
        self.first
    }

    /// All addresses.
    #[must_use]
    pub fn all(&self) -> Vec<SocketAddr> {
        [self.first].into_iter().chain(self.second).collect()
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(first) = text.parse() {
            return Ok(Self { first, second: None });
        }
        let port = text.rsplit_once(':').filter(|(host, _)| host.eq_ignore_ascii_case("localhost"));
        let port: u16 = port.and_then(|(_, port)| port.parse().ok()).ok_or(
            "expected an address such as \"127.0.0.1:8686\" or \"localhost:8686\": an IP address and a port",
        )?;
        let of = |ip: IpAddr| SocketAddr::new(ip, port);
        Ok(Self { first: of(Ipv4Addr::LOCALHOST.into()), second: Some(of(Ipv6Addr::LOCALHOST.into())) })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(_) => write!(f, "localhost:{}", self.first.port()),
            None => self.first.fmt(f),
        }
    }
}

/// Defines a number within bounds, with one parser for flags, variables and files.
macro_rules! number {
    ($($(#[$doc:meta])* $name:ident: $expected:literal, $is_within:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
        #[serde(try_from = "f64")]
        pub(crate) struct $name(pub(crate) f64);

        impl TryFrom<f64> for $name {
            type Error = &'static str;

            fn try_from(number: f64) -> Result<Self, Self::Error> {
                if ($is_within).contains(&number) { Ok(Self(number)) } else { Err($expected) }
            }
        }

        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.trim().parse().unwrap_or(f64::NAN))
            }
        }
    )*};
}

number! {
    /// A factor of at least 1.
    Multiplier: "expected a number of at least 1", 1.0..=f64::MAX;
    /// A share, from 0 to 1.
    Share: "expected a number from 0 to 1", 0.0..=1.0;
}

/// Deserializes a TOML string with the parser of the flag.
macro_rules! deserialize_from_text {
    ($($type:ty: $expected:literal),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    )*};
}

pub(super) use deserialize_from_text;

deserialize_from_text! {
    StatusLimit: "a limit such as \"PENDING=30m\"",
    Api: "a region (us, us2, eu, au, gov) or a URL in quotes",
    Size: "a size in quotes, such as \"10GiB\"",
    Listen: "an address in quotes, such as \"127.0.0.1:8686\"",
    Id: "a UUID in quotes, such as \"7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b\"",
    Version: "a version in quotes, such as \"2024-10-15\"",
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` on a terminal, unless `CI` or `GITHUB_ACTIONS` is set; else `logfmt`.
    Auto,
    /// Short lines that a person reads at a glance.
    Human,
    /// Structured lines that a person reads too.
    #[value(alias = "text")]
    #[serde(alias = "text")]
    Logfmt,
    /// One JSON object a line, for machines.
    Json,
}

/// When text is colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A version of Snyk's API: a date, optionally with a stability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) String);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (date, stability) = text.split_once('~').map_or((text, None), |(date, word)| (date, Some(word)));
        let word = |word: &str| matches!(word, "wip" | "work-in-progress" | "experimental" | "beta");
        let is_date = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
        if (is_date && stability.is_none_or(word)) || word(text) {
            return Ok(Self(text.to_owned()));
        }
        Err("expected a version of the API such as `2024-10-15` or `2024-05-10~experimental`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_links_work() {
        for (text, seconds) in [("0", 0), ("3600", 3600), ("10m", 600), ("1h", 3600)] {
            assert_eq!(text.parse(), Ok(UrlExpiration(seconds)), "{text}");
        }
        for text in ["", "3601", "-1", "1.5", "1500ms", "2h", "soon"] {
            assert!(text.parse::<UrlExpiration>().unwrap_err().contains("from 0 to 3600"), "{text}");
        }
        assert!("10M".parse::<UrlExpiration>().unwrap_err().contains("`10m`"));
    }

    #[test]
    fn reads_sizes() {
        let rows = [
            ("0", 0),
            ("1048576", 1 << 20),
            ("500MB", 500_000_000),
            ("50 GiB", 50 << 30),
            (" 1kib ", 1024),
            ("7 b", 7),
            ("2TB", 2_000_000_000_000),
        ];
        for (text, bytes) in rows {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "1G", "1M", "99999999999999999999", "99999999TiB", "1 GiB x"]
        {
            assert!(text.parse::<Size>().unwrap_err().contains("`10GiB`"), "{text}");
        }
    }

    #[test]
    fn reads_status_limits() {
        let limit: StatusLimit = "pending=30m".parse().unwrap();
        assert_eq!((limit.status.as_str(), limit.limit.as_secs()), ("PENDING", 1800));
        for text in ["", "PENDING", "PENDING=", "=30m", "PENDING=0", "PENDING=soon"] {
            assert!(text.parse::<StatusLimit>().unwrap_err().contains("`PENDING=30m`"), "{text}");
        }
        for (text, question) in [("PENDING=30M", "minutes or months"), ("PENDING=30", "mean `30s`")] {
            assert!(text.parse::<StatusLimit>().unwrap_err().contains(question), "{text}");
        }
    }

    #[test]
    fn reads_where_to_listen() {
        let rows: [(&str, &[&str]); 4] = [
            ("127.0.0.1:80", &["127.0.0.1:80"]),
            (" [::]:0 ", &["[::]:0"]),
            ("localhost:8686", &["127.0.0.1:8686", "[::1]:8686"]),
            ("LOCALHOST:0", &["127.0.0.1:0", "[::1]:0"]),
        ];
        for (text, addresses) in rows {
            let listen: Listen = text.parse().unwrap();
            let all: Vec<String> = listen.all().iter().map(ToString::to_string).collect();
            assert_eq!(all, addresses, "{text}");
        }
        for text in ["", "localhost", "localhost:", "localhost:x", "example.com:80", "127.0.0.1", "8686"] {
            assert!(
                text.parse::<Listen>().unwrap_err().contains("\"localhost:8686\": an IP address"),
                "{text}"
            );
        }
    }

    #[test]
    fn reads_versions() {
        for text in ["2024-10-15", "2024-05-10~experimental", "2025-01-01~beta", "beta"] {
            assert!(text.parse::<Version>().is_ok(), "{text}");
        }
        for text in ["", "2024-13-15", "20241015", "2024-10-15~new", "latest", "2024-10-15 "] {
            assert_eq!(text.parse::<Version>().is_ok(), text.ends_with(' '), "{text}");
        }
    }

    #[test]
    fn reads_numbers_within_their_bounds() {
        assert_eq!("1.5".parse(), Ok(Multiplier(1.5)));
        assert_eq!("0".parse(), Ok(Share(0.0)));
        for text in ["", "0.5", "NaN", "inf", "x"] {
            assert!(text.parse::<Multiplier>().is_err(), "{text}");
        }
        for text in ["", "1.1", "-0.1", "NaN"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
