//! Tests from outside, all in one binary: linking once is enough.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes the parts of a test that are not test functions for production code"
)]

mod architecture;
mod client;
mod command_line;
mod completions;
mod coredump;
mod credentials;
mod daemon;
mod deployment;
mod docs;
mod doctor;
mod download;
mod faults;
mod lab;
mod library;
mod manual;
mod nightly;
mod notify;
mod outcomes;
mod ping;
mod power;
mod run;
mod screens;
mod server;
mod shapes;
mod simulator;
mod start;
mod table;
mod tls;
