//! The queue in the file.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::keeper::Safety;
use super::rows::{self, due_ms, ms, wall_ms, watch_columns};
use super::state::State;
use super::trouble::Fault;
use super::{codes, outbox};
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::store::{Claimed, Ended, Next, Pass, Passed, Record, Wish};

/// How far the latest moment in the file may lag behind. A clock that was set back may start too early by this much.
const BEAT: Duration = Duration::from_secs(5);

/// Whether a pass must write: results, deliveries, or just that the daemon is alive.
pub(super) fn writes(pass: &Pass, last: Option<Moment>) -> bool {
    let is_stale = last.is_none_or(|last| pass.now.since(last) >= BEAT);
    is_stale || !pass.records.is_empty() || !pass.news.is_empty()
}

/// What a pass must survive. A power cut must not undo ends and deliveries.
pub(super) fn safety(pass: &Pass) -> Safety {
    let has_end = pass.records.iter().any(|record| matches!(record.next, Next::Ended(_)));
    if has_end || !pass.news.is_empty() { Safety::PowerCut } else { Safety::Process }
}

/// See [`Queue::pass`](crate::store::Queue::pass).
pub(super) fn pass(conn: &Connection, state: &mut State, pass: Pass) -> Result<Passed, Fault> {
    let mut passed = Passed::default();
    if writes(&pass, state.last) {
        state.note(conn, pass.now)?;
        passed.kept = keep(conn, state, &pass.records)?;
    }
    for news in &pass.news {
        let is_news = state.is_news(news);
        passed.news.push(is_news);
        if is_news {
            state.learn(conn, news)?;
            news.deliveries.iter().try_for_each(|delivery| outbox::owe(conn, state, delivery, None))?;
        }
    }
    for wish in pass.wishes.iter().filter(|wish| wish.room > 0) {
        fulfil(conn, state, wish, pass.now, &mut passed)?;
    }
    Ok(passed)
}

/// Records the results of polls. Returns whether each was kept.
fn keep(conn: &Connection, state: &mut State, records: &[Record]) -> Result<Vec<bool>, Fault> {
    let mut save = conn.prepare_cached(
        "UPDATE watches SET progress = ?2, due_at_ms = ?3 WHERE seq = ?1 AND ended_at_ms IS NULL",
    )?;
    let mut keep = |record: &Record| {
        if !state.watches.give_back(record.claim) {
            return Ok(false);
        }
        let progress = record.watch.progress.to_kept();
        match &record.next {
            Next::Due(at) => Ok(save.execute((record.claim.row, progress, due_ms(*at)))? == 1),
            Next::Ended(ended) => end(conn, state, record, &progress, ended),
        }
    };
    records.iter().map(&mut keep).collect()
}

fn end(
    conn: &Connection,
    state: &mut State,
    record: &Record,
    progress: &str,
    ended: &Ended,
) -> Result<bool, Fault> {
    let row = record.claim.row;
    let mut save = conn.prepare_cached(
        "UPDATE watches SET progress = ?2, ended_at_ms = ?3, ended_wall_ms = ?4, outcome = ?5, document = ?6 \
         WHERE seq = ?1 AND ended_at_ms IS NULL",
    )?;
    let (at, wall) = (ms(ended.at), wall_ms(ended.at));
    if save.execute((row, progress, at, wall, ended.outcome.as_str(), &ended.document))? == 0 {
        return Ok(false);
    }
    state.counts.active = state.counts.active.saturating_sub(1);
    state.counts.ended += 1;
    codes::keep(conn, state, ExitCode::of(ended.outcome))?;
    for delivery in &ended.deliveries {
        outbox::owe(conn, state, delivery, Some((row, record.watch.id)))?;
    }
    Ok(true)
}

/// Claims the watches of a wish. If there are too few, records when the next one is due.
fn fulfil(
    conn: &Connection,
    state: &mut State,
    wish: &Wish,
    now: Moment,
    passed: &mut Passed,
) -> Result<(), Fault> {
    // These read only the index. The rows of claimed watches are read below.
    let mut by_due = conn.prepare_cached(
        "SELECT seq, due_at_ms FROM watches INDEXED BY watches_due \
         WHERE account = ?1 AND ended_at_ms IS NULL ORDER BY due_at_ms",
    )?;
    let mut by_start = conn.prepare_cached(
        "SELECT seq FROM watches INDEXED BY watches_started \
         WHERE account = ?1 AND ended_at_ms IS NULL AND started_at_ms <= ?2 ORDER BY started_at_ms",
    )?;
    let (mut claims, mut room) = (Vec::new(), wish.room);
    if let Some(started_by) = wish.started_by {
        let mut started = by_start.query((&*wish.account, ms(started_by)))?;
        while claims.len() < wish.room
            && let Some(row) = started.next()?
        {
            claims.extend(state.watches.claim(row.get(0)?));
        }
        room = 0;
    }
    let next_due = state.watches.claim_due(by_due.query((&*wish.account,))?, room, now, &mut claims)?;
    if claims.len() < wish.room {
        passed.next_due.insert(Arc::clone(&wish.account), next_due);
    }
    let mut select =
        conn.prepare_cached(concat!("SELECT ", watch_columns!(), " FROM watches WHERE seq = ?1"))?;
    for claim in claims {
        let mut rows = select.query((claim.row,))?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let (watch, due_at) = (rows::watch(row, Arc::clone(&wish.account))?, rows::due_at(row)?);
        passed.claimed.push(Claimed { claim, watch, due_at });
    }
    Ok(())
}
