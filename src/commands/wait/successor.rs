//! The command after `--`, which replaces this process once every export has finished.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::commands::{CommandError, Session};
use crate::coredump;
use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::settings::Environment;
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// The command after `--`.
pub(in crate::commands) struct Successor<'a> {
    program: PathBuf,
    command: &'a [OsString],
}

/// A finished export, as the command's variables describe it.
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

impl<'a> Successor<'a> {
    /// The command, if there is one. Its file is looked up now, so that a mistake is found before the wait.
    pub(in crate::commands) fn find(
        command: &'a [OsString],
        environment: &Environment,
    ) -> Result<Option<Self>, CommandError> {
        let Some(name) = command.first() else { return Ok(None) };
        let missing = || CommandError::NoCommand(Text::new(&name.to_string_lossy()));
        let program = environment.executable(name).ok_or_else(missing)?;
        Ok(Some(Self { program, command }))
    }

    /// Replaces this process by the command once all output is written. Returns only if that fails, or if a signal has
    /// arrived.
    pub(in crate::commands) async fn replace_us(
        self,
        finished: impl Iterator<Item = Finished> + Clone,
        session: &Session,
    ) -> CommandError {
        use std::os::unix::process::CommandExt as _;
        if let Err(error) = session.console.flush(&session.signals).await {
            return error;
        }
        // The command is another program, with an exit code of its own.
        if let Some(pinging) = &session.pinging {
            pinging.end(ExitCode::SUCCESS).await;
        }
        if let Some(signal) = session.signals.look().await {
            return CommandError::Interrupted(signal);
        }
        coredump::restore_limit();
        let Self { program, command } = self;
        let list = |of: fn(Finished) -> String| finished.clone().map(of).collect::<Vec<_>>().join(",");
        let error = std::process::Command::new(&program)
            .arg0(&command[0])
            .args(&command[1..])
            .env("SNYK_EXPORT_RESULT_OUTCOME", Outcome::Finished.as_str())
            .env("SNYK_EXPORT_RESULT_SCOPE", list(|finished| finished.export.scope.to_string()))
            .env("SNYK_EXPORT_RESULT_SCOPE_ID", list(|finished| finished.export.scope_id.to_string()))
            .env("SNYK_EXPORT_RESULT_EXPORT_ID", list(|finished| finished.export.export_id.to_string()))
            .env("SNYK_EXPORT_RESULT_ROW_COUNT", list(row_count))
            .exec();
        CommandError::Exec(Text::new(&program.to_string_lossy()), error)
    }
}

fn row_count(finished: Finished) -> String {
    finished.row_count.map(|count| count.to_string()).unwrap_or_default()
}
