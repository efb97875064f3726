//! Words that were meant.

/// The known word that a mistyped one is nearest to, with at most so many letters to change.
pub(crate) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    at_most: usize,
) -> Option<&'a str> {
    let near = known.into_iter().map(|known| (distance(word, known), known));
    near.filter(|(distance, _)| *distance <= at_most).min().map(|(_, known)| known)
}

/// How many letters have to be added, removed or replaced.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.bytes().enumerate() {
        let mut before = at;
        row[0] = at + 1;
        for (column, other) in to.bytes().enumerate() {
            let changed = before + usize::from(letter != other);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_needs_the_fewest_changes() {
        let known = ["issues", "usage", "pr_checks", "issue_type"];
        for (word, near) in [
            ("isues", Some("issues")),
            ("issue", Some("issues")),
            ("usge", Some("usage")),
            ("pr-checks", Some("pr_checks")),
            ("sbom", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known, 2), near, "{word}");
        }
    }
}
