//! How far the fetching of one file has come.

use reqwest::header::HeaderValue;

use super::checksum::Checksum;
use super::storage::{Body, Encoding, Marks};
use super::writer::Writer;
use crate::moment::Moment;
use crate::watch::observation::Part;
use crate::watch::tries::Tries;

/// How far it has come.
pub(super) struct Course {
    pub(super) writer: Option<(Writer, Encoding)>,
    /// The object that what has come is of, and by what the rest of it can be asked for.
    pub(super) object: Option<String>,
    pub(super) etag: Option<HeaderValue>,
    pub(super) marks: Marks,
    pub(super) checksum: Option<Checksum>,
    /// How many bytes it has as they are sent, where that is known.
    pub(super) total: Option<u64>,
    /// The most that ever came of it: only what goes beyond that is progress.
    pub(super) reached: u64,
    pub(super) tries: Tries,
    pub(super) refusals: u32,
    pub(super) misfits: u32,
}

impl Course {
    /// Nothing has come.
    pub(super) fn begin(now: Moment) -> Self {
        Self {
            writer: None,
            object: None,
            etag: None,
            marks: Marks::default(),
            checksum: None,
            total: None,
            reached: 0,
            tries: Tries::new(now),
            refusals: 0,
            misfits: 0,
        }
    }

    /// How many bytes of the file are there.
    pub(super) fn received(&self) -> u64 {
        self.writer.as_ref().map_or(0, |(writer, _)| writer.received)
    }

    /// How many bytes are to come in all, as they are sent, where that is known.
    pub(super) fn expected(&self, part: &Part) -> Option<u64> {
        let is_plain = |(_, encoding): &(Writer, Encoding)| *encoding == Encoding::Plain;
        self.total.or_else(|| part.file_size.filter(|_| self.writer.as_ref().is_some_and(is_plain)))
    }

    /// Forgets what was known of the object: another one may be in its place.
    pub(super) fn forget(&mut self) {
        (self.etag, self.marks, self.checksum, self.total) = (None, Marks::default(), None, None);
    }

    /// Whether storage has said anything of the object by which it can be told from another in its place.
    pub(super) fn can_go_on(&self) -> bool {
        self.etag.is_some() || self.checksum.is_some() || self.marks != Marks::default()
    }

    /// Whether what comes is the rest of what is there: of the same object, from there on, and encoded alike. Where nothing is
    /// there, it begins anew, and is checked by what this answer says of it.
    pub(super) fn goes_on_with(&self, body: &Body) -> bool {
        let Some((writer, encoding)) = &self.writer else { return body.from == 0 };
        let checksums = self.checksum.zip(body.checksum.checksum());
        // Storage was asked to compare the ETag, if there is one.
        let is_known = self.etag.is_some() || checksums.is_some() || self.marks.share_one_with(&body.marks);
        let is_same = !self.marks.differ_from(&body.marks)
            && checksums.is_none_or(|(one, other)| one == other)
            && (self.total.is_none() || body.total.is_none() || self.total == body.total)
            && is_known;
        writer.received > 0 && body.from == writer.received && body.encoding == *encoding && is_same
    }
}
