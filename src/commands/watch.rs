//! `watch`: the daemon. Follows many exports for months, and tells others how each ended.

mod clients;
mod daemon;
mod housekeeping;
mod ledger;

use std::sync::Arc;

use self::daemon::Daemon;
use super::{CommandError, Session, aside};
use crate::cli::WatchArgs;
use crate::exit::ExitCode;
use crate::settings::{Settings, SettingsError};

pub(super) async fn run(args: &WatchArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let (settings, until_idle) = (Arc::clone(&session.settings), args.until_idle);
    let checked = aside(&mut session.signals, move || settings.daemon(until_idle)).await??;
    if args.check {
        session.console.success(&format!("the settings are valid: {}", checked.summary()), || {
            tracing::info!(
                accounts = checked.accounts.len(),
                watches = checked.watches.len(),
                endpoints = checked.endpoints.len(),
                store = %checked.store.display(),
                "the settings are valid"
            );
        });
        return Ok(ExitCode::SUCCESS);
    }
    let starting =
        session.signals.unless_interrupted(Daemon::start(checked, until_idle, session.clock)).await;
    match starting {
        Ok(daemon) => daemon?.run(session).await,
        // Nothing has begun that would have to end; whoever waits for all to be done has to know that it is not.
        Err(_) if !until_idle => Ok(ExitCode::SUCCESS),
        Err(signal) => Err(CommandError::Interrupted(signal)),
    }
}

/// The settings as they are now in the file that was named at the start.
async fn reload(
    until_idle: bool,
    session: &Session,
) -> Result<crate::settings::daemon::DaemonSettings, SettingsError> {
    let (command_line, environment) = (session.command_line.clone(), session.settings.environment().clone());
    let read = move || Settings::load(command_line, environment)?.daemon(until_idle);
    let reading = tokio::task::spawn_blocking(read).await;
    reading.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
