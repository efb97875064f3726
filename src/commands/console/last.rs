//! What people have read at the end of a command.

use std::sync::{Arc, Mutex, PoisonError};

use crate::exit::ExitCode;
use crate::text::Text;
use crate::words::Closing;

/// How much of it is kept, in bytes: more than a ping sends.
const KEPT: usize = 16 * 1024;

/// The last lines of a command, without colors. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::commands) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    /// Adds what a step, an export or the command itself ended with.
    pub(in crate::commands) fn add(&self, closing: &Closing) {
        let Closing { head, reason, next, export, request, .. } = closing;
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labelled = [
            ("", Some(head.clone())),
            ("reason: ", reason.clone()),
            ("next: ", next.clone()),
            ("id: ", export.filter(|_| !closing.is_well).map(|id| id.to_string())),
            ("request: ", request.clone().filter(|_| !closing.is_well)),
        ];
        for (label, text) in labelled.into_iter().filter_map(|(label, text)| Some((label, text?))) {
            words.extend([label, Text::new(&text).as_str(), "\n"]);
        }
        let surplus = words.len().saturating_sub(KEPT);
        let surplus = words.ceil_char_boundary(surplus);
        words.drain(..surplus);
    }

    /// These lines, and the exit code.
    pub(in crate::commands) fn body(&self, code: ExitCode) -> String {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{words}exit code {}\n", code.code())
    }
}
