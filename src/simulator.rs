//! An Export API on loopback: to try out a pipeline without Snyk, and as the test bed of this project.
//!
//! It answers as the real API does (start, status, results, signed downloads, OAuth, versions, rate
//! limits, JSON:API errors) and breaks on purpose as a [`Scenario`] says: scripted answers, random
//! faults, latency, and breaches of HTTP itself, for which the protocol is written by hand here.
//!
//! A client can be pointed at it without starting an export first: unless the scenario says
//! `unknown-exports = "not-found"`, a status request for any UUID starts an export of that id on the spot.
//!
//! It writes nothing to the disk and speaks plain HTTP only. Do not give it real credentials or data.

mod access;
mod answer;
mod api;
mod connection;
mod csv;
mod documents;
mod exchange;
mod export;
mod files;
mod http;
mod problem;
mod quota;
mod route;
mod scenario;
mod start_request;
mod storage;
mod text;
mod timeline;
mod version;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use answer::FaultKind;
pub use exchange::Exchange;
pub use scenario::{Scenario, ScenarioError};

use api::Api;
use exchange::Journal;

/// A running simulator. When dropped, it stops and breaks off unfinished answers.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    journal: Arc<Journal>,
    accepting: AbortHandle,
}

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address is in use, forbidden, or does not belong to this machine.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Simulator {
    /// Listens on `listen` (port 0: any free port) and plays `scenario` in tasks of the current runtime.
    ///
    /// `log` is called with each exchange just before its answer is sent. Any address is accepted here:
    /// whether one beyond loopback is wise is for the caller to decide.
    ///
    /// # Errors
    ///
    /// [`SimulatorError::Listen`] if the address cannot be listened on.
    pub async fn start(
        listen: SocketAddr,
        scenario: Scenario,
        log: impl Fn(&Exchange) + Send + Sync + 'static,
    ) -> Result<Simulator, SimulatorError> {
        let failed = |source| SimulatorError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let journal = Arc::new(Journal::new(Box::new(log)));
        let api = Arc::new(Api::new(scenario, base_url(address)));
        let accepting = tokio::spawn(connection::accept(listener, api, Arc::clone(&journal))).abort_handle();
        Ok(Simulator { address, journal, accepting })
    }

    /// The address that it listens on, with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to give to a client as the API's base, such as `http://127.0.0.1:4010`: without `/rest`.
    pub fn base_url(&self) -> String {
        base_url(self.address)
    }

    /// The last 10,000 exchanges, oldest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.journal.exchanges()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The accepting task owns the tasks of its connections, so that they end with it.
        self.accepting.abort();
    }
}

fn base_url(address: SocketAddr) -> String {
    format!("http://{address}")
}
