//! Standard output for data, standard error for people and logs, each written by a thread of its own: a slow reader blocks
//! nobody here.
//!
//! If too many log lines wait, further ones are dropped and counted, and the number is logged as soon as there is room; data
//! and the last lines are never dropped. The order between the two streams is kept, unless one of them is stuck.

mod line;
mod writer;

use std::fs::File;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

pub use self::line::ProgressLine;
use self::line::{Bar, Drawing};
use self::writer::{Piece, Shared, Sink, State, Stream, Which};

/// How many bytes of the log may wait.
const MAX_WAITING: usize = 4 << 20;

/// How many bytes are written at once at most.
const CHUNK: usize = 4096;

/// How long the process waits at its end for a reader of standard error that reads nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the process waits for readers after a signal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why data was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// The system refused.
    Failed(io::Error),
    /// Nobody read it in time.
    Unread,
}

/// The places to write to; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Output(Arc<Shared>);

impl Output {
    /// Standard output and standard error.
    ///
    /// # Errors
    ///
    /// When they cannot be had.
    pub fn start() -> io::Result<Self> {
        let data = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let words = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let is_shown = data.is_terminal();
        Ok(Self::over(Box::new(data), Box::new(words), is_shown))
    }

    fn over(data: Box<dyn Write + Send>, words: Box<dyn Write + Send>, data_is_shown: bool) -> Self {
        let stream = |sink| Stream { sink: Some(Sink(sink)), ..Stream::default() };
        let state = State {
            data: stream(data),
            words: stream(words),
            next: 0,
            waiting: 0,
            lost: 0,
            is_given_up: false,
            drawing: None,
            failure: None,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            written: Notify::new(),
            bar: Bar::default(),
            data_is_shown,
        }))
    }

    /// Writes a line of the log to standard error; it is dropped if too many wait.
    pub fn log(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        // Once one is lost, the next one is the one that says so.
        if state.lost > 0 || state.waiting + bytes.len() > MAX_WAITING {
            state.lost += 1;
            return;
        }
        self.push(state, Which::Words, bytes, bytes.len());
    }

    /// Writes to standard error what must not be dropped.
    pub fn say(&self, bytes: &[u8]) {
        self.push(self.0.lock(), Which::Words, bytes, 0);
    }

    /// Writes to standard output.
    pub fn data(&self, bytes: &[u8]) {
        self.push(self.0.lock(), Which::Data, bytes, 0);
    }

    /// Takes what went wrong with standard output, if anything did. That its reader has gone away is nothing that
    /// went wrong: it has read enough.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        self.0.lock().failure.take()
    }

    /// Redraws or removes the progress line. A drawing that is replaced before it was shown is skipped.
    fn draw(&self, drawing: Option<Drawing>) {
        let mut state = self.0.lock();
        state.drawing = Some(drawing);
        self.wake(state, Which::Words);
    }

    fn push(&self, mut state: MutexGuard<'_, State>, which: Which, bytes: &[u8], log: usize) {
        let number = state.next;
        state.waiting += log;
        let stream = state.stream(which);
        match stream.queue.back_mut() {
            // Nothing was said on the other one since.
            Some(last) if last.number + 1 == number && last.bytes.len() + bytes.len() <= CHUNK => {
                last.bytes.extend_from_slice(bytes);
                last.log += log;
            }
            _ => {
                stream.queue.push_back(Piece { number, bytes: bytes.to_vec(), log });
                state.next += 1;
            }
        }
        self.wake(state, which);
    }

    /// Wakes the threads, and starts that of `which` if it does not run yet.
    fn wake(&self, mut state: MutexGuard<'_, State>, which: Which) {
        self.0.changed.notify_all();
        if state.stream(which).sink.is_none() {
            return;
        }
        let shared = Arc::clone(&self.0);
        let builder = std::thread::Builder::new().name("output".to_owned()).stack_size(256 * 1024);
        if let Err(error) = builder.spawn(move || shared.serve(which)) {
            state.failure.get_or_insert(error);
        }
    }

    /// Waits until all is written; but no longer than a second after `hurry`, and not for a reader of standard error who
    /// reads nothing.
    ///
    /// # Errors
    ///
    /// When data was not written.
    pub async fn flush(&self, hurry: impl Future) -> Result<(), Unwritten> {
        let mut out_of_time = std::pin::pin!(async {
            hurry.await;
            tokio::time::sleep(LAST_WORDS).await;
        });
        let is_data_written = loop {
            let written = self.0.written.notified();
            let (is_data_done, is_done) = {
                let state = self.0.lock();
                let is_data_done = state.data.first().is_none() || state.failure.is_some();
                let is_drawn = state.drawing.is_none() && state.lost == 0;
                let are_words_done = state.is_given_up || (is_drawn && state.words.first().is_none());
                (is_data_done, is_data_done && are_words_done)
            };
            if is_done {
                break true;
            }
            tokio::select! {
                biased;
                () = written => {}
                () = &mut out_of_time => break is_data_done,
                () = tokio::time::sleep(SILENCE), if is_data_done => {
                    self.0.lock().is_given_up = true;
                    break true;
                }
            }
        };
        match self.failure() {
            Some(error) => Err(Unwritten::Failed(error)),
            None if !is_data_written => Err(Unwritten::Unread),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
