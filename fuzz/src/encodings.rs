//! The ways in which ordinary programs write a text. The fuzz targets and the tests of the daemon share them.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

type Encoder = fn(&str) -> String;

/// Each encoding with its name.
pub const ENCODINGS: [(&str, Encoder); 17] = [
    ("raw", str::to_owned),
    ("capitals", str::to_uppercase),
    ("json", json),
    ("json with slashes", |text| json(text).replace('/', "\\/")),
    ("json of ascii", |text| each(text, |char| format!("\\u{:04x}", u32::from(char)))),
    ("percent", |text| percent(text, |byte| format!("%{byte:02X}"))),
    ("percent twice", |text| percent(text, |byte| format!("%25{byte:02x}"))),
    ("a form", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    ("html", html),
    ("html in hexadecimal", |text| each(text, |char| format!("&#x{:x};", u32::from(char)))),
    ("base64", |text| BASE64_STANDARD.encode(text)),
    ("base64 for urls", |text| BASE64_URL_SAFE_NO_PAD.encode(format!("x{text}"))),
    ("basic", |text| format!("Basic {}", BASE64_STANDARD.encode(format!("me:{text}")))),
    ("json of all", |text| text.chars().map(|char| format!("\\u{:04X}", u32::from(char))).collect()),
    ("percent in small letters", percent_in_small_letters),
    ("json, then percent", |text| percent_in_small_letters(&json(text).replace('-', "\\u002d"))),
    ("json, then html", |text| html(&json(text).replace('-', "\\u002d"))),
];

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned()
}

fn html(text: &str) -> String {
    each(text, |char| format!("&#{};", u32::from(char)))
}

fn percent_in_small_letters(text: &str) -> String {
    percent(text, |byte| format!("%{byte:02x}"))
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
