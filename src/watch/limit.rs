//! The limits of a watch, and the hints that go beyond one.

use std::fmt;
use std::time::Duration;

use super::outcome::Outcome;
use crate::moment::Moment;

/// A hint that asked for more time than a limit left: it ended the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlong {
    /// What the server asked for.
    pub asked: Duration,
    /// The option that sets the limit.
    pub option: &'static str,
    /// The limit.
    pub limit: Duration,
}

impl fmt::Display for Overlong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let text = |duration| humantime::format_duration(Duration::from_millis(in_ms(duration)));
        write!(f, "asks to wait {}; {} is {}", text(self.asked), self.option, text(self.limit))
    }
}

/// A limit of a watch.
pub(super) struct Limit {
    pub(super) at: Moment,
    pub(super) outcome: Outcome,
    pub(super) option: &'static str,
    pub(super) length: Duration,
}
