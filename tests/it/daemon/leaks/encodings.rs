//! Whether a text shows a secret, in whichever way ordinary programs write one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

pub(super) use self::shared::ENCODINGS;

#[path = "../../../../fuzz/src/encodings.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use this file too, from a crate of their own")]
mod shared;

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
