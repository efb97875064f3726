//! The thread in which the keeper works, and how others ask it.
//!
//! `SQLite` blocks, and has one writer anyway: one thread with one connection does all that is asked, one thing after
//! the other, while nobody's event loop waits.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::OpenError;
use super::keeper::{Keeper, Keeping};
use super::trouble::unreachable_file;
use crate::store::{Reply, StoreError};
use crate::text::Text;

/// How many may ask at once before others wait to be heard.
const QUEUE: usize = 64;

enum Job {
    Work(Box<dyn FnOnce(&mut Keeper) + Send>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A handle to the thread; clones share it. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    failed: watch::Receiver<Option<StoreError>>,
}

impl Thread {
    /// Starts a thread that opens the file.
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        let (jobs, asked) = mpsc::channel(QUEUE);
        let (answer, opened) = oneshot::channel();
        let (failing, failed) = watch::channel(None);
        let path: Arc<Path> = path.into();
        let handle = Self { path: Arc::clone(&path), jobs, failed };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Keeper::open(&path) {
                Ok(keeper) => {
                    // Nobody to hear it is nobody to ask either: the queue is closed then.
                    drop(answer.send(Ok(())));
                    serve(keeper, asked, &failing);
                }
                Err(error) => drop(answer.send(Err(error))),
            })
            .map_err(|error| unreachable_file(&handle.path, &error))?;
        opened.await.unwrap_or_else(|_| Err(handle.gone().into()))?;
        Ok(handle)
    }

    /// Ends the thread once what was asked before is done. Whoever asks later hears that the store is closed.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        let (answer, closed) = oneshot::channel();
        self.jobs.send(Job::Close(answer)).await.map_err(|_| self.gone())?;
        closed.await.map_err(|_| self.gone())?
    }

    /// Waits until a write has failed, whoever asked for it, and says why: nothing is kept from then on.
    pub(super) async fn failure(self) -> StoreError {
        let mut failed = self.failed.clone();
        let failed = failed.wait_for(Option::is_some).await.map(|failed| failed.clone());
        match failed {
            Ok(failed) => failed.unwrap_or_else(|| self.gone()),
            Err(_) => std::future::pending().await,
        }
    }

    fn gone(&self) -> StoreError {
        let why = Text::new("it is closed, or its thread has panicked; start the daemon again");
        StoreError::Failed(Text::of_path(&self.path).to_string(), why)
    }
}

impl Keeping for Thread {
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Work(Box::new(move |keeper| drop(answer.send(work(keeper)))));
        let thread = self.clone();
        Box::pin(async move {
            thread.jobs.send(job).await.map_err(|_| thread.gone())?;
            answered.await.map_err(|_| thread.gone())?
        })
    }
}

fn serve(mut keeper: Keeper, mut asked: mpsc::Receiver<Job>, failing: &watch::Sender<Option<StoreError>>) {
    let last = loop {
        match asked.blocking_recv() {
            Some(Job::Work(work)) => {
                work(&mut keeper);
                failing.send_if_modified(|failed| {
                    let is_new = failed.is_none() && keeper.failure().is_some();
                    if is_new {
                        *failed = keeper.failure().cloned();
                    }
                    is_new
                });
            }
            Some(Job::Close(answer)) => break Some(answer),
            None => break None,
        }
    };
    let closed = keeper.close();
    drop(last.map(|answer| answer.send(closed)));
}
