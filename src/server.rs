//! The daemon's HTTP server. Clients add, list and remove watches (`/v1`), and monitoring asks for health and metrics
//! (`/healthz`, `/readyz`, `/metrics`). People look at the page (`/`).
//!
//! It decides nothing about exports: it changes the store and wakes the runner. Every resource that a client can use has a
//! limit (see `limits`). A refused request gets a document that says why (see `problem`). Without a token, only requests for
//! this machine are answered (see `guard`).

mod api;
mod audit;
mod connection;
mod guard;
mod health;
mod limits;
mod openapi;
mod page;
mod places;
mod problem;
mod send_timeout;
mod session;

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
use self::page::Page;
use crate::clock::Clock;
use crate::event::Event;
use crate::health::Health;
use crate::http::is_loopback_address;
use crate::moment::Moment;
use crate::observe::Metrics;
use crate::secret::Secret;
use crate::store::{Catalogue, Quota};

/// Reports an event.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// What the server needs.
#[derive(Clone)]
pub struct Service {
    /// The watches.
    pub store: Arc<dyn Catalogue + Send + Sync>,
    /// The daemon's health.
    pub health: Arc<Health>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Who may send requests, and for which accounts.
    pub terms: Arc<Terms>,
    /// The clock.
    pub clock: Clock,
    /// Wakes the runner when a watch was added or removed.
    pub changed: Arc<Notify>,
    /// Wakes the couriers when a delivery is pending again.
    pub owing: Arc<Notify>,
    /// Is called when a watch is added, and with events of the API.
    pub tell: Tell,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What all routes use.
#[derive(Debug)]
struct Shared {
    service: Service,
    document: openapi::Document,
    page: Arc<Page>,
    /// How many more pages may be written at once.
    pages: Semaphore,
}

/// What the settings say about the API. A reload replaces it.
#[derive(Debug, Default)]
pub struct Terms(RwLock<Arc<Agreed>>);

/// Who may send requests, for which accounts, and how much the store may keep.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    /// The accounts that watches may have.
    pub accounts: BTreeSet<Arc<str>>,
    /// The endpoints that deliveries may go to.
    pub endpoints: Vec<String>,
    /// A client needs one of these tokens. If there are none, only clients on this machine are answered.
    pub tokens: Vec<Secret>,
    /// How much the store may keep.
    pub quota: Quota,
}

impl Terms {
    /// Terms with these contents.
    #[must_use]
    pub fn new(agreed: Agreed) -> Self {
        Self(RwLock::new(Arc::new(agreed)))
    }

    /// Replaces the contents for all requests from now on.
    pub fn replace(&self, agreed: Agreed) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(agreed);
    }

    /// The current contents.
    #[must_use]
    pub fn agreed(&self) -> Arc<Agreed> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a server cannot start, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Anybody could add and remove watches.
    #[error(
        "refusing to listen on {0} without a token: other machines could reach the API: set [server] \
         token-file, or set [server] listen to a loopback address such as 127.0.0.1:8686"
    )]
    Exposed(SocketAddr),
    /// It cannot listen on the address.
    #[error("failed to listen on {address}: {why}; set [server] {key} to an address that is free")]
    Listen {
        /// The setting that has the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The error of the operating system. It is part of the message, and so no `source`.
        why: io::Error,
    },
}

/// A server that listens. Clients can connect; [`Server::serve`] answers them.
#[derive(Debug)]
pub struct Server {
    /// One, or one of each family.
    api: Vec<Listening>,
    /// Those of metrics and health, if they have their own.
    metrics: Vec<Listening>,
}

/// Whether this machine has no such address, as one without IPv6 has no `::1`.
fn lacks_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// A listener with its address.
#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Listens on these addresses. Several are one name in several families, of which this machine may lack one. If the system
    /// chooses the port of the first, the others have the same one.
    async fn on(addresses: &[SocketAddr], key: &'static str) -> Result<Vec<Self>, ServerError> {
        let (mut all, mut lacking): (Vec<Self>, _) = (Vec::new(), None);
        for &(mut address) in addresses {
            address.set_port(all.first().map_or(address.port(), |first| first.address.port()));
            let failed = |why| ServerError::Listen { key, address, why };
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let address = listener.local_addr().map_err(failed)?;
                    all.push(Self { listener, address });
                }
                Err(error) if lacks_family(&error) => lacking = Some(failed(error)),
                Err(error) => return Err(failed(error)),
            }
        }
        match lacking.filter(|_| all.is_empty()) {
            Some(error) => Err(error),
            None => Ok(all),
        }
    }
}

impl Server {
    /// Listens on these addresses, at least one. `has_token` says whether the API requires a token.
    ///
    /// # Errors
    ///
    /// When other machines could reach it without a token, and when the address cannot be used.
    pub async fn bind(addresses: &[SocketAddr], has_token: bool) -> Result<Self, ServerError> {
        let exposed = addresses.iter().find(|address| !is_loopback_address(address.ip()));
        if let Some(address) = exposed.filter(|_| !has_token) {
            return Err(ServerError::Exposed(*address));
        }
        Ok(Self { api: Listening::on(addresses, "listen").await?, metrics: Vec::new() })
    }

    /// Listens on other addresses for metrics and health. Everybody who can reach it may ask for them there; at the API's own
    /// address they then require the token. None at all changes nothing.
    ///
    /// # Errors
    ///
    /// When the address cannot be used.
    pub async fn with_metrics(self, addresses: &[SocketAddr]) -> Result<Self, ServerError> {
        Ok(Self { metrics: Listening::on(addresses, "metrics-listen").await?, ..self })
    }

    /// The address of the API. If the settings say port 0, it has the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.api[0].address
    }

    /// The address of metrics and health, if they have their own.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.first().map(|listening| listening.address)
    }

    /// Serves until `stop` is done, then accepts no more requests, answers those in progress and returns. If this is dropped,
    /// they are cancelled. All requests have time limits.
    pub async fn serve(self, service: Service, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.boxed().shared();
        let audit = Arc::new(Audit::new(Arc::clone(&service.tell), service.clock));
        let metrics = Arc::clone(&service.metrics);
        let page = Arc::new(Page::new(stop.clone()));
        let common = connection::Common::new(Arc::clone(&audit), metrics, service.clock);
        let door = Door::Api { has_another: !self.metrics.is_empty() };
        let doors = self.api.into_iter().map(|it| (it, door));
        let doors = doors.chain(self.metrics.into_iter().map(|it| (it, Door::Metrics)));
        let serving = doors.map(|(Listening { listener, address }, door)| {
            let guard = Guard::new(&service, Arc::clone(&audit), door, is_loopback_address(address.ip()));
            let router = api::router(service.clone(), &guard, door, Arc::clone(&page));
            connection::serve(listener, router, common.clone(), stop.clone())
        });
        let serving = join_all(serving.collect::<Vec<_>>());
        tokio::select! {
            _ = serving => {}
            never = audit.run() => match never {},
            never = page.watch(&service) => match never {},
        }
    }
}

/// A new id for a watch that is added `now`: a UUID of version 7.
#[must_use]
pub fn new_id(now: Moment) -> Uuid {
    let ms = now.wall_ms();
    let nanos = u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_machines_need_a_token() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = Server::bind(&[everywhere], false).await.unwrap_err().to_string();
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
            let server = Server::bind(&[address.parse().unwrap()], has_token).await.unwrap();
            assert_ne!(server.address().port(), 0);
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = Server::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], false).await.unwrap();
        let error = Server::bind(&[first.address()], false).await.unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()) && error.contains("[server] listen"), "{error}");
    }

    #[test]
    fn an_id_has_the_time_of_its_creation() {
        let now = Moment::from_unix_ms(1_732_529_622_470);
        let id = new_id(now);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(u64::from_str_radix(&id.simple().to_string()[..12], 16).unwrap(), now.unix_ms());
        assert_ne!(id, new_id(now));
    }
}
