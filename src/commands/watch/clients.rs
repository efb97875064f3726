//! The clients of the accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ledger::Ledger;
use crate::clock::Clock;
use crate::commands::{CommandError, blocking};
use crate::observe::Surroundings;
use crate::runner::Account;
use crate::settings::SettingsError;
use crate::settings::daemon::AccountSettings;
use crate::snyk::credentials::Credentials;
use crate::snyk::{Client, Connections, GA_VERSION};
use crate::store::SqliteStore;

/// The clients in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(Arc<Mutex<Vec<Arc<Client>>>>);

impl Clients {
    /// These are in use from now on.
    pub(super) fn replace(&self, accounts: &[Account<Arc<Client>>]) {
        let clients = accounts.iter().map(|account| Arc::clone(&account.poller)).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// Whether Snyk has announced the end of an API version in use.
    pub(super) fn has_deprecated_api(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|client| client.is_deprecated())
    }
}

/// What the connections of two accounts must have in common to be shared: whether they are encrypted, whether they
/// leave this machine, and whom they trust.
type Kind = (bool, bool, Option<PathBuf>);

/// Opens accounts. Those that can share connections do: hundreds of certificates are loaded once, not for each.
pub(super) struct Opener<'a> {
    pub(super) store: &'a SqliteStore,
    pub(super) ledger: &'a Ledger,
    /// For how long the daemon has not been there since it last asked.
    pub(super) down: Duration,
    pub(super) clock: Clock,
}

impl Opener<'_> {
    /// All accounts, with a client each.
    pub(super) async fn all(
        &self,
        settings: Vec<AccountSettings>,
    ) -> Result<Vec<Account<Arc<Client>>>, CommandError> {
        let mut connections: BTreeMap<Kind, Connections> = BTreeMap::new();
        let mut accounts = Vec::new();
        for mut settings in settings {
            let kind = (settings.api.is_https(), settings.api.is_loopback(), settings.ca_cert.clone());
            let shared = match connections.get(&kind) {
                Some(shared) => shared.clone(),
                None => {
                    let (api, roots) = (settings.api.clone(), std::mem::take(&mut settings.roots));
                    // Certificates are read here, from files that may be pipes.
                    let connect = move || Connections::new(&api, &roots);
                    blocking(connect).await?
                }
            };
            connections.insert(kind, shared.clone());
            accounts.push(self.one(settings, shared).await?);
        }
        Ok(accounts)
    }

    async fn one(
        &self,
        settings: AccountSettings,
        connections: Connections,
    ) -> Result<Account<Arc<Client>>, CommandError> {
        let AccountSettings { name, api, api_version, source, origin, requests_per_minute, .. } = settings;
        let credentials = Credentials::load(source, self.clock).await.map_err(SettingsError::from)?;
        tracing::info!(account = &*name, snyk.api = %api, credential.source = origin, "asking Snyk");
        let surroundings = Surroundings {
            api: api.to_string(),
            credential: origin,
            general_version: GA_VERSION,
            go_on: None,
        };
        self.ledger.journal.learn(Arc::clone(&name), surroundings);
        let client = Client::over(connections, api, api_version, credentials, self.clock);
        // Nothing to add is nothing to wait for the disk for: at a reload, and at the first start.
        let downtime = match self.down.is_zero() {
            true => self.store.downtime(Arc::clone(&name)).await?,
            false => self.store.add_downtime(Arc::clone(&name), self.down).await?,
        };
        let requests_per_minute = Some(requests_per_minute);
        Ok(Account { name, poller: Arc::new(client), requests_per_minute, downtime })
    }
}
