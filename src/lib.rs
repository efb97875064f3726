#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!(
    "snyk-export runs on Unix: it listens to signals and replaces itself by the command that follows it"
);

mod cli;
pub mod clock;
mod commands;
pub mod coredump;
mod disk;
pub mod document;
pub mod download;
pub mod event;
pub mod exit;
pub mod export;
pub mod health;
pub mod http;
pub mod manifest;
pub mod moment;
pub mod notify;
pub mod observe;
pub mod output;
mod process;
pub mod request;
pub mod runner;
pub mod secret;
mod secret_file;
pub mod server;
pub mod settings;
pub mod signals;
#[cfg(test)]
mod simulation;
pub mod simulator;
pub mod snyk;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod text;
pub mod watch;

pub use commands::{is_daemon, run};
pub use event::What;
pub use snyk::Client;
pub use tasks::follow::follow;
pub use watch::Policy;
pub use watch::outcome::Outcome;
