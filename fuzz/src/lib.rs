//! What must hold for all text from outside.

mod encodings;

use snyk_export::text::Text;

pub use self::encodings::ENCODINGS;

/// Asserts that `shown` does not contain `secret`, in any of the encodings.
pub fn assert_lacks(shown: &str, secret: &str) {
    let folded = shown.to_lowercase();
    for (name, encode) in ENCODINGS {
        assert!(!folded.contains(&encode(secret).to_lowercase()), "{secret} as {name} in {shown}");
    }
}

/// Asserts what [`Text`] promises: one short line without commands, that does not change if it is cleaned again.
pub fn assert_clean(text: &Text) {
    assert!(text.as_str().chars().count() <= Text::MAX_CHARS, "too long: {text:?}");
    assert_is_one_line(text.as_str());
    assert_eq!(text.as_str().trim(), text.as_str(), "blanks at an end");
    assert!(!text.as_str().contains("##"), "a command of a CI system: {text:?}");
    // If a long text was cut within a link, the rest of the link may look different, and is masked then.
    let was_cut = text.as_str().ends_with('…') && text.as_str().contains("://");
    assert!(was_cut || &Text::new(text.as_str()) == text, "cleaning it again changes it: {text:?}");
}

/// Asserts that nothing in `shown` moves a cursor, ends a line or changes the direction of text.
pub fn assert_is_one_line(shown: &str) {
    let gives_orders = |char: char| {
        char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!shown.chars().any(gives_orders), "{shown:?}");
}
