//! How far the download of one file has come.

use super::object::Object;
use super::storage::Body;
use super::writer::Writer;
use crate::http::Encoding;
use crate::moment::Moment;
use crate::watch::observation::Part;
use crate::watch::tries::Tries;

/// How far it has come.
pub(super) struct Course {
    pub(super) writer: Option<(Writer, Encoding)>,
    /// What the link led to: its address without the signature.
    pub(super) address: String,
    /// The object that the bytes so far are from.
    pub(super) object: Object,
    /// The most bytes that ever arrived: only more than that is progress.
    pub(super) reached: u64,
    pub(super) tries: Tries,
    pub(super) refusals: u32,
    pub(super) misfits: u32,
}

impl Course {
    /// Nothing has arrived.
    pub(super) fn begin(now: Moment) -> Self {
        Self {
            writer: None,
            address: String::new(),
            object: Object::default(),
            reached: 0,
            tries: Tries::new(now),
            refusals: 0,
            misfits: 0,
        }
    }

    /// How many bytes of the file have arrived.
    pub(super) fn received(&self) -> u64 {
        self.writer.as_ref().map_or(0, |(writer, _)| writer.received)
    }

    /// How many bytes the file has as it is sent, if that is known.
    pub(super) fn expected(&self, part: &Part) -> Option<u64> {
        let is_plain = |(_, encoding): &(Writer, Encoding)| *encoding == Encoding::Plain;
        self.object.total.or_else(|| part.file_size.filter(|_| self.writer.as_ref().is_some_and(is_plain)))
    }

    /// Whether an answer continues what has arrived: the same object, from there on, in the same encoding. If nothing has
    /// arrived, it begins the file.
    pub(super) fn goes_on_with(&self, body: &Body) -> bool {
        let Some((writer, encoding)) = &self.writer else { return body.from == 0 };
        writer.received > 0
            && body.from == writer.received
            && body.encoding == *encoding
            && self.object.is_same_as(&body.object)
    }
}
