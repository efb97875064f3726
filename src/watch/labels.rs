//! Labels: what the owner of a watch notes on it. One rule for settings files and the API.

use std::collections::BTreeMap;

use crate::text::{has_our_secret, is_plain};

/// The labels of a watch, by their keys. Notifications of its end contain them.
pub type Labels = BTreeMap<String, String>;

/// How many labels a watch has at most.
pub const MOST: usize = 32;

/// How long a key is at most, in characters. It has at least one.
pub const LONGEST_KEY: usize = 64;

/// How long a value is at most, in characters.
pub const LONGEST_VALUE: usize = 256;

/// Why a watch cannot have these labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// Characters that do not show.
    #[error(
        "a label contains a control character, an invisible one, or one that changes the direction of the text"
    )]
    NotPlain,
    /// A secret of this process.
    #[error("a label contains a secret of this daemon")]
    Secret,
    /// Too many, or too long.
    #[error(
        "a watch has at most {MOST} labels, each with a key of 1 to {LONGEST_KEY} characters and a value of at \
         most {LONGEST_VALUE}"
    )]
    TooMuch,
}

/// Whether a watch can have these labels.
///
/// # Errors
///
/// When it cannot. The error shows nothing of the labels.
pub fn check(labels: &Labels) -> Result<(), LabelsError> {
    let texts = || labels.iter().flat_map(|(key, value)| [key, value]);
    let fits = |(key, value): (&String, &String)| {
        (1..=LONGEST_KEY).contains(&key.chars().count()) && value.chars().count() <= LONGEST_VALUE
    };
    if !texts().all(|text| is_plain(text)) {
        Err(LabelsError::NotPlain)
    } else if texts().any(|text| has_our_secret(text)) {
        Err(LabelsError::Secret)
    } else if labels.len() > MOST || !labels.iter().all(fits) {
        Err(LabelsError::TooMuch)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_plain_and_without_our_secrets() {
        let _held = crate::secret::Secret::new("Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2");
        let one = |key: &str, value: &str| check(&Labels::from([(key.to_owned(), value.to_owned())]));
        let many = |count: usize| check(&(0..count).map(|n| (n.to_string(), String::new())).collect());
        let rows = [
            (one("k", "payments"), Ok(())),
            (one(&"ü".repeat(64), &"ü".repeat(256)), Ok(())),
            (many(32), Ok(())),
            (many(33), Err(LabelsError::TooMuch)),
            (one("", "x"), Err(LabelsError::TooMuch)),
            (one(&"k".repeat(65), "x"), Err(LabelsError::TooMuch)),
            (one("k", &"v".repeat(257)), Err(LabelsError::TooMuch)),
            (one("k", "two\nlines"), Err(LabelsError::NotPlain)),
            (one("k\u{1b}", ""), Err(LabelsError::NotPlain)),
            (one("k", "\u{202e}v"), Err(LabelsError::NotPlain)),
            (one("k", "a\u{200b}b"), Err(LabelsError::NotPlain)),
            (one("k", "\u{e0061}"), Err(LabelsError::NotPlain)),
            (one("k", "Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2"), Err(LabelsError::Secret)),
            (one("WnE5d1hwU3NyZDdoVHVNa0UzdkI1blE4eUxjMg==", ""), Err(LabelsError::Secret)),
        ];
        for (number, (checked, expected)) in rows.into_iter().enumerate() {
            assert_eq!(checked, expected, "row {number}");
        }
    }
}
