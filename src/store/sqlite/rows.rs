//! Conversions between values and columns.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Row;
use uuid::Uuid;

use super::trouble::Fault;
use crate::export::{ExportRef, Scope};
use crate::moment::Moment;
use crate::text::{self, Text};
use crate::watch::pace::Position;
use crate::watch::{Labels, Progress, Watch};

/// A moment as stored: rounded down to milliseconds.
pub(super) fn ms(moment: Moment) -> i64 {
    i64::try_from(moment.unix_ms()).unwrap_or(i64::MAX)
}

/// What the wall clock said at a moment, as stored.
pub(super) fn wall_ms(moment: Moment) -> i64 {
    i64::try_from(moment.wall_ms()).unwrap_or(i64::MAX)
}

/// A due time as stored: rounded up to milliseconds, so that nothing is due too early.
pub(super) fn due_ms(moment: Moment) -> i64 {
    let begun = ms(moment);
    if at(begun) < moment { begun.saturating_add(1) } else { begun }
}

/// A stored moment.
pub(super) fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(u64::try_from(ms).unwrap_or_default())
}

/// A moment as it is read later, with what the wall clock said.
pub(super) fn rounded(moment: Moment) -> Moment {
    at(ms(moment)).with_wall_ms(moment.wall_ms())
}

/// The state of a pace as stored.
pub(super) fn pace_ns(position: Position) -> Option<i64> {
    position.map(|delay| i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX))
}

/// A stored state of a pace.
pub(super) fn position(ns: Option<i64>) -> Position {
    ns.map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or_default()))
}

/// The columns that [`watch`] reads. Queries may add more columns after these.
macro_rules! watch_columns {
    () => {
        "seq, id, scope, scope_id, export_id, labels, progress, due_at_ms"
    };
}
pub(super) use watch_columns;

/// The watch in a row that starts with these columns.
pub(super) fn watch(row: &Row<'_>, account: Arc<str>) -> Result<Watch, Fault> {
    let seq = row.get(0)?;
    let unreadable = |column: &str, why: &dyn Display| {
        let why = format!("its {column} cannot be read: {why}");
        Fault::Unreadable { table: "watches", row: seq, why }
    };
    let text = |at, column| row.get_ref(at)?.as_str().map_err(|error| unreadable(column, &error));
    let (scope, labels, progress) = (text(2, "scope")?, text(5, "labels")?, text(6, "progress")?);
    Ok(Watch {
        id: uuid(row, 1)?,
        account,
        labels: plain(serde_json::from_str(labels).map_err(|error| unreadable("labels", &error))?),
        export: ExportRef {
            scope: Scope::from_word(scope).ok_or_else(|| unreadable("scope", &Text::new(scope)))?,
            scope_id: uuid(row, 3)?,
            export_id: uuid(row, 4)?,
        },
        progress: Progress::from_kept(progress).map_err(|error| unreadable("progress", &error))?,
    })
}

/// When the watch in such a row is due.
pub(super) fn due_at(row: &Row<'_>) -> Result<Moment, Fault> {
    Ok(at(row.get(7)?))
}

/// The UUID in a column.
pub(super) fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid, rusqlite::Error> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

/// Labels that are safe to show: an earlier version accepted others.
fn plain(labels: Labels) -> Labels {
    let is_plain = |(name, value): (&String, &String)| text::is_plain(name) && text::is_plain(value);
    match labels.iter().all(is_plain) {
        true => labels,
        false => labels.iter().map(|(name, value)| (text::escaped(name), text::escaped(value))).collect(),
    }
}

/// Labels as stored.
pub(super) fn labels_text(labels: &Labels) -> String {
    serde_json::to_string(labels).unwrap_or_else(|_| unreachable!("a map of texts can be written as JSON"))
}
