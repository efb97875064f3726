//! One job each: start an export, follow exports to their end, fetch the files of one.
//!
//! The commands run these, and so can any Rust program: a client, a policy, and a function that is told what happens go in,
//! a result comes out. Nothing here knows settings, a console, signals or exit codes. Every future may be dropped at any
//! await: requests under way end, and what a download has on the disk is used by the next one.

pub mod fetch;
pub mod follow;
pub mod start;

use std::pin::Pin;
use std::time::Duration;

use crate::clock::Clock;
use crate::snyk::Client;
use crate::watch::Policy;

/// The tasks about one export, with what they need.
#[derive(Debug)]
pub struct Tasks<'a> {
    client: &'a Client,
    policy: Policy,
    clock: Clock,
}

impl<'a> Tasks<'a> {
    /// Tasks that ask by `client`. Of the limits of `policy` only `max_outage` and `request_timeout` count here: nothing is
    /// waited for.
    #[must_use]
    pub fn new(client: &'a Client, policy: &Policy, clock: Clock) -> Self {
        let policy = Policy { max_wait: None, not_found_grace: Duration::ZERO, ..policy.clone() };
        Self { client, policy, clock }
    }
}

/// Does `work` unless `stop` is ready first, and then gives what that says.
async fn unless<T, S>(
    stop: Pin<&mut impl Future<Output = S>>,
    work: impl Future<Output = T>,
) -> Result<T, S> {
    tokio::select! {
        biased;
        stopped = stop => Err(stopped),
        done = work => Ok(done),
    }
}
