//! The daemon: starts and stops a store, a runner, couriers for notifications and the API.
//!
//! It has no console and handles no signals. Its program passes the settings and a [`Control`].

mod clients;
pub(crate) mod courier;
mod housekeeping;
mod idle;
pub(crate) mod ledger;
mod reload;
mod resume;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use self::clients::{Mask, Opener};
use self::courier::{Courier, UnderWay};
use self::housekeeping::tidy;
use self::ledger::{Endpoints, Ledger};
pub(crate) use self::reload::within;
use self::reload::{Fresh, Reading};
use crate::clock::Clock;
use crate::event::{Event, Startup, What};
use crate::exit::ExitCode;
use crate::notify::EndpointError;
use crate::observe::{Journal, Metrics};
use crate::process::{asking_systemd_for_time, reap_orphans, tell_systemd, tell_systemd_while};
use crate::runner::{Plan, Runner, Stopped};
use crate::server::{Server, ServerError, Service, Terms};
use crate::settings::daemon::{DaemonSettings, ServerSettings};
use crate::settings::{Listen, SettingsError};
use crate::snyk::{Client, TransportError};
use crate::store::{self, OpenError, Store, StoreError};
use crate::text::Text;
use crate::watch::Policy;

/// How long polls and deliveries in flight may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(6);

/// How long stopping may take in all.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// The longest time between two passes of the runner.
const BEAT: Duration = Duration::from_secs(5);

/// What the program around a daemon does for it.
pub(crate) trait Control: Sync {
    /// Waits until the daemon has to stop, and returns the reason. A later call returns it again.
    fn stop(&self) -> impl Future<Output = String> + Send;

    /// Waits until the daemon has to reload its settings.
    fn reload(&self) -> impl Future<Output = ()> + Send;

    /// Reads the settings again.
    fn read(&self) -> impl Future<Output = Result<DaemonSettings, DaemonError>> + Send;

    /// Is called after a reload. With an error, the daemon keeps the previous settings.
    fn reloaded(&self, result: Result<(), DaemonError>);
}

/// Why a daemon ended.
pub(crate) enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Nothing is left to do.
    Idle {
        /// The exit codes of what has happened, in this run and in runs before it that were stopped.
        codes: BTreeSet<ExitCode>,
    },
}

/// Why a daemon cannot start or go on.
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
    /// A reload waits for this, and not any longer.
    #[error("{0} did not answer within {limit}", limit = humantime::format_duration(*.1))]
    Slow(String, Duration),
}

/// What the daemon has to do besides polling.
enum Asked {
    /// Stop, for this reason.
    Stop(String),
    /// Read the settings again.
    Reload,
    /// Use the settings that were read.
    GoOn(Result<Box<Fresh>, DaemonError>),
    /// Look for due watches: the API changed the store.
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
    /// Couriers and housekeeping. A reload replaces them.
    couriers: JoinSet<Result<(), StoreError>>,
    /// What is under way to each endpoint.
    under_way: BTreeMap<String, UnderWay>,
    /// Tells the current couriers and housekeeping to end.
    retire: watch::Sender<bool>,
    tasks: JoinSet<Infallible>,
    changed: Arc<Notify>,
    terms: Arc<Terms>,
    /// Stops the API when it is dropped.
    serving: Option<oneshot::Sender<Infallible>>,
    until_idle: bool,
    started: Startup,
    /// What a reload cannot change: the store and the addresses.
    fixed: (PathBuf, Listen, Option<Listen>),
}

impl Daemon {
    /// Opens the store and the API. `mask` is called with each access token before its first use.
    pub(crate) async fn start(
        mut settings: DaemonSettings,
        until_idle: bool,
        clock: Clock,
        mask: Mask,
    ) -> Result<Self, DaemonError> {
        // The store comes first: a second daemon on the same settings is told what it is.
        let store = asking_systemd_for_time(store::open(&settings.store)).await?;
        let server = bind(&settings.server).await?;
        if until_idle {
            idle::keep_codes(&*store).await?;
        }
        let ledger = Arc::new(Ledger::new(Journal::default(), Arc::new(Metrics::new())));
        let opener = Opener { ledger: Arc::clone(&ledger), clock, mask: Arc::clone(&mask) };
        let accounts = opener.all(std::mem::take(&mut settings.accounts)).await?;
        let clock = resume::resumed(clock, &*store, &accounts).await?;
        let started = Startup {
            address: server.address().to_string(),
            metrics_address: server.metrics_address().map(|address| address.to_string()),
            store: Text::of_path(&settings.store),
            accounts: accounts.iter().map(|account| Arc::clone(&account.name)).collect(),
            endpoints: settings
                .endpoints
                .iter()
                .map(|endpoint| (endpoint.name.clone(), endpoint.kind.as_str()))
                .collect(),
            watches: 0,
        };
        let endpoints = Endpoints::new(Vec::new(), &settings.network, &ledger)?;
        let plan = plan(settings.policy.clone(), settings.concurrency);
        let mut daemon = Self {
            runner: Runner::new(
                store.clone(),
                Vec::new(),
                plan,
                endpoints.clone(),
                clock,
                fastrand::Rng::new(),
            ),
            store,
            clock,
            mask,
            ledger,
            endpoints,
            couriers: JoinSet::new(),
            under_way: BTreeMap::new(),
            retire: watch::Sender::new(false),
            tasks: JoinSet::new(),
            changed: Arc::default(),
            terms: Arc::default(),
            serving: None,
            until_idle,
            started,
            fixed: (
                settings.store.clone(),
                settings.server.listen.clone(),
                settings.server.metrics_listen.clone(),
            ),
        };
        daemon.take_on(Fresh { settings, accounts }).await?;
        daemon.started.watches = daemon.store.count().await?.active;
        // The API answers before the runner has made its first pass, and the daemon is healthy then.
        daemon.ledger.bells.health.pass(clock.now());
        daemon.serve(server);
        daemon.tasks.spawn(reap_orphans());
        Ok(daemon)
    }

    /// Whether it is healthy, whenever that is asked.
    pub(crate) fn is_alive(&self) -> impl Fn() -> bool + Send + use<> {
        let (health, clock) = (Arc::clone(&self.ledger.bells.health), self.clock);
        move || health.is_alive(clock.now())
    }

    /// Runs until it has to stop, or (`--until-idle`) has nothing left to do.
    pub(crate) async fn run(mut self, control: &impl Control) -> Result<Ended, DaemonError> {
        tell_systemd(sd_notify::NotifyState::Ready).await;
        let clock = self.clock;
        self.tasks.spawn(tell_systemd_while(self.is_alive()));
        self.ledger.tell(&What::DaemonStarted(Box::new(self.started.clone())).at(clock.now()));
        let worked = self.work(control).await;
        tell_systemd(sd_notify::NotifyState::Stopping).await;
        self.ledger.bells.health.stop();
        let reason = worked.as_ref().map_or_else(|_| "a failure".to_owned(), |(reason, _)| reason.clone());
        self.ledger.tell(&What::DaemonStopping { reason }.at(clock.now()));
        // What is not saved in time is done again after the next start.
        let reported = match &worked {
            Ok((_, Ended::Idle { codes })) => codes.clone(),
            Ok((_, Ended::Stopped)) | Err(_) => BTreeSet::new(),
        };
        let closed = tokio::time::timeout(STOP_WITHIN, self.wind_up(reported)).await;
        let (_, ended) = worked?;
        match closed {
            Ok(closed) => closed?,
            Err(_) => tracing::warn!("the store took too long to close; everything that it saved is safe"),
        }
        Ok(ended)
    }

    /// Runs; returns why it ends, as text and as a value.
    async fn work(&mut self, control: &impl Control) -> Result<(String, Ended), DaemonError> {
        let mut reading = None;
        loop {
            // The new settings may have more watches.
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
                // If the daemon has to stop meanwhile, `follow` returns that next.
                Asked::GoOn(read) => tokio::select! {
                    biased;
                    _ = control.stop() => {}
                    () = self.reload(read, control) => {}
                },
                Asked::Changed => self.runner.look_again(),
            }
        }
    }

    /// Follows the watches until there is something else to do, or, with `until_idle`, until every watch has ended.
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

    /// Waits for polls and deliveries in flight, saves their results and that these exit codes are reported, and closes the
    /// store.
    async fn wind_up(mut self, reported: BTreeSet<ExitCode>) -> Result<(), StoreError> {
        drop(self.serving.take());
        self.retire.send_replace(true);
        self.ledger.bells.stopping.send_replace(true);
        let ledger = Arc::clone(&self.ledger);
        let delivering = tokio::time::timeout(GRACE, all_done(&mut self.couriers));
        let mut tell = |event: &Event| ledger.hear(event);
        let polling = self.runner.wind_up(GRACE, &mut tell);
        let (delivered, kept) = tokio::join!(delivering, polling);
        self.couriers.shutdown().await;
        self.tasks.shutdown().await;
        drop(self.runner);
        let mut saved = kept.and(delivered.unwrap_or(Ok(())));
        if saved.is_ok() && !reported.is_empty() {
            saved = self.store.forget_codes(reported).await;
        }
        let closed = self.store.close().await;
        saved.and(closed)
    }

    /// Starts the couriers and the housekeeping that the settings ask for.
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
                under_way: self.under_way.entry(endpoint.name().to_owned()).or_default().clone(),
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
            owing: Arc::clone(&self.ledger.bells.owing),
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

/// Waits for the next thing to do. Fails if the store or a task fails.
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
            // It was told to end.
            Some(done) = couriers.join_next() => or_panic(done)?,
        }
    }
}

/// Listens on the addresses in the settings.
pub(crate) async fn bind(settings: &ServerSettings) -> Result<Server, ServerError> {
    let server = Server::bind(&settings.listen.all(), !settings.tokens.is_empty()).await?;
    server.with_metrics(&settings.metrics_listen.as_ref().map(Listen::all).unwrap_or_default()).await
}

/// Waits for the new settings; forever if they are not being read.
async fn read(reading: &mut Option<Reading<'_>>) -> Result<Box<Fresh>, DaemonError> {
    let Some(reads) = reading else { return std::future::pending().await };
    let read = reads.await;
    *reading = None;
    read
}

/// Waits until all tasks have ended, or one has failed.
async fn all_done(tasks: &mut JoinSet<Result<(), StoreError>>) -> Result<(), StoreError> {
    while let Some(done) = tasks.join_next().await {
        or_panic(done)?;
    }
    Ok(())
}

/// A task that panicked ends the daemon. After a restart, everything is in the store.
fn or_panic<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

const fn plan(policy: Policy, concurrency: std::num::NonZeroUsize) -> Plan {
    Plan { policy, concurrency, beat: Some(BEAT) }
}
