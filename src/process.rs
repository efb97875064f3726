//! What a process owes to those around it: to systemd, where that has started us, and to orphans, where we are PID 1.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

/// As PID 1 of a container, ends what nobody else waits for: what a command has left behind becomes our child, and would
/// fill the table of processes; for ever.
///
/// Our own children are waited for by those who started them, so that only what is found dead twice is taken away.
pub(crate) async fn reap_orphans() -> Infallible {
    const EVERY: Duration = Duration::from_secs(5);
    if std::process::id() != 1 {
        return std::future::pending().await;
    }
    let mut dead_before = BTreeSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let dead = tokio::task::spawn_blocking(dead_children).await.unwrap_or_default();
        for id in dead.intersection(&dead_before) {
            if let Some(id) = rustix::process::Pid::from_raw(*id) {
                // Another task may have taken it away first.
                let _ = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::NOHANG);
            }
        }
        dead_before = dead;
    }
}

/// The children of this process that have ended and that nobody has waited for.
fn dead_children() -> BTreeSet<i32> {
    let is_dead_child = |id: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything.
        let (_, after_name) = stat.rsplit_once(") ").unwrap_or_default();
        let mut fields = after_name.split(' ');
        fields.next() == Some("Z") && fields.next() == Some("1")
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(is_dead_child).collect()
}

/// Tells systemd that we are well, as often as it wants to hear it, as long as it is so; for ever.
pub(crate) async fn tell_systemd_while(is_well: impl Fn() -> bool) -> Infallible {
    let Some(interval) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if is_well() {
            notify(NotifyState::Watchdog).await;
        }
        tokio::time::sleep(interval / 3).await;
    }
}

/// Tells systemd, if it has started us, and waits for it a little.
pub(crate) async fn tell_systemd(state: NotifyState<'static>) {
    const A_LITTLE: Duration = Duration::from_secs(1);
    // If it has not read it by then, it has other troubles; what was sent stays sent.
    let _ = tokio::time::timeout(A_LITTLE, notify(state)).await;
}

/// Sends a message to systemd, whose socket may be full.
async fn notify(state: NotifyState<'static>) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || sd_notify::notify(&[state])).await {
        tracing::warn!(reason = %error, "systemd cannot be told");
    }
}
