//! A watch as stores keep it and as everybody is handed it.

use std::sync::Arc;

use uuid::Uuid;

use super::Progress;
use super::labels::Labels;
use crate::export::ExportRef;
use crate::moment::Moment;

/// The name of the account that is meant if none is named. A command that waits has no other.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A watch to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWatch {
    /// Whose credential asks.
    pub account: Arc<str>,
    /// The export to follow.
    pub export: ExportRef,
    /// What its owner notes on it.
    pub labels: Labels,
}

/// A watch: the wish to follow one export to its end, and how far it has come.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its id. In a command that waits, watches are known by their exports, and have none.
    pub id: Uuid,
    /// Whose credential asks.
    pub account: Arc<str>,
    /// What its owner notes on it.
    pub labels: Labels,
    /// The export that is followed.
    pub export: ExportRef,
    /// How far it has come.
    pub progress: Progress,
}

impl Watch {
    /// A watch of a command that waits: known by its export, and of the one account that the command has.
    #[must_use]
    pub fn unnamed(export: ExportRef, now: Moment) -> Self {
        let (id, account, labels) = (Uuid::nil(), Arc::from(DEFAULT_ACCOUNT), Labels::new());
        Self { id, account, labels, export, progress: Progress::new(now) }
    }
}
