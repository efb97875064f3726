//! What the daemon does now and then.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::ledger::{Endpoints, Ledger};
use crate::clock::Clock;
use crate::commands::blocking;
use crate::runner::courier::give_up_orphans;
use crate::store::{SqliteStore, StoreError};

/// How long the daemon waits for systemd to take a message.
const SYSTEMD_TIME: Duration = Duration::from_secs(1);

/// How often it is looked for what can go.
const TIDY_EVERY: Duration = Duration::from_secs(10 * 60);

/// Forgets what ended longer ago than `keep_ended`, and gives up what is owed to endpoints that are gone; for ever.
pub(super) async fn tidy(
    store: SqliteStore,
    keep_ended: Duration,
    endpoints: Endpoints,
    ledger: Arc<Ledger>,
    clock: Clock,
) -> Result<Infallible, StoreError> {
    loop {
        let now = clock.now();
        if let Some(before) = now.before(keep_ended) {
            let pruned = store.prune(before).await?;
            if pruned > 0 {
                tracing::info!(watches.pruned = pruned, "forgot watches that ended long ago");
            }
        }
        give_up_orphans(&store, &endpoints.all, now, |event| ledger.tell(event)).await?;
        clock.sleep_until(now.plus(TIDY_EVERY)).await;
    }
}

/// As PID 1 of a container, ends what nobody else waits for: what a command has left behind becomes our child, and would
/// fill the table of processes; for ever.
///
/// Our own children are waited for by those who started them, so that only what is found dead twice is taken away.
pub(super) async fn reap_orphans() -> Infallible {
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
                // Whoever took it away first is welcome to it.
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

/// Tells systemd that we are well, as often as it wants to hear it, as long as it is so.
pub(super) async fn report_health(ledger: Arc<Ledger>, clock: Clock) -> Infallible {
    let Some(interval) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        let now = clock.now();
        if ledger.health.is_alive(now) {
            notify(NotifyState::Watchdog).await;
        }
        clock.sleep_until(now.plus(interval / 3)).await;
    }
}

/// Tells systemd, if it has started us, and waits for it a little.
pub(super) async fn tell_systemd(state: NotifyState<'static>) {
    // If it has not read it by then, it has other troubles; what was sent stays sent.
    let _ = tokio::time::timeout(SYSTEMD_TIME, notify(state)).await;
}

/// Sends a message to systemd, whose socket may be full.
async fn notify(state: NotifyState<'static>) {
    if let Err(error) = blocking(move || sd_notify::notify(&[state])).await {
        tracing::warn!(reason = %error, "systemd cannot be told");
    }
}
