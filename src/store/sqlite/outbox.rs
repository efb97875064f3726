//! The outbox in the file.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};
use uuid::Uuid;

use super::codes;
use super::rows::{at, due_ms, ms, pace_ns, position};
use super::state::State;
use super::trouble::Fault;
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::store::{
    ClaimedDelivery, DeliveryRecord, DeliveryState, EndpointPace, GivenUp, IN_TURN, NewDelivery,
    NextDelivery, Turn,
};
use crate::text::Text;

/// Adds a delivery, which may be about the watch in a row. One with the same id is added once.
pub(super) fn owe(
    conn: &Connection,
    state: &mut State,
    delivery: &NewDelivery,
    watch: Option<(i64, Uuid)>,
) -> Result<(), Fault> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO deliveries (id, watch_seq, watch_id, endpoint, event, created_at_ms, state, due_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7) ON CONFLICT (id) DO NOTHING",
    )?;
    let (seq, id) = watch.map(|(seq, id)| (seq, id.into_bytes())).unzip();
    let NewDelivery { id: delivery, endpoint, event, at } = delivery;
    let inserted = insert.execute((delivery, seq, id, endpoint, event, ms(*at), ms(IN_TURN)))?;
    state.counts.pending += u64::try_from(inserted).unwrap_or_default();
    let mut open = conn.prepare_cached(
        "UPDATE endpoints SET open_at_ms = max(floor_ms, ?2) \
         WHERE name = ?1 AND pace_ns IS NOT NULL AND open_at_ms > max(floor_ms, ?2)",
    )?;
    // A new one is a reason to try again, and those that have waited go first.
    if inserted > 0 && open.execute((endpoint, ms(*at)))? > 0 {
        wake(conn, endpoint)?;
    }
    Ok(())
}

/// See [`Outbox::claim`](crate::store::Outbox::claim).
pub(super) fn claim(
    conn: &Connection,
    state: &mut State,
    endpoint: &str,
    room: usize,
    now: Moment,
    even_if_closed: bool,
) -> Result<Turn, Fault> {
    let pace = pace_of(conn, endpoint)?;
    let room = if pace.open_at > now && !even_if_closed { 0 } else { room };
    let mut in_order = conn.prepare_cached(
        "SELECT seq FROM deliveries INDEXED BY deliveries_queue \
         WHERE endpoint = ?1 AND state = 'pending' AND due_at_ms <= ?2 ORDER BY seq",
    )?;
    let mut by_due = conn.prepare_cached(
        "SELECT seq, due_at_ms FROM deliveries INDEXED BY deliveries_due \
         WHERE endpoint = ?1 AND state = 'pending' ORDER BY due_at_ms",
    )?;
    let mut delivery = conn.prepare_cached(
        "SELECT id, endpoint, event, created_at_ms, watch_id, attempts, pace_ns FROM deliveries WHERE seq = ?1",
    )?;
    let mut claims = Vec::new();
    let mut due = in_order.query((endpoint, ms(now)))?;
    while claims.len() < room
        && let Some(row) = due.next()?
    {
        claims.extend(state.deliveries.claim(row.get(0)?));
    }
    let next_due = state.deliveries.claim_due(by_due.query((endpoint,))?, 0, now, &mut Vec::new())?;
    let claimed =
        claims.into_iter().map(|claim| delivery.query_row((claim.row,), |row| claimed_delivery(row, claim)));
    let (claimed, next_due) = (claimed.collect::<Result<_, _>>()?, next_due.map(|due| due.max(pace.open_at)));
    Ok(Turn { claimed, next_due, pace })
}

fn pace_of(conn: &Connection, endpoint: &str) -> Result<EndpointPace, Fault> {
    let mut select = conn
        .prepare_cached("SELECT pace_ns, open_at_ms, floor_ms, gentle_ms FROM endpoints WHERE name = ?1")?;
    let pace = select.query_row((endpoint,), |row| {
        let (open_at, floor, gentle_until) = (at(row.get(1)?), at(row.get(2)?), at(row.get(3)?));
        Ok(EndpointPace { position: position(row.get(0)?), open_at, floor, gentle_until })
    });
    Ok(pace.optional()?.unwrap_or_default())
}

/// Keeps the pace of the endpoint of a delivery. If it takes deliveries again, all that failed because of it are due.
fn keep_pace(conn: &Connection, delivery: i64, pace: EndpointPace) -> Result<(), Fault> {
    let mut select = conn.prepare_cached("SELECT endpoint FROM deliveries WHERE seq = ?1")?;
    let Some(endpoint) = select.query_row((delivery,), |row| row.get::<_, String>(0)).optional()? else {
        return Ok(());
    };
    let before = pace_of(conn, &endpoint)?;
    if before == pace {
        return Ok(());
    }
    let mut save = conn.prepare_cached(
        "INSERT INTO endpoints (name, pace_ns, open_at_ms, floor_ms, gentle_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (name) DO UPDATE SET pace_ns = excluded.pace_ns, open_at_ms = excluded.open_at_ms, \
         floor_ms = excluded.floor_ms, gentle_ms = excluded.gentle_ms",
    )?;
    let EndpointPace { position, open_at, floor, gentle_until } = pace;
    save.execute((&endpoint, pace_ns(position), due_ms(open_at), due_ms(floor), due_ms(gentle_until)))?;
    if before.position.is_some() && pace.position.is_none() {
        wake(conn, &endpoint)?;
    }
    Ok(())
}

/// All that failed because of the endpoint wait for their turn again.
fn wake(conn: &Connection, endpoint: &str) -> Result<(), Fault> {
    let mut wake = conn.prepare_cached(
        "UPDATE deliveries SET due_at_ms = ?2 \
         WHERE endpoint = ?1 AND state = 'pending' AND pace_ns IS NULL AND due_at_ms > ?2",
    )?;
    wake.execute((endpoint, ms(IN_TURN)))?;
    Ok(())
}

fn claimed_delivery(row: &Row<'_>, claim: crate::store::Claim) -> rusqlite::Result<ClaimedDelivery> {
    let delivery =
        NewDelivery { id: row.get(0)?, endpoint: row.get(1)?, event: row.get(2)?, at: at(row.get(3)?) };
    let watch = row.get::<_, Option<[u8; 16]>>(4)?.map(Uuid::from_bytes);
    Ok(ClaimedDelivery { claim, delivery, watch, attempts: row.get(5)?, pace: position(row.get(6)?) })
}

/// Records the results of attempts. Ignores records whose claim has ended.
pub(super) fn record(conn: &Connection, state: &mut State, records: &[DeliveryRecord]) -> Result<(), Fault> {
    let mut retry = conn.prepare_cached(
        "UPDATE deliveries SET attempts = attempts + 1, due_at_ms = ?2, pace_ns = ?3, problem = ?4 \
         WHERE seq = ?1 AND state = 'pending'",
    )?;
    let mut settle = conn.prepare_cached(
        "UPDATE deliveries SET attempts = attempts + 1, state = ?2, settled_at_ms = ?3, problem = ?4 \
         WHERE seq = ?1 AND state = 'pending'",
    )?;
    for DeliveryRecord { claim, at, next, pace } in records {
        state.note(conn, *at)?;
        if !state.deliveries.give_back(*claim) {
            continue;
        }
        keep_pace(conn, claim.row, *pace)?;
        let (end, problem) = match next {
            NextDelivery::Due { at, pace, problem } => {
                retry.execute((claim.row, due_ms(*at), pace_ns(*pace), problem.as_str()))?;
                continue;
            }
            NextDelivery::Sent => (DeliveryState::Sent, None),
            NextDelivery::Undeliverable { problem } => (DeliveryState::Undeliverable, Some(problem)),
        };
        let settled = settle.execute((claim.row, end.as_str(), ms(*at), problem.map(Text::as_str)))?;
        let settled = u64::try_from(settled).unwrap_or_default();
        state.counts.pending = state.counts.pending.saturating_sub(settled);
        if end == DeliveryState::Undeliverable {
            state.counts.undeliverable += settled;
            codes::keep(conn, state, Some(ExitCode::UNAVAILABLE))?;
        }
    }
    Ok(())
}

/// Gives up old unclaimed deliveries to an endpoint.
pub(super) fn give_up(
    conn: &Connection,
    state: &mut State,
    endpoint: &str,
    owed_before: Moment,
    problem: &Text,
    now: Moment,
) -> Result<Vec<GivenUp>, Fault> {
    state.note(conn, now)?;
    let mut old = conn.prepare_cached(
        "SELECT seq, id, watch_id, attempts FROM deliveries INDEXED BY deliveries_age \
         WHERE endpoint = ?1 AND state = 'pending' AND created_at_ms <= ?2 ORDER BY created_at_ms LIMIT 1000",
    )?;
    let old = old.query_map((endpoint, ms(owed_before)), |row| {
        let watch = row.get::<_, Option<[u8; 16]>>(2)?.map(Uuid::from_bytes);
        Ok((row.get(0)?, GivenUp { id: row.get(1)?, watch, attempts: row.get(3)? }))
    })?;
    let old: Vec<(i64, GivenUp)> = old.collect::<Result<_, _>>()?;
    let mut settle = conn.prepare_cached(
        "UPDATE deliveries SET state = 'undeliverable', settled_at_ms = ?2, problem = ?3 WHERE seq = ?1",
    )?;
    let mut given_up = Vec::new();
    for (seq, delivery) in old {
        if !state.deliveries.is_claimed(seq) {
            settle.execute((seq, ms(now), problem.as_str()))?;
            state.counts.pending = state.counts.pending.saturating_sub(1);
            state.counts.undeliverable += 1;
            given_up.push(delivery);
        }
    }
    codes::keep(conn, state, (!given_up.is_empty()).then_some(ExitCode::UNAVAILABLE))?;
    Ok(given_up)
}

/// The endpoints with pending deliveries. Takes one step in the index for each, however many deliveries there are.
pub(super) fn owed_endpoints(conn: &Connection) -> Result<Vec<String>, Fault> {
    let mut next = conn.prepare_cached(
        "SELECT min(endpoint) FROM deliveries INDEXED BY deliveries_due WHERE state = 'pending' AND endpoint > ?1",
    )?;
    let mut endpoints: Vec<String> = Vec::new();
    loop {
        let last = endpoints.last().map_or("", String::as_str);
        match next.query_row((last,), |row| row.get(0))? {
            Some(endpoint) => endpoints.push(endpoint),
            None => return Ok(endpoints),
        }
    }
}

/// Removes the settled deliveries of a watch. Pending ones stay.
pub(super) fn forget_settled(conn: &Connection, state: &mut State, watch: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM deliveries WHERE watch_seq = ?1 AND state <> 'pending' RETURNING state";
    let mut forget = conn.prepare_cached(sql)?;
    let forgotten = forget.query_map((watch,), |row| state_in(row, 0))?;
    count_forgotten(state, &forgotten.collect::<Result<Vec<_>, _>>()?);
    Ok(())
}

/// Removes up to `limit` deliveries without a watch that were settled before `before`. Returns how many.
pub(super) fn prune(
    conn: &Connection,
    state: &mut State,
    before: Moment,
    limit: u16,
) -> Result<usize, Fault> {
    let mut forget = conn.prepare_cached(
        "DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries INDEXED BY deliveries_prunable \
         WHERE watch_seq IS NULL AND settled_at_ms IS NOT NULL AND settled_at_ms < ?1 \
         ORDER BY settled_at_ms LIMIT ?2) RETURNING state",
    )?;
    let forgotten = forget.query_map((ms(before), limit), |row| state_in(row, 0))?;
    let forgotten = forgotten.collect::<Result<Vec<_>, _>>()?;
    count_forgotten(state, &forgotten);
    Ok(forgotten.len())
}

fn count_forgotten(state: &mut State, forgotten: &[DeliveryState]) {
    let given_up = forgotten.iter().filter(|state| **state == DeliveryState::Undeliverable).count();
    let undeliverable = &mut state.counts.undeliverable;
    *undeliverable = undeliverable.saturating_sub(u64::try_from(given_up).unwrap_or_default());
}

pub(super) fn state_in(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    let state = DeliveryState::from_word(row.get_ref(column)?.as_str()?);
    state.ok_or_else(|| rusqlite::Error::InvalidColumnType(column, "state".to_owned(), Type::Text))
}
