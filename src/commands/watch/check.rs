//! `--check`: checks the settings, the store and the addresses. It leaves nothing behind.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::commands::{CommandError, Session, aside};
use crate::daemon::{DaemonError, bind};
use crate::disk::{self, Readers};
use crate::exit::ExitCode;
use crate::server::ServerError;
use crate::settings::daemon::DaemonSettings;
use crate::store::{self, Checked};
use crate::text::Text;

pub(super) async fn run(settings: DaemonSettings, session: &Session) -> Result<ExitCode, CommandError> {
    let (store, state) = (settings.store.clone(), session.settings.state_directory());
    let store = aside(&session.signals, move || check_store(&store, &state)).await??;
    let bound = bind(&settings.server).await;
    let in_use = match (store, bound) {
        (Checked::Free, Ok(_)) => "",
        (Checked::InUse, Ok(_)) => "; the store is in use, as it is while the daemon runs",
        (Checked::InUse, Err(ServerError::Listen { why, .. })) if why.kind() == ErrorKind::AddrInUse => {
            "; the store and the address are in use, as they are while the daemon runs"
        }
        (_, Err(error)) => return Err(DaemonError::from(error).into()),
    };
    session.console.success(&format!("the settings are valid: {}{in_use}", settings.summary()), || {
        tracing::info!(
            accounts = settings.accounts.len(),
            watches = settings.watches.len(),
            endpoints = settings.endpoints.len(),
            store = %Text::of_file(&settings.store),
            note = in_use.strip_prefix("; "),
            "the settings are valid"
        );
    });
    Ok(ExitCode::SUCCESS)
}

fn check_store(store: &Path, state: &Path) -> Result<Checked, CommandError> {
    let missing = if store.parent() == Some(state) { missing(state) } else { Vec::new() };
    let made =
        if missing.is_empty() { Ok(()) } else { disk::create_directories_durably(state, Readers::Owner) };
    let made = made.map_err(|error| CommandError::StateDirectory(state.to_owned(), error));
    let checked = made.and_then(|()| Ok(store::check(store).map_err(DaemonError::from)?));
    for directory in missing {
        // A directory that another program used meanwhile stays.
        let _ = disk::remove_empty_directory(&directory);
    }
    checked
}

/// The directories of this path that do not exist, the deepest first.
fn missing(directory: &Path) -> Vec<PathBuf> {
    directory.ancestors().take_while(|directory| !directory.exists()).map(Path::to_owned).collect()
}
