//! The command that runs in our place once every export has finished.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::commands::{CommandError, Session};
use crate::coredump;
use crate::event::Ending;
use crate::export::ExportRef;
use crate::settings::Environment;
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// The file that a command names: found now, and not only when the wait is over.
pub(in crate::commands) fn executable(
    name: &OsStr,
    environment: &Environment,
) -> Result<PathBuf, CommandError> {
    let missing = || CommandError::NoCommand(Text::new(&name.to_string_lossy()));
    environment.executable(name).ok_or_else(missing)
}

/// An export that has finished, as the command is told of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Finished {
    pub(in crate::commands) export: ExportRef,
    pub(in crate::commands) row_count: Option<u64>,
}

impl Finished {
    pub(in crate::commands) fn of(ending: &Ending) -> Option<Self> {
        let finished = Self { export: ending.watch.export, row_count: ending.row_count() };
        (ending.outcome == Outcome::Finished).then_some(finished)
    }
}

/// Runs the command in our place, once all is said and unless a signal has asked to end by then; returns only if it does
/// not run.
pub(in crate::commands) async fn replace_us(
    program: &Path,
    command: &[OsString],
    finished: &[Finished],
    session: &Session,
) -> CommandError {
    use std::os::unix::process::CommandExt as _;
    if let Err(error) = session.console.flush(&session.signals).await {
        return error;
    }
    if let Some(signal) = session.signals.look().await {
        return CommandError::Interrupted(signal);
    }
    coredump::restore_limit();
    let list = |of: fn(&Finished) -> String| finished.iter().map(of).collect::<Vec<_>>().join(",");
    let error = std::process::Command::new(program)
        .arg0(command.first().map_or(program.as_os_str(), OsString::as_os_str))
        .args(command.iter().skip(1))
        .env("SNYK_EXPORT_RESULT_OUTCOME", Outcome::Finished.as_str())
        .env("SNYK_EXPORT_RESULT_SCOPE", list(|finished| finished.export.scope.to_string()))
        .env("SNYK_EXPORT_RESULT_SCOPE_ID", list(|finished| finished.export.scope_id.to_string()))
        .env("SNYK_EXPORT_RESULT_EXPORT_ID", list(|finished| finished.export.export_id.to_string()))
        .env("SNYK_EXPORT_RESULT_ROW_COUNT", list(row_count))
        .exec();
    CommandError::Exec(Text::new(&program.to_string_lossy()), error)
}

fn row_count(finished: &Finished) -> String {
    finished.row_count.map(|count| count.to_string()).unwrap_or_default()
}
