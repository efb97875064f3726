//! Text with its encodings decoded, and for each character its place in the original.

use std::ops::Range;

/// How many nested encodings are decoded.
const MOST_LAYERS: usize = 8;

/// How many digits a character reference may have, including leading zeros.
const MOST_DIGITS: usize = 9;

/// A character, and its range in the original text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) char: char,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it was decoded from an escape.
    pub(super) is_decoded: bool,
}

/// A text, or its decoded form.
#[derive(Debug, Clone)]
pub(super) struct Layer(pub(super) Vec<Unit>);

/// A text, and its form after each step of decoding.
pub(super) struct Layers {
    pub(super) all: Vec<Layer>,
    /// Whether there is still more to decode.
    pub(super) goes_on: bool,
}

impl Layers {
    pub(super) fn of(chars: impl Iterator<Item = char>) -> Self {
        let unit = |(start, char)| Unit { char, start, end: start + 1, is_decoded: false };
        Self::of_units(chars.enumerate().map(unit).collect())
    }

    pub(super) fn of_units(units: Vec<Unit>) -> Self {
        let mut all = vec![Layer(units)];
        while let Some(next) = all.last().and_then(Layer::undone) {
            if all.len() == MOST_LAYERS {
                return Self { all, goes_on: true };
            }
            all.push(next);
        }
        Self { all, goes_on: false }
    }
}

impl Layer {
    /// The range of the original text that corresponds to `range` of this layer.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let units = self.0.get(range).unwrap_or_default();
        units.first().map_or(0, |unit| unit.start)..units.last().map_or(0, |unit| unit.end)
    }

    pub(super) fn chars(&self) -> impl Iterator<Item = char> {
        self.0.iter().map(|unit| unit.char)
    }

    /// This layer with one level of each encoding decoded; `None` if there is none.
    fn undone(&self) -> Option<Self> {
        let units = &self.0;
        let mut first = units.iter().position(|unit| matches!(unit.char, '\\' | '&' | '%'))?;
        let (mut decoded, mut is_changed) = (units[..first].to_vec(), false);
        while let Some(unit) = units.get(first) {
            let rest = &units[first..];
            let found = match unit.char {
                '\\' => escape(rest).map(|(char, length)| (vec![(char, 0..length)], length)),
                '&' => entity(rest).map(|(char, length)| (vec![(char, 0..length)], length)),
                '%' => percent(rest),
                _ => None,
            };
            let Some((chars, length)) = found else {
                decoded.push(*unit);
                first += 1;
                continue;
            };
            let visible = chars.into_iter().filter_map(|(char, range)| Some((super::shown(char)?, range)));
            decoded.extend(visible.map(|(char, range)| Unit {
                char,
                start: rest[range.start].start,
                end: rest[range.end - 1].end,
                is_decoded: true,
            }));
            (first, is_changed) = (first + length, true);
        }
        is_changed.then_some(Self(decoded))
    }
}

/// Decoded characters, each with the range that it was decoded from.
pub(super) type Decoded = Vec<(char, Range<usize>)>;

/// The value of the hexadecimal digits in a range.
fn hex(units: &[Unit], at: Range<usize>) -> Option<u32> {
    let digits = units.get(at)?;
    digits.iter().try_fold(0, |number, unit| Some(number << 4 | unit.char.to_digit(16)?))
}

/// A backslash escape as in JSON and JavaScript, and its length.
fn escape(units: &[Unit]) -> Option<(char, usize)> {
    match units.get(1)?.char {
        'u' | 'U' if units.get(2)?.char == '{' => {
            let digits = units.iter().skip(3).take(7).position(|unit| unit.char == '}')?;
            Some((char::from_u32(hex(units, 3..3 + digits)?)?, 4 + digits))
        }
        'u' | 'U' => {
            let first = hex(units, 2..6)?;
            let pair = (0xd800..0xdc00).contains(&first)
                && matches!(units.get(6..8), Some([slash, u]) if slash.char == '\\' && matches!(u.char, 'u' | 'U'));
            if pair {
                let second = hex(units, 8..12)?.checked_sub(0xdc00)?;
                return Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?, 12));
            }
            Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
        }
        'x' | 'X' => Some((char::from_u32(hex(units, 2..4)?)?, 4)),
        char @ ('"' | '\'' | '\\' | '/') => Some((char, 2)),
        'n' | 'r' | 't' | 'f' | 'b' => Some((' ', 2)),
        _ => None,
    }
}

/// The HTML entities for characters that occur in secrets and links: each character, followed by its name.
const ENTITIES: &str = "&amp <lt >gt \"quot 'apos \u{a0}nbsp /sol \\bsol +plus =equals .period _lowbar -hyphen -dash \
    :colon ;semi ,comma @commat %percnt #num $dollar !excl ?quest *ast (lpar )rpar [lsqb ]rsqb \
    {lbrace }rbrace |verbar `grave ~tilde \tTab \nNewLine";

/// An entity or a character reference of HTML or XML, and its length.
fn entity(units: &[Unit]) -> Option<(char, usize)> {
    if units.get(1)?.char == '#' {
        return number(units);
    }
    let length = units.iter().take(12).position(|unit| unit.char == ';')?;
    let name: String = units[1..length].iter().map(|unit| unit.char).collect();
    let mut known =
        ENTITIES.split(' ').filter_map(|entity| entity.split_at_checked(entity.chars().next()?.len_utf8()));
    let (char, _) = known.find(|(_, known)| known.eq_ignore_ascii_case(&name))?;
    Some((char.chars().next()?, length + 1))
}

/// A numeric character reference, and its length. Browsers accept it without the semicolon too.
fn number(units: &[Unit]) -> Option<(char, usize)> {
    let (start, radix) = if matches!(units.get(2)?.char, 'x' | 'X') { (3, 16) } else { (2, 10) };
    let digits = units[start..].iter().take(MOST_DIGITS).map_while(|unit| unit.char.to_digit(radix));
    let (number, length) = digits.fold((0, 0), |(number, length), digit| {
        (radix.saturating_mul(number).saturating_add(digit), length + 1)
    });
    let semicolon = usize::from(units.get(start + length).is_some_and(|unit| unit.char == ';'));
    char::from_u32(number).filter(|_| length > 0).map(|char| (char, start + length + semicolon))
}

/// A decoded run of percent-encoded bytes, and its length.
fn percent(units: &[Unit]) -> Option<(Decoded, usize)> {
    let byte = |at: usize| {
        let is_percent = units.get(at)?.char == '%';
        hex(units, at + 1..at + 3).filter(|_| is_percent).and_then(|byte| u8::try_from(byte).ok())
    };
    let bytes: Vec<u8> = (0..).step_by(3).map_while(byte).collect();
    let chars = read(&bytes).into_iter().map(|(char, bytes)| (char, 3 * bytes.start..3 * bytes.end));
    (!bytes.is_empty()).then(|| (chars.collect(), 3 * bytes.len()))
}

/// Bytes decoded as UTF-8, each character with its range of bytes.
pub(super) fn read(bytes: &[u8]) -> Decoded {
    let (mut chars, mut at) = (Vec::new(), 0);
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            chars.push((char, at..at + char.len_utf8()));
            at += char.len_utf8();
        }
        let invalid = chunk.invalid().len();
        chars.extend((invalid > 0).then(|| (char::REPLACEMENT_CHARACTER, at..at + invalid)));
        at += invalid;
    }
    chars
}
