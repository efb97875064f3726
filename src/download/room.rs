//! How much may be written: for one file, and for all together. A small compressed file may unpack to a huge one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that all files together may have, and how many of them are taken.
#[derive(Debug)]
pub(super) struct Room {
    size: Option<u64>,
    taken: AtomicU64,
}

/// Why no more may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overflow {
    /// A file has more bytes than were announced.
    #[error("it unpacks to more than the {0} bytes that were announced")]
    File(u64),
    /// All files together have more bytes than the user allows.
    #[error("the files have more than {}, the most that --max-size allows", indicatif::BinaryBytes(*.0))]
    All(u64),
}

impl Room {
    /// Room for `size` bytes, or for any number of bytes.
    pub(super) const fn new(size: Option<u64>) -> Self {
        Self { size, taken: AtomicU64::new(0) }
    }

    /// Takes room for `bytes` more bytes.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Overflow> {
        let size = self.size.unwrap_or(u64::MAX);
        let add = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= size);
        let added = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.map(drop).map_err(|_| Overflow::All(size))
    }
}

/// The room of one file. It is released when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    /// The most bytes that the file may have.
    most: Option<u64>,
    written: AtomicU64,
}

impl Share {
    pub(super) const fn new(room: Arc<Room>, most: Option<u64>) -> Self {
        Self { room, most, written: AtomicU64::new(0) }
    }

    /// How many bytes it takes so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Takes room for the next bytes. Only one thread writes a file.
    pub(super) fn grow(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let written = self.written().saturating_add(bytes);
        if let Some(most) = self.most.filter(|most| written > *most) {
            return Err(io::Error::other(Overflow::File(most)));
        }
        self.room.take(bytes).map_err(io::Error::other)?;
        self.written.store(written, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.written(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(grown: io::Result<()>) -> Option<Overflow> {
        grown.err().and_then(|error| error.get_ref()?.downcast_ref().copied())
    }

    #[test]
    fn files_share_the_room_and_release_what_they_do_not_keep() {
        let room = Arc::new(Room::new(Some(10)));
        let [one, other] = [(); 2].map(|()| Share::new(Arc::clone(&room), None));
        assert_eq!(why(one.grow(6)), None);
        assert_eq!(why(other.grow(5)), Some(Overflow::All(10)));
        assert_eq!(why(other.grow(4)), None);
        drop(one);
        assert_eq!(why(other.grow(6)), None);
        assert_eq!((other.written(), room.take(1)), (10, Err(Overflow::All(10))));
    }

    #[test]
    fn a_file_has_no_more_bytes_than_were_announced() {
        let share = Share::new(Arc::new(Room::new(None)), Some(3));
        assert_eq!(why(share.grow(3)), None);
        assert_eq!(why(share.grow(1)), Some(Overflow::File(3)));
        assert_eq!(why(Share::new(Arc::new(Room::new(None)), None).grow(usize::MAX)), None);
    }
}
