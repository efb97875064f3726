//! Duties of a process: it notifies systemd, if that started it, reaps orphans, if it is PID 1, and leaves no command behind.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sd_notify::NotifyState;

use crate::platform;

/// The process groups of the commands that run.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Remembers a group, to be killed if this process has to end at once.
pub(crate) fn group_started(group: Pid) {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(group);
}

/// Forgets a group: its number may become that of another.
pub(crate) fn group_ended(group: Pid) {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != group);
}

/// Kills all groups: this process ends now.
pub(crate) fn kill_groups() {
    for group in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // It fails only if the group has gone by itself.
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// As PID 1 of a container, reaps orphans: a process that a command left behind becomes our child, and would stay in the
/// process table. Never returns.
///
/// The code that started one of our own children waits for it. So only a process that is found dead twice is reaped.
pub(crate) async fn reap_orphans() -> Infallible {
    const EVERY: Duration = Duration::from_secs(5);
    if std::process::id() != 1 {
        return std::future::pending().await;
    }
    let mut dead_before = BTreeSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let dead = tokio::task::spawn_blocking(platform::dead_children).await.unwrap_or_default();
        for id in dead.intersection(&dead_before) {
            if let Some(id) = rustix::process::Pid::from_raw(*id) {
                // Another task may have reaped it.
                let _ = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::NOHANG);
            }
        }
        dead_before = dead;
    }
}

/// Notifies systemd's watchdog as often as it wants, while `is_well`. Never returns.
pub(crate) async fn tell_systemd_while(is_well: impl Fn() -> bool) -> Infallible {
    let Some(interval) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if is_well() {
            notify(NotifyState::Watchdog).await;
        }
        tokio::time::sleep(interval / 3).await;
    }
}

/// The result of a step of the start that may wait for others. Meanwhile systemd is asked for more time.
pub(crate) async fn asking_systemd_for_time<T>(starting: impl Future<Output = T>) -> T {
    const EVERY: Duration = Duration::from_secs(2);
    const MORE: NotifyState<'_> = NotifyState::ExtendTimeoutUsec(30_000_000);
    let ask = async {
        loop {
            tokio::time::sleep(EVERY).await;
            notify(MORE).await;
        }
    };
    tokio::select! {
        started = starting => started,
        () = ask => unreachable!("it never ends"),
    }
}

/// Notifies systemd, if it started us, and waits for it for a second at most.
pub(crate) async fn tell_systemd(state: NotifyState<'static>) {
    const A_LITTLE: Duration = Duration::from_secs(1);
    // A message that was sent stays sent.
    let _ = tokio::time::timeout(A_LITTLE, notify(state)).await;
}

/// Where systemd listens for the state of this process (`NOTIFY_SOCKET`): a path, or `@` and a name in Linux's abstract
/// namespace.
static SYSTEMD: OnceLock<String> = OnceLock::new();

/// Remembers where systemd listens.
pub(crate) fn systemd_listens_at(socket: &str) {
    // The environment does not change.
    let _ = SYSTEMD.set(socket.to_owned());
}

fn send(state: &NotifyState<'_>) -> io::Result<()> {
    let Some(socket) = SYSTEMD.get() else { return Ok(()) };
    let address = platform::socket_address(socket)?;
    UnixDatagram::unbound()?.send_to_addr(format!("{state}\n").as_bytes(), &address).map(drop)
}

/// Sends a message to systemd, whose socket may be full.
async fn notify(state: NotifyState<'static>) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || send(&state)).await {
        tracing::warn!(reason = %error, "failed to notify systemd");
    }
}
