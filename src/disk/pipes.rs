//! Files that can be read only once, such as a shell's `<(…)`: whoever reads one again gets what it held.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::zeroize::Zeroizing;

use super::{Input, Look, can_be_read_once, read_text};

type Texts = BTreeMap<PathBuf, Zeroizing<String>>;

/// What pipes held. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Pipes(Arc<Mutex<(Texts, Texts)>>);

impl Pipes {
    /// Reads a file. A pipe is not read again once its text could be used.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Zeroizing<String>> {
        if !can_be_read_once(path) {
            return read_text(path).map(Zeroizing::new);
        }
        let known = |(used, new): &(Texts, Texts)| used.get(path).or_else(|| new.get(path)).cloned();
        if let Some(text) = known(&self.texts()) {
            return Ok(text);
        }
        let text = Zeroizing::new(read_text(path)?);
        self.texts().1.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    /// The same, and how the file looked before.
    pub(crate) fn read_with_look(&self, path: &Path) -> io::Result<(Zeroizing<String>, Look)> {
        if can_be_read_once(path) {
            return Ok((self.read(path)?, Look::NotAFile));
        }
        let (mut input, mut text) = (Input::open(path)?, Zeroizing::default());
        let look = input.look()?;
        input.read_to_string(&mut text)?;
        Ok((text, look))
    }

    /// Keeps what was read since the last call, or forgets it if it cannot be used.
    pub(crate) fn settle(&self, is_usable: bool) {
        let (used, new) = &mut *self.texts();
        let new = std::mem::take(new);
        if is_usable {
            used.extend(new);
        }
    }

    /// Keeps what this file held: it can be used.
    pub(crate) fn keep(&self, path: &Path) {
        let (used, new) = &mut *self.texts();
        used.extend(new.remove_entry(path));
    }

    fn texts(&self) -> MutexGuard<'_, (Texts, Texts)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing: the texts may be secrets.
impl std::fmt::Debug for Pipes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipes")
    }
}
