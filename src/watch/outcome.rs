//! How a watch ends. An outcome is a result, not an error.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// SIGHUP (1): the terminal is gone.
    Hangup,
    /// SIGINT (2): Ctrl-C.
    Interrupt,
    /// SIGTERM (15): what `docker stop` and every CI system send first.
    Terminate,
}

impl Signal {
    /// The signal's number on every Unix.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }

    /// The signal's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// How a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The export is ready.
    Finished,
    /// Snyk says that the export has failed.
    Failed,
    /// The credential was refused.
    Unauthorized,
    /// The credential may not see this export.
    Forbidden,
    /// The export does not exist, or this credential cannot see it.
    NotFound,
    /// Snyk says that the export is in conflict.
    Conflict,
    /// Snyk does not accept the request itself.
    Rejected,
    /// The export has a status that this version does not know.
    UnknownStatus,
    /// The export stayed in one status for too long.
    Stalled,
    /// Snyk was unavailable for too long.
    Unavailable,
    /// The time limit passed.
    TimedOut,
    /// A signal ended the wait.
    Interrupted(Signal),
    /// Another export finished first (`--any`).
    Abandoned,
}

impl Outcome {
    /// All outcomes. Signals share one word.
    pub const ALL: [Self; 13] = [
        Self::Finished,
        Self::Failed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Rejected,
        Self::UnknownStatus,
        Self::Stalled,
        Self::Unavailable,
        Self::TimedOut,
        Self::Interrupted(Signal::Terminate),
        Self::Abandoned,
    ];

    /// The outcome of this word. The word of an interruption does not say by which signal.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// The word for it in documents and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::UnknownStatus => "unknown-status",
            Self::Stalled => "stalled",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Interrupted(_) => "interrupted",
            Self::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::from_word(&word).ok_or_else(|| D::Error::custom("unknown outcome"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_signals_have_their_words() {
        let words = [
            "finished",
            "failed",
            "unauthorized",
            "forbidden",
            "not-found",
            "conflict",
            "rejected",
            "unknown-status",
            "stalled",
            "unavailable",
            "timed-out",
            "interrupted",
            "abandoned",
        ];
        assert_eq!(Outcome::ALL.map(|outcome| outcome.to_string()), words);
        assert_eq!(words.map(|word| Outcome::from_word(word).unwrap()), Outcome::ALL);
        assert_eq!(Outcome::from_word("Finished"), None);
        assert_eq!(serde_json::to_value(Outcome::ALL).unwrap(), serde_json::json!(words));
        assert_eq!(serde_json::from_value::<[Outcome; 13]>(serde_json::json!(words)).unwrap(), Outcome::ALL);
        let signals = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];
        assert_eq!(signals.map(Signal::name), ["SIGHUP", "SIGINT", "SIGTERM"]);
        assert_eq!(signals.map(Signal::number), [1, 2, 15]);
    }
}
