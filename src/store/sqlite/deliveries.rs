//! Deliveries as the API lists them, and redelivery.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use uuid::Uuid;

use super::outbox::state_in;
use super::rows::{at, ms};
use super::state::State;
use super::trouble::Fault;
use crate::moment::Moment;
use crate::store::{Backlog, DeliveryFilter, DeliveryState, IN_TURN, ListedDelivery, Redelivery};
use crate::text::Text;

/// The deliveries for a watch, in the order in which they were added.
pub(super) fn of_watch(conn: &Connection, seq: i64) -> Result<Vec<ListedDelivery>, Fault> {
    select(conn, "WHERE watch_seq = ?1 ORDER BY seq", (seq,))
}

/// See [`Catalogue::deliveries`](crate::store::Catalogue::deliveries).
pub(super) fn list(
    conn: &Connection,
    filter: &DeliveryFilter,
) -> Result<Option<(Vec<ListedDelivery>, bool)>, Fault> {
    let mut find = conn.prepare_cached("SELECT seq FROM deliveries WHERE id = ?1")?;
    let after: Option<i64> = match &filter.after {
        None => Some(0),
        Some(id) => find.query_row((id,), |row| row.get(0)).optional()?,
    };
    let Some(after) = after else { return Ok(None) };
    // Only most of the rows may be read without an index: those that were sent.
    let wanted = match filter.state {
        None => "WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        Some(DeliveryState::Pending) => {
            "INDEXED BY deliveries_pending WHERE state = 'pending' AND seq > ?1 ORDER BY seq LIMIT ?2"
        }
        Some(DeliveryState::Undeliverable) => {
            "INDEXED BY deliveries_undeliverable WHERE state = 'undeliverable' AND seq > ?1 ORDER BY seq LIMIT ?2"
        }
        Some(DeliveryState::Sent) => "WHERE state = 'sent' AND seq > ?1 ORDER BY seq LIMIT ?2",
    };
    let enough = i64::try_from(filter.limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut listed = select(conn, wanted, (after, enough))?;
    let has_more = listed.len() > filter.limit;
    listed.truncate(filter.limit);
    Ok(Some((listed, has_more)))
}

/// See [`Catalogue::redeliver`](crate::store::Catalogue::redeliver).
pub(super) fn redeliver(
    conn: &Connection,
    state: &mut State,
    watch: Option<Uuid>,
    delivery: &str,
    known: &[String],
    now: Moment,
) -> Result<Option<Redelivery>, Fault> {
    let find = || select(conn, "WHERE id = ?1", (delivery,));
    let is_meant = |found: &ListedDelivery| watch.is_none() || found.watch == watch;
    let Some(found) = find()?.pop().filter(is_meant) else { return Ok(None) };
    if found.state == DeliveryState::Pending {
        return Ok(Some(Redelivery::Pending));
    }
    if !known.contains(&found.endpoint) {
        return Ok(Some(Redelivery::NoEndpoint(found.endpoint)));
    }
    let sql = "UPDATE deliveries SET state = 'pending', settled_at_ms = NULL, created_at_ms = ?2, due_at_ms = ?3, \
               pace_ns = NULL WHERE id = ?1";
    conn.prepare_cached(sql)?.execute((delivery, ms(now), ms(IN_TURN)))?;
    // Who asks for it knows why it should work now.
    let sql = "UPDATE endpoints SET open_at_ms = 0 WHERE name = ?1";
    conn.prepare_cached(sql)?.execute((&found.endpoint,))?;
    state.counts.pending += 1;
    if found.state == DeliveryState::Undeliverable {
        state.counts.undeliverable = state.counts.undeliverable.saturating_sub(1);
    }
    state.note(conn, now)?;
    Ok(find()?.pop().map(Redelivery::Queued))
}

/// See [`Catalogue::backlog`](crate::store::Catalogue::backlog). Reads the index only.
pub(super) fn backlog(conn: &Connection) -> Result<Vec<Backlog>, Fault> {
    let mut select = conn.prepare_cached(
        "SELECT endpoint, count(*), min(created_at_ms) FROM deliveries INDEXED BY deliveries_age \
         WHERE state = 'pending' GROUP BY endpoint",
    )?;
    let backlog = select.query_map((), |row| {
        let pending = row.get::<_, i64>(1)?.unsigned_abs();
        Ok(Backlog { endpoint: row.get(0)?, pending, oldest: at(row.get(2)?) })
    })?;
    Ok(backlog.collect::<Result<_, _>>()?)
}

/// Selects deliveries. `wanted` is what follows the name of the table.
fn select(conn: &Connection, wanted: &str, params: impl Params) -> Result<Vec<ListedDelivery>, Fault> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT id, endpoint, state, attempts, \
         max(due_at_ms, coalesce((SELECT open_at_ms FROM endpoints WHERE name = endpoint), 0)), \
         problem, watch_id, created_at_ms FROM deliveries {wanted}"
    ))?;
    let listed = select.query_map(params, listed)?;
    Ok(listed.collect::<Result<_, _>>()?)
}

fn listed(row: &Row<'_>) -> rusqlite::Result<ListedDelivery> {
    let state = state_in(row, 2)?;
    Ok(ListedDelivery {
        id: row.get(0)?,
        endpoint: row.get(1)?,
        watch: row.get::<_, Option<[u8; 16]>>(6)?.map(Uuid::from_bytes),
        at: at(row.get(7)?),
        state,
        attempts: row.get(3)?,
        due_at: (state == DeliveryState::Pending).then_some(at(row.get(4)?)),
        problem: row.get::<_, Option<String>>(5)?.as_deref().and_then(Text::non_empty),
    })
}
