//! The ways in which ordinary programs write a text, and whether one of them is found.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

type Encoder = fn(&str) -> String;

pub(super) const ENCODINGS: [(&str, Encoder); 16] = [
    ("raw", str::to_owned),
    ("capitals", str::to_uppercase),
    ("json with slashes", |text| json(text).replace('/', "\\/")),
    ("json of ascii", |text| each(text, |char| format!("\\u{:04x}", u32::from(char)))),
    ("json of all", |text| text.chars().map(|char| format!("\\u{:04X}", u32::from(char))).collect()),
    ("percent", |text| percent(text, |byte| format!("%{byte:02X}"))),
    ("percent in small letters", |text| percent(text, |byte| format!("%{byte:02x}"))),
    ("percent twice", |text| percent(text, |byte| format!("%25{byte:02x}"))),
    ("a form", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    ("html", |text| each(text, |char| format!("&#{};", u32::from(char)))),
    ("html in hexadecimal", |text| each(text, |char| format!("&#x{:x};", u32::from(char)))),
    ("base64", |text| BASE64_STANDARD.encode(text)),
    ("base64 for urls", |text| BASE64_URL_SAFE_NO_PAD.encode(format!("x{text}"))),
    ("basic", |text| format!("Basic {}", BASE64_STANDARD.encode(format!("me:{text}")))),
    ("json, then percent", |text| {
        percent(&json(text).replace('-', "\\u002d"), |byte| format!("%{byte:02x}"))
    }),
    ("json, then html", |text| {
        each(&json(text).replace('-', "\\u002d"), |char| format!("&#{};", u32::from(char)))
    }),
];

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
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

/// Checks that nobody can read `secret` from `text`, who undoes any of these.
#[track_caller]
pub(super) fn lacks(place: &str, text: &str, secret: &str) {
    let fold = |text: &str| text.to_lowercase().replace("\\\\", "\\");
    let letters =
        |text: &str| -> String { text.chars().filter(|char| char.is_ascii_alphanumeric()).collect() };
    let folded = fold(text);
    let mut forms: Vec<(&str, String)> =
        ENCODINGS.iter().map(|(name, encode)| (*name, fold(&encode(secret)))).collect();
    for skipped in 0..3 {
        let encoded = BASE64_STANDARD.encode(format!("{}{secret}", &"xx"[..skipped]));
        // What is around it changes the first characters and the last ones.
        forms.push(("a part of base64", fold(&encoded[4..encoded.len() - 4])));
    }
    for (name, form) in forms {
        let found = folded.find(&form);
        let around = found.map(|at| folded.get(at.saturating_sub(200)..(at + 200).min(folded.len())));
        assert!(found.is_none(), "{place} shows a secret, {name}: {around:?}");
    }
    let (all, letters_of_it) = (letters(&folded), letters(&fold(secret)));
    let around = all.find(&letters_of_it).map(|at| &all[at.saturating_sub(200)..(at + 200).min(all.len())]);
    assert!(around.is_none(), "{place} shows the letters of a secret: {around:?}");
}
