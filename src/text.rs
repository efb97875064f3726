//! Foreign text, cleaned so that it can be shown.
//!
//! Error details, titles and status words come from a server. A hostile server may try to write to the user's terminal or
//! to give commands to a CI system, and a server may send back the secrets that it received. [`Text`] is the only form of
//! foreign text in this crate. Where a place needs more escaping (Markdown, annotations), it is done there.

mod layer;
mod looks;
mod masks;
mod near;

use std::borrow::Cow;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::layer::Layers;
pub(crate) use self::near::nearest;
use crate::secret::held::{self, Held};

/// How many visible characters of a text are examined. Secrets are longer than their masks, so the shown part may end
/// anywhere within them.
const LOOKED_AT: usize = 4096;

/// How many of the last examined characters are not shown if the text goes on: a secret that begins there might not be
/// recognised by its beginning.
const NOT_SHOWN: usize = 1024;

/// How often a text is searched for secrets at most, until nothing is left to mask.
const MOST_ROUNDS: usize = 8;

/// A run of letters and digits up to this length may be a name that a person chose.
const LONGEST_NAME: usize = 16;

/// Replaces a secret.
const MASK: &str = "***";

/// Foreign text on one line: at most 500 characters, no control characters, and no secrets in any usual encoding, neither
/// those that this process holds nor what looks like one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// The longest text that is kept, in characters (a rule of `docs/ARCHITECTURE.md`).
    pub const MAX_CHARS: usize = 500;

    /// Cleans `raw`: any white space becomes a blank, other control and direction characters are removed, and blanks at
    /// both ends are trimmed. `##` is split, because CI systems search lines for `##[command]`.
    ///
    /// Secrets become `***`. The search covers the text as it is, and the text with its JSON escapes, HTML entities,
    /// percent-encoding and Base64 decoded, repeatedly. Everything else stays as it is.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        held::with_all(|held| Self::without(raw, held))
    }

    /// Cleans `raw`, and masks the secrets of `held`.
    fn without(raw: &str, held: &Held) -> Self {
        let shown = raw.chars().filter_map(shown).skip_while(|char| *char == ' ');
        let mut chars: Vec<char> = shown.take(LOOKED_AT + 1).collect();
        let is_cut = chars.len() > LOOKED_AT;
        chars.truncate(chars.iter().rposition(|char| *char != ' ').map_or(0, |last| last + 1));
        let end = if is_cut { (LOOKED_AT - NOT_SHOWN).min(chars.len()) } else { chars.len() };
        let Some(masked) = without_secrets(&chars, end, held) else { return Self(MASK.to_owned()) };
        let mut clean: Vec<char> = Vec::new();
        for char in masked.into_iter().chain(is_cut.then_some('…')) {
            if char == '#' && clean.last() == Some(&'#') {
                clean.push(' ');
            }
            clean.push(char);
            if clean.len() > Self::MAX_CHARS {
                clean.truncate(Self::MAX_CHARS - 1);
                clean.push('…');
                break;
            }
        }
        Self(String::from_iter(clean).trim().to_owned())
    }

    /// User input for an error message. A token that was typed in the wrong place is masked, and so is the part of an
    /// address before the `@`.
    #[must_use]
    pub fn of_input(raw: &str) -> Self {
        let bare = raw.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        let lower = bare.to_ascii_lowercase();
        let is_token =
            ["snyk_uat", "snyk_sat", "eyj", "token ", "bearer "].iter().any(|start| lower.starts_with(start));
        let is_word = bare.chars().all(|char| char.is_ascii_alphanumeric() || "-_=+~".contains(char));
        let is_id = uuid::Uuid::try_parse(bare).is_ok();
        if is_token || (is_word && !is_id && is_made_up(bare)) {
            return Self(MASK.to_owned());
        }
        match raw.rsplit_once('@') {
            Some((before, after)) => {
                let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
                Self::new(&format!("{scheme}{MASK}@{after}"))
            }
            None => Self::new(raw),
        }
    }

    /// An invalid value for an error message. A UUID where none is expected may be a token: users confuse `SNYK_API` with
    /// the variable for it.
    #[must_use]
    pub fn of_wrong_value(raw: &str) -> Self {
        let bare = raw.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        // Tokens have hyphens. Without them it is more likely a badly copied id.
        let is_like_a_token = bare.contains('-') && uuid::Uuid::try_parse(bare).is_ok();
        if is_like_a_token { Self(MASK.to_owned()) } else { Self::of_input(raw) }
    }

    /// A host for an error message. It is masked if a part of it looks like a secret.
    #[must_use]
    pub fn of_host(raw: &str) -> Self {
        let is_secret = |part: &str| Self::of_wrong_value(part).0 == MASK;
        if raw.split(['.', '/', ':']).any(is_secret) { Self(MASK.to_owned()) } else { Self::new(raw) }
    }

    /// A file's path for an error message. It is masked if it does not look like a path, or if its last part looks like a
    /// secret: the user may have given the secret instead of its file.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let text = path.to_string_lossy();
        let is_word = text.len() >= 20
            && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_=+~".contains(char));
        let last = text.trim_end().rsplit('/').next().unwrap_or_default();
        let is_secret = |part: &str| is_made_up(part) || Self::of_wrong_value(part).0 == MASK;
        if is_word || is_secret(last) { Self(MASK.to_owned()) } else { Self::of_input(&visible(&text)) }
    }

    /// The path of a file that this program makes or has found. It is not a secret that a user put in the wrong place, so it
    /// is shown even if its name looks random.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self::new(&path.to_string_lossy())
    }

    /// The last `most` characters of a short text whose end says most.
    #[must_use]
    pub fn end_of(raw: &str, most: usize) -> Self {
        let chars: Vec<char> = raw.trim().chars().filter_map(shown).take(LOOKED_AT).collect();
        let clean = held::with_all(|held| without_secrets(&chars, chars.len(), held));
        let clean = clean.unwrap_or_else(|| MASK.chars().collect());
        let skipped = clean.len().saturating_sub(most);
        let cut = if skipped > 0 { "…" } else { "" };
        Self::new(&format!("{cut}{}", String::from_iter(&clean[skipped..])))
    }

    /// Like [`Text::new`], but `None` if nothing is left to show.
    #[must_use]
    pub fn non_empty(raw: &str) -> Option<Self> {
        let text = Self::new(raw);
        (!text.0.is_empty()).then_some(text)
    }

    /// The cleaned text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path as data for programs: in documents, in outputs for CI systems, and quoted in command lines. It may hold control
/// characters, so messages show a [`Text`] of a path.
pub(crate) fn path_as_data(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether a text contains a run that looks random and is long enough to be a secret.
fn is_made_up(text: &str) -> bool {
    looks::is_made_up(&text.chars().collect::<Vec<char>>(), LONGEST_NAME)
}

/// Whether a text contains a secret of this process.
pub(crate) fn has_our_secret(text: &str) -> bool {
    let layers = Layers::of(text.chars().filter_map(shown));
    held::with_all(|held| !masks::of_ours(&layers, held).is_empty())
}

/// The characters before `end`, with secrets masked. `None` if the text has more layers of encoding than any honest text.
fn without_secrets(chars: &[char], end: usize, held: &Held) -> Option<Vec<char>> {
    let (mut chars, mut end) = (Cow::Borrowed(chars), end);
    // A mask may change the meaning of the characters beside it, so search again.
    for _ in 0..MOST_ROUNDS {
        let layers = Layers::of(chars.iter().copied());
        if layers.goes_on {
            return None;
        }
        let masks = masks::of(&layers, held);
        let clean = masked(&chars, &masks, end);
        if masks.is_empty() || *clean == chars[..end] {
            return Some(clean);
        }
        end = clean.len();
        chars = clean.into();
    }
    None
}

/// The characters before `end`, with each masked range replaced by stars.
fn masked(chars: &[char], masks: &[Range<usize>], end: usize) -> Vec<char> {
    let (mut clean, mut at) = (Vec::with_capacity(end), 0);
    for mask in masks.iter().take_while(|mask| mask.start < end) {
        clean.extend(&chars[at..mask.start]);
        clean.extend(MASK.chars());
        at = mask.end.min(end);
    }
    clean.extend(&chars[at..end]);
    clean
}

/// A text that the user asked to see unmasked, such as a signed link: only the secrets of this process are masked.
pub(crate) fn without_our_secrets(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let masks = held::with_all(|held| masks::of_ours(&Layers::of(chars.iter().copied()), held));
    masked(&chars, &masks, chars.len()).into_iter().collect()
}

/// A character as it may be shown on a line; `None` if it is invisible and changes how its neighbours look.
fn shown(char: char) -> Option<char> {
    if char.is_whitespace() {
        return Some(' ');
    }
    (!is_invisible(char)).then_some(char)
}

/// A path with its invisible ends: control characters as escapes, and quotes around it if it starts or ends with a blank.
fn visible(path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for char in path.chars() {
        if char.is_control() { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    if shown.trim().len() < shown.len() { format!("\"{shown}\"") } else { shown }
}

/// A text for comparison: in lower case, on one line, with `+` (a blank in form encoding) as a blank.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().filter_map(shown).for_each(|char| fold_into(&mut folded, char));
    folded
}

fn fold_into(folded: &mut String, char: char) {
    match char {
        '+' => folded.push(' '),
        char if char.is_ascii() => folded.push(char.to_ascii_lowercase()),
        char => folded.extend(char.to_lowercase()),
    }
}

/// The letters and digits of a text for comparison, without line breaks, quotes and hyphens. Masks (`*`) and omissions
/// (`…`) are kept.
pub(crate) fn core(text: &str) -> String {
    let mut core = String::with_capacity(text.len());
    text.chars().for_each(|char| core_into(&mut core, char));
    core
}

fn core_into(core: &mut String, char: char) {
    if char.is_alphanumeric() || matches!(char, '*' | '…') {
        fold_into(core, char);
    }
}

/// A text with all encodings but Base64 decoded.
pub(crate) fn undone(text: &str) -> String {
    let layers = Layers::of(text.chars());
    layers.all.last().map(|layer| layer.chars().collect()).unwrap_or_default()
}

/// Whether a character ends a line, moves the cursor, changes the text direction or is invisible.
pub(crate) fn gives_orders(char: char) -> bool {
    ORDERS.iter().any(|range| range.contains(&char))
}

/// The characters that plain text does not contain: control characters, direction changes and invisible ones.
const ORDERS: [RangeInclusive<char>; 11] = [
    '\0'..='\u{1f}',
    '\u{7f}'..='\u{9f}',
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{200b}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{2060}',
    '\u{2066}'..='\u{2069}',
    '\u{feff}'..='\u{feff}',
    '\u{e0000}'..='\u{e007f}',
];

/// A regular expression for plain text, in JSON Schema's syntax.
#[cfg(test)]
pub(crate) fn plain_pattern() -> String {
    let place = |char: char| match u32::from(char) {
        code @ ..=0xffff => format!("\\u{code:04x}"),
        _ => char.to_string(),
    };
    let ranges = ORDERS.map(|range| format!("{}-{}", place(*range.start()), place(*range.end())));
    format!("^[^{}]*$", ranges.concat())
}

/// Whether a text contains no control characters, direction changes or invisible characters.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains(gives_orders)
}

/// The text with escapes such as `\u{202e}` for characters that plain text does not contain.
#[must_use]
pub fn escaped(text: &str) -> String {
    let escape =
        |char: char| if gives_orders(char) { char.escape_unicode().to_string() } else { char.to_string() };
    text.chars().map(escape).collect()
}

/// Whether a character is invisible or changes how its neighbours are shown.
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Cleans the text that is read.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|raw| Self::new(&raw))
    }
}

#[cfg(test)]
mod tests;
