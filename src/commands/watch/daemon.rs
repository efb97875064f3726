//! The daemon: a store, a runner over it, couriers for what is owed, an API, and how all of them begin and end.

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
use crate::server::{Agreed, Server, ServerError, Service, Terms};
use crate::settings::daemon::{DaemonSettings, ServerSettings};
use crate::snyk::Client;
use crate::store::{Quota, SqliteStore, StoreError};
use crate::watch::Policy;
use crate::watch::outcome::Signal;

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

/// What can reach the daemon from outside.
enum Asked {
    /// To end.
    End(Signal),
    /// To read the settings again.
    Reload,
    /// The store was changed through the API.
    Changed,
    /// Something that should never end has failed.
    Failed(CommandError),
}

/// Why the daemon stops.
struct Stopping {
    reason: String,
    signal: Option<Signal>,
    /// Whether watches are left that nobody can poll.
    is_incomplete: bool,
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
    /// How many watches had not ended at the start.
    active: u64,
    /// What stays as it is until the daemon is started again.
    fixed: (PathBuf, SocketAddr, Option<SocketAddr>),
}

impl Daemon {
    /// Opens the store, the API and all that belongs to it.
    pub(super) async fn start(
        settings: DaemonSettings,
        until_idle: bool,
        clock: Clock,
    ) -> Result<Self, CommandError> {
        let server = bind(&settings.server).await?;
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
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        let agreed = Agreed { accounts: names.clone(), tokens: settings.server.tokens, quota };
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
            terms: Arc::new(Terms::new(agreed)),
            clients,
            serving: None,
            until_idle,
            active: 0,
            fixed: (settings.store, settings.server.listen, settings.server.metrics_listen),
        };
        daemon.reconcile(settings.watches, &names).await?;
        daemon.active = daemon.store.counts().await?.active;
        daemon.hire(settings.keep_ended);
        daemon.serve(server);
        daemon.keep_house();
        Ok(daemon)
    }

    /// Works until it is asked to stop, or has nothing left to do.
    pub(super) async fn run(mut self, session: &Session) -> Result<ExitCode, CommandError> {
        tell_systemd(sd_notify::NotifyState::Ready).await;
        let reporting = report_health(Arc::clone(&self.ledger), self.clock);
        self.tasks.spawn(async move { match reporting.await {} });
        self.ledger.tell(&Event::DaemonStarted { watches: self.active });
        let reason = self.work(session).await;
        tell_systemd(sd_notify::NotifyState::Stopping).await;
        self.ledger.health.stop();
        let said = reason.as_ref().map_or_else(|_| "a failure".to_owned(), |stopped| stopped.reason.clone());
        self.ledger.tell(&Event::DaemonStopping { reason: said });
        let (ledger, until_idle) = (Arc::clone(&self.ledger), self.until_idle);
        // What is not kept in time is done again at the next start.
        let ended = tokio::time::timeout(STOP_WITHIN, self.wind_up()).await;
        let Stopping { signal, is_incomplete, .. } = reason?;
        match ended {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!("the store took too long to close, what it has kept is safe"),
        }
        Ok(match (until_idle, signal) {
            (false, _) => ExitCode::SUCCESS,
            (true, None) if is_incomplete => ExitCode::deciding([ledger.deciding(), ExitCode::IN_PROGRESS]),
            (true, None) => ledger.deciding(),
            // It was to end when all is done, and that it is not.
            (true, Some(signal)) => ExitCode::of_signal(signal),
        })
    }

    /// Says why it has come to an end.
    async fn work(&mut self, session: &Session) -> Result<Stopping, CommandError> {
        loop {
            let asked = match self.follow(session, self.until_idle).await? {
                Some(asked) => asked,
                None => match self.last_deliveries(session).await? {
                    Some(asked) => asked,
                    None => return self.idle().await,
                },
            };
            match asked {
                Asked::End(signal) => {
                    let (reason, signal) = (signal.name().to_owned(), Some(signal));
                    return Ok(Stopping { reason, signal, is_incomplete: false });
                }
                // Where the daemon is to end meanwhile, that is what is asked next.
                Asked::Reload => {
                    let _ = session.signals.unless_interrupted(self.reload(session)).await;
                }
                Asked::Changed => self.runner.look_again(),
                Asked::Failed(error) => return Err(error),
            }
        }
    }

    /// Why it stops where all is done that can be done.
    async fn idle(&self) -> Result<Stopping, CommandError> {
        let left = self.orphaned(&self.terms.accounts()).await?;
        let names: Vec<_> = left.iter().map(|(account, _)| account.as_str()).collect();
        let reason = match names.is_empty() {
            true => "every watch has ended".to_owned(),
            false => {
                format!("the settings have no account for the watches that are left: {}", names.join(", "))
            }
        };
        Ok(Stopping { reason, signal: None, is_incomplete: !names.is_empty() })
    }

    /// Follows the watches until something reaches the daemon, or, if it is to end then, until every watch has ended.
    async fn follow(&mut self, session: &Session, until_idle: bool) -> Result<Option<Asked>, CommandError> {
        let Self { runner, ledger, tasks, couriers, changed, .. } = &mut *self;
        let asked = asked(tasks, couriers, changed, session);
        Ok(match runner.run(asked, until_idle, &mut |event| ledger.hear(event)).await? {
            Stopped::Idle | Stopped::BrokenOff => None,
            Stopped::Asked(asked) => Some(asked),
        })
    }

    /// Waits until nothing is owed any more, but not for long: what is left is for the next start. The runner goes on, so
    /// that all can see that it does.
    async fn last_deliveries(&mut self, session: &Session) -> Result<Option<Asked>, CommandError> {
        let (store, clock, changed) = (self.store.clone(), self.clock, Arc::clone(&self.changed));
        let settled = settled(store.clone(), self.endpoints.clone(), Arc::clone(&self.ledger));
        let is_settled = tokio::select! {
            settled = settled => settled.map(|()| true)?,
            () = clock.sleep_until(clock.now().plus(LAST_DELIVERIES)) => false,
            asked = self.follow(session, false) => return asked,
        };
        if !is_settled {
            let pending = store.counts().await?.pending;
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
    async fn wind_up(mut self) -> Result<(), CommandError> {
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
        kept.and(delivered.unwrap_or(Ok(()))).and(closed).map_err(CommandError::from)
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
            health: Arc::clone(&self.ledger.health),
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

    fn keep_house(&mut self) {
        let minding = mind(self.clients.clone(), Arc::clone(&self.ledger), self.clock);
        self.tasks.spawn(async move { match minding.await {} });
        self.tasks.spawn(async move { match reap_orphans().await {} });
    }
}

/// Takes the addresses that the settings name.
pub(super) async fn bind(settings: &ServerSettings) -> Result<Server, ServerError> {
    let server = Server::bind(settings.listen, !settings.tokens.is_empty()).await?;
    server.with_metrics(settings.metrics_listen).await
}

/// The next thing that reaches the daemon.
async fn asked(
    tasks: &mut JoinSet<CommandError>,
    couriers: &mut JoinSet<Result<(), StoreError>>,
    changed: &Notify,
    session: &Session,
) -> Asked {
    loop {
        tokio::select! {
            signal = session.signals.ended() => return Asked::End(signal),
            () = session.signals.reload() => return Asked::Reload,
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

/// All have ended, or one has failed.
async fn all_done(tasks: &mut JoinSet<Result<(), StoreError>>) -> Result<(), StoreError> {
    while let Some(done) = tasks.join_next().await {
        or_panic(done)?;
    }
    Ok(())
}

/// Nothing is owed any more to endpoints that there are.
async fn settled(store: SqliteStore, endpoints: Endpoints, ledger: Arc<Ledger>) -> Result<(), StoreError> {
    loop {
        let settled = ledger.settled.notified();
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

fn plan(policy: Policy, concurrency: std::num::NonZeroUsize, until_idle: bool) -> Plan {
    let refusal = if until_idle { Refusal::EndsAccount } else { Refusal::PausesAccount };
    Plan { policy, concurrency, refusal, beat: Some(BEAT) }
}
