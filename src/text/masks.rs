//! Where secrets are in a text: those that this process holds, and what looks like one whoever it belongs to.

use std::ops::Range;

use super::layer::{Layer, Layers};
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
    let mut found: Vec<Range<usize>> = Vec::new();
    for layer in &layers.all {
        let seen =
            of_held(layer, held).into_iter().chain(of_base64(layer, held, BASE64_LEVELS)).chain(looks(layer));
        found.extend(seen.map(|range| layer.origin(range)));
    }
    united(found)
}

/// The same, but only for what this process holds.
pub(super) fn of_ours(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    let of_layer = |layer: &Layer| -> Vec<Range<usize>> {
        let seen = of_held(layer, held).into_iter().chain(of_base64(layer, held, BASE64_LEVELS));
        seen.map(|range| layer.origin(range)).collect()
    };
    united(layers.all.iter().flat_map(of_layer).collect())
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
fn of_base64(layer: &Layer, held: &Held, levels: u32) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for run in layer.0.split(|unit| sextet(unit.char).is_none()) {
        let range = start..start + run.len();
        start = range.end + 1;
        if run.len() < SHORTEST_BASE64 {
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
    layers.all.iter().any(|layer| {
        let is_token = || {
            let lower = lower(layer);
            (0..lower.len()).any(|at| token(&lower, at).is_some())
        };
        !of_held(layer, held).is_empty()
            || is_token()
            || (levels > 0 && !of_base64(layer, held, levels).is_empty())
    })
}

fn lower(layer: &Layer) -> Vec<char> {
    layer.chars().map(|char| char.to_ascii_lowercase()).collect()
}

/// What looks like a secret.
fn looks(layer: &Layer) -> Vec<Range<usize>> {
    let text = lower(layer);
    let mut found = Vec::new();
    for (at, char) in text.iter().enumerate() {
        match char {
            ':' if text[at..].starts_with(&[':', '/', '/']) => found.extend(link(&text, at + 3)),
            '=' => found.extend(parameter(&text, at)),
            '"' | '\'' => found.extend(member(&text, at)),
            'h' => found.extend(of_slack(&text, at)),
            'b' | 't' => found.extend(credential(&text, at)),
            _ => {}
        }
        found.extend(token(&text, at));
    }
    found
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

/// Of a link, whose authority begins at `start`: the user with the password, and the query.
fn link(text: &[char], start: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let Range { end, .. } = until(text, start, LINK_ENDS);
    let link = &text[start..end];
    let query = link.iter().position(|char| *char == '?').map(|at| start + at);
    let authority = link.iter().position(|char| matches!(char, '/' | '?')).unwrap_or(link.len());
    let user = link[..authority].iter().rposition(|char| *char == '@').unwrap_or_default();
    // A query that was hidden before, and cut off, stays as it is.
    let is_hidden = |query: &Range<usize>| text[query.clone()].iter().all(|char| matches!(char, '*' | '…'));
    let query = query.map(|at| at + 1..end).filter(|query| !is_hidden(query));
    [(user > 0).then_some(start..start + user), query].into_iter().flatten()
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
    let whole = || run(text, at, is_of_token);
    match text.get(at)? {
        's' if begins(text, at, "snyk_") => {
            let word = run(text, at + 5, |char| char.is_ascii_lowercase());
            let is_one = (2..=4).contains(&word.len()) && text.get(word.end) == Some(&'.');
            Some(whole()).filter(|whole| is_one && whole.end > word.end + 4)
        }
        'w' if begins(text, at, "whsec_") => Some(whole()).filter(|whole| whole.len() >= 14),
        'e' if begins(text, at, "eyj") => {
            let head = run(text, at, |char| is_of_name(char) || char == '=');
            let goes_on = text.get(head.end) == Some(&'.')
                && text.get(head.end + 1).is_some_and(|char| is_of_token(*char));
            let is_cut = head.end == text.len();
            Some(whole()).filter(|_| head.len() >= 12 && (goes_on || is_cut))
        }
        _ => None,
    }
}

/// What follows `Basic`, `Bearer` or `token`, if that is no word.
fn credential(text: &[char], at: usize) -> Option<Range<usize>> {
    let scheme = ["basic", "bearer", "token"].into_iter().find(|scheme| begins(text, at, scheme))?;
    let is_begun = at > 0 && is_of_name(text[at - 1]);
    let after = at + scheme.len();
    let blanks = run(text, after, char::is_whitespace);
    let value = run(text, blanks.end, is_of_token);
    let has = |is: fn(&char) -> bool| text[value.clone()].iter().any(is);
    let is_value = value.len() >= 12 && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    (!is_begun && !blanks.is_empty() && is_value).then_some(value)
}
