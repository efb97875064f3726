//! What storage says of an object: by this the rest of a file is known to be of the same object as its beginning.

use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};

use super::checksum::Announced;
use crate::http::Encoding;

/// The version of an object in Google's storage.
const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");

/// What storage says of an object.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Headers that differ if the object was replaced. The first one is the `ETag`.
    marks: [Option<HeaderValue>; 3],
    /// Its checksum.
    pub(super) checksum: Announced,
    /// Its size in bytes, as it is sent.
    pub(super) total: Option<u64>,
}

impl Object {
    /// The object that an answer is about. With `is_whole` the answer holds all of it.
    pub(super) fn of(headers: &HeaderMap, encoding: Encoding, is_whole: bool, total: Option<u64>) -> Self {
        let marks = [ETAG, LAST_MODIFIED, GENERATION].map(|name| headers.get(name).cloned());
        Self { marks, checksum: Announced::in_headers(headers, encoding, is_whole), total }
    }

    /// The `ETag` with which the rest of this very object can be requested. A weak one does not identify bytes.
    pub(super) fn etag(&self) -> Option<&HeaderValue> {
        self.marks[0].as_ref().filter(|etag| !etag.as_bytes().starts_with(b"W/"))
    }

    /// Whether the object can be told from another one in its place.
    pub(super) fn is_known(&self) -> bool {
        self.checksum.checksum().is_some() || self.marks.iter().any(Option::is_some)
    }

    /// Whether `later` is known to be the same object.
    pub(super) fn is_same_as(&self, later: &Self) -> bool {
        let marks = || {
            self.marks.iter().zip(&later.marks).filter_map(|(one, other)| one.as_ref().zip(other.as_ref()))
        };
        let checksums = self.checksum.checksum().zip(later.checksum.checksum());
        // If there is an ETag, storage was asked to compare it.
        let is_known = self.etag().is_some() || checksums.is_some() || marks().next().is_some();
        is_known
            && marks().all(|(one, other)| one == other)
            && checksums.is_none_or(|(one, other)| one == other)
            && self.total.zip(later.total).is_none_or(|(one, other)| one == other)
    }

    /// Adds what a later answer says. What that leaves out stays known.
    pub(super) fn add(&mut self, later: Self) {
        for (known, new) in self.marks.iter_mut().zip(later.marks) {
            *known = new.or(known.take());
        }
        if self.checksum.checksum().is_none() {
            self.checksum = later.checksum;
        }
        self.total = later.total.or(self.total);
    }
}
