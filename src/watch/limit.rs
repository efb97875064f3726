//! The limits of a watch, and hints that exceed them.

use std::fmt;
use std::time::Duration;

use super::outcome::Outcome;
use crate::duration::to_the_ms;
use crate::moment::Moment;

/// A hint that ended the watch, because it exceeded a limit.
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
        let Self { asked, option, limit } = self;
        write!(f, "asks to wait {}, longer than {option} allows ({})", to_the_ms(*asked), to_the_ms(*limit))
    }
}

/// A limit of a watch.
pub(super) struct Limit {
    pub(super) at: Moment,
    pub(super) outcome: Outcome,
    pub(super) option: &'static str,
    pub(super) length: Duration,
}
