//! Tests from outside, all in one binary: linking once is enough.

mod architecture;
mod client;
mod command_line;
mod credentials;
mod docs;
mod faults;
mod lab;
mod outcomes;
mod simulator;
mod tls;
