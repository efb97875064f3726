//! Reloads the settings while the daemon runs.

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

/// How long a reload waits for each file and for the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// New settings, and their accounts.
pub(super) struct Fresh {
    pub(super) settings: DaemonSettings,
    pub(super) accounts: Vec<Account<Arc<Client>>>,
}

/// A reload in progress.
pub(super) type Reading<'a> = Pin<Box<dyn Future<Output = Result<Box<Fresh>, DaemonError>> + Send + 'a>>;

/// The result of `work`, or an error that says that `what` took too long.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T, DaemonError> {
    let done = tokio::time::timeout(ANSWER_WITHIN, work).await;
    done.map_err(|_| DaemonError::Slow(what.to_owned(), ANSWER_WITHIN))
}

impl Daemon {
    /// Reads the settings and the files that they name. Files may be slow: polls go on meanwhile. All mistakes in the settings
    /// are found here.
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

    /// Uses the new settings, or keeps the previous ones if there was an error.
    pub(super) async fn reload(&mut self, read: Result<Box<Fresh>, DaemonError>, control: &impl Control) {
        let taken_on = match read {
            Ok(fresh) => self.take_on(*fresh).await,
            Err(error) => Err(error),
        };
        control.reloaded(taken_on);
        tell_systemd(sd_notify::NotifyState::Ready).await;
    }

    /// Uses these settings from now on.
    pub(super) async fn take_on(&mut self, Fresh { settings, accounts }: Fresh) -> Result<(), DaemonError> {
        let endpoints = Endpoints::new(settings.endpoints, &settings.network, &self.ledger)?;
        let fixed = (settings.store, settings.server.listen, settings.server.metrics_listen);
        if fixed != self.fixed {
            tracing::warn!("a changed store or address takes effect after a restart");
        }
        let names: BTreeSet<_> = accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        self.reconcile(settings.watches, &names).await?;
        self.ledger.metrics.set_accounts(&names);
        let of_endpoints = endpoints.all.iter().map(|endpoint| endpoint.name().to_owned());
        self.ledger.metrics.set_endpoints(of_endpoints.collect());
        self.ledger.bells.health.keep_accounts(&names);
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        self.terms.replace(Agreed {
            accounts: names,
            endpoints: endpoints.all.iter().map(|endpoint| endpoint.name().to_owned()).collect(),
            tokens: settings.server.tokens,
            quota,
        });
        self.ledger.asks_with(&accounts);
        self.endpoints = endpoints;
        let plan = plan(settings.policy, settings.concurrency);
        self.runner.change(accounts, plan, self.endpoints.clone());
        self.runner.look_again();
        self.retire.send_replace(true);
        self.hire(settings.keep_ended);
        Ok(())
    }

    /// Makes `watches` the watches of the settings in the store.
    async fn reconcile(&self, watches: Vec<NewWatch>, names: &BTreeSet<Arc<str>>) -> Result<(), StoreError> {
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
                hint = "add the account again, or delete its watches",
                "watches are not followed: the settings no longer have their account"
            );
        }
        for watch in &reconciled.removed {
            tracing::info!(watch.id = %watch.id, export.id = %watch.export.export_id, "watch cancelled: it is no longer in the settings");
        }
        Ok(())
    }

    /// Accounts that are not in `names` and have active watches, with their number.
    pub(super) async fn orphaned(
        &self,
        names: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let active = self.store.active_accounts().await?;
        let orphaned = active.into_iter().filter(|active| !names.contains(&*active.account));
        Ok(orphaned.map(|active| (active.account, active.watches)).collect())
    }
}
