//! The three tasks: start an export, follow exports to their end, and fetch the files of an export.
//!
//! Commands and Rust programs use them alike. A task takes a client, a policy and a function that gets events, and
//! returns a result. It knows neither settings nor a console nor exit codes. Every future may be dropped at any await:
//! its requests are cancelled, and the next download uses what is on the disk.

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

/// The tasks about one export, and what they need.
#[derive(Debug)]
pub struct Tasks<'a> {
    client: &'a Client,
    policy: Policy,
    clock: Clock,
}

impl<'a> Tasks<'a> {
    /// Tasks that use `client`. Of the limits in `policy` only `max_outage` and `request_timeout` apply, since nothing
    /// is followed.
    #[must_use]
    pub fn new(client: &'a Client, policy: &Policy, clock: Clock) -> Self {
        let policy = Policy { max_wait: None, not_found_grace: Duration::ZERO, ..policy.clone() };
        Self { client, policy, clock }
    }
}

/// Starts an export. A failed request is retried within `max-outage`, but only if it cannot have created an export.
///
/// # Errors
///
/// When Snyk rejects the request, or does not answer for longer than `max-outage`, and when nobody knows whether there
/// is an export; the error says so. If the future is dropped, nobody knows either.
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
    let target = Target { dir, merge: None, force: false, safety: Safety::Process, held: None };
    let reach = Reach::from(client.api().url(), false);
    tasks.fetch(export, &mut None, &target, Limits::default(), reach, &|_| ()).await
}

/// Runs `work` unless `stop` is ready first; the error is then the output of `stop`.
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
