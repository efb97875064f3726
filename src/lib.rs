#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!(
    "snyk-export runs on Unix: it listens to signals and replaces itself by the command that follows it"
);

// What a Rust program uses.
pub use download::DownloadError;
pub use event::{Ending, Event, What};
pub use export::ExportRef;
pub use manifest::Manifest;
pub use request::StartRequest;
pub use snyk::region::Api;
pub use snyk::{Client, Started};
pub use tasks::follow::follow;
pub use tasks::start::Unstarted;
pub use tasks::{ClientError, download, start};
pub use watch::Policy;
pub use watch::outcome::Outcome;

// What `main` uses.
#[doc(hidden)]
pub use commands::{is_daemon, run};

// What else is public is so for `main` and for the tests. It comes without promises: any release may change it.
mod cli;
#[doc(hidden)]
pub mod clock;
mod commands;
#[doc(hidden)]
pub mod coredump;
mod daemon;
mod disk;
#[doc(hidden)]
pub mod document;
#[doc(hidden)]
pub mod download;
#[doc(hidden)]
pub mod duration;
#[doc(hidden)]
pub mod event;
#[doc(hidden)]
pub mod exit;
#[doc(hidden)]
pub mod export;
#[cfg(test)]
mod fixtures;
#[doc(hidden)]
pub mod health;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod manifest;
#[doc(hidden)]
pub mod moment;
#[doc(hidden)]
pub mod notify;
#[doc(hidden)]
pub mod observe;
#[doc(hidden)]
pub mod output;
mod platform;
mod process;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod runner;
#[doc(hidden)]
pub mod secret;
mod secret_file;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod settings;
#[doc(hidden)]
pub mod signals;
#[cfg(test)]
mod simulation;
#[doc(hidden)]
pub mod simulator;
#[doc(hidden)]
pub mod snyk;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod tasks;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod watch;
#[doc(hidden)]
pub mod words;
