//! Going on by other settings, while everything goes on.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::clients::Opener;
use super::ledger::Endpoints;
use super::{Control, Daemon, DaemonError, plan};
use crate::event::What;
use crate::process::tell_systemd;
use crate::runner::Account;
use crate::server::{Agreed, new_id};
use crate::settings::daemon::DaemonSettings;
use crate::snyk::Client;
use crate::store::{Quota, StoreError};
use crate::watch::NewWatch;

/// How long each thing that a reload needs may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The settings as they are now, and the accounts that they describe.
pub(super) struct Fresh {
    settings: DaemonSettings,
    accounts: Vec<Account<Arc<Client>>>,
}

/// The settings are being read again.
pub(super) type Reading<'a> = Pin<Box<dyn Future<Output = Result<Box<Fresh>, DaemonError>> + Send + 'a>>;

/// What comes of `work`, if it does soon; `what` names what a reload waits for.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T, DaemonError> {
    let done = tokio::time::timeout(ANSWER_WITHIN, work).await;
    done.map_err(|_| DaemonError::Slow(what.to_owned(), ANSWER_WITHIN))
}

impl Daemon {
    /// Reads the settings again, and all that they name. Files may be slow: everything goes on meanwhile. Whatever is
    /// wrong with the settings is found here.
    pub(super) fn read_again<'a>(&self, control: &'a impl Control) -> Reading<'a> {
        let (store, clock) = (self.store.clone(), self.clock);
        let opener = Opener { ledger: Arc::clone(&self.ledger), clock, mask: Arc::clone(&self.mask) };
        Box::pin(async move {
            tell_systemd(sd_notify::NotifyState::Reloading).await;
            let mut settings = control.read().await?;
            within("the store", store.beat(clock.now())).await??;
            let accounts = opener.all(std::mem::take(&mut settings.accounts));
            let accounts = within("the token file of an account, or SSL_CERT_FILE", accounts).await??;
            Ok(Box::new(Fresh { settings, accounts }))
        })
    }

    /// Goes on by the settings that were read again; by the ones before, if those cannot be used.
    pub(super) async fn reload(&mut self, read: Result<Box<Fresh>, DaemonError>, control: &impl Control) {
        let taken_on = match read {
            Ok(fresh) => self.take_on(*fresh).await,
            Err(error) => Err(error),
        };
        control.reloaded(taken_on);
        tell_systemd(sd_notify::NotifyState::Ready).await;
    }

    async fn take_on(&mut self, Fresh { settings, accounts }: Fresh) -> Result<(), DaemonError> {
        let endpoints = Endpoints::new(settings.endpoints, &settings.network, &self.ledger)?;
        let fixed = (settings.store, settings.server.listen, settings.server.metrics_listen);
        if fixed != self.fixed {
            tracing::warn!("another store or address is taken on when the daemon is started again");
        }
        let names: BTreeSet<_> = accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        self.reconcile(settings.watches, &names).await?;
        self.ledger.metrics.set_accounts(&names);
        let refused = self.ledger.bells.health.refused();
        refused
            .iter()
            .filter(|name| !names.contains(*name))
            .for_each(|name| self.ledger.bells.health.accept(name));
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        self.terms.replace(Agreed { accounts: names, tokens: settings.server.tokens, quota });
        self.ledger.asks_with(&accounts);
        self.endpoints = endpoints;
        let plan = plan(settings.policy, settings.concurrency);
        self.runner.change(accounts, plan, self.endpoints.clone());
        self.runner.look_again();
        self.retire.send_replace(true);
        self.hire(settings.keep_ended);
        Ok(())
    }

    /// Makes the watches of the settings those of this list.
    pub(super) async fn reconcile(
        &self,
        watches: Vec<NewWatch>,
        names: &BTreeSet<Arc<str>>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let listed = watches.into_iter().map(|watch| (new_id(now), watch)).collect();
        let reconciled = self.store.reconcile(listed, now).await?;
        for watch in reconciled.added {
            self.ledger.tell(&What::Added { watch: Arc::new(watch) }.at(now));
        }
        for (account, count) in self.orphaned(names).await? {
            tracing::error!(
                account,
                watches.active = count,
                hint = "put the account back, or delete its watches",
                "nobody follows these watches: the settings no longer have their account"
            );
        }
        for watch in &reconciled.removed {
            tracing::info!(watch.id = %watch.id, export.id = %watch.export.export_id, "no longer in the settings, cancelled");
        }
        Ok(())
    }

    /// Accounts that are none of these and have watches that have not ended, and how many.
    pub(super) async fn orphaned(
        &self,
        names: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let active = self.store.active_accounts().await?;
        Ok(active.into_iter().filter(|(account, _)| !names.contains(&**account)).collect())
    }
}
