//! Takes a document piece by piece. The elements of `data.attributes.results` are read as they come and are not kept, so that
//! a long list of files takes no more memory than what is known of them.

use crate::watch::observation::Part;

/// The longest document, in bytes.
pub(super) const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The longest document without its results, in bytes. A status document has about a thousand.
const MAX_REST: usize = 1024 * 1024;

/// The longest element of the results, in bytes. A signed link has about a thousand.
const MAX_ELEMENT: usize = 64 * 1024;

/// The longest list of parts that is kept. No export has so many, and a hostile list must not fill our memory.
pub(super) const MAX_PARTS: usize = 10_000;

/// A status document has five levels.
pub(super) const MAX_DEPTH: usize = 64;

/// Reads an element of the results: keeps its link or not. `None` if it is not JSON.
pub(super) type ReadPart = fn(&[u8], bool) -> Option<Part>;

/// The way to the results.
const PATH: [&[u8]; 3] = [b"data", b"attributes", b"results"];

/// How many values are open within the list of results, outside of its elements.
const LIST: usize = PATH.len() + 1;

/// How many parts memory is reserved for at once.
const AT_ONCE: usize = 1024;

/// A document while it arrives.
#[derive(Debug)]
pub(super) struct Sieve {
    read_part: ReadPart,
    keeps_links: bool,
    longest_rest: usize,
    /// How many bytes have arrived.
    length: usize,
    /// The document without the elements of its results.
    rest: Vec<u8>,
    /// What has arrived of an element.
    element: Vec<u8>,
    listed: Listed,
    /// How many objects and lists are open.
    depth: usize,
    /// How many of the open objects are on the way to the results: the outer ones.
    followed: usize,
    in_string: bool,
    is_escaped: bool,
    in_results: bool,
    /// The beginning of the last string, as it is written.
    last_string: Vec<u8>,
    /// Whether the next value is on the way to the results.
    is_next: bool,
}

/// What was read of the results.
#[derive(Debug, Default)]
pub(super) struct Listed {
    parts: Vec<Part>,
    /// How many elements there were.
    count: usize,
    /// Whether an element is not JSON.
    is_broken: bool,
    /// Whether values are nested more deeply than in a status document. The parser takes memory for each level.
    is_too_deep: bool,
}

impl Listed {
    /// Whether the document can be one of Snyk's.
    pub(super) const fn is_sound(&self) -> bool {
        !self.is_broken && !self.is_too_deep
    }

    /// The parts. `None` if there are more than are kept.
    pub(super) fn parts(self) -> Option<Vec<Part>> {
        (self.count <= MAX_PARTS).then_some(self.parts)
    }
}

impl Sieve {
    /// Takes a document, and reads the elements of its results with `read_part`.
    pub(super) fn new(read_part: ReadPart, keeps_links: bool) -> Self {
        Self {
            read_part,
            keeps_links,
            longest_rest: MAX_REST,
            length: 0,
            rest: Vec::new(),
            element: Vec::new(),
            listed: Listed::default(),
            depth: 0,
            followed: 0,
            in_string: false,
            is_escaped: false,
            in_results: false,
            last_string: Vec::new(),
            is_next: false,
        }
    }

    /// The same, with at most so many bytes besides the results.
    #[cfg(test)]
    pub(super) fn up_to(self, longest_rest: usize) -> Self {
        Self { longest_rest, ..self }
    }

    /// Reserves memory for a document of this length. A longer one can only have a long list of results.
    pub(super) fn expect(&mut self, length: usize) {
        if length <= self.longest_rest {
            self.rest.reserve_exact(length);
        }
    }

    /// Takes the next bytes. Returns `false` if the document is too long.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.take_byte(*byte))
    }

    /// The document without the elements of its results, and these.
    pub(super) fn finish(self) -> (Vec<u8>, Listed) {
        (self.rest, self.listed)
    }

    fn take_byte(&mut self, byte: u8) -> bool {
        self.length += 1;
        let is_of_list =
            self.in_results && !self.in_string && self.depth == LIST && matches!(byte, b',' | b']');
        if is_of_list {
            self.end_element(byte == b']');
        }
        let (kept, longest) = match self.in_results {
            true => (&mut self.element, MAX_ELEMENT),
            false => (&mut self.rest, self.longest_rest),
        };
        if kept.len() >= longest || self.length > MAX_DOCUMENT {
            return false;
        }
        // Of the list itself only the brackets are kept.
        if !(is_of_list && byte == b',') {
            kept.push(byte);
            self.step(byte);
        }
        true
    }

    fn step(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            // Outside of a string it is not JSON.
            b'\\' => {
                self.is_escaped = true;
                self.note(byte);
            }
            b'"' => {
                self.in_string = !self.in_string;
                if self.in_string {
                    self.last_string.clear();
                }
            }
            _ if self.in_string => self.note(byte),
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b':' => {
                let is_followed = (1..LIST).contains(&self.depth) && self.followed == self.depth;
                self.is_next = is_followed && self.last_string == PATH[self.depth - 1];
            }
            b',' => self.is_next = false,
            _ => {}
        }
    }

    fn note(&mut self, byte: u8) {
        if self.last_string.len() <= PATH[1].len() {
            self.last_string.push(byte);
        }
    }

    fn open(&mut self, byte: u8) {
        if self.depth == 0 || self.is_next {
            match (byte, self.depth) {
                (b'{', 0..=2) => self.followed += 1,
                (b'[', 3) => self.in_results = true,
                _ => {}
            }
        }
        self.is_next = false;
        self.depth += 1;
        self.listed.is_too_deep |= self.depth > MAX_DEPTH;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.followed = self.followed.min(self.depth);
        if self.in_results && self.depth < LIST {
            // An element has closed the list.
            self.in_results = false;
            self.listed.is_broken = true;
        }
    }

    /// Reads an element of the results, after its last byte.
    fn end_element(&mut self, is_last: bool) {
        self.in_results = !is_last;
        let Listed { parts, count, is_broken, .. } = &mut self.listed;
        if is_last && *count == 0 && self.element.trim_ascii().is_empty() {
            self.element.clear();
            return;
        }
        *count += 1;
        match (self.read_part)(&self.element, self.keeps_links) {
            Some(part) if *count <= MAX_PARTS => {
                if parts.len() == parts.capacity() {
                    parts.reserve_exact(AT_ONCE);
                }
                parts.push(part);
            }
            Some(_) => *parts = Vec::new(),
            None => *is_broken = true,
        }
        self.element.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A part of nothing, if this is JSON.
    fn read_json(bytes: &[u8], _: bool) -> Option<Part> {
        serde_json::from_slice::<Value>(bytes).ok().map(|_| Part::default())
    }

    /// What is left of a document that comes in pieces of this size, and its parts.
    fn sieved(document: &[u8], size: usize) -> Option<(Vec<u8>, Listed)> {
        let mut sieve = Sieve::new(read_json, true);
        document.chunks(size).all(|piece| sieve.take(piece)).then(|| sieve.finish())
    }

    fn rest(document: &str) -> (String, usize, bool) {
        let (rest, listed) = sieved(document.as_bytes(), 1).unwrap();
        (String::from_utf8(rest).unwrap(), listed.count, listed.is_sound())
    }

    #[test]
    fn only_the_elements_of_the_results_are_taken_out() {
        let within = |results: &str| {
            format!(
                r#"{{"x":[1],"data":{{"id":"i","attributes":{{"status":"S","results":{results},"n":2}}}}}}"#
            )
        };
        let list = r#" [ {"url":"https://a/b?]},","x":[1,{"y":"\""}]} , "https://c", 7 ] "#;
        assert_eq!(rest(&within(list)), (within(" [] "), 3, true));
        for other in ["[]", "null", "\"[1,2]\"", "{\"results\":[1]}", "7"] {
            assert_eq!(rest(&within(other)), (within(other), 0, true), "{other}");
        }
        assert_eq!(rest(&within("[ ]")).1, 0);
        for broken in ["[1,]", "[,1]", "[1,,2]", "[x]", "[1 2]", "[\"\\x\"]", "[}]", "[1}]"] {
            assert!(!rest(&within(broken)).2, "{broken}");
        }
        for elsewhere in [
            r#"{"results":[1,2]}"#,
            r#"{"data":{"results":[1,2]}}"#,
            r#"{"data":[{"attributes":{"results":[1,2]}}]}"#,
            r#"[{"data":{"attributes":{"results":[1,2]}}}]"#,
            r#"{"data":{"x":{"attributes":{"results":[1,2]}}}}"#,
            r#"{"\ndata":{"attributes":{"results":[1,2]}}}"#,
            r#"{"data":{"attributes":["results",[1,2]]}}"#,
            r#"{"data":{"attributes":{"results ":[1,2]}}}"#,
        ] {
            assert_eq!(rest(elsewhere), (elsewhere.to_owned(), 0, true));
        }
    }

    #[test]
    fn a_long_list_is_read_and_all_else_is_not() {
        let link = |length: usize| {
            format!("{{\"url\":\"https://b.example/{}\",\"row_count\":3}}", "x".repeat(length))
        };
        let document = |list: &str, more: &str| {
            format!(r#"{{"data":{{"attributes":{{"status":"FINISHED","results":[{list}],"x":"{more}"}}}}}}"#)
        };
        let long = document(&vec![link(700); 10_000].join(","), "");
        let (rest, listed) = sieved(long.as_bytes(), 1000).unwrap();
        assert_eq!((rest.len(), listed.parts().unwrap().len()), (document("", "").len(), 10_000));
        for (too_long, why) in [
            (document(&vec![link(700); 25_000].join(","), ""), "16 MiB"),
            (document(&link(MAX_ELEMENT), ""), "one element"),
            (document("", &" ".repeat(MAX_REST)), "all else"),
        ] {
            assert!(sieved(too_long.as_bytes(), 1000).is_none(), "{why}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!(7)),
            "[a-z\"\\\\\\[\\]{},: \n]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("data|attributes|results|x", inner, 0..3)
                    .prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_document_without_its_results(document in value(), results in value(), pretty: bool, size in 1_usize..9) {
            let mut document = document;
            let whole = json!({ "data": { "attributes": { "results": results, "also": document.take() } } });
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let (rest, listed) = sieved(text.unwrap().as_bytes(), size).unwrap();
            let mut expected = whole;
            let elements = expected["data"]["attributes"]["results"].as_array().map_or(0, Vec::len);
            if elements > 0 {
                expected["data"]["attributes"]["results"] = json!([]);
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&rest).unwrap(), expected);
            prop_assert_eq!((listed.count, listed.is_sound()), (elements, true));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = sieved(&bytes, 3);
        }
    }
}
