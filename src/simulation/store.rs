//! The stores of the program, without their threads, on a disk that may be slow, locked or full, or lose power.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinSet;

use super::bounds::{self, PASSES_AT_ONCE};
use super::checks::Noted;
use super::invent::rng;
use super::scene::What;
use super::world::World;
use crate::fixtures::cells::Cell;
use crate::moment::Moment;
use crate::store::{
    AccountNews, Keeper, Keeping, MemoryStore, Pass, Passed, Queue, Reply, SqliteStore, StoreError,
};
use crate::text::Text;

/// Runs the store's work at once, in the caller.
#[derive(Debug, Clone)]
pub(super) struct Inline(Arc<Mutex<Option<Keeper>>>);

impl Keeping for Inline {
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let done = self.get().as_mut().map_or_else(|| Err(failure("it is closed")), work);
        Box::pin(std::future::ready(done))
    }
}

impl Inline {
    fn get(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.0.lock().unwrap()
    }
}

/// The store of a life.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Memory(MemoryStore),
    File(Arc<InFile>),
}

#[derive(Debug)]
pub(super) struct InFile {
    pub(super) sqlite: SqliteStore<Inline>,
    keeper: Inline,
    path: PathBuf,
    /// How much of the write-ahead log is synced.
    written: Cell<Option<Log>>,
}

/// A position in the write-ahead log: which log, and how many pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Log {
    salt: [u8; 8],
    pages: u32,
}

/// The store as the runner and the couriers use it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) world: Arc<World>,
    pub(super) kept: Kept,
    /// One call after the other.
    turn: Arc<tokio::sync::Mutex<u64>>,
    /// How many passes began at one moment.
    at_once: Arc<Cell<(Duration, u64)>>,
}

fn failure(why: &str) -> StoreError {
    StoreError::Failed("watches.db".to_owned(), Text::new(why))
}

fn or_panic<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

impl InFile {
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, String> {
        let keeper = Keeper::open(path).map_err(|error| error.to_string())?;
        let keeper = Inline(Arc::new(Mutex::new(Some(keeper))));
        let sqlite = SqliteStore::over(keeper.clone());
        let file = Self { sqlite, keeper, path: path.to_owned(), written: Cell::default() };
        file.written.set(file.log());
        Ok(Arc::new(file))
    }

    /// The latest moment that is written in the file.
    pub(super) fn last_moment(&self) -> Option<Moment> {
        self.keeper.get().as_ref().and_then(Keeper::last)
    }

    /// Closes the file.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let keeper = self.keeper.get().take();
        keeper.map_or(Ok(()), Keeper::close)
    }

    /// Copies what is on the disk after a kill or a power cut to another place. A power cut loses what was not synced.
    /// Returns whether it lost anything.
    pub(super) fn crash(&self, to: &Path, is_power_cut: bool) -> std::io::Result<bool> {
        let log = |path: &Path| path.with_file_name("watches.db-wal");
        std::fs::copy(&self.path, to)?;
        std::fs::copy(log(&self.path), log(to))?;
        let (written, now) = (self.written.get(), self.log());
        let is_same = written.zip(now).is_some_and(|(written, now)| written.salt == now.salt);
        if let Some(written) = written.filter(|_| is_power_cut && is_same) {
            const HEADER: u64 = 32;
            const PAGE: u64 = 24 + 2048;
            let file = std::fs::File::options().write(true).open(log(to))?;
            let length = file.metadata()?.len();
            file.set_len(length.min(HEADER + u64::from(written.pages) * PAGE))?;
        }
        *self.keeper.get() = None;
        Ok(is_power_cut && is_same)
    }

    /// The end of the log, from its index.
    fn log(&self) -> Option<Log> {
        let mut head = [0; 40];
        let mut file = std::fs::File::open(self.path.with_file_name("watches.db-shm")).ok()?;
        std::io::Read::read_exact(&mut file, &mut head).ok()?;
        let pages = u32::from_ne_bytes(head[16..20].try_into().ok()?);
        Some(Log { salt: head[32..40].try_into().ok()?, pages })
    }

    /// How many watches and how many deliveries are claimed.
    fn claims(&self) -> (usize, usize) {
        self.keeper.get().as_ref().map(Keeper::claims).unwrap_or_default()
    }

    /// Whether endpoints have been notified that the credential of an account is refused.
    fn is_refused(&self, account: &str) -> bool {
        let works = AccountNews { account: account.into(), is_refused: false, deliveries: Vec::new() };
        self.keeper.get().as_ref().is_some_and(|keeper| keeper.is_news(&works))
    }

    /// Whether the last transaction was synced. If so, records the end of the log.
    pub(super) fn is_written_through(&self) -> bool {
        let is_so = self.keeper.get().as_ref().is_some_and(Keeper::survives_power_cuts);
        if is_so {
            self.written.set(self.log());
        }
        is_so
    }
}

impl Disk {
    pub(super) fn new(world: &Arc<World>, kept: Kept) -> Self {
        Self { world: Arc::clone(world), kept, turn: Arc::default(), at_once: Arc::default() }
    }

    /// A call, and the time that it takes. A caller that stops waiting does not stop the work on a file, as in a thread of
    /// its own.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + 'static,
    ) -> Reply<T> {
        let disk = self.clone();
        if matches!(self.kept, Kept::Memory(_)) {
            let mut working = JoinSet::new();
            working.spawn_local(async move { disk.slow(work).await });
            return Box::pin(async move { or_panic(working.join_next().await.unwrap()) });
        }
        let working = tokio::task::spawn_local(async move { disk.in_turn(work).await });
        Box::pin(async move { or_panic(working.await) })
    }

    async fn in_turn<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut turn = self.turn.lock().await;
        *turn += 1;
        let mut rng = rng(self.world.scene.seed, "disk", *turn as usize);
        let spent = Duration::from_millis(rng.u64(0..=3));
        let before = spent.mul_f64(f64::from(rng.u8(0..=1)));
        tokio::time::sleep(before).await;
        let fails = match self.trouble() {
            Some((What::StoreIsSlow(by), _)) => {
                tokio::time::sleep(by).await;
                None
            }
            Some((What::StoreIsLocked, until)) => {
                self.world.note([7, 0, 0], || "the store is locked by another program".to_owned());
                tokio::time::sleep(until.saturating_sub(self.world.elapsed())).await;
                None
            }
            Some((What::StoreFails { keeps }, _)) if rng.u8(0..3) == 0 => Some(keeps),
            _ => None,
        };
        if fails == Some(false) {
            return self.fail();
        }
        let done = work.await;
        if let Kept::File(file) = &self.kept
            && file.is_written_through()
        {
            self.world.is_written_through();
        }
        tokio::time::sleep(spent - before).await;
        if fails == Some(true) { self.fail() } else { done }
    }

    async fn slow<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if let Some((What::StoreIsSlow(by), _)) = self.trouble() {
            tokio::time::sleep(by).await;
        }
        work.await
    }

    fn fail<T>(&self) -> Result<T, StoreError> {
        self.world.note([8, 0, 0], || "the store fails".to_owned());
        Err(failure("disk I/O error"))
    }

    fn trouble(&self) -> Option<(What, Duration)> {
        let now = self.world.elapsed();
        let mut troubles = self.world.scene.troubles.iter();
        let found = troubles.find(|trouble| {
            let is_meant =
                matches!(trouble.what, What::StoreIsSlow(_) | What::StoreIsLocked | What::StoreFails { .. });
            is_meant && (trouble.at..trouble.until).contains(&now)
        });
        found.map(|trouble| (trouble.what, trouble.until))
    }

    /// Checks that the number of claims is bounded, for any number of watches and any life time.
    pub(super) fn must_be_small(&self) {
        let Kept::File(file) = &self.kept else { return };
        let (watches, deliveries) = file.claims();
        let scene = &self.world.scene;
        let most = bounds::claims(scene.accounts.len(), scene.endpoints.len());
        if watches > most.0 || deliveries > most.1 {
            self.world.violate(|| {
                format!("{watches} watches and {deliveries} deliveries are claimed (at most {most:?})")
            });
        }
    }

    /// Panics if the runner spins: it makes too many passes at one moment.
    fn count_pass(&self) {
        let now = self.world.elapsed();
        let (at, count) = self.at_once.get();
        let count = if at == now { count + 1 } else { 1 };
        self.at_once.set((now, count));
        assert!(count < PASSES_AT_ONCE, "{count} passes at one moment: the runner spins");
    }

    async fn pass_now(self, pass: Pass) -> Result<Passed, StoreError> {
        let noted: Vec<_> = pass.records.iter().map(Noted::of).collect();
        let owed = super::post::owed(&pass, |account| match &self.kept {
            Kept::Memory(_) => false,
            Kept::File(file) => file.is_refused(account),
        });
        let passed = match &self.kept {
            Kept::Memory(memory) => memory.pass(pass).await?,
            Kept::File(file) => file.sqlite.pass(pass).await?,
        };
        self.world.kept(&noted, &passed.kept);
        self.world.owes(owed, &passed.kept);
        Ok(passed)
    }
}

impl Queue for Disk {
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        self.count_pass();
        self.call(self.clone().pass_now(pass))
    }
}
