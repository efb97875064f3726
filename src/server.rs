//! The daemon's HTTP server: watches are added, looked at and taken away here (`/v1`), and whoever minds the daemon asks
//! how it is (`/healthz`, `/readyz`, `/metrics`).
//!
//! It decides nothing about exports. What it takes in goes to the store, and the runner is woken. Everything that a
//! client may use up has a limit (see `limits`), everything that is refused is refused with a document that says
//! why (see `problem`), and without a token nobody gets in who does not name this very machine (see `guard`).

mod api;
mod audit;
mod connection;
mod guard;
mod health;
mod limits;
mod openapi;
mod places;
mod problem;
mod send_timeout;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use uuid::{NoContext, Timestamp, Uuid};

use self::audit::Audit;
use self::guard::{Door, Guard};
use crate::clock::Clock;
use crate::event::Event;
use crate::health::Health;
use crate::http::is_loopback_address;
use crate::moment::Moment;
use crate::observe::Metrics;
use crate::secret::Secret;
use crate::store::{Catalogue, Quota};

/// Tells everybody who listens of an event.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// What the server serves.
#[derive(Clone)]
pub struct Service {
    /// Where the watches are.
    pub store: Arc<dyn Catalogue + Send + Sync>,
    /// How the daemon is.
    pub health: Arc<Health>,
    /// What it has counted.
    pub metrics: Arc<Metrics>,
    /// Who may ask, and for whom.
    pub terms: Arc<Terms>,
    /// What time it is.
    pub clock: Clock,
    /// Wakes the runner when a watch was added or taken away.
    pub changed: Arc<Notify>,
    /// Hears of each watch that is taken on.
    pub tell: Tell,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What all routes share.
#[derive(Debug)]
struct Shared {
    service: Service,
    document: openapi::Document,
    /// How many more pages may be made at once.
    pages: Semaphore,
}

/// What the settings say of the API; they may be read again while it serves.
#[derive(Debug, Default)]
pub struct Terms(RwLock<Arc<Agreed>>);

/// Who may ask, for whom, and for how much.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    /// Watches may be added for these accounts.
    pub accounts: BTreeSet<Arc<str>>,
    /// Clients that have one of these may ask; where there are none, clients on this machine.
    pub tokens: Vec<Secret>,
    /// How much is kept.
    pub quota: Quota,
}

impl Terms {
    /// These terms.
    #[must_use]
    pub fn new(agreed: Agreed) -> Self {
        Self(RwLock::new(Arc::new(agreed)))
    }

    /// Replaces them, for all requests from now on.
    pub fn replace(&self, agreed: Agreed) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(agreed);
    }

    /// The terms as they are now.
    #[must_use]
    pub fn agreed(&self) -> Arc<Agreed> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server that cannot start. The message names what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Anybody could add and take away watches.
    #[error(
        "refusing to listen on {0} without a token, since others than this machine could reach the API: set [server] \
         token-file, or set [server] listen to a loopback address such as 127.0.0.1:8686"
    )]
    Exposed(SocketAddr),
    /// The address cannot be had.
    #[error("failed to listen on {address}: {source}; set [server] {key} to an address that is free")]
    Listen {
        /// Which setting names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A server that has its address. Clients can connect from now on; they are answered by [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    api: Listening,
    /// Where metrics and health are asked for besides.
    metrics: Option<Listening>,
}

/// An address that is listened on.
#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    async fn on(address: SocketAddr, key: &'static str) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { key, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }
}

impl Server {
    /// Takes `address`. `has_token` says whether the API asks for a token.
    ///
    /// # Errors
    ///
    /// When others could reach it and it asks for no token, and when it is taken.
    pub async fn bind(address: SocketAddr, has_token: bool) -> Result<Self, ServerError> {
        if !has_token && !is_loopback_address(address.ip()) {
            return Err(ServerError::Exposed(address));
        }
        Ok(Self { api: Listening::on(address, "listen").await?, metrics: None })
    }

    /// Takes another address for metrics and health, which are open to everybody who can reach it; the API's own asks for a token
    /// then before it shows them. Without one nothing changes.
    ///
    /// # Errors
    ///
    /// When the address is taken.
    pub async fn with_metrics(self, address: Option<SocketAddr>) -> Result<Self, ServerError> {
        let Some(address) = address else { return Ok(self) };
        Ok(Self { metrics: Some(Listening::on(address, "metrics-listen").await?), ..self })
    }

    /// The address of the API, with the port that the system chose if it was asked to choose one.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.api.address
    }

    /// The other address, of metrics and health, if there is one.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|listening| listening.address)
    }

    /// Serves until `stop` is done, then takes no more requests, and returns when those under way are answered. They
    /// are broken off when this is dropped; requests end by themselves within the limits of time.
    pub async fn serve(self, service: Service, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.boxed().shared();
        let audit = Arc::new(Audit::new(Arc::clone(&service.tell), service.clock));
        let metrics = Arc::clone(&service.metrics);
        let common = connection::Common::new(Arc::clone(&audit), metrics, service.clock);
        let door = Door::Api { has_another: self.metrics.is_some() };
        let doors = [Some((self.api, door)), self.metrics.map(|listening| (listening, Door::Metrics))];
        let serving = doors.into_iter().flatten().map(|(Listening { listener, address }, door)| {
            let guard = Guard::new(&service, Arc::clone(&audit), door, is_loopback_address(address.ip()));
            let router = api::router(service.clone(), &guard, door);
            connection::serve(listener, router, common.clone(), stop.clone())
        });
        let serving = join_all(serving.collect::<Vec<_>>());
        tokio::select! {
            _ = serving => {}
            never = audit.run() => match never {},
        }
    }
}

/// A new id for a watch that is taken on at `now`: a UUID of version 7.
#[must_use]
pub fn new_id(now: Moment) -> Uuid {
    let ms = now.unix_ms();
    let nanos = u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn others_are_let_in_only_with_a_token() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = Server::bind(everywhere, false).await.unwrap_err().to_string();
        for named in ["0.0.0.0:0", "[server] listen", "token-file"] {
            assert!(error.contains(named), "{error}");
        }
        let rows = [
            ("127.0.0.1:0", false),
            ("127.9.8.7:0", false),
            ("[::ffff:127.0.0.1]:0", false),
            ("0.0.0.0:0", true),
        ];
        for (address, has_token) in rows {
            let server = Server::bind(address.parse().unwrap(), has_token).await.unwrap();
            assert_ne!(server.address().port(), 0);
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).await.unwrap();
        let error = Server::bind(first.address(), false).await.unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()) && error.contains("[server] listen"), "{error}");
    }

    #[test]
    fn ids_tell_when_they_were_made() {
        let now = Moment::from_unix_ms(1_732_529_622_470);
        let id = new_id(now);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(u64::from_str_radix(&id.simple().to_string()[..12], 16).unwrap(), now.unix_ms());
        assert_ne!(id, new_id(now));
    }
}
