//! Exit codes. They are an interface: stable, documented in the README, tested one by one.

use crate::watch::outcome::{Outcome, Signal};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExitCode(u8);

impl ExitCode {
    /// Success.
    pub const SUCCESS: Self = Self(0);
    /// An unexpected failure of this program, such as a panic.
    pub const UNFORESEEN: Self = Self(1);
    /// Bad arguments or settings.
    pub const USAGE: Self = Self(2);
    /// `healthcheck`: the daemon is not healthy. `watch --until-idle`: a notification was not delivered (`EX_UNAVAILABLE`).
    pub const UNAVAILABLE: Self = Self(69);
    /// The export is still in progress, or its status is unknown (`EX_TEMPFAIL`).
    pub const IN_PROGRESS: Self = Self(75);

    /// Which code decides if several exports end differently. A code that is not listed is success.
    const ORDER: [u8; 11] = [1, 4, 7, 5, 6, 3, 8, 9, 69, 124, 75];

    /// The code of an outcome. An abandoned export has none, since another one decides.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Option<Self> {
        Some(Self(match outcome {
            Outcome::Finished => 0,
            Outcome::Failed => 3,
            Outcome::Unauthorized | Outcome::Forbidden => 4,
            Outcome::NotFound => 5,
            Outcome::Conflict => 6,
            Outcome::Rejected => 7,
            Outcome::UnknownStatus => 8,
            Outcome::Stalled => 9,
            Outcome::Unavailable => 69,
            Outcome::TimedOut => 124,
            Outcome::Interrupted(signal) => return Some(Self::of_signal(signal)),
            Outcome::Abandoned => return None,
        }))
    }

    /// The code of an outcome that ends the process.
    #[must_use]
    pub fn of_end(outcome: Outcome) -> Self {
        Self::of(outcome).unwrap_or(Self::UNFORESEEN)
    }

    /// The code of a process that a signal ended, as in shells.
    #[must_use]
    pub const fn of_signal(signal: Signal) -> Self {
        Self(128 + signal.number())
    }

    /// The code that decides among those of several exports.
    #[must_use]
    pub fn deciding(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| match code.0 {
            129.. => 0,
            other => 1 + Self::ORDER.iter().position(|listed| *listed == other).unwrap_or(Self::ORDER.len()),
        };
        codes.into_iter().min_by_key(rank).unwrap_or(Self::SUCCESS)
    }

    /// The code with this number: one that a store has kept.
    #[must_use]
    pub const fn of_number(code: u8) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_code() {
        let codes = Outcome::ALL.map(|outcome| ExitCode::of(outcome).map(ExitCode::code));
        let expected = [0, 3, 4, 4, 5, 6, 7, 8, 9, 69, 124, 143].map(Some);
        assert_eq!(codes[..12], expected);
        assert_eq!(codes[12], None);
        let signals =
            [Signal::Hangup, Signal::Interrupt, Signal::Terminate].map(|s| ExitCode::of_signal(s).code());
        assert_eq!(signals, [129, 130, 143]);
    }

    #[test]
    fn the_gravest_code_decides() {
        let decide = |codes: &[u8]| ExitCode::deciding(codes.iter().map(|code| ExitCode(*code))).code();
        assert_eq!(decide(&[]), 0);
        assert_eq!(decide(&[0, 0]), 0);
        assert_eq!(decide(&[0, 75]), 75);
        let order = [130, 1, 4, 7, 5, 6, 3, 8, 9, 69, 124, 75, 0];
        for (index, code) in order.iter().enumerate() {
            let mut rest = order[index..].to_vec();
            rest.reverse();
            assert_eq!(decide(&rest), *code);
        }
    }
}
