//! One job each: start an export, follow exports to their end, fetch the files of one.
//!
//! The commands run these, and so can any Rust program: a client, a policy, and a function that is told what happens go in,
//! a result comes out. Nothing here knows settings, a console, signals or exit codes. Every future may be dropped at any
//! await: requests under way end, and what a download has on the disk is used by the next one.

pub mod fetch;
pub mod follow;
pub mod start;

use std::pin::Pin;

use crate::clock::Clock;
use crate::snyk::Client;
use crate::watch::Policy;

/// What a task asks Snyk with.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The client.
    pub client: &'a Client,
    /// The rules by which a failure is retried.
    pub policy: &'a Policy,
    /// The time.
    pub clock: Clock,
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
