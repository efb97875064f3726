//! Turns events into log lines, metrics, the daemon's health and deliveries.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::document::Document;
use crate::event::{Ending, Event, What};
use crate::health::{Health, Standing};
use crate::http::Network;
use crate::moment::Moment;
use crate::notify::{Endpoint, EndpointError, cloud_event, delivery_id};
use crate::observe::{Journal, Metrics};
use crate::runner::{Account, Closing, Obligations};
use crate::settings::daemon::EndpointSettings;
use crate::snyk::Client;
use crate::snyk::credentials::{Credentials, Source};
use crate::store::NewDelivery;
use crate::watch::observation::{Problem, Report};
use crate::watch::outcome::Outcome;

/// Who is woken by an event, and what `/readyz` says after it. Clones share both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    pub(crate) health: Arc<Health>,
    /// Notifies couriers of a new delivery.
    pub(crate) owing: Arc<Notify>,
    /// Notifies when a delivery is done or given up.
    pub(crate) settled: Arc<Notify>,
    /// Becomes true when the daemon stops, and its commands should end.
    pub(crate) stopping: Arc<watch::Sender<bool>>,
}

impl Bells {
    pub(crate) fn ring(&self, event: &Event) {
        if !matches!(event.what, What::Polled { .. }) {
            self.health.tell_news();
        }
        match &event.what {
            What::Finished(_) => self.owing.notify_waiters(),
            What::AccountPaused { account, .. } => {
                self.health.refuse(account, event.at);
                self.owing.notify_waiters();
            }
            What::AccountResumed { account, .. } => {
                self.health.accept(account);
                self.owing.notify_waiters();
            }
            What::DeliverySent(_) | What::DeliveryGivenUp { .. } => self.settled.notify_waiters(),
            What::Added { .. }
            | What::Resumed { .. }
            | What::Polled { .. }
            | What::StatusChanged { .. }
            | What::Retrying { .. }
            | What::DeliveryRetrying { .. }
            | What::DaemonStarted(_)
            | What::DaemonStopping { .. }
            | What::Api(_)
            | What::Task(_) => {}
        }
    }
}

/// Receives all events.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) bells: Bells,
    pub(super) metrics: Arc<Metrics>,
    pub(super) journal: Journal,
    /// The clients of all accounts.
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Ledger {
    pub(super) fn new(journal: Journal, metrics: Arc<Metrics>) -> Self {
        Self { bells: Bells::default(), metrics, journal, clients: Mutex::default() }
    }

    /// Replaces the clients.
    pub(super) fn asks_with(&self, accounts: &[Account<Arc<Client>>]) {
        let clients = accounts.iter().map(|account| Arc::clone(&account.poller)).collect();
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// The credentials of a client that has them from this source, if that can be read only once.
    pub(super) async fn credentials_read_once(&self, source: &Source) -> Option<Credentials> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for client in clients {
            if let Some(credentials) = client.credentials_read_once(source).await {
                return Some(credentials);
            }
        }
        None
    }

    /// Reports an event. The log comes last: when it says so, the API says so too.
    pub(super) fn tell(&self, event: &Event) {
        self.metrics.event(event);
        self.bells.ring(event);
        self.journal.event(event);
    }

    pub(super) fn hear(&self, event: &Event) -> ControlFlow<()> {
        self.tell(event);
        ControlFlow::Continue(())
    }
}

/// The endpoints of notifications.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pub(super) all: Vec<Arc<Endpoint>>,
    ledger: Arc<Ledger>,
}

impl Endpoints {
    pub(super) fn new(
        settings: Vec<EndpointSettings>,
        network: &Network,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, EndpointError> {
        let endpoint = |settings| {
            let endpoint = endpoint(settings, network);
            endpoint.map(|endpoint| Arc::new(endpoint.stopped_by(ledger.bells.stopping.subscribe())))
        };
        let all = settings.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { all, ledger: Arc::clone(ledger) })
    }

    /// Whether the settings have an endpoint of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|endpoint| endpoint.name() == name)
    }

    /// What is owed for an event about an account's credential.
    fn owed_for_account(&self, told: &str, now: Moment, id: Uuid) -> Vec<NewDelivery> {
        let wanting = self.all.iter().filter(|endpoint| endpoint.wants(Outcome::Unauthorized));
        wanting.map(|endpoint| owed(endpoint, &id.to_string(), told, now)).collect()
    }
}

impl Obligations for Endpoints {
    fn close(&self, ending: &Ending) -> Closing {
        let wanting: Vec<_> = self.all.iter().filter(|endpoint| endpoint.wants(ending.outcome)).collect();
        let document = Document::of_ending(ending, false).with_hint(self.ledger.journal.advice(ending));
        let links_expire_at = ending.report.as_ref().and_then(Report::links_expire_at);
        let kept = Document { links_expire_at: Some(links_expire_at), ..document.clone() }.to_line();
        if wanting.is_empty() {
            return Closing { document: kept, deliveries: Vec::new() };
        }
        let told = cloud_event::ended(ending, document);
        let id = ending.watch.id.to_string();
        let deliveries = wanting.into_iter().map(|endpoint| owed(endpoint, &id, &told, ending.at)).collect();
        Closing { document: kept, deliveries }
    }

    fn refuse(&self, account: &str, problem: &Problem, now: Moment) -> Vec<NewDelivery> {
        let id = Uuid::new_v4();
        self.owed_for_account(&cloud_event::unauthorized(account, problem, now, id), now, id)
    }

    fn accept(&self, account: &str, now: Moment) -> Vec<NewDelivery> {
        let id = Uuid::new_v4();
        self.owed_for_account(&cloud_event::authorized(account, now, id), now, id)
    }

    fn sees(&self, account: &Arc<str>, standing: Standing) {
        self.ledger.metrics.set_account(account, standing.paused.is_some(), standing.left);
        self.ledger.bells.health.see(account, standing);
    }

    fn passed(&self, now: Moment) {
        self.ledger.bells.health.pass(now);
        let clients = self.ledger.clients.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.metrics.set_api_deprecated(clients.iter().any(|client| client.is_deprecated()));
    }
}

/// The endpoint of these settings.
pub(crate) fn endpoint(settings: EndpointSettings, network: &Network) -> Result<Endpoint, EndpointError> {
    let EndpointSettings { name, on, max_per_minute, kind } = settings;
    Ok(Endpoint::new(name, on, kind, network)?.at_most(max_per_minute))
}

fn owed(endpoint: &Endpoint, id: &str, told: &str, at: Moment) -> NewDelivery {
    let (name, event) = (endpoint.name().to_owned(), told.to_owned());
    NewDelivery { id: delivery_id(id, &name), endpoint: name, event, at }
}
