//! Signals that ask the process to end, heard from the first instruction on: as PID 1 in a container a process
//! without handlers ignores them.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::watch::outcome::Signal;

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// Runs `work` unless a signal comes first.
    ///
    /// # Errors
    ///
    /// The signal, if one comes first.
    pub async fn unless_interrupted<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Signal> {
        tokio::select! {
            biased;
            signal = self.next() => Err(signal),
            done = work => Ok(done),
        }
    }
}

/// Calls `end` at the second signal, from a thread of its own: whoever is asked twice may be stuck where no signal
/// is looked at, such as in writing to a pipe that nobody reads.
///
/// # Errors
///
/// When there can be no such thread.
pub fn on_second(end: impl FnOnce(Signal) + Send + 'static) -> io::Result<()> {
    // All that this thread does is to wait.
    let builder = std::thread::Builder::new().name("second-signal".to_owned()).stack_size(256 * 1024);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listening = {
        let _context = runtime.enter();
        Signals::listen()?
    };
    let listen = async move |mut signals: Signals| {
        signals.next().await;
        signals.next().await
    };
    builder.spawn(move || end(runtime.block_on(listen(listening))))?;
    Ok(())
}
