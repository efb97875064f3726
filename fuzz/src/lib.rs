//! What holds of everything that a stranger may have written, whichever way it came in.

mod encodings;

use snyk_export::text::Text;

pub use self::encodings::ENCODINGS;

/// Asserts that nobody can read `secret` from what is shown, who undoes one of the encodings.
pub fn assert_lacks(shown: &str, secret: &str) {
    let folded = shown.to_lowercase();
    for (name, encode) in ENCODINGS {
        assert!(!folded.contains(&encode(secret).to_lowercase()), "{secret} as {name} in {shown}");
    }
}

/// Asserts what [`Text`] promises: one short line that gives no orders, and that stays as it is.
pub fn assert_clean(text: &Text) {
    assert!(text.as_str().chars().count() <= Text::MAX_CHARS, "too long: {text:?}");
    assert_is_one_line(text.as_str());
    assert_eq!(text.as_str().trim(), text.as_str(), "blanks at an end");
    assert!(!text.as_str().contains("##"), "a command of a CI system: {text:?}");
    // Where a long text was cut, what is left of its last link may look like another one: it is hidden then.
    let was_cut = text.as_str().ends_with('…') && text.as_str().contains("://");
    assert!(was_cut || &Text::new(text.as_str()) == text, "cleaned twice is not cleaned once: {text:?}");
}

/// Asserts that nothing in `shown` moves a cursor, ends a line or turns what is beside it around.
pub fn assert_is_one_line(shown: &str) {
    let gives_orders = |char: char| {
        char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!shown.chars().any(gives_orders), "{shown:?}");
}
