//! The catalogue in the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};
use uuid::Uuid;

use super::rows::{self, at, ms, rounded, uuid, watch_columns};
use super::state::State;
use super::trouble::Fault;
use super::{deliveries, outbox};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::store::{ActiveAccount, Added, Filter, Listed, Listing, NoRoom, Quota, Reconciled};
use crate::watch::{NewWatch, Progress, Watch};

/// See [`Catalogue::add`](crate::store::Catalogue::add).
pub(super) fn add(
    conn: &Connection,
    state: &mut State,
    new: NewWatch,
    id: Uuid,
    quota: Quota,
    now: Moment,
) -> Result<Added, Fault> {
    if let Some((_, id)) = find(conn, &new)? {
        return Ok(Added::Existing(id));
    }
    match no_room(conn, state, &new, quota)? {
        Some(no_room) => Ok(Added::NoRoom(no_room)),
        None => insert(conn, state, new, "api", id, now).map(|watch| Added::New(Box::new(watch))),
    }
}

/// Which quota a new watch would exceed.
fn no_room(
    conn: &Connection,
    state: &mut State,
    new: &NewWatch,
    quota: Quota,
) -> Result<Option<NoRoom>, Fault> {
    let kept = state.counts.active + state.counts.ended;
    if let Some(most) = quota.watches.filter(|most| kept >= *most) {
        return Ok(Some(NoRoom::Watches(most)));
    }
    let Some(most) = quota.labels else { return Ok(None) };
    let all = state.label_bytes(conn)?.saturating_add(rows::labels_text(&new.labels).len() as u64);
    Ok((all > most).then_some(NoRoom::Labels(most)))
}

/// See [`Catalogue::active_accounts`](crate::store::Catalogue::active_accounts).
pub(super) fn active_accounts(conn: &Connection) -> Result<Vec<ActiveAccount>, Fault> {
    let mut count = conn.prepare_cached(
        "SELECT account, count(*), min(due_at_ms) FROM watches INDEXED BY watches_due WHERE ended_at_ms IS NULL \
         GROUP BY account",
    )?;
    let counts = count.query_map((), |row| {
        let watches = row.get::<_, i64>(1)?.unsigned_abs();
        Ok(ActiveAccount { account: row.get(0)?, watches, due_at: at(row.get(2)?) })
    })?;
    Ok(counts.collect::<Result<_, _>>()?)
}

/// The row and the id of the watch on this export.
fn find(conn: &Connection, new: &NewWatch) -> Result<Option<(i64, Uuid)>, Fault> {
    let mut select = conn.prepare_cached(
        "SELECT seq, id FROM watches WHERE export_id = ?1 AND scope_id = ?2 AND scope = ?3 AND account = ?4",
    )?;
    let ExportRef { scope, scope_id, export_id } = &new.export;
    let key = (export_id.as_bytes(), scope_id.as_bytes(), scope.as_str(), &*new.account);
    Ok(select.query_row(key, |row| Ok((row.get(0)?, uuid(row, 1)?))).optional()?)
}

fn insert(
    conn: &Connection,
    state: &mut State,
    new: NewWatch,
    origin: &str,
    id: Uuid,
    now: Moment,
) -> Result<Watch, Fault> {
    // Rounded as stored, so that callers see now what they read later.
    let progress = Progress::new(rounded(now));
    let NewWatch { account, export, labels } = new;
    let watch = Watch { id, account, labels, export, progress };
    let mut insert = conn.prepare_cached(
        "INSERT INTO watches (id, account, scope, scope_id, export_id, labels, origin, started_at_ms, due_at_ms, \
         progress) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
    )?;
    let labels = rows::labels_text(&watch.labels);
    state.replace_labels(0, i64::try_from(labels.len()).unwrap_or(i64::MAX));
    insert.execute((
        id.as_bytes(),
        &*watch.account,
        watch.export.scope.as_str(),
        watch.export.scope_id.as_bytes(),
        watch.export.export_id.as_bytes(),
        labels,
        origin,
        ms(now),
        watch.progress.to_kept(),
    ))?;
    state.counts.active += 1;
    state.note(conn, now)?;
    Ok(watch)
}

/// See [`Catalogue::reconcile`](crate::store::Catalogue::reconcile).
pub(super) fn reconcile(
    conn: &Connection,
    state: &mut State,
    listed: Vec<(Uuid, NewWatch)>,
    now: Moment,
) -> Result<Reconciled, Fault> {
    let mut reconciled = Reconciled::default();
    let mut stay = BTreeSet::new();
    for (id, new) in listed {
        match find(conn, &new)? {
            Some((seq, _)) => {
                let sql = "UPDATE watches SET origin = 'settings', labels = ?2 \
                           WHERE seq = ?1 AND (origin <> 'settings' OR labels <> ?2)";
                if conn.prepare_cached(sql)?.execute((seq, rows::labels_text(&new.labels)))? > 0 {
                    // Counted again when needed.
                    state.label_bytes = None;
                }
                stay.insert(seq);
            }
            None => {
                reconciled.added.push(insert(conn, state, new, "settings", id, now)?);
                stay.insert(conn.last_insert_rowid());
            }
        }
    }
    let mut select =
        conn.prepare("SELECT seq FROM watches INDEXED BY watches_settings WHERE origin = 'settings'")?;
    let all = select.query_map((), |row| row.get(0))?;
    let gone =
        all.filter(|seq| !matches!(seq, Ok(seq) if stay.contains(seq))).collect::<Result<Vec<_>, _>>()?;
    for seq in gone {
        reconciled.removed.extend(give_up(conn, state, seq)?);
    }
    Ok(reconciled)
}

/// Removes a watch that the settings no longer list, and returns it. One that has ended stays until it is pruned.
fn give_up(conn: &Connection, state: &mut State, seq: i64) -> Result<Option<Watch>, Fault> {
    match show(conn, seq)? {
        Some(Listed { end: None, watch, .. }) => {
            forget(conn, state, seq)?;
            Ok(Some(watch))
        }
        Some(Listed { end: Some(_), .. }) | None => {
            conn.prepare_cached("UPDATE watches SET origin = 'api' WHERE seq = ?1")?.execute((seq,))?;
            Ok(None)
        }
    }
}

/// Removes a watch and its settled deliveries.
fn forget(conn: &Connection, state: &mut State, seq: i64) -> Result<(), Fault> {
    outbox::forget_settled(conn, state, seq)?;
    let sql = "DELETE FROM watches WHERE seq = ?1 RETURNING ended_at_ms IS NULL, octet_length(labels)";
    let gone =
        conn.prepare_cached(sql)?.query_row((seq,), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((was_active, labels)) = gone {
        let count = if was_active { &mut state.counts.active } else { &mut state.counts.ended };
        *count = count.saturating_sub(1);
        state.replace_labels(labels, 0);
    }
    state.watches.forget(seq);
    Ok(())
}

/// Removes a watch. Returns whether it existed.
pub(super) fn remove(conn: &Connection, state: &mut State, id: Uuid) -> Result<bool, Fault> {
    let seq = seq_of(conn, id)?;
    seq.map(|seq| forget(conn, state, seq)).transpose().map(|removed| removed.is_some())
}

fn seq_of(conn: &Connection, id: Uuid) -> Result<Option<i64>, Fault> {
    let mut select = conn.prepare_cached("SELECT seq FROM watches WHERE id = ?1")?;
    Ok(select.query_row((id.as_bytes(),), |row| row.get(0)).optional()?)
}

/// Removes up to `limit` watches of the API that ended before `before`, the oldest ends first. Returns how many.
pub(super) fn prune(
    conn: &Connection,
    state: &mut State,
    before: Moment,
    limit: u16,
) -> Result<usize, Fault> {
    let mut select = conn.prepare_cached(
        "SELECT seq FROM watches INDEXED BY watches_prunable \
         WHERE ended_at_ms IS NOT NULL AND origin = 'api' AND ended_at_ms < ?1 ORDER BY ended_at_ms LIMIT ?2",
    )?;
    let old = select.query_map((ms(before), limit), |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
    for seq in &old {
        forget(conn, state, *seq)?;
    }
    Ok(old.len())
}

/// A watch with its deliveries.
pub(super) fn look(conn: &Connection, id: Uuid) -> Result<Option<Listed>, Fault> {
    let Some(seq) = seq_of(conn, id)? else { return Ok(None) };
    let deliveries = deliveries::of_watch(conn, seq)?;
    Ok(show(conn, seq)?.map(|listed| Listed { deliveries, ..listed }))
}

fn show(conn: &Connection, seq: i64) -> Result<Option<Listed>, Fault> {
    let Listing { mut watches, .. } = select(conn, "watches WHERE seq = ?1", seq, &Filter::default())?;
    Ok(watches.pop())
}

/// See [`Catalogue::list`](crate::store::Catalogue::list).
pub(super) fn list(conn: &Connection, filter: &Filter) -> Result<Option<Listing>, Fault> {
    let after = match filter.after {
        None => None,
        Some(id) => match seq_of(conn, id)? {
            Some(seq) => Some(seq),
            None => return Ok(None),
        },
    };
    let from = match filter.ended {
        None => "watches WHERE",
        Some(false) => "watches INDEXED BY watches_active WHERE ended_at_ms IS NULL AND",
        Some(true) => "watches INDEXED BY watches_ended WHERE ended_at_ms IS NOT NULL AND",
    };
    let (after, order) = match filter.newest_first {
        false => (after.unwrap_or(0), "seq > ?1 ORDER BY seq"),
        true => (after.unwrap_or(i64::MAX), "seq < ?1 ORDER BY seq DESC"),
    };
    select(conn, &format!("{from} {order}"), after, filter).map(Some)
}

/// Selects watches, up to the limits of the filter. `wanted` is what follows `FROM`, with one parameter.
fn select(conn: &Connection, wanted: &str, param: i64, filter: &Filter) -> Result<Listing, Fault> {
    const COLUMNS: &str =
        concat!(watch_columns!(), ", account, ended_at_ms, outcome, document, ended_wall_ms");
    let mut select = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM {wanted}"))?;
    let mut rows = select.query((param,))?;
    let (mut watches, mut last, mut taken, mut looks) = (Vec::new(), None, 0_usize, 0_usize);
    while let Some(row) = rows.next()? {
        if taken >= filter.bytes || watches.len() == filter.limit || looks == filter.looks {
            return Ok(Listing { watches, has_more: true, last });
        }
        looks += 1;
        let listed = listed(row)?;
        last = Some(listed.watch.id);
        if !filter.wanted.admits(&listed) {
            continue;
        }
        // Labels, progress, document: the rest of a row is small.
        for column in [5, 6, 11] {
            let bytes = row.get_ref(column)?.as_bytes_or_null().unwrap_or_default();
            taken = taken.saturating_add(bytes.map_or(0, <[u8]>::len));
        }
        watches.push(listed);
    }
    Ok(Listing { watches, has_more: false, last })
}

fn listed(row: &Row<'_>) -> Result<Listed, Fault> {
    let account: Arc<str> = row.get(8)?;
    let ended_at = row.get::<_, Option<i64>>(9)?;
    let wall: Option<i64> = row.get(12)?;
    let ended_at = ended_at.map(|ms| at(ms).with_wall_ms(at(wall.unwrap_or(ms)).unix_ms()));
    let end = match ended_at {
        Some(ended_at) => Some((row.get(10)?, ended_at, row.get(11)?)),
        None => None,
    };
    let due_at = if end.is_none() { Some(rows::due_at(row)?) } else { None };
    Ok(Listed { watch: rows::watch(row, account)?, due_at, end, deliveries: Vec::new() })
}
