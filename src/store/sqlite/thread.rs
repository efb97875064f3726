//! The thread that has the file, and how others ask it.
//!
//! `SQLite` blocks, and has one writer anyway: one thread with one connection does all that is asked, one thing after
//! the other, while nobody's event loop waits.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::OpenError;
use super::file::{self, Opened};
use super::schema::MIGRATIONS;
use super::state::State;
use super::trouble::{Fault, unreachable_file};
use crate::moment::Moment;
use crate::store::StoreError;
use crate::text::Text;

/// How many may ask at once before others wait to be heard.
const QUEUE: usize = 64;

/// How long to wait for another program that has the file locked while we have it open: `SQLite` counts milliseconds in an `i32`.
const FOR_EVER: Duration = Duration::from_millis(i32::MAX as u64);

/// What the thread has.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    conn: Connection,
    state: State,
    safety: Safety,
    /// What keeps other daemons away. It goes last, when the file is closed.
    lock: File,
}

/// What a transaction survives once it is kept. All survive the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// A power cut may take it back: due times, which only means that a watch is polled, or a delivery sent, once more.
    Process,
    /// A power cut takes nothing back, neither of it nor of what was kept before it.
    PowerCut,
}

enum Job {
    Work(Box<dyn FnOnce(&mut Keeper) + Send>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A handle to the thread; clones share it. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Handle {
    /// Starts a thread that opens the file.
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        let (jobs, asked) = mpsc::channel(QUEUE);
        let (answer, opened) = oneshot::channel();
        let handle = Self { path: path.to_owned(), jobs };
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Keeper::open(&path) {
                Ok(keeper) => {
                    // Nobody to hear it is nobody to ask either: the queue is closed then.
                    drop(answer.send(Ok(())));
                    keeper.serve(asked);
                }
                Err(error) => drop(answer.send(Err(error))),
            })
            .map_err(|error| unreachable_file(&handle.path, &error))?;
        opened.await.unwrap_or_else(|_| Err(handle.gone().into()))?;
        Ok(handle)
    }

    /// Lets the thread do `work`, and waits for what comes of it. Whoever no longer waits does not stop the work.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Work(Box::new(move |keeper| drop(answer.send(work(keeper)))));
        self.jobs.send(job).await.map_err(|_| self.gone())?;
        answered.await.map_err(|_| self.gone())?
    }

    /// [`Keeper::write`] in the thread.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(move |keeper| keeper.write(safety, work)).await
    }

    /// [`Keeper::read`] in the thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(move |keeper| keeper.read(work)).await
    }

    /// Ends the thread once what was asked before is done. Whoever asks later hears that the store is closed.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        let (answer, closed) = oneshot::channel();
        self.jobs.send(Job::Close(answer)).await.map_err(|_| self.gone())?;
        closed.await.map_err(|_| self.gone())?
    }

    fn gone(&self) -> StoreError {
        let why = Text::new("it is closed, or its thread has panicked; start the daemon again");
        StoreError::Failed(self.path.display().to_string(), why)
    }
}

impl Keeper {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let Opened { path, conn, lock } = file::open(path, MIGRATIONS)?;
        let state = State::read(&conn).map_err(|fault| fault.of_store(&path))?;
        // Whoever has it locked will let it go. Meanwhile nothing is lost, and `/readyz` says that it does not answer.
        conn.busy_timeout(FOR_EVER).map_err(|error| Fault::from(error).of_store(&path))?;
        Ok(Self { path, conn, state, safety: Safety::PowerCut, lock })
    }

    fn serve(mut self, mut asked: mpsc::Receiver<Job>) {
        let last = loop {
            match asked.blocking_recv() {
                Some(Job::Work(work)) => work(&mut self),
                Some(Job::Close(answer)) => break Some(answer),
                None => break None,
            }
        };
        let closed = self.close();
        drop(last.map(|answer| answer.send(closed)));
    }

    /// Writes the log back into the file, and gives the file free.
    fn close(self) -> Result<(), StoreError> {
        let Self { path, conn, lock, .. } = self;
        // What is not written back now is at the next start.
        let _ = conn.busy_timeout(Duration::from_secs(1));
        let written = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        let closed = written.and(conn.close().map_err(|(_, error)| error));
        drop(lock);
        closed.map_err(|error| Fault::from(error).of_store(&path))
    }

    /// The latest moment that is written in the file.
    pub(super) const fn last(&self) -> Option<Moment> {
        self.state.last
    }

    /// One transaction: all of it is kept when this returns, or none of it is, here and in memory.
    pub(super) fn write<T>(
        &mut self,
        safety: Safety,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let set = self.set(safety);
        let done = set.and_then(|()| self.transact(TransactionBehavior::Immediate, work));
        done.map_err(|fault| fault.of_store(&self.path))
    }

    /// The like, of one that changes nothing in the file.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transact(TransactionBehavior::Deferred, work).map_err(|fault| fault.of_store(&self.path))
    }

    fn transact<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut state = self.state.clone();
        let tx = self.conn.transaction_with_behavior(behavior)?;
        let done = work(&tx, &mut state)?;
        tx.commit()?;
        self.state = state;
        Ok(done)
    }

    /// The log is written through to the disk after each transaction, or when it is written back.
    fn set(&mut self, safety: Safety) -> Result<(), Fault> {
        if self.safety != safety {
            let word = match safety {
                Safety::Process => "normal",
                Safety::PowerCut => "full",
            };
            self.conn.pragma_update(None, "synchronous", word)?;
            self.safety = safety;
        }
        Ok(())
    }
}
