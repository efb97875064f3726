//! The thread in which the keeper works.
//!
//! `SQLite` calls block, and there is one writer anyway. So one thread with one connection does all the work, and event
//! loops never block.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::OpenError;
use super::keeper::{Keeper, Keeping};
use super::trouble::unreachable_file;
use crate::store::{Reply, StoreError};
use crate::text::Text;

/// How many jobs may wait.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Option<Keeper>) + Send>;

/// A handle to the thread. Clones share it. The thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    failed: watch::Receiver<Option<StoreError>>,
}

impl Thread {
    /// Starts the thread, which opens the file.
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        let (jobs, asked) = mpsc::channel(QUEUE);
        let (answer, opened) = oneshot::channel();
        let path: Arc<Path> = path.into();
        let own = Arc::clone(&path);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Keeper::open(&own) {
                Ok(keeper) => {
                    // If nobody receives this, the queue of jobs is closed too.
                    drop(answer.send(Ok(keeper.failed())));
                    serve(keeper, asked);
                }
                Err(error) => drop(answer.send(Err(error))),
            })
            .map_err(|error| unreachable_file(&path, &error))?;
        let failed = opened.await.unwrap_or_else(|_| Err(gone(&path).into()))?;
        Ok(Self { path, jobs, failed })
    }

    /// Ends the thread after all earlier jobs. Later jobs fail, because the store is closed.
    pub(super) fn close(&self) -> Reply<()> {
        self.ask(|keeper| keeper.take().map(Keeper::close))
    }

    /// Waits until a write has failed, and says why. Nothing is kept from then on.
    pub(super) async fn failure(self) -> StoreError {
        let mut failed = self.failed.clone();
        let failed = failed.wait_for(Option::is_some).await.map(|failed| failed.clone());
        match failed {
            Ok(failed) => failed.unwrap_or_else(|| gone(&self.path)),
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a job. If the keeper is gone, there is no answer.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Keeper>) -> Option<Result<T, StoreError>> + Send + 'static,
    ) -> Reply<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |keeper: &mut _| drop(work(keeper).map(|done| answer.send(done))));
        let Self { path, jobs, .. } = self.clone();
        Box::pin(async move {
            jobs.send(job).await.map_err(|_| gone(&path))?;
            answered.await.map_err(|_| gone(&path))?
        })
    }
}

impl Keeping for Thread {
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        self.ask(move |keeper| keeper.as_mut().map(work))
    }
}

/// Works until the keeper is closed, or the last handle is gone.
fn serve(keeper: Keeper, mut asked: mpsc::Receiver<Job>) {
    let mut keeper = Some(keeper);
    while keeper.is_some()
        && let Some(job) = asked.blocking_recv()
    {
        job(&mut keeper);
    }
    drop(keeper.map(Keeper::close));
}

fn gone(path: &Path) -> StoreError {
    let why = Text::new("it is closed, or its thread has panicked; start the daemon again");
    StoreError::Failed(Text::of_path(path).to_string(), why)
}
