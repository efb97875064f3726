//! The tables, and the migrations from older releases.

use rusqlite::{Connection, TransactionBehavior};

use super::trouble::Fault;

/// The migrations, in order. Never remove or change one: a file stores how many of them it has seen.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_watches.sql"),
    include_str!("migrations/0002_no_downtime.sql"),
    include_str!("migrations/0003_deliveries_in_pages.sql"),
    include_str!("migrations/0004_unreported.sql"),
    include_str!("migrations/0005_refused_accounts.sql"),
    include_str!("migrations/0006_wall_clock.sql"),
    include_str!("migrations/0007_endpoints.sql"),
    include_str!("migrations/0008_gentle.sql"),
];

/// The application id in the header of our files ("snyX").
const APPLICATION_ID: i64 = 0x736e_7958;

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This release or an older one; or the file is empty.
    Ours,
    /// A newer release. Its schema has this version.
    Newer(i64),
    /// Another program.
    Foreign,
}

/// Finds out who wrote the file, without changing it.
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

/// Runs the missing migrations, each in its own transaction.
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

/// The version after the last migration.
pub(super) fn known(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
