#![doc = include_str!("../README.md")]

mod cli;
pub mod clock;
mod commands;
pub mod document;
pub mod event;
pub mod exit;
pub mod export;
pub mod moment;
pub mod observe;
pub mod runner;
pub mod secret;
pub mod settings;
pub mod signals;
pub mod simulator;
pub mod snyk;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod watch;

pub use commands::run;
