//! The trace of a world: when, who, what.

use crate::fixtures::cells::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::Duration;

/// A digest of everything that happened, to compare two runs; as text only if wanted.
#[derive(Debug, Default)]
pub(super) struct Trace {
    is_wanted: bool,
    story: RefCell<String>,
    digest: Cell<u64>,
}

impl Trace {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, ..Self::default() }
    }

    /// Records an event. The digest is computed from `facts`, not from the text.
    pub(super) fn note(&self, at: Duration, facts: [u64; 3], says: impl FnOnce() -> String) {
        let mut digest = self.digest.get() ^ 0xcbf2_9ce4_8422_2325;
        for fact in facts.into_iter().chain([at.as_millis() as u64]) {
            digest = (digest ^ fact).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.digest.set(digest);
        if self.is_wanted {
            let at = humantime::format_duration(Duration::from_millis(at.as_millis() as u64));
            let says = says();
            let _ = writeln!(self.story.borrow_mut(), "{at:>20}  {says}");
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.get()
    }

    pub(super) fn story(&self) -> String {
        self.story.borrow().clone()
    }
}
