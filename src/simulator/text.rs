//! Values of a scenario file that are checked while they are read, so that errors show their line.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A duration as people write it, such as `20ms` or `1h`.
pub(super) fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let written = String::deserialize(source)?;
    humantime::parse_duration(&written).map_err(|_| {
        D::Error::custom(format!("expected a duration such as `20ms`, `30s`, or `5m`, found `{written}`"))
    })
}

/// A duration that may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    duration(source).map(Some)
}

/// A whole number within bounds, both included.
pub(super) fn between<'de, D, T, const LOW: u32, const HIGH: u32>(source: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u32>,
{
    let number = u32::deserialize(source)?;
    let within = T::try_from(number).ok().filter(|_| (LOW..=HIGH).contains(&number));
    within.ok_or_else(|| D::Error::custom(format!("expected a number from {LOW} to {HIGH}, found {number}")))
}
