//! Going on by other settings, while everything goes on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::clients::Opener;
use super::super::housekeeping::tell_systemd;
use super::super::ledger::Endpoints;
use super::{Daemon, plan};
use crate::commands::{CommandError, Session, blocking, console};
use crate::event::Event;
use crate::runner::Account;
use crate::server::{Agreed, new_id};
use crate::settings::Settings;
use crate::settings::daemon::{DaemonSettings, WatchEntry};
use crate::snyk::Client;
use crate::store::{NewWatch, Quota, StoreError};

/// How long the settings and the files that they name may take to be read again.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

/// What a reload waits for.
#[derive(Debug, Clone, Copy)]
enum Reading {
    /// The settings file.
    Settings,
    /// The files that it names, but for those of accounts.
    Files,
    /// The store.
    Store,
    /// The token files and certificates of the accounts.
    Accounts,
}

impl Reading {
    fn name(self, session: &Session) -> String {
        match self {
            Self::Settings => match &session.settings_file {
                Some(path) => format!("the settings file {}", path.display()),
                None => "the settings file".to_owned(),
            },
            Self::Files => "a file that the settings name (a secret, a certificate)".to_owned(),
            Self::Store => "the store".to_owned(),
            Self::Accounts => "the token file of an account, or SSL_CERT_FILE".to_owned(),
        }
    }
}

impl Daemon {
    /// Goes on by the settings as they are now; by the ones before, if those cannot be used.
    pub(super) async fn reload(&mut self, session: &Session) {
        tell_systemd(sd_notify::NotifyState::Reloading).await;
        match self.take_on(session).await {
            Ok(()) => tracing::info!("the settings were read again"),
            Err(error) => tracing::error!(
                reason = %console::chain(&error),
                "the settings cannot be used, the ones before stay"
            ),
        }
        tell_systemd(sd_notify::NotifyState::Ready).await;
    }

    async fn take_on(&mut self, session: &Session) -> Result<(), CommandError> {
        let reading = Cell::new(Reading::Settings);
        let read = tokio::time::timeout(RELOAD_WITHIN, self.read_again(session, &reading)).await;
        let too_late = || {
            let within = humantime::format_duration(RELOAD_WITHIN);
            CommandError::Usage(format!("{} did not answer within {within}", reading.get().name(session)))
        };
        let (whole, settings, accounts) = read.map_err(|_| too_late())??;
        let fixed = (settings.store, settings.server.listen, settings.server.metrics_listen);
        if fixed != self.fixed {
            tracing::warn!("another store or address is taken on when the daemon is started again");
        }
        let names: BTreeSet<_> = accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        // From here on nothing can be wrong with the settings.
        session.console.take_on(&whole);
        self.reconcile(settings.watches, &names).await?;
        self.ledger.metrics.set_accounts(&names);
        let refused = self.ledger.health.refused();
        refused.iter().filter(|name| !names.contains(*name)).for_each(|name| self.ledger.health.accept(name));
        let quota = Quota { watches: settings.max_watches, labels: settings.max_labels };
        self.terms.replace(Agreed { accounts: names, tokens: settings.server.tokens, quota });
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
        reading: &Cell<Reading>,
    ) -> Result<(Settings, DaemonSettings, Vec<Account<Arc<Client>>>), CommandError> {
        let (line, environment) = (session.command_line.clone(), session.settings.environment().clone());
        let whole = blocking(move || Settings::load(line, environment)).await?;
        reading.set(Reading::Files);
        let until_idle = self.until_idle;
        let read = move || (whole.daemon(until_idle), whole);
        let (settings, whole) = blocking(read).await;
        let mut settings = settings?;
        reading.set(Reading::Store);
        self.store.beat(self.clock.now()).await?;
        reading.set(Reading::Accounts);
        let opener = Opener { ledger: &self.ledger, clock: self.clock };
        let accounts = opener.all(std::mem::take(&mut settings.accounts)).await?;
        Ok((whole, settings, accounts))
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
