//! Files that can be read only once, such as a shell's `<(…)`: a reload uses what they held.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::zeroize::Zeroizing;

use crate::disk;

type Texts = BTreeMap<PathBuf, Zeroizing<String>>;

/// What pipes held. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pipes(Arc<Mutex<(Texts, Texts)>>);

impl Pipes {
    /// Reads a file. A pipe is not read again once its text could be used.
    pub(super) fn read(&self, path: &Path) -> io::Result<Zeroizing<String>> {
        if !disk::can_be_read_once(path) {
            return disk::read_text(path).map(Zeroizing::new);
        }
        let known = |(used, new): &(Texts, Texts)| used.get(path).or_else(|| new.get(path)).cloned();
        if let Some(text) = known(&self.texts()) {
            return Ok(text);
        }
        let text = Zeroizing::new(disk::read_text(path)?);
        self.texts().1.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    /// Keeps what was read since the last call, or forgets it if it cannot be used.
    pub(super) fn settle(&self, is_usable: bool) {
        let (used, new) = &mut *self.texts();
        let new = std::mem::take(new);
        if is_usable {
            used.extend(new);
        }
    }

    fn texts(&self) -> MutexGuard<'_, (Texts, Texts)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
