//! A pass: what polls have come to, and which watches are polled next.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection};

use super::keeper::Safety;
use super::outbox;
use super::rows::{self, at, due_ms, ms, watch_columns};
use super::state::State;

use super::trouble::Fault;
use crate::moment::Moment;
use crate::store::{Claimed, Ended, Next, Pass, Passed, Record, Wish};

/// How far the latest moment in the file may lag behind: by so much a clock that was set back may start too early.
const BEAT: Duration = Duration::from_secs(5);

/// Whether a pass has something to keep, be it that the daemon is still there.
pub(super) fn writes(pass: &Pass, last: Option<Moment>) -> bool {
    let is_stale = last.is_none_or(|last| pass.now.since(last) >= BEAT);
    is_stale || !pass.records.is_empty() || !pass.owed.is_empty()
}

/// What a pass must survive: an end, and what is owed for it, are never taken back.
pub(super) fn safety(pass: &Pass) -> Safety {
    let has_end = pass.records.iter().any(|record| matches!(record.next, Next::Ended(_)));
    if has_end || !pass.owed.is_empty() { Safety::PowerCut } else { Safety::Process }
}

/// A pass, as [`Store::pass`](crate::store::Store::pass) says.
pub(super) fn pass(conn: &Connection, state: &mut State, pass: Pass) -> Result<Passed, Fault> {
    let mut passed = Passed::default();
    if writes(&pass, state.last) {
        state.note(conn, pass.now)?;
        passed.kept = keep(conn, state, &pass.records)?;
    }
    for delivery in &pass.owed {
        outbox::owe(conn, state, delivery, None)?;
    }
    let mut queue = Queue::new(conn, state, pass.now)?;
    for wish in &pass.wishes {
        if wish.room > 0 {
            queue.fulfil(wish, &mut passed)?;
        }
    }
    drop(queue);
    Ok(passed)
}

/// Takes in what polls have come to, and says of each whether it was kept.
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
        "UPDATE watches SET progress = ?2, ended_at_ms = ?3, outcome = ?4, document = ?5 \
         WHERE seq = ?1 AND ended_at_ms IS NULL",
    )?;
    if save.execute((row, progress, ms(ended.at), ended.outcome.as_str(), &ended.document))? == 0 {
        return Ok(false);
    }
    state.counts.active = state.counts.active.saturating_sub(1);
    state.counts.ended += 1;
    for delivery in &ended.deliveries {
        outbox::owe(conn, state, delivery, Some((row, record.watch.id)))?;
    }
    Ok(true)
}

/// The watches that have not ended, account by account.
struct Queue<'a> {
    state: &'a mut State,
    now: Moment,
    by_due: CachedStatement<'a>,
    by_start: CachedStatement<'a>,
    row: CachedStatement<'a>,
}

impl<'a> Queue<'a> {
    fn new(conn: &'a Connection, state: &'a mut State, now: Moment) -> Result<Self, Fault> {
        // The longest due first. These read nothing but the index; the row follows for those that are claimed.
        let by_due = conn.prepare_cached(
            "SELECT seq, due_at_ms FROM watches INDEXED BY watches_due \
             WHERE account = ?1 AND ended_at_ms IS NULL ORDER BY due_at_ms",
        )?;
        let by_start = conn.prepare_cached(
            "SELECT seq FROM watches INDEXED BY watches_started \
             WHERE account = ?1 AND ended_at_ms IS NULL AND started_at_ms <= ?2 ORDER BY started_at_ms",
        )?;
        let row =
            conn.prepare_cached(concat!("SELECT ", watch_columns!(), " FROM watches WHERE seq = ?1"))?;
        Ok(Self { state, now, by_due, by_start, row })
    }

    /// Claims what is wished for, and says when there will be more if that is not enough.
    fn fulfil(&mut self, wish: &Wish, passed: &mut Passed) -> Result<(), Fault> {
        let enough = passed.claimed.len() + wish.room;
        if let Some(started_by) = wish.started_by {
            self.claim_started(wish, started_by, enough, passed)?;
        }
        let mut next_due = None;
        let mut rows = self.by_due.query((&*wish.account,))?;
        while let Some(row) = rows.next()? {
            if passed.claimed.len() == enough {
                return Ok(());
            }
            let (seq, due_at) = (row.get(0)?, at(row.get(1)?));
            if !self.state.watches.is_claimed(seq) {
                if due_at > self.now || wish.started_by.is_some() {
                    next_due = Some(due_at);
                    break;
                }
                passed.claimed.push(claim(&mut self.row, self.state, seq, &wish.account)?);
            }
            next_due = Some(Moment::NEVER);
        }
        if passed.claimed.len() < enough {
            passed.next_due.insert(Arc::clone(&wish.account), next_due);
        }
        Ok(())
    }

    /// Claims watches that have no time left, whenever they are due, those that started first before the others.
    fn claim_started(
        &mut self,
        wish: &Wish,
        started_by: Moment,
        enough: usize,
        passed: &mut Passed,
    ) -> Result<(), Fault> {
        let mut rows = self.by_start.query((&*wish.account, ms(started_by)))?;
        while passed.claimed.len() < enough
            && let Some(row) = rows.next()?
        {
            let seq = row.get(0)?;
            if !self.state.watches.is_claimed(seq) {
                passed.claimed.push(claim(&mut self.row, self.state, seq, &wish.account)?);
            }
        }
        Ok(())
    }
}

fn claim(
    row: &mut CachedStatement<'_>,
    state: &mut State,
    seq: i64,
    account: &Arc<str>,
) -> Result<Claimed, Fault> {
    let mut rows = row.query((seq,))?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let (watch, due_at) = (rows::watch(row, Arc::clone(account))?, rows::due_at(row)?);
    Ok(Claimed { claim: state.watches.claim(seq), watch, due_at })
}
