//! A watch, as stores keep it and as the rest of the program uses it.

use std::sync::Arc;

use uuid::Uuid;

use super::Progress;
use super::labels::Labels;
use crate::export::ExportRef;
use crate::moment::Moment;

/// The name of the default account. A command that waits has no other.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A watch to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWatch {
    /// The account whose credential is used.
    pub account: Arc<str>,
    /// The export to follow.
    pub export: ExportRef,
    /// Labels, which its owner chooses.
    pub labels: Labels,
}

/// A watch: the wish to follow one export to its end, and how far it has come.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its id. In a command that waits, watches are known by their exports, and have none.
    pub id: Uuid,
    /// The account whose credential is used.
    pub account: Arc<str>,
    /// Labels, which its owner chooses.
    pub labels: Labels,
    /// The export that is followed.
    pub export: ExportRef,
    /// How far it has come.
    pub progress: Progress,
}

impl Watch {
    /// A watch of a command that waits, on the default account. Its export identifies it.
    #[must_use]
    pub fn unnamed(export: ExportRef, now: Moment) -> Self {
        let (id, account, labels) = (Uuid::nil(), Arc::from(DEFAULT_ACCOUNT), Labels::new());
        Self { id, account, labels, export, progress: Progress::new(now) }
    }
}
