//! Finds secrets in a text: those that this process holds, and what [looks](super::looks) like one.

use std::ops::Range;

use super::layer::{Layer, Layers, Unit, read};
use super::looks::looks;
use crate::secret::held::Held;

/// Characters that may surround a line break within a secret, besides white space.
const BREAKS: &str = "\"'`\\,";

/// The longest HTML tag that counts as a line break, and its longest name, in characters.
const LONGEST_TAG_NAME: usize = 6;
const LONGEST_TAG: usize = 40;

/// The shortest run that is decoded as Base64, in characters.
const SHORTEST_BASE64: usize = 8;

/// How many nested Base64 texts are decoded.
const BASE64_LEVELS: u32 = 2;

/// The ranges of a text to mask. They neither overlap nor touch.
pub(super) fn of(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    united(Search { held, is_for_looks: true }.within(layers, BASE64_LEVELS))
}

/// Like [`of`], but only for secrets that this process holds.
pub(super) fn of_ours(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    united(Search { held, is_for_looks: false }.within(layers, BASE64_LEVELS))
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

/// A search for secrets.
struct Search<'a> {
    held: &'a Held,
    /// Whether what looks like a secret counts too.
    is_for_looks: bool,
}

impl Search<'_> {
    /// The ranges of the original text that hold secrets, with up to `levels` nested Base64 texts decoded.
    fn within(&self, layers: &Layers, levels: u32) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for (index, layer) in layers.all.iter().enumerate() {
            let looks = if self.is_for_looks { looks(layer) } else { Vec::new() };
            found.extend(of_held(layer, self.held).into_iter().chain(looks).map(|range| layer.origin(range)));
            if levels > 0 {
                found.extend(self.within_base64(layer, index == 0, levels));
            }
        }
        found
    }

    /// The words of Base64 text that contain a secret at any offset, in either alphabet, with line breaks allowed.
    fn within_base64(&self, layer: &Layer, is_first: bool, levels: u32) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for run in base64_runs(layer) {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            // A run without decoded characters was already searched in the layer before.
            if run.len() < SHORTEST_BASE64
                || !(is_first || layer.0[first..=last].iter().any(|unit| unit.is_decoded))
            {
                continue;
            }
            for skipped in 0..4 {
                let inner = Layers::of_units(decoded(layer, &run[skipped..]));
                let secrets = self.within(&inner, levels - 1);
                let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
                found.extend(secrets.map(|secret| layer.origin(words(layer, &run, &secret))));
            }
        }
        found
    }
}

fn of_held(layer: &Layer, held: &Held) -> Vec<Range<usize>> {
    if held.is_empty() {
        return Vec::new();
    }
    // For each byte of the folded text, the index of its character.
    let (mut folded, mut owners) = (String::with_capacity(layer.0.len()), Vec::with_capacity(layer.0.len()));
    for (at, char) in layer.chars().enumerate() {
        super::fold_into(&mut folded, char);
        owners.resize(folded.len(), at);
    }
    let of_owners = |owners: &[usize], range: Range<usize>| owners[range.start]..owners[range.end - 1] + 1;
    let mut found: Vec<Range<usize>> =
        held.find(folded.as_bytes()).into_iter().map(|range| of_owners(&owners, range)).collect();
    folded.clear();
    owners.clear();
    for at in unbroken(layer) {
        super::core_into(&mut folded, layer.0[at].char);
        owners.resize(folded.len(), at);
    }
    found.extend(held.find_parts(folded.as_bytes()).into_iter().map(|range| of_owners(&owners, range)));
    found
}

/// The indexes of a layer's characters, without short HTML tags: these may stand between two lines.
fn unbroken(layer: &Layer) -> impl Iterator<Item = usize> {
    let mut next = 0;
    std::iter::from_fn(move || {
        while let Some(length) = tag(&layer.0[next..]) {
            next += length;
        }
        next += 1;
        (next <= layer.0.len()).then(|| next - 1)
    })
}

/// The length of the HTML tag that begins here.
fn tag(units: &[Unit]) -> Option<usize> {
    let char = |at: usize| units.get(at).map(|unit| unit.char);
    if char(0) != Some('<') {
        return None;
    }
    let name = if char(1) == Some('/') { 2 } else { 1 };
    let letters =
        units[name.min(units.len())..].iter().take_while(|unit| unit.char.is_ascii_alphabetic()).count();
    let is_tag =
        (1..=LONGEST_TAG_NAME).contains(&letters) && matches!(char(name + letters), Some(' ' | '/' | '>'));
    let end = units.iter().take(LONGEST_TAG).position(|unit| unit.char == '>')?;
    is_tag.then_some(end + 1)
}

/// Runs of Base64 digits on one line or several: each digit with its index and its value.
fn base64_runs(layer: &Layer) -> Vec<Vec<(usize, u8)>> {
    let (mut runs, mut run) = (Vec::new(), Vec::new());
    for at in unbroken(layer) {
        let char = layer.0[at].char;
        match sextet(char) {
            Some(sextet) => run.push((at, sextet)),
            None if char.is_whitespace() || BREAKS.contains(char) => {}
            None => runs.extend((!run.is_empty()).then(|| std::mem::take(&mut run))),
        }
    }
    runs.extend((!run.is_empty()).then_some(run));
    runs
}

/// The words of a run that overlap `secret`, a range of the original text.
fn words(layer: &Layer, run: &[(usize, u8)], secret: &Range<usize>) -> Range<usize> {
    let mut first = run.partition_point(|(at, _)| layer.0[*at].end <= secret.start).min(run.len() - 1);
    let mut end = run.partition_point(|(at, _)| layer.0[*at].start < secret.end).max(first + 1);
    while first > 0 && run[first - 1].0 + 1 == run[first].0 {
        first -= 1;
    }
    while end < run.len() && run[end - 1].0 + 1 == run[end].0 {
        end += 1;
    }
    run[first].0..run[end - 1].0 + 1
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

/// A decoded run of Base64. Each character has the range of the digits that it was decoded from.
fn decoded(layer: &Layer, run: &[(usize, u8)]) -> Vec<Unit> {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for group in run.chunks(4) {
        let sextet = |at: usize| group.get(at).map_or(0, |(_, sextet)| u32::from(*sextet));
        let bits = (0..4).fold(0_u32, |bits, at| bits << 6 | sextet(at));
        let known = group.len() - 1;
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(known));
        places.extend((0..known).map(|at| layer.0[group[at].0].start..layer.0[group[at + 1].0].end));
    }
    let unit = |(char, bytes): (char, Range<usize>)| {
        let (start, end) = (places[bytes.start].start, places[bytes.end - 1].end);
        Some(Unit { char: super::shown(char)?, start, end, is_decoded: false })
    };
    read(&bytes).into_iter().filter_map(unit).collect()
}
