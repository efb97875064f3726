//! Signals: one thread receives them, from the start of the process on, and remembers what they ask for.
//!
//! No signal is lost: code that looks later still finds it. The thread receives signals while the main thread is busy, and as
//! PID 1, where a process without handlers ignores them.

use std::future::Future;
use std::io;

use futures_util::FutureExt as _;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::watch::outcome::Signal;
use crate::{platform, process};

/// What the signals so far ask for.
#[derive(Debug, Default)]
struct Asked {
    /// The first signal that asks to end.
    end: Option<Signal>,
    /// Whether to reload the settings.
    reload: bool,
    /// Whether SIGHUP means to reload, and not to end.
    hangup_reloads: bool,
}

impl Asked {
    /// Records a signal. Returns whether it is the second one that asks to end.
    fn take_in(&mut self, signal: Signal) -> bool {
        if signal == Signal::Hangup && self.hangup_reloads {
            self.reload = true;
            return false;
        }
        if self.end.is_none() {
            self.end = Some(signal);
            return false;
        }
        // A terminal that closes sends SIGHUP, and then its shell does.
        signal != Signal::Hangup
    }

    fn reload_on_hangup(&mut self) {
        self.hangup_reloads = true;
        self.reload |= self.end.take_if(|signal| *signal == Signal::Hangup).is_some();
    }
}

/// The signals of this process. Clones share their state.
#[derive(Debug, Clone)]
pub struct Signals {
    asked: watch::Sender<Asked>,
    looks: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Signals {
    /// Starts to listen. SIGHUP and SIGINT stay ignored if they were when the process started (`nohup`, background jobs of a
    /// shell), here and in a command that replaces this process.
    ///
    /// A second signal that asks to end kills the commands that run, and calls `end_at_once` on the thread that listens: other threads may be stuck.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler or a thread.
    pub fn listen(end_at_once: impl FnOnce(Signal) + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut listener = {
            let _context = runtime.enter();
            Listener::start()?
        };
        let asked = watch::Sender::new(Asked::default());
        let (looks, mut looked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        let told = asked.clone();
        let take_in = move |signal| {
            let mut is_second = false;
            told.send_modify(|asked| is_second = asked.take_in(signal));
            is_second.then_some(signal)
        };
        let listen = async move {
            loop {
                let second = tokio::select! {
                    signal = listener.next() => take_in(signal),
                    Some(answer) = looked.recv() => {
                        // After this, tokio has seen all signals that came earlier.
                        tokio::task::yield_now().await;
                        let come = std::iter::from_fn(|| listener.next().now_or_never());
                        let second = come.filter_map(&take_in).last();
                        // The caller may be gone.
                        let _ = answer.send(());
                        second
                    }
                };
                if let Some(second) = second {
                    return second;
                }
            }
        };
        // It only waits, and needs a small stack.
        let builder = std::thread::Builder::new().name("signals".to_owned()).stack_size(256 * 1024);
        builder.spawn(move || {
            let second = runtime.block_on(listen);
            process::kill_groups();
            end_at_once(second);
        })?;
        Ok(Self { asked, looks })
    }

    /// From now on SIGHUP means to reload, also one that has arrived already.
    pub fn reload_on_hangup(&self) {
        self.asked.send_modify(Asked::reload_on_hangup);
    }

    /// The signal that asks to end, if there is one.
    #[must_use]
    pub fn end(&self) -> Option<Signal> {
        self.asked.borrow().end
    }

    /// Like [`Signals::end`], and also finds a signal that has just arrived. It is the last look before something that cannot be
    /// undone.
    pub async fn look(&self) -> Option<Signal> {
        let (answer, answered) = oneshot::channel();
        if self.looks.send(answer).is_ok() {
            // The thread ends only when the process does.
            let _ = answered.await;
        }
        self.end()
    }

    /// Waits for a signal that asks to end. Returns at once if there was one.
    pub async fn ended(&self) -> Signal {
        let mut asked = self.asked.subscribe();
        let end = asked.wait_for(|asked| asked.end.is_some()).await.ok().and_then(|asked| asked.end);
        match end {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// Waits for a signal that asks to reload, and clears it.
    pub async fn reload(&self) {
        let mut asked = self.asked.subscribe();
        // It cannot fail: `self` has the sender.
        drop(asked.wait_for(|asked| asked.reload).await);
        self.asked.send_modify(|asked| asked.reload = false);
    }

    /// Runs `work` until it is done or a signal asks to end.
    ///
    /// # Errors
    ///
    /// The signal.
    pub async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        tokio::select! {
            biased;
            signal = self.ended() => Err(signal),
            done = work => Ok(done),
        }
    }
}

/// The signals that are listened to.
struct Listener {
    hangup: Option<Stream>,
    interrupt: Option<Stream>,
    terminate: Option<Stream>,
    /// Without a handler, a write beyond `ulimit -f` would end the process. So it fails with an error.
    _file_size: Option<Stream>,
}

impl Listener {
    fn start() -> io::Result<Self> {
        let listen = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        let terminate = Some(listen(Number::TERM)?);
        let ignored = platform::ignored_signals();
        let unless_ignored = |number: Number| {
            let is_ignored = ignored & (1 << (number.as_raw() - 1)) != 0;
            (!is_ignored).then(|| listen(number)).transpose()
        };
        Ok(Self {
            hangup: unless_ignored(Number::HUP)?,
            interrupt: unless_ignored(Number::INT)?,
            terminate,
            _file_size: unless_ignored(Number::XFSZ)?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            () = next(&mut self.hangup) => Signal::Hangup,
            () = next(&mut self.interrupt) => Signal::Interrupt,
            () = next(&mut self.terminate) => Signal::Terminate,
        }
    }
}

async fn next(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => drop(stream.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Signal::{Hangup, Interrupt, Terminate};

    #[test]
    fn the_first_signal_counts_and_a_second_one_ends_at_once() {
        let rows: [(&[Signal], Signal, bool); 6] = [
            (&[Terminate], Terminate, false),
            (&[Terminate, Terminate], Terminate, true),
            (&[Interrupt, Terminate], Interrupt, true),
            (&[Hangup, Hangup], Hangup, false),
            (&[Terminate, Hangup], Terminate, false),
            (&[Hangup, Interrupt], Hangup, true),
        ];
        for (signals, first, ends_at_once) in rows {
            let mut asked = Asked::default();
            let is_second = signals.iter().map(|signal| asked.take_in(*signal)).last();
            assert_eq!((asked.end, is_second), (Some(first), Some(ends_at_once)), "{signals:?}");
        }
    }

    #[test]
    fn a_hangup_before_reload_on_hangup_reloads_too() {
        let mut asked = Asked::default();
        asked.take_in(Hangup);
        asked.reload_on_hangup();
        assert_eq!((asked.end, std::mem::take(&mut asked.reload)), (None, true));
        assert!(!asked.take_in(Hangup) && asked.reload && asked.end.is_none());
        assert!(!asked.take_in(Terminate) && asked.end == Some(Terminate));
        assert!(!asked.take_in(Hangup), "it is not a second signal to end");
    }
}
