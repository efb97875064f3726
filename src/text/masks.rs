//! Where secrets are in a text: those that this process holds, and what looks like one.

use std::ops::Range;

use super::layer::{Layer, Layers, Unit, read};
use super::looks::looks;
use crate::secret::held::Held;

/// What may stand where a text is broken over lines, besides white space.
const BREAKS: &str = "\"'`\\,";

/// How long the name of an HTML tag that counts as a break, and the tag, may be, in characters.
const LONGEST_TAG_NAME: usize = 6;
const LONGEST_TAG: usize = 40;

/// The shortest run that is looked at as Base64, in characters.
const SHORTEST_BASE64: usize = 8;

/// How many Base64 texts, each within the last, are undone.
const BASE64_LEVELS: u32 = 2;

/// The characters of a text that are not shown, in ranges that neither overlap nor touch.
pub(super) fn of(layers: &Layers, held: &Held) -> Vec<Range<usize>> {
    united(Search { held, is_for_looks: true }.within(layers, BASE64_LEVELS))
}

/// The same, but only for what this process holds.
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
    /// The characters of the text that the layers are of. So many Base64 texts, each within the last, are undone.
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

    /// Base64, in either alphabet and perhaps broken over lines, that holds a secret at whichever place: the words of it that
    /// do.
    fn within_base64(&self, layer: &Layer, is_first: bool, levels: u32) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for run in base64_runs(layer) {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            // What reads as it did in the layer before was looked at there.
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
    // Which character each byte of the folded text is of.
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

/// The characters of a layer but for short HTML tags, which may stand between two lines.
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

/// How long the HTML tag is that begins here.
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

/// The sextets of Base64, with the places where they stand, that follow each other on one line or on several.
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

/// The words of a run that have a part in `secret`, a range of the text that the layer is of.
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

/// What a run of Base64 reads as. Each character stands for the same part of the text as the sextets that it is in.
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
