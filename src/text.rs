//! Text that somebody else wrote, made fit to be shown.
//!
//! Error details, titles and status words come from a server, and whoever controls one may try to write to
//! our user's terminal or to give orders to a CI system; a server may also send back what we sent it. They are data:
//! [`Text`] is the only form in which they travel through this crate. What a certain place needs on top (Markdown,
//! annotations) is escaped there.

mod layer;
mod looks;
mod masks;

use std::borrow::Cow;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use serde::{Serialize, Serializer};

use self::layer::Layers;
use crate::secret::held::{self, Held};

/// How much of a text is looked at, in characters that show something. The secrets in it take up more room than what is
/// shown of them, and so what is shown may end anywhere in here.
const LOOKED_AT: usize = 4096;

/// How much before that end is not shown: a secret that begins there may not be known by its beginning.
const NOT_SHOWN: usize = 1024;

/// How often a text is looked at, until there is nothing more to mask.
const MOST_ROUNDS: usize = 8;

/// How many letters and digits in a row may be a name that somebody has given.
const LONGEST_NAME: usize = 16;

/// What stands for a secret.
const MASK: &str = "***";

/// Foreign text without control characters, of at most 500 characters, on one line, and without secrets: neither one that
/// this process holds nor what looks like one, in whichever of the usual encodings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// The longest text that is kept, in characters (a rule of `docs/ARCHITECTURE.md`).
    pub const MAX_CHARS: usize = 500;

    /// Cleans `raw`: white space of any kind becomes a blank, other control and direction characters go, and so
    /// do blanks at both ends. A `##` is broken up, since CI systems look for `##[command]` anywhere in a line.
    ///
    /// Secrets become `***`. They are looked for in the text as it is and in what it reads as once its JSON escapes, HTML
    /// entities and percent-encoding are undone, again and again, and once Base64 is. What is no secret stays as it is.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        held::with_all(|held| Self::without(raw, held))
    }

    /// Cleans `raw` of what `held` holds.
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

    /// Something that a user typed, to be shown in an error: a token that went astray is not shown again, nor what stands
    /// before the `@` of an address.
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

    /// A value that a user typed in the wrong place, to be shown in an error. Ids are taken where they belong, and so a UUID
    /// that is not may be a token (`SNYK_API` is easily taken for its variable).
    #[must_use]
    pub fn of_wrong_value(raw: &str) -> Self {
        let bare = raw.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        // Without hyphens it is more likely an id that was copied badly: tokens have them.
        let is_like_a_token = bare.contains('-') && uuid::Uuid::try_parse(bare).is_ok();
        if is_like_a_token { Self(MASK.to_owned()) } else { Self::of_input(raw) }
    }

    /// A host that is not asked. A part of it that looks like a secret may be one.
    #[must_use]
    pub fn of_host(raw: &str) -> Self {
        let is_secret = |part: &str| Self::of_wrong_value(part).0 == MASK;
        if raw.split(['.', '/', ':']).any(is_secret) { Self(MASK.to_owned()) } else { Self::new(raw) }
    }

    /// The path of a file, to be shown in an error. What looks like no path, or ends with what looks like a secret, may be the
    /// secret that belongs into the file.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let text = path.to_string_lossy();
        let is_word = text.len() >= 20
            && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_=+~".contains(char));
        let last = text.trim_end().rsplit('/').next().unwrap_or_default();
        let is_secret = |part: &str| is_made_up(part) || Self::of_wrong_value(part).0 == MASK;
        if is_word || is_secret(last) { Self(MASK.to_owned()) } else { Self::of_input(&text) }
    }

    /// The path of a file that this program makes or has found. It is no secret that was put in the wrong place, and so
    /// it is shown even if its name looks made up by a machine.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self::new(&path.to_string_lossy())
    }

    /// The last `most` characters of something that says most at its end, and is not long.
    #[must_use]
    pub fn end_of(raw: &str, most: usize) -> Self {
        let chars: Vec<char> = raw.trim().chars().filter_map(shown).take(LOOKED_AT).collect();
        let clean = held::with_all(|held| without_secrets(&chars, chars.len(), held));
        let clean = clean.unwrap_or_else(|| MASK.chars().collect());
        let skipped = clean.len().saturating_sub(most);
        let cut = if skipped > 0 { "…" } else { "" };
        Self::new(&format!("{cut}{}", String::from_iter(&clean[skipped..])))
    }

    /// Like [`Text::new`], but nothing where nothing is left to show.
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
/// characters, and so messages show a [`Text`] of a path.
pub(crate) fn path_as_data(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether so much of a text looks made up by a machine that it can be a secret.
fn is_made_up(text: &str) -> bool {
    looks::is_made_up(&text.chars().collect::<Vec<char>>(), LONGEST_NAME)
}

/// Whether a secret of this process is in a text.
pub(crate) fn has_our_secret(text: &str) -> bool {
    let layers = Layers::of(text.chars().filter_map(shown));
    held::with_all(|held| !masks::of_ours(&layers, held).is_empty())
}

/// The characters of a text before `end` without secrets; nothing where it is encoded so often, or so oddly, that nobody who
/// means well has written it.
fn without_secrets(chars: &[char], end: usize, held: &Held) -> Option<Vec<char>> {
    let (mut chars, mut end) = (Cow::Borrowed(chars), end);
    // What stands beside a mask may read as something else than before.
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

/// The characters of a text before `end`, with stars for those that are masked.
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

/// Something that is shown because somebody asked for it as it is, such as a signed link: only the secrets of this process
/// are masked.
pub(crate) fn without_our_secrets(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let masks = held::with_all(|held| masks::of_ours(&Layers::of(chars.iter().copied()), held));
    masked(&chars, &masks, chars.len()).into_iter().collect()
}

/// A character as it may be shown on a line; nothing where it shows nothing itself but changes what is shown around it.
fn shown(char: char) -> Option<char> {
    if char.is_whitespace() {
        return Some(' ');
    }
    (!is_invisible(char)).then_some(char)
}

/// A text as it is compared with others: in small letters, on one line, with what a form writes for a blank.
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

/// The letters and digits of a text as they are compared with others: lines, quotes and hyphens make no difference. A mask
/// and what is left out do.
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

/// What a text reads as once all encodings are undone, but for Base64.
pub(crate) fn undone(text: &str) -> String {
    let layers = Layers::of(text.chars());
    layers.all.last().map(|layer| layer.chars().collect()).unwrap_or_default()
}

/// Whether a character ends a line, moves a cursor, turns around what is beside it or hides.
pub(crate) fn gives_orders(char: char) -> bool {
    ORDERS.iter().any(|range| range.contains(&char))
}

/// What no plain text has: control characters, those that change its direction, and those that nobody sees.
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

/// The regular expression of plain texts, as JSON Schema wants it.
pub(crate) fn plain_pattern() -> String {
    let place = |char: char| match u32::from(char) {
        code @ ..=0xffff => format!("\\u{code:04x}"),
        _ => char.to_string(),
    };
    let ranges = ORDERS.map(|range| format!("{}-{}", place(*range.start()), place(*range.end())));
    format!("^[^{}]*$", ranges.concat())
}

/// Whether a text is what it looks like: without control characters, without those that change its direction, and without
/// those that nobody sees.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains(gives_orders)
}

/// The text with escapes such as `\u{202e}` for what would make it no plain one.
#[must_use]
pub fn escaped(text: &str) -> String {
    let escape =
        |char: char| if gives_orders(char) { char.escape_unicode().to_string() } else { char.to_string() };
    text.chars().map(escape).collect()
}

/// Whether a character shows nothing itself but changes what is shown around it.
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

#[cfg(test)]
mod tests;
