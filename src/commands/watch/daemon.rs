//! The daemon: a store, a runner over it, couriers for what is owed, an API, and how all of them begin and end.

mod reload;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::clients::{Clients, Opener};
use super::housekeeping::{mind, reap_orphans, report_health, tell_systemd, tidy};
use super::ledger::{Endpoints, Ledger};
use crate::clock::Clock;
use crate::commands::{CommandError, Session};
use crate::event::Event;
use crate::exit::ExitCode;
use crate::observe::{Journal, Metrics};
use crate::runner::courier::Courier;
use crate::runner::{Plan, Refusal, Runner, Stopped};
use crate::server::{Server, Service, Terms};
use crate::settings::daemon::DaemonSettings;
use crate::snyk::Client;
use crate::store::{SqliteStore, StoreError};
use crate::watch::Policy;
use crate::watch::outcome::Signal;

/// How long polls that are under way may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(6);

/// How long all of stopping may take.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// How far the store may be ahead of the wall's clock before someone should know.
const FAR_AHEAD: Duration = Duration::from_secs(5 * 60);

/// How often the runner makes a pass at least.
const BEAT: Duration = Duration::from_secs(5);

/// How long notifications may take once every watch has ended, where the daemon ends then.
const LAST_DELIVERIES: Duration = Duration::from_secs(5 * 60);

/// What can reach the daemon from outside.
enum Asked {
    /// A signal.
    Signal(Signal),
    /// The store was changed through the API.
    Changed,
    /// Something that should never end has failed.
    Failed(CommandError),
}

/// Why the daemon stops.
struct Stopping {
    reason: &'static str,
    signal: Option<Signal>,
}

/// The daemon.
pub(super) struct Daemon {
    store: SqliteStore,
    clock: Clock,
    ledger: Arc<Ledger>,
    runner: Runner<SqliteStore, Arc<Client>, Endpoints>,
    endpoints: Endpoints,
    /// Who works by the settings as they are, and is replaced with them.
    couriers: JoinSet<Result<(), StoreError>>,
    /// Tells those who work by older settings that others take over.
    retire: watch::Sender<bool>,
    tasks: JoinSet<CommandError>,
    changed: Arc<Notify>,
    terms: Arc<Terms>,
    clients: Clients,
    /// Ends the API when it is dropped.
    serving: Option<oneshot::Sender<Infallible>>,
    until_idle: bool,
    /// What stays as it is until the daemon is started again.
    fixed: (PathBuf, std::net::SocketAddr),
}

impl Daemon {
    /// Opens the store, the API and all that belongs to it.
    pub(super) async fn start(
        settings: DaemonSettings,
        until_idle: bool,
        clock: Clock,
    ) -> Result<Self, CommandError> {
        let server = Server::bind(settings.server.listen, settings.server.token.is_some()).await?;
        let store = SqliteStore::open(&settings.store).await?;
        let last = store.last_moment().await?;
        if let Some(last) = last.filter(|last| last.since(clock.now()) > FAR_AHEAD) {
            tracing::error!(store.last = %last, "the clock was set back: the daemon goes on from the store's last moment");
        }
        let clock = last.map_or(clock, |last| clock.not_before(last));

        let ledger = Arc::new(Ledger::new(Journal::default(), Arc::new(Metrics::new()), clock));
        let names: BTreeSet<_> = settings.accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        let opener = Opener { ledger: &ledger, clock };
        let accounts = opener.all(settings.accounts).await?;
        let endpoints = Endpoints::new(settings.endpoints, &ledger);
        ledger.metrics.set_accounts(&names);
        let clients = Clients::default();
        clients.replace(&accounts);
        let plan = plan(settings.policy, settings.concurrency, until_idle);
        let runner = Runner::new(store.clone(), accounts, plan, endpoints.clone(), clock);
        let mut daemon = Self {
            store,
            clock,
            ledger,
            runner,
            endpoints,
            couriers: JoinSet::new(),
            retire: watch::Sender::new(false),
            tasks: JoinSet::new(),
            changed: Arc::default(),
            terms: Arc::new(Terms::new(names.clone(), settings.server.token)),
            clients,
            serving: None,
            until_idle,
            fixed: (settings.store, settings.server.listen),
        };
        daemon.reconcile(settings.watches, &names).await?;
        daemon.hire(settings.keep_ended);
        daemon.serve(server);
        daemon.keep_house();
        Ok(daemon)
    }

    /// Works until it is asked to stop, or has nothing left to do.
    pub(super) async fn run(mut self, session: &mut Session) -> Result<ExitCode, CommandError> {
        let active = self.store.counts().await?.active;
        tell_systemd(&[sd_notify::NotifyState::Ready]);
        let reporting = report_health(Arc::clone(&self.ledger), self.clock);
        self.tasks.spawn(async move { match reporting.await {} });
        self.ledger.tell(&Event::DaemonStarted { watches: active });
        let reason = self.work(session).await;
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
        self.ledger.health.stop();
        let said = reason.as_ref().map_or("a failure", |stopped| stopped.reason);
        self.ledger.tell(&Event::DaemonStopping { reason: said });
        let (ledger, until_idle) = (Arc::clone(&self.ledger), self.until_idle);
        // What is not kept in time is done again at the next start.
        let ended = tokio::time::timeout(STOP_WITHIN, self.wind_up()).await;
        let signal = reason?.signal;
        match ended {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!("the store took too long to close, what it has kept is safe"),
        }
        Ok(match (until_idle, signal) {
            (false, _) => ExitCode::SUCCESS,
            (true, None) => ledger.deciding(),
            // It was to end when all is done, and that it is not.
            (true, Some(signal)) => ExitCode::of_signal(signal),
        })
    }

    /// Says why it has come to an end.
    async fn work(&mut self, session: &mut Session) -> Result<Stopping, CommandError> {
        loop {
            let asked = {
                let Self { runner, ledger, tasks, couriers, changed, until_idle, .. } = &mut *self;
                let asked = asked(tasks, couriers, changed, session);
                match runner.run(asked, *until_idle, &mut |event| ledger.hear(&event)).await? {
                    Stopped::Idle | Stopped::BrokenOff => None,
                    Stopped::Asked(asked) => Some(asked),
                }
            };
            let asked = match asked {
                Some(asked) => asked,
                None => match self.last_deliveries(session).await? {
                    Some(asked) => asked,
                    None => return Ok(Stopping { reason: "every watch has ended", signal: None }),
                },
            };
            match asked {
                Asked::Signal(Signal::Hangup) => self.reload(session).await,
                Asked::Signal(signal) => return Ok(Stopping { reason: signal.name(), signal: Some(signal) }),
                Asked::Changed => self.runner.look_again(),
                Asked::Failed(error) => return Err(error),
            }
        }
    }

    /// Waits until nothing is owed any more, but not for long: what is left is for the next start.
    async fn last_deliveries(&mut self, session: &mut Session) -> Result<Option<Asked>, CommandError> {
        let until = self.clock.now().plus(LAST_DELIVERIES);
        let settled = Arc::clone(&self.ledger.settled);
        loop {
            let settled = settled.notified();
            let owed_to = self.store.owed_endpoints().await?;
            if !owed_to.iter().any(|name| self.endpoints.has(name)) {
                // What the API has acknowledged is followed all the same.
                return Ok(self.changed.notified().now_or_never().map(|()| Asked::Changed));
            }
            tokio::select! {
                asked = asked(&mut self.tasks, &mut self.couriers, &self.changed, session) => {
                    return Ok(Some(asked));
                }
                () = settled => {}
                () = tokio::time::sleep(BEAT) => {
                    let now = self.clock.now();
                    self.store.beat(now).await?;
                    self.ledger.health.pass(now);
                }
                () = self.clock.sleep_until(until) => {
                    let pending = self.store.counts().await?.pending;
                    tracing::warn!(deliveries.pending = pending, "notifications stay in the outbox for the next start");
                    return Ok(None);
                }
            }
        }
    }

    /// Lets polls in flight end, keeps what they came to, and gives everything back.
    async fn wind_up(mut self) -> Result<(), CommandError> {
        drop(self.serving.take());
        self.couriers.shutdown().await;
        let ledger = Arc::clone(&self.ledger);
        let kept = self.runner.wind_up(GRACE, &mut |event| ledger.hear(&event)).await;
        self.tasks.shutdown().await;
        drop(self.runner);
        let closed = self.store.close().await;
        kept.and(closed).map_err(CommandError::from)
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
                bell: Arc::clone(&self.ledger.owing),
                retired: self.retire.subscribe(),
                tell: move |event: &Event<'_>| ledger.tell(event),
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
            health: Arc::clone(&self.ledger.health),
            metrics: Arc::clone(&self.ledger.metrics),
            terms: Arc::clone(&self.terms),
            clock: self.clock,
            changed: Arc::clone(&self.changed),
            tell: Arc::new(move |event: &Event<'_>| ledger.tell(event)),
        };
        self.tasks.spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            server.serve(service, stopped).await;
            std::future::pending().await
        });
    }

    fn keep_house(&mut self) {
        let minding = mind(self.clients.clone(), Arc::clone(&self.ledger), self.clock);
        self.tasks.spawn(async move { match minding.await {} });
        self.tasks.spawn(async move { match reap_orphans().await {} });
    }
}

/// The next thing that reaches the daemon.
async fn asked(
    tasks: &mut JoinSet<CommandError>,
    couriers: &mut JoinSet<Result<(), StoreError>>,
    changed: &Notify,
    session: &mut Session,
) -> Asked {
    loop {
        tokio::select! {
            signal = session.signals.next() => return Asked::Signal(signal),
            () = changed.notified() => return Asked::Changed,
            Some(failed) = tasks.join_next() => return Asked::Failed(or_panic(failed)),
            Some(done) = couriers.join_next() => {
                // Whoever is retired ends in peace.
                if let Err(error) = or_panic(done) {
                    return Asked::Failed(error.into());
                }
            }
        }
    }
}

/// A task that panicked takes the daemon with it: whoever restarts it finds everything in the store.
fn or_panic<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn plan(policy: Policy, concurrency: std::num::NonZeroUsize, until_idle: bool) -> Plan {
    let refusal = if until_idle { Refusal::EndsAccount } else { Refusal::PausesAccount };
    Plan { policy, concurrency, refusal, beat: Some(BEAT) }
}
