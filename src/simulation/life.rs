//! The lives of a daemon: what happens to it, from its start to its end, and again.

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::ledger::Ledger;
use super::post::Ear;
use super::scene::{Mode, rng};
use super::script::{Asked, Script};
use super::store::{Disk, InFile, Kept};
use super::world::{Asker, World, export, name};
use crate::event::Event;
use crate::runner::courier::Courier;
use crate::runner::{Account, Plan, Refusal, Runner, Stopped};
use crate::store::{Added, Filter, MemoryStore, NewWatch, StoreError};
use crate::watch::Watch;

/// How long polls that are under way may take when the daemon stops, and how long all of stopping may.
const GRACE: Duration = Duration::from_secs(6);
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// How often the runner makes a pass at least.
const BEAT: Duration = Duration::from_secs(5);

/// How long it takes until a daemon that has failed is started again.
const RESTART: Duration = Duration::from_secs(5);

/// How long notifications may take once every watch has ended, where the daemon ends then.
const LAST_DELIVERIES: Duration = Duration::from_secs(5 * 60);

type Running = Runner<Disk, Asker, Ledger>;
type Couriers = FuturesUnordered<Pin<Box<dyn Future<Output = Result<(), StoreError>>>>>;

/// How a life ends, and how long it takes until the next.
enum Left {
    Again(Duration),
    Over,
}

/// All lives, one after the other.
pub(super) async fn lives(world: &Rc<World>, mut script: Script) {
    let folder = match world.scene.mode {
        Mode::Daemon { in_file: true, .. } => Some(folder()),
        _ => None,
    };
    let memory = MemoryStore::default();
    let path = |file: u32| folder.as_ref().map(|folder| folder.path().join(format!("{file}/watches.db")));
    let mut number = 0;
    loop {
        let kept = match path(number) {
            None => Kept::Memory(memory.clone()),
            Some(path) => match InFile::open(&path) {
                Ok(file) => Kept::File(file),
                Err(why) => return world.violate(|| format!("the store cannot be opened: {why}")),
            },
        };
        let disk = Disk::new(world, kept.clone());
        let store = tokio::task::LocalSet::new();
        let left = stepping(world, store.run_until(live(world, &disk, &mut script))).await;
        drop(store);
        world.life_ends();
        let doom = world.doom.take();
        let down = match (left, doom) {
            (Some(Left::Over), _) => break,
            (Some(Left::Again(down)), _) => down,
            (None, doom) => {
                let doom = doom.unwrap_or_default();
                if let (Kept::File(file), Some(next)) = (&kept, path(number + 1)) {
                    crash(world, file, &next, doom.is_power_cut);
                    number += 1;
                }
                doom.down_for
            }
        };
        if world.violation().is_some() {
            break;
        }
        drop((disk, kept));
        tokio::time::sleep(down).await;
    }
    world.is_over();
    if let (Some(path), None) = (path(number), world.violation()) {
        in_the_file(world, &path).await;
    }
}

fn crash(world: &World, file: &InFile, next: &Path, is_power_cut: bool) {
    world.note([10, u64::from(is_power_cut), 0], || {
        (if is_power_cut { "the machine loses power" } else { "the daemon is killed" }).to_owned()
    });
    let folder = next.parent().map_or_else(PathBuf::new, Path::to_owned);
    let crashed = std::fs::create_dir(folder).and_then(|()| file.crash(next, is_power_cut));
    match crashed {
        Ok(true) => world.is_taken_back(),
        Ok(false) => {}
        Err(error) => panic!("the simulation's own files: {error}"),
    }
}

/// In memory, where there is such a place.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.unwrap_or_else(|error| panic!("the simulation's own files: {error}"))
}

/// What is in the file in the end is what is known.
async fn in_the_file(world: &Rc<World>, path: &Path) {
    let opened = InFile::open(path);
    let Ok(file) = opened else {
        return world.violate(|| "the store cannot be opened in the end".to_owned());
    };
    let listed = file.sqlite.list(Filter { limit: usize::MAX, ..Filter::default() }).await;
    match listed {
        Ok(Some(listed)) => world.must_be_listed(&listed),
        Ok(None) | Err(_) => world.violate(|| "the store cannot be read in the end".to_owned()),
    }
}

/// A life, step by step; nothing if the process dies.
async fn stepping<T>(world: &World, life: impl Future<Output = T>) -> Option<T> {
    let mut life = pin!(life);
    std::future::poll_fn(|cx| {
        if world.violation().is_some() || world.dies() {
            return Poll::Ready(None);
        }
        let step = life.as_mut().poll(cx).map(Some);
        world.steps();
        // Whoever is doomed takes the rest of its steps even if nothing is left to do.
        if world.doom.get().is_some() {
            cx.waker().wake_by_ref();
        }
        step
    })
    .await
}

/// One life, from the start of the process to its end.
async fn live(world: &Rc<World>, disk: &Disk, script: &mut Script) -> Left {
    let last = match &disk.kept {
        Kept::File(file) => file.sqlite.last_moment().await.ok().flatten(),
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
    let mut runner = Runner::new(disk.clone(), accounts(world), plan(world), ledger.clone(), clock)
        .with_rng(rng(world.scene.seed, "runner", number));
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
    world: &Rc<World>,
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
                world.is_reloaded(&ledger.health);
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

/// The next thing that reaches the daemon; a courier only if it fails.
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

/// Waits until nothing is owed any more, but not for long.
async fn last_deliveries(world: &World, couriers: &mut Couriers, ledger: &Ledger) -> Result<(), StoreError> {
    let settled = async {
        loop {
            let settled = ledger.settled.notified();
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
#[expect(clippy::arc_with_non_send_sync, reason = "couriers share their endpoints as the daemon's do")]
fn couriers(world: &Rc<World>, disk: &Disk, ledger: &Ledger, retire: &watch::Sender<bool>) -> Couriers {
    let couriers = FuturesUnordered::new();
    for endpoint in world.scene.endpoints.iter().filter(|_| matches!(disk.kept, Kept::File(_))) {
        let (id, name, heard) = (endpoint.id, super::post::name(endpoint.id), ledger.clone());
        let courier = Courier {
            store: disk.clone(),
            endpoint: Arc::new(Ear { world: Rc::clone(world), id, name, takes: endpoint.takes }),
            clock: world.clock.get(),
            bell: Arc::clone(&ledger.owing),
            retired: retire.subscribe(),
            tell: move |event: &Event| {
                let _ = heard.hear(event, false);
            },
        };
        let rng = rng(world.scene.seed, "courier", id);
        couriers.push(Box::pin(async move { courier.run(rng).await }) as Pin<Box<_>>);
    }
    couriers
}

/// Makes the watches of the settings those of this list.
async fn reconcile(world: &Rc<World>, disk: &Disk, settings: Vec<usize>) -> Result<(), StoreError> {
    let now = world.now();
    let Kept::File(file) = disk.kept.clone() else {
        let known = world.known();
        for watch in settings.into_iter().filter(|watch| !known.contains(watch)) {
            add(world, disk, watch).await?;
        }
        return Ok(());
    };
    let listed: Vec<_> = settings.iter().map(|watch| new_watch(world, *watch)).collect();
    // Those that are new take an id each, in the order of the list.
    let known = world.known();
    let mut new = settings.into_iter().filter(move |watch| !known.contains(watch)).map(watch_id);
    let id = move || new.next().unwrap_or_else(uuid::Uuid::nil);
    let world = Rc::clone(world);
    disk.call(async move {
        world.is_reconciled(&file.sqlite.reconcile(listed, id, now).await?);
        Ok(())
    })
    .await
}

/// Takes a watch on, as the API does.
pub(super) async fn add(world: &Rc<World>, disk: &Disk, watch: usize) -> Result<(), StoreError> {
    let (new, now) = (new_watch(world, watch), world.now());
    match disk.kept.clone() {
        Kept::Memory(memory) => {
            let watch = Watch { account: new.account, ..Watch::unnamed(new.export, now) };
            let taken_on = memory.take_on(watch, now);
            taken_on.iter().for_each(|watch| world.is_added(watch));
            Ok(())
        }
        Kept::File(file) => {
            let world = Rc::clone(world);
            disk.call(async move {
                if let Added::New(watch) = file.sqlite.add(new, watch_id(watch), now).await? {
                    world.is_added(&watch);
                }
                Ok(())
            })
            .await
        }
    }
}

/// Gives a watch up, as the API does.
pub(super) async fn cancel(world: &Rc<World>, disk: &Disk, watch: usize) -> Result<(), StoreError> {
    let Kept::File(file) = disk.kept.clone() else { return Ok(()) };
    let world = Rc::clone(world);
    disk.call(async move {
        file.sqlite.remove(watch_id(watch)).await?;
        world.is_cancelled(watch);
        Ok(())
    })
    .await
}

pub(super) fn watch_id(watch: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x5eed_0000 + watch as u128)
}

fn new_watch(world: &World, watch: usize) -> NewWatch {
    let account = world.state.borrow().watches[watch].account;
    NewWatch { account: name(account).into(), export: export(watch), labels: Default::default() }
}

fn accounts(world: &Rc<World>) -> Vec<Account<Asker>> {
    let state = world.state.borrow();
    let there = state.accounts.iter().enumerate().filter(|(_, account)| account.is_there);
    there
        .map(|(id, account)| Account {
            name: name(id).into(),
            poller: Asker { world: Rc::clone(world), account: id },
            requests_per_minute: std::num::NonZeroU32::new(account.rate).filter(|_| !world.is_wait()),
        })
        .collect()
}

fn plan(world: &World) -> Plan {
    let limits = world.state.borrow().limits;
    let refusal = match world.scene.mode {
        Mode::Wait { .. } => Refusal::EachForItself,
        Mode::Daemon { until_idle: true, .. } => Refusal::EndsAccount,
        Mode::Daemon { .. } => Refusal::PausesAccount,
    };
    Plan {
        policy: limits.policy(world.is_wait()),
        concurrency: std::num::NonZeroUsize::new(limits.concurrency).unwrap_or(std::num::NonZeroUsize::MIN),
        refusal,
        beat: (!world.is_wait()).then_some(BEAT),
    }
}
