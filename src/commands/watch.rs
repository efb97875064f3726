//! `watch`: the daemon. Follows many exports for months, and tells others how each ended.

mod check;
mod clients;
mod daemon;
mod housekeeping;
mod ledger;

use std::sync::Arc;

use self::daemon::Daemon;
use super::{CommandError, Session, aside};
use crate::cli::WatchArgs;
use crate::disk::{self, Readers};
use crate::exit::ExitCode;

pub(super) async fn run(args: &WatchArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let (settings, until_idle) = (Arc::clone(&session.settings), args.until_idle);
    let checked = aside(&session.signals, move || settings.daemon(until_idle)).await??;
    if args.check {
        return check::run(checked, session).await;
    }
    let state = session.settings.state_directory();
    if checked.store.parent() == Some(&state) {
        let made = disk::create_directories_durably(&state, Readers::Owner);
        made.map_err(|error| CommandError::StateDirectory(state, error))?;
    }
    let starting = session.signals.unless_interrupted(Daemon::start(checked, until_idle, session)).await;
    match starting {
        Ok(daemon) => daemon?.run(session).await,
        // Nothing has begun that would have to end; whoever waits for all to be done has to know that it is not.
        Err(_) if !until_idle => Ok(ExitCode::SUCCESS),
        Err(signal) => Err(CommandError::Interrupted(signal)),
    }
}
