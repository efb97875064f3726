//! The threads that write, and their shared state.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::MAX_WAITING;
use super::line::{Bar, Drawing};

/// How long one stream waits for the other to write earlier output.
const ORDER_TIME: Duration = Duration::from_millis(200);

/// The pause between attempts to write to a non-blocking pipe, as Node.js makes them.
const TRY_AGAIN_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Notifies the threads of each change.
    pub(super) changed: Condvar,
    /// Notifies those who wait for the threads.
    pub(super) written: Notify,
    pub(super) bar: Bar,
    /// Whether data goes to a terminal too, so that the progress line has to be hidden.
    pub(super) data_is_shown: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) data: Stream,
    pub(super) words: Stream,
    /// What is written next gets this number.
    pub(super) next: u64,
    /// How much of the log waits.
    pub(super) waiting: usize,
    /// How many lines were dropped since the last line that said so.
    pub(super) lost: u64,
    /// Whether standard error was waited for in full, and has not moved since.
    pub(super) is_given_up: bool,
    /// What the progress line is to show.
    pub(super) drawing: Option<Option<Drawing>>,
    pub(super) failure: Option<io::Error>,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) queue: VecDeque<Piece>,
    /// The number of what is being written.
    pub(super) writing: Option<u64>,
    /// It has not written for so long that the other stream does not wait for it.
    pub(super) is_stuck: bool,
    /// Where to write, until there is a thread that does.
    pub(super) sink: Option<Sink>,
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    /// How many of these bytes are of the log.
    pub(super) log: usize,
}

pub(super) struct Sink(pub(super) Box<dyn Write + Send>);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Data,
    Words,
}

impl Stream {
    /// The number of the first thing that it has not written.
    pub(super) fn first(&self) -> Option<u64> {
        self.writing.or_else(|| self.queue.front().map(|piece| piece.number))
    }
}

impl State {
    pub(super) const fn stream(&mut self, which: Which) -> &mut Stream {
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

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what there is to write on one of the two, for ever.
    pub(super) fn serve(&self, which: Which) {
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
            // A reader that is gone is not an error.
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

    /// Lets the other stream write earlier output first, unless it is stuck.
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
pub(super) fn write_all(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
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
