//! One job each: start an export, follow exports to their end, fetch the files of one.
//!
//! The commands run these, and so can any Rust program: a client, a policy, and a function that is told what happens go in,
//! a result comes out. Nothing here knows settings, a console, signals or exit codes. Every future may be dropped at any
//! await: requests under way end, and what a download has on the disk is used by the next one.

mod client;
pub mod fetch;
pub mod follow;
pub mod start;

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub use self::client::ClientError;

use self::start::{Begun, Unstarted};
use crate::clock::Clock;
use crate::download::{DownloadError, Limits, Safety, Target};
use crate::export::ExportRef;
use crate::http::Reach;
use crate::manifest::Manifest;
use crate::request::StartRequest;
use crate::snyk::{Client, Started};
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

/// Starts an export. A failure that cannot have created one is retried within `max-outage`; no other is.
///
/// # Errors
///
/// When Snyk refuses the request, or does not answer for longer than `max-outage`; and when it is not known whether there is an
/// export, as the error says. It is not known either if the future is dropped before it is ready.
pub async fn start(client: &Client, request: &StartRequest, policy: &Policy) -> Result<Started, Unstarted> {
    let tasks = Tasks::new(client, policy, Clock::start());
    match tasks.start(request, |_| Ok::<_, Infallible>(()), pending(), &|_| ()).await {
        Ok(Begun::Started { started, .. }) => Ok(started),
        Ok(Begun::NotStarted(unstarted)) => Err(unstarted),
        Err(never) => match never {},
    }
}

/// Downloads the files of an export that has finished into `dir`, with a manifest that is written last. What is complete when
/// it fails or is dropped is used by the next call.
///
/// # Errors
///
/// When the files cannot be listed, fetched or written.
pub async fn download(
    client: &Client,
    export: &ExportRef,
    policy: &Policy,
    dir: &Path,
) -> Result<Manifest, DownloadError> {
    let tasks = Tasks::new(client, policy, Clock::start());
    let target = Target { dir, merge: None, force: false, safety: Safety::Process };
    let reach = Reach::from(client.api().url(), false);
    tasks.fetch(export, &mut None, &target, Limits::default(), reach, &|_| ()).await
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
