//! The tables, and how a file of an older release becomes one of this release.

use rusqlite::{Connection, TransactionBehavior};

use super::trouble::Fault;

/// One text for each version of the schema, in order. Never remove or change an entry: files out there count how many
/// of them they have seen.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_watches.sql"), include_str!("migrations/0002_no_downtime.sql")];

/// What `SQLite` files of ours carry in their headers ("snyX"), so that nobody else's is taken for one.
const APPLICATION_ID: i64 = 0x736e_7958;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is empty, or was written by this release or an older one.
    Ours,
    /// A newer release wrote it: its schema has this version.
    Newer(i64),
    /// Another program wrote it.
    Foreign,
}

/// Whose file this is, without changing anything in it.
pub(super) fn look(conn: &Connection, migrations: &[&str]) -> Result<Found, Fault> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    Ok(match (application, version) {
        (APPLICATION_ID, version) if version > known(migrations) => Found::Newer(version),
        (APPLICATION_ID, _) => Found::Ours,
        (0, 0) if tables == 0 => Found::Ours,
        (_, _) => Found::Foreign,
    })
}

/// Brings the file to the newest version, each step in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<(), Fault> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let seen = usize::try_from(version).unwrap_or_default();
    for (version, migration) in (1_i64..).zip(migrations).skip(seen) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.commit()?;
    }
    Ok(())
}

/// The newest version that these migrations lead to.
pub(super) fn known(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
