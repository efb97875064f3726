//! Going on by other settings, while everything goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::clients::Opener;
use super::super::housekeeping::tell_systemd;
use super::super::ledger::Endpoints;
use super::super::reload;
use super::{Daemon, plan};
use crate::commands::{CommandError, Session, console};
use crate::event::Event;
use crate::runner::Account;
use crate::server::new_id;
use crate::settings::daemon::{DaemonSettings, WatchEntry};
use crate::snyk::Client;
use crate::store::NewWatch;

/// How long the settings and the files that they name may take to be read again.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

impl Daemon {
    /// Goes on by the settings as they are now; by the ones before, if those cannot be used.
    pub(super) async fn reload(&mut self, session: &Session) {
        tell_systemd(&[sd_notify::NotifyState::Reloading]);
        match self.take_on(session).await {
            Ok(()) => tracing::info!("the settings were read again"),
            Err(error) => tracing::error!(
                reason = %console::chain(&error),
                "the settings cannot be used, the ones before stay"
            ),
        }
        tell_systemd(&[sd_notify::NotifyState::Ready]);
    }

    async fn take_on(&mut self, session: &Session) -> Result<(), CommandError> {
        let reading = tokio::time::timeout(RELOAD_WITHIN, self.read_again(session)).await;
        let too_late =
            || CommandError::Usage(format!("a file took longer than {RELOAD_WITHIN:?} to be read"));
        let (settings, accounts) = reading.map_err(|_| too_late())??;
        if (&settings.store, settings.server.listen) != (&self.fixed.0, self.fixed.1) {
            tracing::warn!("another store or address is taken on when the daemon is started again");
        }
        let names: BTreeSet<_> = accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        // From here on nothing can be wrong with the settings.
        self.reconcile(settings.watches, &names).await?;
        self.ledger.metrics.set_accounts(&names);
        let refused = self.ledger.health.refused();
        refused.iter().filter(|name| !names.contains(*name)).for_each(|name| self.ledger.health.accept(name));
        self.terms.replace(names, settings.server.token);
        self.clients.replace(&accounts);
        self.endpoints = Endpoints::new(settings.endpoints, &self.ledger);
        let plan = plan(settings.policy, settings.concurrency, self.until_idle);
        self.runner.change(accounts, plan, self.endpoints.clone());
        self.runner.look_again();
        self.retire.send_replace(true);
        self.hire(settings.keep_ended);
        Ok(())
    }

    /// The settings as they are now, and the accounts that they describe. Whatever is wrong is found here.
    async fn read_again(
        &self,
        session: &Session,
    ) -> Result<(DaemonSettings, Vec<Account<Arc<Client>>>), CommandError> {
        let mut settings = reload(self.until_idle, session).await?;
        let opener = Opener { ledger: &self.ledger, clock: self.clock };
        let accounts = opener.all(std::mem::take(&mut settings.accounts)).await?;
        Ok((settings, accounts))
    }

    /// Makes the watches of the settings those of this list.
    pub(super) async fn reconcile(
        &self,
        entries: Vec<WatchEntry>,
        names: &BTreeSet<Arc<str>>,
    ) -> Result<(), CommandError> {
        let listed = entries.into_iter().map(|WatchEntry { account, export, labels }| NewWatch {
            account,
            export,
            labels,
        });
        let now = self.clock.now();
        let reconciled = self.store.reconcile(listed.collect(), move || new_id(now), now).await?;
        for watch in reconciled.added {
            self.ledger.tell(&Event::Added { watch });
        }
        for (account, count) in self.store.active_accounts().await? {
            if !names.contains(&*account) {
                tracing::error!(
                    account,
                    watches.active = count,
                    hint = "put the account back, or delete its watches",
                    "nobody follows these watches: the settings no longer have their account"
                );
            }
        }
        for watch in &reconciled.removed {
            tracing::info!(watch.id = %watch.id, export.id = %watch.export.export_id, "no longer in the settings, cancelled");
        }
        Ok(())
    }
}
