//! Going on by other settings, while everything goes on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::super::clients::Opener;
use super::super::ledger::Endpoints;
use super::{Daemon, plan};
use crate::commands::{CommandError, Session, blocking, console};
use crate::event::What;
use crate::process::tell_systemd;
use crate::runner::Account;
use crate::server::{Agreed, new_id};
use crate::settings::Settings;
use crate::settings::daemon::DaemonSettings;
use crate::snyk::Client;
use crate::store::{Quota, StoreError};
use crate::watch::NewWatch;

/// How long the settings and the files that they name may take to be read again.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

/// The settings as they are now, and the accounts that they describe.
pub(super) struct Fresh {
    whole: Settings,
    settings: DaemonSettings,
    accounts: Vec<Account<Arc<Client>>>,
}

/// The settings are being read again.
pub(super) type Reading<'a> = Pin<Box<dyn Future<Output = Result<Box<Fresh>, CommandError>> + 'a>>;

impl Daemon {
    /// Reads the settings again, and all that they name. Files may be slow: everything goes on meanwhile. Whatever is
    /// wrong with the settings is found here.
    pub(super) fn read_again<'a>(&self, session: &'a Session) -> Reading<'a> {
        let (store, ledger) = (self.store.clone(), Arc::clone(&self.ledger));
        let (clock, until_idle, mask) = (self.clock, self.until_idle, session.console.mask());
        Box::pin(async move {
            tell_systemd(sd_notify::NotifyState::Reloading).await;
            let path = session.settings_file.as_ref().map(|path| format!(" {}", path.display()));
            let waits_for = Cell::new(format!("the settings file{}", path.unwrap_or_default()));
            let reading = async {
                let (line, environment) =
                    (session.command_line.clone(), session.settings.environment().clone());
                let whole = blocking(move || Settings::load(line, environment)).await?;
                waits_for.set("a file that the settings name (a secret, a certificate)".to_owned());
                let (settings, whole) = blocking(move || (whole.daemon(until_idle), whole)).await;
                let mut settings = settings?;
                waits_for.set("the store".to_owned());
                store.beat(clock.now()).await?;
                waits_for.set("the token file of an account, or SSL_CERT_FILE".to_owned());
                let opener = Opener { ledger: &ledger, clock, mask };
                let accounts = opener.all(std::mem::take(&mut settings.accounts)).await?;
                Ok(Box::new(Fresh { whole, settings, accounts }))
            };
            tokio::time::timeout(RELOAD_WITHIN, reading).await.unwrap_or_else(|_| {
                let (what, within) = (waits_for.take(), humantime::format_duration(RELOAD_WITHIN));
                Err(CommandError::Usage(format!("{what} did not answer within {within}")))
            })
        })
    }

    /// Goes on by the settings that were read again; by the ones before, if those cannot be used.
    pub(super) async fn reload(&mut self, read: Result<Box<Fresh>, CommandError>, session: &Session) {
        let taken_on = match read {
            Ok(fresh) => self.take_on(fresh, session).await,
            Err(error) => Err(error),
        };
        match taken_on {
            Ok(()) => tracing::info!("the settings were read again"),
            Err(error) => tracing::error!(
                reason = %console::chain(&error),
                "the settings cannot be used, the ones before stay"
            ),
        }
        tell_systemd(sd_notify::NotifyState::Ready).await;
    }

    async fn take_on(&mut self, fresh: Box<Fresh>, session: &Session) -> Result<(), CommandError> {
        let Fresh { whole, settings, accounts } = *fresh;
        let fixed = (settings.store, settings.server.listen, settings.server.metrics_listen);
        if fixed != self.fixed {
            tracing::warn!("another store or address is taken on when the daemon is started again");
        }
        let names: BTreeSet<_> = accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        session.console.take_on(&whole);
        self.reconcile(settings.watches, &names).await?;
        self.ledger.metrics.set_accounts(&names);
        let refused = self.ledger.health.refused();
        refused.iter().filter(|name| !names.contains(*name)).for_each(|name| self.ledger.health.accept(name));
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        self.terms.replace(Agreed { accounts: names, tokens: settings.server.tokens, quota });
        self.ledger.asks_with(&accounts);
        self.endpoints = Endpoints::new(settings.endpoints, &self.ledger);
        let plan = plan(settings.policy, settings.concurrency, self.until_idle);
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
    ) -> Result<(), CommandError> {
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
