//! Signals that ask the process to end, heard from the first instruction on: as PID 1 in a container a process
//! without handlers ignores them.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::watch::outcome::Signal;

/// Whether a hangup is no call to end: a daemon reads its settings again instead.
static HANGUP_IS_NO_END: AtomicBool = AtomicBool::new(false);

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

    /// From now on a hangup is no call to end.
    pub fn hangups_are_for_us(&self) {
        HANGUP_IS_NO_END.store(true, Ordering::Relaxed);
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
            signal = next_end(self) => Err(signal),
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
        let mut first = next_end(&mut signals).await;
        loop {
            let second = next_end(&mut signals).await;
            // A hangup that came before it was known whom it is for was no call to end either.
            if !is_reload(first) {
                return second;
            }
            first = second;
        }
    };
    builder.spawn(move || end(runtime.block_on(listen(listening))))?;
    Ok(())
}

/// The next signal that asks the process to end.
async fn next_end(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if !is_reload(signal) {
            return signal;
        }
    }
}

/// Whether a signal only asks for the settings to be read again.
fn is_reload(signal: Signal) -> bool {
    signal == Signal::Hangup && HANGUP_IS_NO_END.load(Ordering::Relaxed)
}
