//! `watch` as a process.

mod accounts;
mod audit;
mod changes;
mod check;
mod client;
mod clock;
mod disk;
mod endpoints;
mod flood;
mod home;
mod idle;
mod kill;
mod leaks;
mod life;
mod reload;
mod signals;
mod surroundings;

/// What is said when the credential of an account is refused, and when it works again.
const PAUSED: &str = "the credential is refused, the account's polls pause";
const RESUMED: &str = "the credential works again";
