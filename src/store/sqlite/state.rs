//! The state that the keeper has in memory: counts, claims, and the latest moment.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Rows};

use super::rows::{at, ms, rounded, wall_ms};
use super::trouble::Fault;
use crate::moment::Moment;
use crate::store::{AccountNews, Claim, Counts};

/// The state in memory. If a transaction fails, its changes are undone here too.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// How many rows there are.
    pub(super) counts: Counts,
    /// The bytes of all labels. `None` until they are needed.
    pub(super) label_bytes: Option<u64>,
    /// The watches that are claimed.
    pub(super) watches: Claims,
    /// The deliveries that are claimed.
    pub(super) deliveries: Claims,
    /// The accounts of which endpoints were notified that their credential is refused.
    pub(super) refused: BTreeSet<String>,
    /// Whether exit codes are kept until a run has reported them.
    pub(super) keeps_codes: bool,
    /// The latest moment in the file.
    pub(super) last: Option<Moment>,
}

impl State {
    /// Reads the state of a file. Nothing is claimed.
    pub(super) fn read(conn: &Connection) -> Result<Self, Fault> {
        let count = |of: &str| {
            let count: i64 = conn.query_row(&format!("SELECT count(*) FROM {of}"), (), |row| row.get(0))?;
            Ok::<_, Fault>(u64::try_from(count).unwrap_or_default())
        };
        let counts = Counts {
            active: count("watches INDEXED BY watches_active WHERE ended_at_ms IS NULL")?,
            ended: count("watches INDEXED BY watches_ended WHERE ended_at_ms IS NOT NULL")?,
            pending: count("deliveries INDEXED BY deliveries_due WHERE state = 'pending'")?,
            undeliverable: count(
                "deliveries INDEXED BY deliveries_undeliverable WHERE state = 'undeliverable'",
            )?,
        };
        let of = |key: &str| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            conn.query_row(sql, (key,), |row| row.get::<_, i64>(0)).optional()
        };
        let wall = of("last_wall_ms")?;
        let last = of("last_ms")?.map(|last| at(last).with_wall_ms(at(wall.unwrap_or(last)).unix_ms()));
        let (watches, deliveries) = (Claims::default(), Claims::default());
        let refused: Result<_, _> =
            conn.prepare("SELECT name FROM refused_accounts")?.query_map((), |row| row.get(0))?.collect();
        let (refused, keeps_codes) = (refused?, false);
        Ok(Self { counts, label_bytes: None, watches, deliveries, refused, keeps_codes, last })
    }

    /// The bytes of all labels. They are counted once, and then kept up to date.
    pub(super) fn label_bytes(&mut self, conn: &Connection) -> Result<u64, Fault> {
        if let Some(known) = self.label_bytes {
            return Ok(known);
        }
        let sql = "SELECT coalesce(sum(octet_length(labels)), 0) FROM watches";
        let counted: i64 = conn.query_row(sql, (), |row| row.get(0))?;
        Ok(*self.label_bytes.insert(counted.unsigned_abs()))
    }

    /// Labels were replaced: these are their bytes before and now.
    pub(super) fn replace_labels(&mut self, before: i64, now: i64) {
        self.label_bytes = self
            .label_bytes
            .map(|known| known.saturating_sub(before.unsigned_abs()).saturating_add(now.unsigned_abs()));
    }

    /// Whether endpoints have to be notified of this.
    pub(super) fn is_news(&self, news: &AccountNews) -> bool {
        news.is_refused != self.refused.contains(&*news.account)
    }

    /// Records that endpoints are notified of this.
    pub(super) fn learn(&mut self, conn: &Connection, news: &AccountNews) -> Result<(), Fault> {
        let account = &*news.account;
        if news.is_refused {
            self.refused.insert(account.to_owned());
            conn.prepare_cached("INSERT INTO refused_accounts (name) VALUES (?1)")?.execute((account,))?;
        } else {
            self.refused.remove(account);
            conn.prepare_cached("DELETE FROM refused_accounts WHERE name = ?1")?.execute((account,))?;
        }
        Ok(())
    }

    /// Writes `now` into the file as the latest moment, unless that is later.
    pub(super) fn note(&mut self, conn: &Connection, now: Moment) -> Result<(), Fault> {
        if self.last.is_none_or(|last| last < now) {
            let sql = "INSERT INTO meta (key, value) VALUES ('last_ms', ?1), ('last_wall_ms', ?2) \
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            conn.prepare_cached(sql)?.execute((ms(now), wall_ms(now)))?;
            self.last = Some(rounded(now));
        }
        Ok(())
    }
}

/// Which rows of a table are claimed, each with its fence.
///
/// This is in memory and nowhere else: no other process has the file, and a daemon that starts anew finds all rows free.
/// There are as many claims as polls or deliveries under way, however many rows there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    by_row: BTreeMap<i64, i64>,
    /// How many claims there were.
    claims: i64,
}

impl Claims {
    /// Whether a row is claimed.
    pub(super) fn is_claimed(&self, row: i64) -> bool {
        self.by_row.contains_key(&row)
    }

    /// Claims a row until it is given back, unless it is claimed.
    pub(super) fn claim(&mut self, row: i64) -> Option<Claim> {
        let Entry::Vacant(free) = self.by_row.entry(row) else { return None };
        self.claims += 1;
        Some(Claim { row, fence: *free.insert(self.claims) })
    }

    /// Claims up to `room` due rows. Returns when the next unclaimed row is due: `Moment::NEVER` if all are claimed. `by_due`
    /// yields rows and their due times, the longest due first.
    pub(super) fn claim_due(
        &mut self,
        mut by_due: Rows<'_>,
        room: usize,
        now: Moment,
        claims: &mut Vec<Claim>,
    ) -> Result<Option<Moment>, Fault> {
        let enough = claims.len() + room;
        let mut next_due = None;
        while let Some(row) = by_due.next()? {
            let (row, due_at) = (row.get(0)?, at(row.get(1)?));
            if (due_at > now || claims.len() == enough) && !self.is_claimed(row) {
                return Ok(Some(due_at));
            }
            claims.extend(self.claim(row));
            next_due = Some(Moment::NEVER);
        }
        Ok(next_due)
    }

    /// Ends this claim. Returns whether it was still held.
    pub(super) fn give_back(&mut self, claim: Claim) -> bool {
        let is_held = self.by_row.get(&claim.row) == Some(&claim.fence);
        if is_held {
            self.by_row.remove(&claim.row);
        }
        is_held
    }

    /// How many rows are claimed.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.by_row.len()
    }

    /// Ends the claim on a row that was removed.
    pub(super) fn forget(&mut self, row: i64) {
        self.by_row.remove(&row);
    }
}
