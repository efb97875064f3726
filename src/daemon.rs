//! The daemon: a store, a runner over it, couriers for what is owed, an API, and how all of them begin and end.
//!
//! It knows no console and no signals. The program that it runs in hands in its settings, and a [`Control`].

mod clients;
pub(crate) mod courier;
mod housekeeping;
pub(crate) mod ledger;
mod reload;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use self::clients::{Mask, Opener};
use self::courier::Courier;
use self::housekeeping::tidy;
use self::ledger::{Endpoints, Ledger};
pub(crate) use self::reload::within;
use self::reload::{Fresh, Reading};
use crate::clock::Clock;
use crate::event::{Event, Startup, What};
use crate::notify::EndpointError;
use crate::observe::{Journal, Metrics};
use crate::process::{reap_orphans, tell_systemd, tell_systemd_while};
use crate::runner::{Plan, Runner, Stopped};
use crate::server::{Agreed, Server, ServerError, Service, Terms};
use crate::settings::SettingsError;
use crate::settings::daemon::{DaemonSettings, ServerSettings};
use crate::snyk::{Client, TransportError};
use crate::store::{self, OpenError, Quota, Store, StoreError};
use crate::text::Text;
use crate::watch::Policy;
use crate::watch::outcome::Outcome;

/// How long polls and deliveries that are under way may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(6);

/// How long all of stopping may take.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// How far the store may be ahead of the wall's clock before someone should know.
const FAR_AHEAD: Duration = Duration::from_secs(5 * 60);

/// How often the runner makes a pass at least.
const BEAT: Duration = Duration::from_secs(5);

/// How long notifications may take once every watch has ended, where the daemon ends then.
const LAST_DELIVERIES: Duration = Duration::from_secs(5 * 60);

/// The program that a daemon runs in: what it asks for, and the settings that only it can read.
pub(crate) trait Control: Sync {
    /// Waits until the daemon has to stop, and says why. It may be asked again, and then says the same.
    fn stop(&self) -> impl Future<Output = String> + Send;

    /// Waits until the settings have to be read again.
    fn reload(&self) -> impl Future<Output = ()> + Send;

    /// Reads the settings again.
    fn read(&self) -> impl Future<Output = Result<DaemonSettings, DaemonError>> + Send;

    /// The daemon now uses the settings that were read last, or keeps the previous ones.
    fn reloaded(&self, result: Result<(), DaemonError>);
}

/// Why a daemon ended.
pub(crate) enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Nothing is left to do.
    Idle {
        /// How watches have ended.
        outcomes: BTreeSet<Outcome>,
        /// Whether watches are left whose account is not in the settings.
        leaves_watches: bool,
    },
}

/// A daemon that cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    OpenStore(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Something that a reload needs.
    #[error("{0} did not answer within {limit}", limit = humantime::format_duration(*.1))]
    Slow(String, Duration),
}

/// What can reach the daemon from outside.
enum Asked {
    /// To stop, for this reason.
    Stop(String),
    /// To read the settings again.
    Reload,
    /// To go on by the settings that were read.
    GoOn(Result<Box<Fresh>, DaemonError>),
    /// The store was changed through the API.
    Changed,
}

/// The daemon.
pub(crate) struct Daemon {
    store: Arc<dyn Store>,
    clock: Clock,
    mask: Mask,
    ledger: Arc<Ledger>,
    runner: Runner<Arc<dyn Store>, Arc<Client>, Endpoints>,
    endpoints: Endpoints,
    /// Who works by the settings as they are, and is replaced with them.
    couriers: JoinSet<Result<(), StoreError>>,
    /// Tells those who work by older settings that others take over.
    retire: watch::Sender<bool>,
    tasks: JoinSet<Infallible>,
    changed: Arc<Notify>,
    terms: Arc<Terms>,
    /// Ends the API when it is dropped.
    serving: Option<oneshot::Sender<Infallible>>,
    until_idle: bool,
    started: Startup,
    /// What stays as it is until the daemon is started again.
    fixed: (PathBuf, SocketAddr, Option<SocketAddr>),
}

impl Daemon {
    /// Opens the store, the API and all that belongs to it. `mask` is called with each access token before it is used.
    pub(crate) async fn start(
        settings: DaemonSettings,
        until_idle: bool,
        clock: Clock,
        mask: Mask,
    ) -> Result<Self, DaemonError> {
        let server = bind(&settings.server).await?;
        let store = store::open(&settings.store).await?;
        let last = store.last_moment().await?;
        if let Some(last) = last.filter(|last| last.since(clock.now()) > FAR_AHEAD) {
            tracing::error!(store.last = %last, "the clock was set back: the daemon goes on from the store's last moment");
        }
        let clock = last.map_or(clock, |last| clock.not_before(last));

        let ledger = Arc::new(Ledger::new(Journal::default(), Arc::new(Metrics::new())));
        let names: BTreeSet<_> = settings.accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        let opener = Opener { ledger: Arc::clone(&ledger), clock, mask: Arc::clone(&mask) };
        let accounts = opener.all(settings.accounts).await?;
        let endpoints = Endpoints::new(settings.endpoints, &settings.network, &ledger)?;
        let started = Startup {
            address: server.address().to_string(),
            metrics_address: server.metrics_address().map(|address| address.to_string()),
            store: Text::of_path(&settings.store),
            accounts: names.iter().cloned().collect(),
            endpoints: endpoints.all.iter().map(|endpoint| endpoint.name().to_owned()).collect(),
            watches: 0,
        };
        ledger.metrics.set_accounts(&names);
        ledger.asks_with(&accounts);
        let plan = plan(settings.policy, settings.concurrency);
        let runner =
            Runner::new(store.clone(), accounts, plan, endpoints.clone(), clock, fastrand::Rng::new());
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        let agreed = Agreed { accounts: names.clone(), tokens: settings.server.tokens, quota };
        let mut daemon = Self {
            store,
            clock,
            mask,
            ledger,
            runner,
            endpoints,
            couriers: JoinSet::new(),
            retire: watch::Sender::new(false),
            tasks: JoinSet::new(),
            changed: Arc::default(),
            terms: Arc::new(Terms::new(agreed)),
            serving: None,
            until_idle,
            started,
            fixed: (settings.store, settings.server.listen, settings.server.metrics_listen),
        };
        daemon.reconcile(settings.watches, &names).await?;
        daemon.started.watches = daemon.store.count().await?.active;
        daemon.hire(settings.keep_ended);
        // The API answers before the runner has made its first pass.
        daemon.ledger.bells.health.pass(clock.now());
        daemon.serve(server);
        daemon.tasks.spawn(reap_orphans());
        Ok(daemon)
    }

    /// Works until it is asked to stop, or has nothing left to do.
    pub(crate) async fn run(mut self, control: &impl Control) -> Result<Ended, DaemonError> {
        tell_systemd(sd_notify::NotifyState::Ready).await;
        let (health, clock) = (Arc::clone(&self.ledger.bells.health), self.clock);
        self.tasks.spawn(tell_systemd_while(move || health.is_alive(clock.now())));
        self.ledger.tell(&What::DaemonStarted(Box::new(self.started.clone())).at(clock.now()));
        let worked = self.work(control).await;
        tell_systemd(sd_notify::NotifyState::Stopping).await;
        self.ledger.bells.health.stop();
        let reason = worked.as_ref().map_or_else(|_| "a failure".to_owned(), |(reason, _)| reason.clone());
        self.ledger.tell(&What::DaemonStopping { reason }.at(clock.now()));
        // What is not kept in time is done again at the next start.
        let closed = tokio::time::timeout(STOP_WITHIN, self.wind_up()).await;
        let (_, ended) = worked?;
        match closed {
            Ok(closed) => closed?,
            Err(_) => tracing::warn!("the store took too long to close, what it has kept is safe"),
        }
        Ok(ended)
    }

    /// Says why it ends, in words too.
    async fn work(&mut self, control: &impl Control) -> Result<(String, Ended), DaemonError> {
        let mut reading = None;
        loop {
            // What is read may name more to do.
            let until_idle = self.until_idle && reading.is_none();
            let asked = match self.follow(control, &mut reading, until_idle).await? {
                Some(asked) => asked,
                None => match self.last_deliveries(control).await? {
                    Some(asked) => asked,
                    None => return self.idle().await,
                },
            };
            match asked {
                Asked::Stop(reason) => return Ok((reason, Ended::Stopped)),
                Asked::Reload => reading = Some(self.read_again(control)),
                // If the daemon has to stop meanwhile, that is what is asked next.
                Asked::GoOn(read) => tokio::select! {
                    biased;
                    _ = control.stop() => {}
                    () = self.reload(read, control) => {}
                },
                Asked::Changed => self.runner.look_again(),
            }
        }
    }

    /// All is done that can be done.
    async fn idle(&self) -> Result<(String, Ended), DaemonError> {
        let outcomes = self.ledger.outcomes();
        let left = self.orphaned(&self.terms.agreed().accounts).await?;
        let reason = if left.is_empty() {
            "every watch has ended".to_owned()
        } else {
            let names: Vec<_> = left.iter().map(|(account, _)| account.as_str()).collect();
            format!("the settings have no account for the watches that are left: {}", names.join(", "))
        };
        Ok((reason, Ended::Idle { outcomes, leaves_watches: !left.is_empty() }))
    }

    /// Follows the watches until something reaches the daemon, or, if it is to end then, until every watch has ended.
    async fn follow(
        &mut self,
        control: &impl Control,
        reading: &mut Option<Reading<'_>>,
        until_idle: bool,
    ) -> Result<Option<Asked>, DaemonError> {
        let Self { store, runner, ledger, tasks, couriers, changed, .. } = &mut *self;
        let asked = asked(&**store, tasks, couriers, changed, reading, control);
        Ok(match runner.run(asked, until_idle, &mut |event| ledger.hear(event)).await? {
            Stopped::Idle | Stopped::BrokenOff => None,
            Stopped::Asked(asked) => Some(asked?),
        })
    }

    /// Waits until nothing is owed any more, but not for long: what is left is for the next start. The runner goes on, so
    /// that all can see that it does.
    async fn last_deliveries(&mut self, control: &impl Control) -> Result<Option<Asked>, DaemonError> {
        let (store, clock, changed) = (self.store.clone(), self.clock, Arc::clone(&self.changed));
        let settled = settled(store.clone(), self.endpoints.clone(), Arc::clone(&self.ledger));
        // Nobody comes here while the settings are read again.
        let mut reading = None;
        let is_settled = tokio::select! {
            settled = settled => settled.map(|()| true)?,
            () = clock.sleep_until(clock.now().plus(LAST_DELIVERIES)) => false,
            asked = self.follow(control, &mut reading, false) => return asked,
        };
        if !is_settled {
            let pending = store.count().await?.pending;
            tracing::warn!(
                deliveries.pending = pending,
                "notifications stay in the outbox for the next start"
            );
            return Ok(None);
        }
        // What the API has acknowledged is followed all the same.
        Ok(changed.notified().now_or_never().map(|()| Asked::Changed))
    }

    /// Lets polls and deliveries in flight end, keeps what they came to, and gives everything back.
    async fn wind_up(mut self) -> Result<(), StoreError> {
        drop(self.serving.take());
        self.retire.send_replace(true);
        let ledger = Arc::clone(&self.ledger);
        let delivering = tokio::time::timeout(GRACE, all_done(&mut self.couriers));
        let mut tell = |event: &Event| ledger.hear(event);
        let polling = self.runner.wind_up(GRACE, &mut tell);
        let (delivered, kept) = tokio::join!(delivering, polling);
        self.couriers.shutdown().await;
        self.tasks.shutdown().await;
        drop(self.runner);
        let closed = self.store.close().await;
        kept.and(delivered.unwrap_or(Ok(()))).and(closed)
    }

    /// Whoever does what the settings say of endpoints and of what is kept.
    fn hire(&mut self, keep_ended: Duration) {
        self.retire = watch::Sender::new(false);
        let (endpoints, ledger) = (self.endpoints.clone(), Arc::clone(&self.ledger));
        let tidying = tidy(self.store.clone(), keep_ended, endpoints, ledger, self.clock);
        let mut retired = self.retire.subscribe();
        self.couriers.spawn(async move {
            tokio::select! {
                failed = tidying => failed.map(|never| match never {}),
                _ = retired.wait_for(|retired| *retired) => Ok(()),
            }
        });
        for endpoint in &self.endpoints.all {
            let ledger = Arc::clone(&self.ledger);
            let courier = Courier {
                store: self.store.clone(),
                endpoint: Arc::clone(endpoint),
                clock: self.clock,
                bell: Arc::clone(&self.ledger.bells.owing),
                retired: self.retire.subscribe(),
                tell: move |event: &Event| ledger.tell(event),
            };
            self.couriers.spawn(async move { courier.run(fastrand::Rng::new()).await });
        }
    }

    fn serve(&mut self, server: Server) {
        let (stop, stopped) = oneshot::channel::<Infallible>();
        self.serving = Some(stop);
        let ledger = Arc::clone(&self.ledger);
        let service = Service {
            store: self.store.clone(),
            health: Arc::clone(&self.ledger.bells.health),
            metrics: Arc::clone(&self.ledger.metrics),
            terms: Arc::clone(&self.terms),
            clock: self.clock,
            changed: Arc::clone(&self.changed),
            tell: Arc::new(move |event: &Event| ledger.tell(event)),
        };
        self.tasks.spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            server.serve(service, stopped).await;
            std::future::pending().await
        });
    }
}

/// The next thing that reaches the daemon; a failure where something fails that should never end.
async fn asked(
    store: &dyn Store,
    tasks: &mut JoinSet<Infallible>,
    couriers: &mut JoinSet<Result<(), StoreError>>,
    changed: &Notify,
    reading: &mut Option<Reading<'_>>,
    control: &impl Control,
) -> Result<Asked, DaemonError> {
    loop {
        tokio::select! {
            reason = control.stop() => return Ok(Asked::Stop(reason)),
            () = control.reload(), if reading.is_none() => return Ok(Asked::Reload),
            read = read(reading) => return Ok(Asked::GoOn(read)),
            () = changed.notified() => return Ok(Asked::Changed),
            error = store.failure() => return Err(error.into()),
            Some(never) = tasks.join_next() => match or_panic(never) {},
            // A courier or a task that was retired ends in peace.
            Some(done) = couriers.join_next() => or_panic(done)?,
        }
    }
}

/// Takes the addresses that the settings name.
pub(crate) async fn bind(settings: &ServerSettings) -> Result<Server, ServerError> {
    let server = Server::bind(settings.listen, !settings.tokens.is_empty()).await?;
    server.with_metrics(settings.metrics_listen).await
}

/// The settings have been read again; never, if nobody reads them.
async fn read(reading: &mut Option<Reading<'_>>) -> Result<Box<Fresh>, DaemonError> {
    let Some(reads) = reading else { return std::future::pending().await };
    let read = reads.await;
    *reading = None;
    read
}

/// All have ended, or one has failed.
async fn all_done(tasks: &mut JoinSet<Result<(), StoreError>>) -> Result<(), StoreError> {
    while let Some(done) = tasks.join_next().await {
        or_panic(done)?;
    }
    Ok(())
}

/// Nothing is owed any more to endpoints that there are.
async fn settled(store: Arc<dyn Store>, endpoints: Endpoints, ledger: Arc<Ledger>) -> Result<(), StoreError> {
    loop {
        let settled = ledger.bells.settled.notified();
        if !store.owed_endpoints().await?.iter().any(|name| endpoints.has(name)) {
            return Ok(());
        }
        settled.await;
    }
}

/// A task that panicked takes the daemon with it: whoever restarts it finds everything in the store.
fn or_panic<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

const fn plan(policy: Policy, concurrency: std::num::NonZeroUsize) -> Plan {
    Plan { policy, concurrency, beat: Some(BEAT) }
}
