//! `watch`: runs the daemon. It follows many exports for months, and notifies others of each end.

mod check;
mod files;
mod test_notify;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use self::files::{Files, Looks, look_at};
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
    // How the files look before they are read.
    let reading = move || (settings.looks(), settings.daemon(until_idle));
    let (looks, checked) = aside(&session.signals, reading).await?;
    let checked = checked?;
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
        Ok(daemon) => {
            let daemon = daemon?;
            // It ends with this.
            let mut beating: JoinSet<Infallible> = JoinSet::new();
            match session.pinging.clone() {
                Some(pinging) if until_idle => pinging.start(),
                // It has no end in sight: it says that it is healthy.
                Some(pinging) => {
                    beating.spawn(pinging.beat(daemon.is_alive()));
                }
                None => {}
            }
            daemon.run(&ThisProcess::new(session, until_idle, looks)).await?
        }
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
    files: Files,
    /// The settings of a reload in progress.
    read: Mutex<Option<Settings>>,
}

impl<'a> ThisProcess<'a> {
    fn new(session: &'a Session, until_idle: bool, looks: Looks) -> Self {
        let content = Mutex::new(session.settings.content());
        let files = Files::new(session.clock, looks);
        Self { session, until_idle, content, files, read: Mutex::default() }
    }
}

impl Control for ThisProcess<'_> {
    async fn stop(&self) -> String {
        self.session.signals.ended().await.name().to_owned()
    }

    async fn reload(&self) {
        tokio::select! {
            () = self.session.signals.reload() => {}
            () = self.files.changed() => {}
        }
    }

    async fn read(&self) -> Result<DaemonSettings, DaemonError> {
        let Session { settings_file, command_line, settings, .. } = self.session;
        let (line, environment) = (command_line.clone(), settings.environment().clone());
        let path = settings_file.as_ref().map(|path| format!(" {}", Text::of_path(path))).unwrap_or_default();
        let known = self.files.paths();
        // How the files look before they are read: if one changes meanwhile, all are read again.
        let loading = blocking(move || (look_at(known), Settings::load(line, environment)));
        let (before, whole) = within(&format!("the settings file{path}"), loading).await?;
        self.files.have_been_read(before);
        let whole = whole?;
        let content = *self.content.lock().unwrap_or_else(PoisonError::into_inner);
        whole.keep_some_of(content)?;
        let until_idle = self.until_idle;
        let reading = blocking(move || (whole.looks(), whole.daemon(until_idle), whole));
        let (looks, settings, whole) =
            within("a file that the settings name (a secret, a certificate)", reading).await?;
        self.files.have_been_read(looks);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
        Ok(settings?)
    }

    fn reloaded(&self, result: Result<(), DaemonError>) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Ok(()) => {
                if let Some(settings) = read {
                    if settings.are_read_once() {
                        tracing::warn!("the settings file is a pipe: only a restart reads it again");
                    }
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
