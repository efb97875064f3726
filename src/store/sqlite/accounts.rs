//! For how long accounts could not ask.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::trouble::Fault;

/// How long an account could not ask, all in all.
pub(super) fn downtime(conn: &Connection, account: &str) -> Result<Duration, Fault> {
    let mut select = conn.prepare_cached("SELECT downtime_ms FROM accounts WHERE name = ?1")?;
    let ms: Option<i64> = select.query_row((account,), |row| row.get(0)).optional()?;
    Ok(Duration::from_millis(ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()))
}

/// Adds to it, and says how long it is then.
pub(super) fn add_downtime(conn: &Connection, account: &str, more: Duration) -> Result<Duration, Fault> {
    let sum = downtime(conn, account)?.saturating_add(more);
    let ms = i64::try_from(sum.as_millis()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO accounts (name, downtime_ms) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET downtime_ms = excluded.downtime_ms";
    conn.prepare_cached(sql)?.execute((account, ms))?;
    downtime(conn, account)
}
