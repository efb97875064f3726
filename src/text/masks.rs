//! Where secrets are in a text: those that this process holds, and what looks like one whoever it belongs to.

use std::ops::Range;

use super::layer::{Layer, Layers, Unit};
use crate::secret::held::Held;

/// What ends a link, or a value.
const LINK_ENDS: &str = "\"'`<>|";
const VALUE_ENDS: &str = "\"'`<>|&;,)]}";

/// What names of values that let others in begin or end with, in small letters and without hyphens.
const TELLING_BEGINNINGS: [&str; 2] = ["xgoog", "xamz"];
const TELLING_ENDS: [&str; 6] = ["token", "secret", "password", "signature", "apikey", "api_key"];

/// The shortest run that is looked at as Base64, in characters.
const SHORTEST_BASE64: usize = 8;

/// How many Base64 texts, each within the last, are undone.
const BASE64_LEVELS: u32 = 2;

/// The characters of a text that are not shown, in ranges that neither overlap nor touch.
pub(super) fn of(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    let of_looks =
        layers.all.iter().flat_map(|layer| looks(layer).into_iter().map(|range| layer.origin(range)));
    united(of_ours(layers, held).into_iter().chain(of_looks).collect())
}

/// The same, but only for what this process holds.
pub(super) fn of_ours(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    let of_layer = |(index, layer): (usize, &Layer)| -> Vec<Range<usize>> {
        let encoded = of_base64(layer, index == 0, held, BASE64_LEVELS);
        of_held(layer, held).into_iter().chain(encoded).map(|range| layer.origin(range)).collect()
    };
    united(layers.all.iter().enumerate().flat_map(of_layer).collect())
}

fn united(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut united: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match united.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => united.push(range),
        }
    }
    united
}

fn of_held(layer: &Layer, held: &Held) -> Vec<Range<usize>> {
    if held.is_empty() {
        return Vec::new();
    }
    // Which character each byte of the folded text is of.
    let (mut folded, mut owners) = (String::with_capacity(layer.0.len()), Vec::with_capacity(layer.0.len()));
    for (at, char) in layer.chars().enumerate() {
        super::fold_into(&mut folded, char);
        owners.resize(folded.len(), at);
    }
    let found = held.find(folded.as_bytes());
    found.into_iter().map(|range| owners[range.start]..owners[range.end - 1] + 1).collect()
}

/// Runs of Base64, in either alphabet, that hold a secret at whichever place.
fn of_base64(layer: &Layer, is_first: bool, held: &Held, levels: u32) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for run in layer.0.split(|unit| sextet(unit.char).is_none()) {
        let range = start..start + run.len();
        start = range.end + 1;
        // What reads as it did in the layer before was looked at there.
        if run.len() < SHORTEST_BASE64 || !(is_first || run.iter().any(Unit::is_decoded)) {
            continue;
        }
        let sextets: Vec<u8> = run.iter().filter_map(|unit| sextet(unit.char)).collect();
        if (0..4).any(|skipped| holds_secret(&decoded(&sextets[skipped..]), held, levels - 1)) {
            found.push(range);
        }
    }
    found
}

fn sextet(char: char) -> Option<u8> {
    let byte = u8::try_from(char).ok()?;
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn decoded(sextets: &[u8]) -> Vec<u8> {
    let group = |group: &[u8]| {
        let bits =
            (0..4).fold(0_u32, |bits, at| bits << 6 | u32::from(group.get(at).copied().unwrap_or_default()));
        bits.to_be_bytes().into_iter().skip(1).take(group.len().saturating_sub(1))
    };
    sextets.chunks(4).flat_map(group).collect()
}

fn holds_secret(bytes: &[u8], held: &Held, levels: u32) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let layers = Layers::of(text.chars().filter_map(super::shown));
    layers.all.iter().enumerate().any(|(index, layer)| {
        let is_token = || {
            let lower = lower(layer);
            (0..lower.len()).any(|at| token(&lower, at).is_some())
        };
        !of_held(layer, held).is_empty()
            || is_token()
            || (levels > 0 && !of_base64(layer, index == 0, held, levels).is_empty())
    })
}

fn lower(layer: &Layer) -> Vec<char> {
    layer.chars().map(|char| char.to_ascii_lowercase()).collect()
}

/// What looks like a secret. What is hidden already is not looked at again, so that the time that this takes grows with the
/// text and no faster.
fn looks(layer: &Layer) -> Vec<Range<usize>> {
    let text = lower(layer);
    let links = Links::of(&text);
    let mut hidden = vec![false; text.len()];
    let mut found = Vec::new();
    for (at, char) in text.iter().enumerate() {
        if hidden[at] {
            continue;
        }
        let here = match char {
            ':' if text[at..].starts_with(&[':', '/', '/']) => links.secrets(&text, at + 3),
            '=' => [parameter(&text, at), None],
            '"' | '\'' => [member(&text, at), None],
            'h' => [of_slack(&text, at), None],
            'b' | 't' => [credential(&text, at), None],
            's' | 'w' | 'e' => [token(&text, at), None],
            _ => [None, None],
        };
        for range in here.into_iter().flatten().filter(|range| !range.is_empty()) {
            if !hidden[range.start] {
                hidden[range.clone()].fill(true);
                found.push(range);
            }
        }
    }
    found
}

/// Where the links of a text have their ends and their queries.
struct Links {
    /// The first character from each one on that ends a link.
    ends: Vec<usize>,
    /// The first question mark from each one on.
    queries: Vec<usize>,
}

impl Links {
    fn of(text: &[char]) -> Self {
        let (mut ends, mut queries) = (vec![text.len(); text.len() + 1], vec![text.len(); text.len() + 1]);
        for (at, char) in text.iter().enumerate().rev() {
            let is_end = char.is_whitespace() || LINK_ENDS.contains(*char);
            ends[at] = if is_end { at } else { ends[at + 1] };
            queries[at] = if *char == '?' { at } else { queries[at + 1] };
        }
        Self { ends, queries }
    }

    /// Of a link, whose authority begins at `start`: the user with the password, and the query.
    fn secrets(&self, text: &[char], start: usize) -> [Option<Range<usize>>; 2] {
        let (end, query) = (self.ends[start], self.queries[start]);
        let authority = run(&text[..end.min(query)], start, |char| char != '/').end;
        let user = text[start..authority].iter().rposition(|char| *char == '@').unwrap_or_default();
        // A query that was hidden before, and cut off, stays as it is.
        let query = (query < end).then_some(query + 1..end).filter(|query| !is_masked(&text[query.clone()]));
        [(user > 0).then_some(start..start + user), query]
    }
}

/// Whether these are the stars of a mask, perhaps cut off.
fn is_masked(value: &[char]) -> bool {
    value.iter().all(|char| matches!(char, '*' | '…'))
}

/// From `start` to the first character that is one of `ends`, or white space.
fn until(text: &[char], start: usize, ends: &str) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().position(|char| char.is_whitespace() || ends.contains(*char));
    start..start + length.unwrap_or(rest.len())
}

fn begins(text: &[char], at: usize, with: &str) -> bool {
    let mut rest = text.get(at..).unwrap_or_default().iter();
    with.chars().all(|char| rest.next() == Some(&char))
}

fn run(text: &[char], start: usize, belongs: impl Fn(char) -> bool) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.iter().take_while(|char| belongs(**char)).count()
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

fn is_telling(name: &[char]) -> bool {
    let name: String = name.iter().filter(|char| **char != '-').collect();
    let is_signature = name == "sig" || name.ends_with("_sig");
    is_signature
        || TELLING_BEGINNINGS.iter().any(|word| name.starts_with(word))
        || TELLING_ENDS.iter().any(|word| name.ends_with(word))
}

/// The value of a parameter whose name says that it lets others in, with or without a link around it.
fn parameter(text: &[char], equals: usize) -> Option<Range<usize>> {
    let name = text[..equals].iter().rev().take_while(|char| is_of_name(**char)).count();
    let is_telling = is_telling(&text[equals - name..equals]);
    let value = until(text, equals + 1, VALUE_ENDS);
    is_telling
        .then_some(value)
        .filter(|value| !text[value.clone()].iter().all(|char| matches!(char, '*' | '…')))
}

/// The same as a member of a document: the name ends with the quote at `quote`.
fn member(text: &[char], quote: usize) -> Option<Range<usize>> {
    let mark = text[quote];
    let name = text[..quote].iter().rev().take_while(|char| is_of_name(**char)).count();
    if !is_telling(&text[quote - name..quote]) {
        return None;
    }
    let colon = run(text, quote + 1, char::is_whitespace).end;
    let open = run(text, colon + 1, char::is_whitespace).end;
    if text.get(colon) != Some(&':') || text.get(open) != Some(&mark) {
        return None;
    }
    let value = open + 1..open + 1 + text[open + 1..].iter().take_while(|char| **char != mark).count();
    (!value.is_empty()).then_some(value)
}

/// The path of a Slack webhook, which is all that it takes to write there.
fn of_slack(text: &[char], at: usize) -> Option<Range<usize>> {
    let host =
        ["hooks.slack.com/", "hooks.slack-gov.com/"].into_iter().find(|host| begins(text, at, host))?;
    let kind = at + host.len();
    let slash = run(text, kind, is_of_name).end;
    (text.get(slash) == Some(&'/')).then(|| until(text, slash + 1, LINK_ENDS)).filter(|path| !path.is_empty())
}

fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_' | '~' | '+' | '/' | '=')
}

/// A token of Snyk's, a JWT or the key of a webhook that begins at `at`.
fn token(text: &[char], at: usize) -> Option<Range<usize>> {
    let is_begun = at > 0 && (is_of_name(text[at - 1]) || text[at - 1] == '.');
    let is_one = match text.get(at)? {
        's' if begins(text, at, "snyk_") => {
            let word = run(text, at + 5, |char| char.is_ascii_lowercase());
            let rest = || run(text, word.end + 1, is_of_token);
            (2..=4).contains(&word.len()) && text.get(word.end) == Some(&'.') && rest().len() >= 4
        }
        'w' => begins(text, at, "whsec_") && run(text, at + 6, is_of_token).len() >= 8,
        'e' if !is_begun && begins(text, at, "eyj") => {
            let head = run(text, at, |char| is_of_name(char) || char == '=');
            let is_followed = || text.get(head.end + 1).is_some_and(|char| is_of_token(*char));
            let goes_on = text.get(head.end) == Some(&'.') && is_followed();
            head.len() >= 12 && (goes_on || head.end == text.len())
        }
        _ => false,
    };
    is_one.then(|| run(text, at, is_of_token))
}

/// What follows `Basic`, `Bearer` or `token`, if that is no word.
fn credential(text: &[char], at: usize) -> Option<Range<usize>> {
    let scheme = ["basic", "bearer", "token"].into_iter().find(|scheme| begins(text, at, scheme))?;
    let blanks = run(text, at + scheme.len(), char::is_whitespace);
    if blanks.is_empty() || (at > 0 && is_of_name(text[at - 1])) {
        return None;
    }
    let value = run(text, blanks.end, is_of_token);
    let has = |is: fn(&char) -> bool| text[value.clone()].iter().any(is);
    let is_value = value.len() >= 12 && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    is_value.then_some(value)
}
