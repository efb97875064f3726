//! `--until-idle`: the daemon ends when nothing is left to do, with an exit code that is kept until then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::ledger::{Endpoints, Ledger};
use super::{Asked, Control, Daemon, DaemonError, Ended};
use crate::exit::ExitCode;
use crate::store::{Outbox, Store, StoreError};

/// How long deliveries may take after every watch has ended (`--until-idle`).
const LAST_DELIVERIES: Duration = Duration::from_secs(5 * 60);

/// Keeps exit codes until a run has reported them, and says whether an earlier run has not.
pub(super) async fn keep_codes(store: &dyn Store) -> Result<(), StoreError> {
    store.keep_codes().await?;
    let code = ExitCode::deciding(store.kept_codes().await?);
    if code != ExitCode::SUCCESS {
        tracing::warn!(
            exit_code = code.code(),
            "an earlier run was stopped before it could exit with its code: this run does"
        );
    }
    Ok(())
}

impl Daemon {
    /// Why it ends when nothing is left to do.
    pub(super) async fn idle(&self) -> Result<(String, Ended), DaemonError> {
        let mut codes = self.store.kept_codes().await?;
        codes.extend(self.undelivered().await?.then_some(ExitCode::UNAVAILABLE));
        let left = self.orphaned(&self.terms.agreed().accounts).await?;
        let reason = if left.is_empty() {
            "every watch has ended".to_owned()
        } else {
            let names: Vec<_> = left.iter().map(|(account, _)| account.as_str()).collect();
            format!("the settings have no account for the watches that are left: {}", names.join(", "))
        };
        codes.extend((!left.is_empty()).then_some(ExitCode::IN_PROGRESS));
        Ok((reason, Ended::Idle { codes }))
    }

    /// Whether notifications are left that no endpoint accepted. The next start delivers them. An endpoint that the settings no
    /// longer name counts too, until its notifications are given up.
    async fn undelivered(&self) -> Result<bool, StoreError> {
        let owed = self.store.owed_endpoints().await?;
        if !owed.is_empty() {
            let pending = self.store.count().await?.pending;
            tracing::error!(
                deliveries.pending = pending,
                endpoints = owed.join(", "),
                "notifications were not delivered, they stay in the outbox for the next start"
            );
        }
        Ok(!owed.is_empty())
    }

    /// Waits a limited time until everything is delivered: the next start delivers the rest. The runner goes on, so that the
    /// daemon stays healthy.
    pub(super) async fn last_deliveries(
        &mut self,
        control: &impl Control,
    ) -> Result<Option<Asked>, DaemonError> {
        let (store, clock, changed) = (self.store.clone(), self.clock, Arc::clone(&self.changed));
        let settled = settled(store, self.endpoints.clone(), Arc::clone(&self.ledger));
        // This is not called during a reload.
        let mut reading = None;
        tokio::select! {
            settled = settled => settled?,
            () = clock.sleep_until(clock.now().plus(LAST_DELIVERIES)) => return Ok(None),
            asked = self.follow(control, &mut reading, false) => return asked,
        }
        // A watch that the API accepted meanwhile is followed.
        Ok(changed.notified().now_or_never().map(|()| Asked::Changed))
    }
}

/// Waits until everything is delivered to the endpoints in the settings.
async fn settled(
    outbox: Arc<dyn Outbox + Send + Sync>,
    endpoints: Endpoints,
    ledger: Arc<Ledger>,
) -> Result<(), StoreError> {
    loop {
        let settled = ledger.bells.settled.notified();
        if !outbox.owed_endpoints().await?.iter().any(|name| endpoints.has(name)) {
            return Ok(());
        }
        settled.await;
    }
}
