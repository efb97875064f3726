//! Tells a dead man's switch that a command starts, and how it ended. That never changes the exit code.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::console::LastWords;
use super::{CommandError, aside};
use crate::cli::Command;
use crate::exit::ExitCode;
use crate::notify::{Ping, Sign};
use crate::settings::{Settings, SettingsError};
use crate::signals::Signals;
use crate::text::Text;

/// How long all of the last pings may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the last ping waits for the first one, so that they arrive in this order.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a healthy daemon is said to be so.
const BEAT: Duration = Duration::from_secs(60);

/// The switch of a command.
pub(super) struct Pinging {
    ping: Arc<Ping>,
    words: LastWords,
    start: Mutex<Option<JoinHandle<()>>>,
    /// Whether the switch has heard anything. It hears no end without that.
    has_begun: AtomicBool,
}

impl Pinging {
    /// The switch of this command, if it has one. `words` is what people have read at the end.
    pub(super) async fn of(
        command: &Command,
        settings: &Arc<Settings>,
        words: LastWords,
        signals: &Signals,
    ) -> Result<Option<Arc<Self>>, CommandError> {
        let is_daemon = matches!(command, Command::Watch(args) if args.runs());
        if !is_daemon && !matches!(command, Command::Run(_) | Command::Wait(_)) {
            return Ok(None);
        }
        let settings = Arc::clone(settings);
        // It reads files.
        let make = move || {
            let Some(url) = settings.ping()? else { return Ok(None) };
            let network = settings.network()?;
            let network = if is_daemon { network.with_threads() } else { network };
            Ping::new(url, &network)
                .map(Some)
                .map_err(|error| SettingsError::Contradiction(Text::new(&error.to_string())))
        };
        let ping = aside(signals, make).await??;
        Ok(ping.map(|ping| {
            let (start, has_begun) = (Mutex::default(), AtomicBool::default());
            Arc::new(Self { ping: Arc::new(ping), words, start, has_begun })
        }))
    }

    /// Says that the command starts. The command goes on meanwhile.
    pub(super) fn start(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        let ping = Arc::clone(&self.ping);
        let start = tokio::spawn(async move {
            let sent = ping.send(Sign::Start, "started\n").await;
            sent.unwrap_or_else(|problem| warn(&problem));
        });
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
    }

    /// Says how the command ended, if it has begun. This takes a few seconds at most.
    pub(super) async fn end(&self, code: ExitCode) {
        if !self.has_begun.load(Ordering::Relaxed) {
            return;
        }
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sending = async {
            if let Some(mut start) = start {
                let waited = tokio::time::timeout(PATIENCE, &mut start).await;
                waited.map_or_else(|_| start.abort(), drop);
            }
            let sign = match code.code() {
                0 => Sign::Success,
                code => Sign::Failure(code),
            };
            self.ping.send(sign, &self.words.body(code)).await
        };
        let slow = |_| Err(Text::new("no answer in time"));
        let sent = tokio::time::timeout(LIMIT, sending).await.unwrap_or_else(slow);
        sent.unwrap_or_else(|problem| warn(&problem));
    }

    /// Says once a minute that a daemon is healthy, while it is.
    pub(super) async fn beat(self: Arc<Self>, is_alive: impl Fn() -> bool) -> Infallible {
        self.has_begun.store(true, Ordering::Relaxed);
        beat(is_alive, || self.ping.send(Sign::Success, "healthy\n")).await
    }
}

/// Sends once a minute. Only the first failure of several in a row is a warning.
async fn beat<F: Future<Output = Result<(), Text>>>(
    is_alive: impl Fn() -> bool,
    send: impl Fn() -> F,
) -> Infallible {
    let mut has_failed = false;
    let mut minutes = tokio::time::interval(BEAT);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        if !is_alive() {
            continue;
        }
        let sent = send().await;
        if let Some(problem) = sent.as_ref().err().filter(|_| !has_failed) {
            warn(problem);
        }
        has_failed = sent.is_err();
    }
}

fn warn(problem: &Text) {
    tracing::warn!(reason = %problem, "the ping failed");
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_healthy_daemon_pings_at_once_and_once_a_minute() {
        let (clock, sent, asked) = (Clock::start(), RefCell::new(Vec::new()), Cell::new(0));
        let is_alive = || {
            asked.set(asked.get() + 1);
            asked.get() != 3
        };
        let send = async || {
            sent.borrow_mut().push(clock.elapsed().as_secs());
            Err(Text::new("no answer"))
        };
        let _ = tokio::time::timeout(Duration::from_secs(250), beat(is_alive, send)).await;
        assert_eq!(*sent.borrow(), [0, 60, 180, 240]);
    }
}
