//! What holds of everything that a stranger may have written, whichever way it came in.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use snyk_export::text::Text;

type Encoder = fn(&str) -> String;

/// The ways in which ordinary programs write a text.
pub const ENCODINGS: [(&str, Encoder); 13] = [
    ("raw", str::to_owned),
    ("capitals", str::to_uppercase),
    ("json", json),
    ("json with slashes", |text| json(text).replace('/', "\\/")),
    ("json of ascii", |text| each(text, |char| format!("\\u{:04x}", u32::from(char)))),
    ("percent", |text| percent(text, |byte| format!("%{byte:02X}"))),
    ("percent twice", |text| percent(text, |byte| format!("%25{byte:02x}"))),
    ("a form", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    ("html", |text| each(text, |char| format!("&#{};", u32::from(char)))),
    ("html in hexadecimal", |text| each(text, |char| format!("&#x{:x};", u32::from(char)))),
    ("base64", |text| BASE64_STANDARD.encode(text)),
    ("base64 for urls", |text| BASE64_URL_SAFE_NO_PAD.encode(format!("x{text}"))),
    ("basic", |text| format!("Basic {}", BASE64_STANDARD.encode(format!("me:{text}")))),
];

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned()
}

fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars()
        .map(|char| if char.is_ascii_alphanumeric() { char.to_string() } else { write(char) })
        .collect()
}

fn percent(text: &str, write: impl Fn(u8) -> String) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { write(byte) };
    text.bytes().map(byte).collect()
}

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
