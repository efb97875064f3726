//! Signals: one thread hears them, from the first instruction on, and keeps what they ask for.
//!
//! What was asked stays asked: whoever looks later finds it too, so that no signal is lost because nobody was looking at
//! that moment. The thread hears signals while the main thread is busy, and as PID 1, where a process without handlers
//! ignores them.

use std::future::Future;
use std::io;

use futures_util::FutureExt as _;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::watch::outcome::Signal;

/// What signals have asked for so far.
#[derive(Debug, Default)]
struct Asked {
    /// To end: the first signal that did.
    end: Option<Signal>,
    /// To read the settings again, since that was last done.
    reload: bool,
    /// Whether a hangup asks for the settings to be read again, and not to end.
    hangup_reloads: bool,
}

impl Asked {
    /// Takes a signal in. Says whether it asks to end a second time.
    fn take_in(&mut self, signal: Signal) -> bool {
        if signal == Signal::Hangup && self.hangup_reloads {
            self.reload = true;
            return false;
        }
        if self.end.is_none() {
            self.end = Some(signal);
            return false;
        }
        // A terminal that goes away hangs up, and then its shell does.
        signal != Signal::Hangup
    }

    fn reload_on_hangup(&mut self) {
        self.hangup_reloads = true;
        self.reload |= self.end.take_if(|signal| *signal == Signal::Hangup).is_some();
    }
}

/// What signals ask of this process. Clones see the same.
#[derive(Debug, Clone)]
pub struct Signals {
    asked: watch::Sender<Asked>,
    looks: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Signals {
    /// Listens from now on. A hangup or interrupt that was ignored when the process began stays ignored, here and in a
    /// command that takes our place: whoever started us wants it so (`nohup`, a shell's background jobs).
    ///
    /// A second signal that asks to end calls `end_at_once`, from the thread that listens: the rest of the process may be
    /// stuck.
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
                        // The system has told of what came before this by the time that this task goes on.
                        tokio::task::yield_now().await;
                        let come = std::iter::from_fn(|| listener.next().now_or_never());
                        let second = come.filter_map(&take_in).last();
                        // Whoever has asked may be gone.
                        let _ = answer.send(());
                        second
                    }
                };
                if let Some(second) = second {
                    return second;
                }
            }
        };
        // All that this thread does is to wait.
        let builder = std::thread::Builder::new().name("signals".to_owned()).stack_size(256 * 1024);
        builder.spawn(move || end_at_once(runtime.block_on(listen)))?;
        Ok(Self { asked, looks })
    }

    /// A hangup asks for the settings to be read again; one that has come already, too.
    pub fn reload_on_hangup(&self) {
        self.asked.send_modify(Asked::reload_on_hangup);
    }

    /// The signal that has asked to end, if one has.
    #[must_use]
    pub fn end(&self) -> Option<Signal> {
        self.asked.borrow().end
    }

    /// As [`Signals::end`], for the last look before something that cannot be taken back: a signal that has just arrived
    /// counts too.
    pub async fn look(&self) -> Option<Signal> {
        let (answer, answered) = oneshot::channel();
        if self.looks.send(answer).is_ok() {
            // The thread ends only when the process does.
            let _ = answered.await;
        }
        self.end()
    }

    /// Waits for a signal that asks to end; one that has come before counts.
    pub async fn ended(&self) -> Signal {
        let mut asked = self.asked.subscribe();
        let end = asked.wait_for(|asked| asked.end.is_some()).await.ok().and_then(|asked| asked.end);
        match end {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// Waits until the settings are to be read again, and takes that as done.
    pub async fn reload(&self) {
        let mut asked = self.asked.subscribe();
        // It cannot fail, since the other end is here.
        drop(asked.wait_for(|asked| asked.reload).await);
        self.asked.send_modify(|asked| asked.reload = false);
    }

    /// Runs `work` unless a signal asks to end first.
    ///
    /// # Errors
    ///
    /// The signal, if one comes first.
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
    /// Listened to so that it does not end the process: a write beyond `ulimit -f` fails, and says so.
    _file_size: Option<Stream>,
}

impl Listener {
    fn start() -> io::Result<Self> {
        let listen = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        let terminate = Some(listen(Number::TERM)?);
        let ignored = ignored();
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

/// The signals that this process ignores, one bit each. Linux says so in a file; elsewhere none is taken for ignored,
/// since no safe call tells.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    use Signal::{Hangup, Interrupt, Terminate};

    #[test]
    fn the_first_call_to_end_stays_and_a_second_one_is_told() {
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
    fn a_daemon_reloads_on_a_hangup_that_came_before_it_said_so() {
        let mut asked = Asked::default();
        asked.take_in(Hangup);
        asked.reload_on_hangup();
        assert_eq!((asked.end, std::mem::take(&mut asked.reload)), (None, true));
        assert!(!asked.take_in(Hangup) && asked.reload && asked.end.is_none());
        assert!(!asked.take_in(Terminate) && asked.end == Some(Terminate));
        assert!(!asked.take_in(Hangup), "it is no second call to end");
    }
}
