//! A server with its own store, and a simple client.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::Value;
use snyk_export::clock::Clock;
use snyk_export::event::{ApiEvent, Event, What};
use snyk_export::health::Health;
use snyk_export::observe::Metrics;
use snyk_export::secret::Secret;
use snyk_export::server::{Agreed, Server, Service, Terms};
use snyk_export::store::{self, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::described;
pub(super) use crate::lab::{Answer, PATIENCE};
use crate::lab::{Watched, own_ip, runtime};

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) service: Service,
    pub(super) store: Arc<dyn Store>,
    /// The events that were told, but for those of the API.
    pub(super) told: Watched<Vec<String>>,
    /// The events of the API.
    pub(super) noted: Watched<Vec<ApiEvent>>,
    pub(super) runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl TestServer {
    pub(super) fn start(token: Option<&str>) -> Self {
        Self::telling(token, SocketAddr::from((own_ip(), 0)), |_| {})
    }

    /// Calls `tell` with the name of each event.
    pub(super) fn telling(
        token: Option<&str>,
        address: SocketAddr,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let (runtime, told) = (runtime(), Watched::<Vec<String>>::default());
        let noted = Watched::<Vec<ApiEvent>>::default();
        let (directory, store, service) = runtime.block_on(service(token, {
            let (told, noted) = (told.clone(), noted.clone());
            move |event: &Event| {
                if let What::Api(event) = &event.what {
                    return noted.change(|noted| noted.push(ApiEvent::clone(event)));
                }
                let name = event.name();
                told.change(|told| told.push(name.to_owned()));
                tell(name);
            }
        }));
        let server = runtime.block_on(Server::bind(&[address], true)).unwrap();
        let (address, (stop, stopped)) = (server.address(), oneshot::channel());
        let here = if address.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { address.ip() };
        let address = SocketAddr::from((here, address.port()));
        let serving = server.serve(service.clone(), async {
            // A sender that is gone has nothing to say.
            let _ = stopped.await;
        });
        let serving = Some(runtime.spawn(serving));
        Self {
            address,
            service,
            store,
            told,
            noted,
            runtime,
            stop: Some(stop),
            serving,
            _directory: directory,
        }
    }

    /// Tells the server to stop.
    pub(super) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the server has stopped.
    pub(super) fn join(&mut self) {
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, serving).await }).unwrap().unwrap();
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(super) fn post(&self, body: &Value) -> Answer {
        self.ask("POST", "/v1/watches", &["Content-Type: application/json"], &body.to_string())
    }

    /// Sends a request of these headers, besides those that every request has.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !headers.iter().any(|header| header.starts_with("Host")) {
            lines.push("Host: localhost".to_owned());
        }
        if !body.is_empty() {
            lines.push(format!("Content-Length: {}", body.len()));
        }
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        let answer = self.send(&format!("{}\r\n\r\n{body}", lines.join("\r\n")));
        described::check(method, path, &answer);
        answer
    }

    /// Sends `text` as it is, and reads until the server is done.
    pub(super) fn send(&self, text: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        Answer::read(stream)
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// A service of a daemon that has just made a pass, with the accounts `default` and `acme`.
pub(super) async fn service(
    token: Option<&str>,
    tell: impl Fn(&Event) + Send + Sync + 'static,
) -> (TempDir, Arc<dyn Store>, Service) {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let health = Health::default();
    health.pass(clock.now());
    let store = store::open(&directory.path().join("watches.db")).await.unwrap();
    let service = Service {
        store: Arc::clone(&store) as Arc<_>,
        health: Arc::new(health),
        metrics: Arc::new(Metrics::new()),
        terms: Arc::new(Terms::new(agreed(token))),
        clock,
        changed: Arc::default(),
        owing: Arc::default(),
        tell: Arc::new(tell),
    };
    (directory, store, service)
}

/// What holds with this token, or with none.
pub(super) fn agreed(token: Option<&str>) -> Agreed {
    let tokens = token.map(Secret::new).into_iter().collect();
    Agreed { accounts: accounts(), endpoints: vec!["platform".to_owned()], tokens, ..Agreed::default() }
}

pub(super) fn accounts() -> BTreeSet<Arc<str>> {
    ["default", "acme"].map(Arc::from).into()
}
