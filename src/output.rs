//! Standard output for data, standard error for people and logs, each written by a thread of its own: nobody here waits
//! for those who read them.
//!
//! Lines of the log that find too many others waiting are lost, and their number is told as soon as there is room; data
//! and last words are never lost, only late. What was said first is written first, on whichever of the two, unless the
//! other one is stuck.

mod line;

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use self::line::ProgressLine;
use self::line::{Bar, Drawing};

/// How much of the log may wait for its readers, in bytes.
const MAX_WAITING: usize = 4 << 20;

/// How much is written in one go, in bytes: what waits is put together until then.
const CHUNK: usize = 4096;

/// How long one of the two waits for the other to write what was said before.
const ORDER_TIME: Duration = Duration::from_millis(200);

/// How long a reader of standard error may read nothing before the end is not held up for it any more.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the end may be held up for readers once a signal has asked for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is tried again to write to what somebody else has made non-blocking, as Node.js does with its pipes.
const TRY_AGAIN_EVERY: Duration = Duration::from_millis(10);

/// Why data was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// The system refused.
    Failed(io::Error),
    /// Nobody has read it, and there was no more time.
    Unread,
}

/// The places to write to; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Output(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Rings for the threads at each change.
    changed: Condvar,
    /// Rings for those who wait for the threads.
    written: Notify,
    bar: Bar,
    /// Whether data goes to a terminal too, where the progress line has to make way.
    data_is_shown: bool,
}

#[derive(Debug)]
struct State {
    data: Stream,
    words: Stream,
    /// What is written next gets this number.
    next: u64,
    /// How much of the log waits.
    waiting: usize,
    /// How many lines of it were lost, and are not told of yet.
    lost: u64,
    /// Whether standard error was waited for in full, and has not moved since.
    is_given_up: bool,
    /// What the progress line is to show.
    drawing: Option<Option<Drawing>>,
    failure: Option<io::Error>,
}

#[derive(Debug, Default)]
struct Stream {
    queue: VecDeque<Piece>,
    /// The number of what is being written.
    writing: Option<u64>,
    /// It has written nothing for so long that the other one does not wait for it.
    is_stuck: bool,
    /// Where to write, until there is a thread that does.
    sink: Option<Sink>,
}

#[derive(Debug)]
struct Piece {
    number: u64,
    bytes: Vec<u8>,
    /// How many of these bytes are of the log.
    log: usize,
}

struct Sink(Box<dyn Write + Send>);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Data,
    Words,
}

impl Stream {
    /// The number of the first thing that it has not written.
    fn first(&self) -> Option<u64> {
        self.writing.or_else(|| self.queue.front().map(|piece| piece.number))
    }
}

impl State {
    const fn stream(&mut self, which: Which) -> &mut Stream {
        match which {
            Which::Data => &mut self.data,
            Which::Words => &mut self.words,
        }
    }

    /// Whether `which` has something to write, and the other one nothing that was said before.
    fn may_write(&self, which: Which) -> bool {
        let (ours, others) = match which {
            Which::Data => (&self.data, &self.words),
            Which::Words => (&self.words, &self.data),
        };
        let Some(first) = ours.queue.front() else { return false };
        others.is_stuck || others.first().is_none_or(|other| other > first.number)
    }
}

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

    /// Writes a line of the log to standard error; it is lost if too many wait.
    pub fn log(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        // Once one is lost, the next one is the one that says so.
        if state.lost > 0 || state.waiting + bytes.len() > MAX_WAITING {
            state.lost += 1;
            return;
        }
        self.push(state, Which::Words, bytes, bytes.len());
    }

    /// Writes to standard error what must not be lost.
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

    /// Draws the progress line anew, or takes it away. What is not drawn by the next time is passed over.
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

    /// Tells the threads of what there is to do, and starts that of `which` at the first time.
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what there is to write on one of the two, for ever.
    fn serve(&self, which: Which) {
        let mut state = self.lock();
        // Another thread may have been quicker.
        let Some(Sink(mut sink)) = state.stream(which).sink.take() else { return };
        loop {
            if state.may_write(which) {
                state = self.write(which, &mut sink, state);
            } else if let Some(drawing) = state.drawing.take_if(|_| which == Which::Words) {
                let number = state.next;
                state.words.writing = Some(number);
                drop(state);
                self.bar.draw(drawing);
                state = self.done(which);
            } else if which == Which::Words && state.lost > 0 && state.waiting <= MAX_WAITING / 2 {
                let (lost, number) = (std::mem::take(&mut state.lost), state.next);
                state.words.writing = Some(number);
                drop(state);
                tell_of_lost(lost);
                state = self.done(which);
            } else if state.stream(which).queue.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state = self.wait_for_the_other(which, state);
            }
        }
    }

    fn write<'a>(
        &'a self,
        which: Which,
        sink: &mut impl Write,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let Some(Piece { number, bytes, log }) = state.stream(which).queue.pop_front() else { return state };
        state.stream(which).writing = Some(number);
        drop(state);
        let written = match which {
            Which::Data if !self.data_is_shown => write_all(sink, &bytes),
            Which::Data | Which::Words => self.bar.aside(|| write_all(sink, &bytes)),
        };
        let mut state = self.done(which);
        state.waiting -= log;
        match written {
            Err(error) if which == Which::Data && error.kind() != ErrorKind::BrokenPipe => {
                state.failure.get_or_insert(error);
            }
            // That nobody listens any more is no trouble of ours.
            Ok(()) | Err(_) => {}
        }
        state
    }

    fn done(&self, which: Which) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let stream = state.stream(which);
        (stream.writing, stream.is_stuck) = (None, false);
        state.is_given_up &= which == Which::Data;
        self.changed.notify_all();
        self.written.notify_waiters();
        state
    }

    /// Lets the other one write what was said before, unless it is stuck.
    fn wait_for_the_other<'a>(
        &'a self,
        which: Which,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let other = if which == Which::Data { Which::Words } else { Which::Data };
        let first = state.stream(other).first();
        let is_the_same = |state: &mut State| state.stream(other).first() == first;
        let waited = self.changed.wait_timeout_while(state, ORDER_TIME, is_the_same);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stream(other).is_stuck |= waited.timed_out();
        state
    }
}

fn tell_of_lost(lost: u64) {
    match lost {
        1 => tracing::warn!(lines.lost = lost, "1 line was lost: nobody read it"),
        _ => tracing::warn!(lines.lost = lost, "{lost} lines were lost: nobody read them"),
    }
}

/// Writes all, and waits where somebody else has made the file non-blocking.
fn write_all(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(TRY_AGAIN_EVERY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
