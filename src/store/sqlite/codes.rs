//! The exit codes that a run with `--until-idle` has to report, also if it is stopped before it can.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::state::State;
use super::trouble::Fault;
use crate::exit::ExitCode;

/// Keeps a code until a run has reported it. Success needs no report.
pub(super) fn keep(conn: &Connection, state: &State, code: Option<ExitCode>) -> Result<(), Fault> {
    let failure = code.filter(|code| state.keeps_codes && *code != ExitCode::SUCCESS);
    if let Some(code) = failure {
        let sql = "INSERT INTO unreported (code) VALUES (?1) ON CONFLICT (code) DO NOTHING";
        conn.prepare_cached(sql)?.execute((code.code(),))?;
    }
    Ok(())
}

/// The codes that no run has reported.
pub(super) fn kept(conn: &Connection) -> Result<BTreeSet<ExitCode>, Fault> {
    let mut select = conn.prepare_cached("SELECT code FROM unreported")?;
    let codes = select.query_map((), |row| row.get(0).map(ExitCode::of_number))?;
    Ok(codes.collect::<Result<_, _>>()?)
}

/// Forgets codes: a run reports them.
pub(super) fn forget(conn: &Connection, reported: &BTreeSet<ExitCode>) -> Result<(), Fault> {
    let mut delete = conn.prepare_cached("DELETE FROM unreported WHERE code = ?1")?;
    reported.iter().try_for_each(|code| Ok(delete.execute((code.code(),)).map(drop)?))
}
