//! `watch`: runs the daemon. It follows many exports for months, and notifies others of each end.

mod check;
mod test_notify;

use std::sync::{Arc, Mutex, PoisonError};

use super::{CommandError, Session, aside, blocking, console};
use crate::cli::WatchArgs;
use crate::daemon::{Control, Daemon, DaemonError, Ended, within};
use crate::disk::{self, Readers};
use crate::exit::ExitCode;
use crate::settings::daemon::DaemonSettings;
use crate::settings::{Content, Settings};
use crate::text::Text;

pub(super) async fn run(args: &WatchArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let (settings, until_idle) = (Arc::clone(&session.settings), args.until_idle);
    let checked = aside(&session.signals, move || settings.daemon(until_idle)).await??;
    if args.check {
        return check::run(checked, session).await;
    }
    if let Some(name) = &args.test_notify {
        return test_notify::run(name, checked, session).await;
    }
    let state = session.settings.state_directory();
    if checked.store.parent() == Some(&state) {
        let made = disk::create_directories_durably(&state, Readers::Owner);
        made.map_err(|error| CommandError::StateDirectory(state, error))?;
    }
    let starting = Daemon::start(checked, until_idle, session.clock, Arc::new(session.console.mask()));
    let ended = match session.signals.unless_interrupted(starting).await {
        Ok(daemon) => daemon?.run(&ThisProcess::new(session, until_idle)).await?,
        Err(signal) if until_idle => return Err(CommandError::Interrupted(signal)),
        Err(_) => Ended::Stopped,
    };
    Ok(match ended {
        Ended::Idle { codes } => ExitCode::deciding(codes),
        // The caller waits until every watch has ended, and they have not.
        Ended::Stopped if until_idle => session.signals.end().map_or(ExitCode::SUCCESS, ExitCode::of_signal),
        Ended::Stopped => ExitCode::SUCCESS,
    })
}

/// The process around the daemon: its signals, its settings file and its console.
struct ThisProcess<'a> {
    session: &'a Session,
    until_idle: bool,
    /// How much the settings file in use has.
    content: Mutex<Content>,
    /// The settings of a reload in progress.
    read: Mutex<Option<Settings>>,
}

impl<'a> ThisProcess<'a> {
    fn new(session: &'a Session, until_idle: bool) -> Self {
        Self { session, until_idle, content: Mutex::new(session.settings.content()), read: Mutex::default() }
    }
}

impl Control for ThisProcess<'_> {
    async fn stop(&self) -> String {
        self.session.signals.ended().await.name().to_owned()
    }

    async fn reload(&self) {
        self.session.signals.reload().await;
    }

    async fn read(&self) -> Result<DaemonSettings, DaemonError> {
        let Session { settings_file, command_line, settings, .. } = self.session;
        let (line, environment) = (command_line.clone(), settings.environment().clone());
        let path = settings_file.as_ref().map(|path| format!(" {}", Text::of_path(path))).unwrap_or_default();
        let loading = blocking(move || Settings::load(line, environment));
        let whole = within(&format!("the settings file{path}"), loading).await??;
        let before = *self.content.lock().unwrap_or_else(PoisonError::into_inner);
        whole.keep_some_of(before)?;
        let until_idle = self.until_idle;
        let reading = blocking(move || (whole.daemon(until_idle), whole));
        let (settings, whole) =
            within("a file that the settings name (a secret, a certificate)", reading).await?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
        Ok(settings?)
    }

    fn reloaded(&self, result: Result<(), DaemonError>) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Ok(()) => {
                if let Some(settings) = read {
                    self.session.console.take_on(&settings);
                    *self.content.lock().unwrap_or_else(PoisonError::into_inner) = settings.content();
                }
                tracing::info!("the settings were reloaded");
            }
            Err(error) => tracing::error!(
                reason = %console::chain(&error),
                "cannot use the new settings, keeping the previous ones"
            ),
        }
    }
}
