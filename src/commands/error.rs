//! Why a command failed, and its exit code.

use std::path::PathBuf;

use super::run::RecordError;
use crate::daemon::DaemonError;
use crate::download::FolderError;
use crate::exit::ExitCode;
use crate::request::RequestError;
use crate::settings::{ExportsError, SettingsError};
use crate::simulator::{ScenarioError, SimulatorError};
use crate::snyk::TransportError;
use crate::store::StoreError;
use crate::text::Text;
use crate::watch::outcome::Signal;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Exports(#[from] ExportsError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("COMMAND: `{0}` cannot be run: it is not an executable file here or in PATH")]
    NoCommand(Text),
    #[error("failed to run `{0}`")]
    Exec(Text, #[source] std::io::Error),
    #[error("failed to write to standard output")]
    Output(#[source] std::io::Error),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    #[error("failed to make the state directory {}", Text::of_path(.0))]
    StateDirectory(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("the demonstration failed: {0}")]
    Simulation(String),
    #[error("the daemon is not well: {0}")]
    Unwell(String),
    /// A daemon refuses, or does not answer.
    #[error("{1}")]
    Refused(ExitCode, String),
    #[error("the endpoint `{0}` did not take the test event: {1}")]
    NotTaken(Text, Text),
    #[error("interrupted by {}", .0.name())]
    Interrupted(Signal),
}

impl CommandError {
    pub(super) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_)
            | Self::Exports(_)
            | Self::Request(_)
            | Self::Folder(_)
            | Self::Transport(_)
            | Self::NoCommand(_)
            | Self::Scenario(_)
            | Self::Usage(_)
            | Self::Simulator(_)
            | Self::StateDirectory(..) => ExitCode::USAGE,
            Self::Exec(..)
            | Self::Output(_)
            | Self::Simulation(_)
            | Self::Store(_)
            | Self::Daemon(DaemonError::Store(_)) => ExitCode::UNFORESEEN,
            Self::Daemon(_) => ExitCode::USAGE,
            // The export exists; failing to record it is our own failure.
            Self::Record(RecordError::Lost { .. }) => ExitCode::UNFORESEEN,
            Self::Record(_) => ExitCode::USAGE,
            Self::Refused(code, _) => *code,
            Self::Unwell(_) | Self::NotTaken(..) => ExitCode::UNAVAILABLE,
            Self::Interrupted(signal) => ExitCode::of_signal(*signal),
        }
    }
}
