//! A life of the daemon, from the start of the process to its end: what `daemon` does, around the same runner and the same
//! couriers.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::asker::Asker;
use super::invent::rng;
use super::ledger::Ledger;
use super::post::Ear;
use super::requests::reconcile;
use super::scene::Mode;
use super::script::{Asked, Script};
use super::store::{Disk, Kept};
use super::world::{World, name};
use crate::daemon::courier::{Courier, UnderWay};
use crate::event::Event;
use crate::runner::{Account, Plan, Runner, Stopped};
use crate::store::StoreError;
use crate::watch::Refusal;

/// How long polls may go on when the daemon stops, and how long stopping may take in all.
const GRACE: Duration = Duration::from_secs(6);
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// How long it takes until a failed daemon is started again.
const RESTART: Duration = Duration::from_secs(5);

/// How long notifications may take after the last watch has ended, with `--until-idle`.
const LAST_DELIVERIES: Duration = Duration::from_secs(5 * 60);

type Running = Runner<Disk, Asker, Ledger>;
type Couriers = FuturesUnordered<Pin<Box<dyn Future<Output = Result<(), StoreError>>>>>;

/// How a life ends, and how long it takes until the next.
pub(super) enum Left {
    Again(Duration),
    Over,
}

/// One life, from the start of the process to its end.
pub(super) async fn live(world: &Arc<World>, disk: &Disk, script: &mut Script) -> Left {
    let last = match &disk.kept {
        Kept::File(file) => file.last_moment(),
        Kept::Memory(_) => None,
    };
    let ledger = world.life_begins(last);
    let settings = world.of_settings();
    if let Err(error) = reconcile(world, disk, settings).await {
        return failed(world, &error);
    }
    let clock = world.clock.get();
    let number = world.state.borrow().life as usize;
    let retire = watch::Sender::new(false);
    let mut couriers = couriers(world, disk, &ledger, &retire);
    let rng = rng(world.scene.seed, "runner", number);
    let mut runner = Runner::new(disk.clone(), accounts(world), plan(world), ledger.clone(), clock, rng);
    let left = work(world, disk, script, (&mut runner, &mut couriers), &ledger).await;
    let any = matches!(world.scene.mode, Mode::Wait { any: true });
    if !world.is_wait() {
        let mut tell = |event: &Event| ledger.hear(event, any);
        retire.send_replace(true);
        let delivering = tokio::time::timeout(GRACE, async { while couriers.next().await.is_some() {} });
        let winding_up = async { tokio::join!(delivering, runner.wind_up(GRACE, &mut tell)) };
        let ended = tokio::time::timeout(STOP_WITHIN, winding_up).await;
        drop((runner, couriers));
        match ended {
            Ok((_, Ok(()))) if left.is_ok() => world.has_told_all(),
            Ok(_) => {}
            Err(_) => world.has_ended_late(),
        }
        if let Kept::File(file) = &disk.kept
            && let Err(error) = file.close()
        {
            return failed(world, &error);
        }
    }
    left.unwrap_or_else(|error| failed(world, &error))
}

fn failed(world: &World, error: &StoreError) -> Left {
    world.note([11, 0, 0], || format!("the daemon fails: {error}"));
    Left::Again(RESTART)
}

/// Works until it is asked to stop, or has nothing left to do.
async fn work(
    world: &Arc<World>,
    disk: &Disk,
    script: &mut Script,
    (runner, couriers): (&mut Running, &mut Couriers),
    ledger: &Ledger,
) -> Result<Left, StoreError> {
    let any = matches!(world.scene.mode, Mode::Wait { any: true });
    let mut tell = |event: &Event| ledger.hear(event, any);
    loop {
        let asked = asked(script.next(world, disk, ledger), couriers);
        match runner.run(asked, world.until_idle(), &mut tell).await? {
            // What the API has acknowledged is followed all the same.
            Stopped::Idle if world.changed.take() => runner.look_again(),
            Stopped::Idle => {
                world.is_idle();
                last_deliveries(world, couriers, ledger).await?;
                return Ok(Left::Over);
            }
            Stopped::BrokenOff => {
                world.is_broken_off();
                return Ok(Left::Over);
            }
            Stopped::Asked(Ok(Asked::Changed)) => {
                world.changed.set(false);
                runner.look_again();
            }
            Stopped::Asked(Ok(Asked::Reload(reload))) => {
                let settings = world.reload(reload);
                reconcile(world, disk, settings).await?;
                runner.change(accounts(world), plan(world), ledger.clone());
                runner.look_again();
                world.is_reloaded(&ledger.bells.health);
            }
            Stopped::Asked(Ok(Asked::Terminate(down))) => {
                world.note([12, 0, 0], || "SIGTERM".to_owned());
                return Ok(if world.is_wait() { Left::Over } else { Left::Again(down) });
            }
            Stopped::Asked(Ok(Asked::Over)) => return Ok(Left::Over),
            Stopped::Asked(Err(error)) => return Err(error),
        }
    }
}

/// The next request from outside, or the error of a courier.
async fn asked(
    happening: impl Future<Output = Result<Asked, StoreError>>,
    couriers: &mut Couriers,
) -> Result<Asked, StoreError> {
    let mut happening = pin!(happening);
    loop {
        tokio::select! {
            biased;
            asked = &mut happening => return asked,
            Some(done) = couriers.next() => done?,
        }
    }
}

/// Waits until all notifications are settled, for a limited time.
async fn last_deliveries(world: &World, couriers: &mut Couriers, ledger: &Ledger) -> Result<(), StoreError> {
    let settled = async {
        loop {
            let settled = ledger.bells.settled.notified();
            if world.post.borrow().is_settled() {
                return Ok(Asked::Over);
            }
            settled.await;
        }
    };
    match tokio::time::timeout(LAST_DELIVERIES, asked(settled, couriers)).await {
        Ok(settled) => settled.map(drop),
        Err(_) => Ok(()),
    }
}

/// A courier for each endpoint.
fn couriers(world: &Arc<World>, disk: &Disk, ledger: &Ledger, retire: &watch::Sender<bool>) -> Couriers {
    let couriers = FuturesUnordered::new();
    for endpoint in world.scene.endpoints.iter().filter(|_| matches!(disk.kept, Kept::File(_))) {
        let (id, name, heard) = (endpoint.id, super::post::name(endpoint.id), ledger.clone());
        let courier = Courier {
            store: Arc::new(disk.clone()),
            endpoint: Arc::new(Ear { world: Arc::clone(world), id, name, takes: endpoint.takes }),
            clock: world.clock.get(),
            bell: Arc::clone(&ledger.bells.owing),
            retired: retire.subscribe(),
            under_way: UnderWay::default(),
            tell: move |event: &Event| {
                let _ = heard.hear(event, false);
            },
        };
        let rng = rng(world.scene.seed, "courier", id);
        couriers.push(Box::pin(async move { courier.run(rng).await }) as Pin<Box<_>>);
    }
    couriers
}

fn accounts(world: &Arc<World>) -> Vec<Account<Asker>> {
    let state = world.state.borrow();
    let there = state.accounts.iter().enumerate().filter(|(_, account)| account.is_there);
    there
        .map(|(id, account)| Account {
            name: name(id).into(),
            poller: Asker::new(world, id),
            requests_per_minute: std::num::NonZeroU32::new(account.rate).filter(|_| !world.is_wait()),
        })
        .collect()
}

fn plan(world: &World) -> Plan {
    let limits = world.state.borrow().limits;
    let mut policy = limits.policy(world.is_wait());
    if matches!(world.scene.mode, Mode::Daemon { until_idle: true, .. }) {
        policy.refusal = Refusal::EndsAccount;
    }
    Plan {
        policy,
        concurrency: std::num::NonZeroUsize::new(limits.concurrency).unwrap_or(std::num::NonZeroUsize::MIN),
        beat: (!world.is_wait()).then_some(world.scene.beat),
    }
}
