//! Accounts, each with a client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::Ledger;
use crate::clock::Clock;
use crate::commands::{CommandError, blocking};
use crate::runner::Account;
use crate::settings::daemon::AccountSettings;
use crate::settings::{ChosenApi, SettingsError};
use crate::snyk::credentials::Credentials;
use crate::snyk::{Client, Connections, GA_VERSION};
use crate::words::{GoOn, Surroundings};

/// What the connections of two accounts must have in common to be shared: whether they are encrypted, whether they
/// leave this machine, and whom they trust.
type Kind = (bool, bool, Option<PathBuf>);

/// Opens accounts. Those that can share connections do: hundreds of certificates are loaded once, not for each.
pub(super) struct Opener<'a, Mask> {
    pub(super) ledger: &'a Ledger,
    pub(super) clock: Clock,
    /// What has the CI system mask a secret.
    pub(super) mask: Mask,
}

impl<Mask: Fn(&str) + Clone + Send + Sync + 'static> Opener<'_, Mask> {
    /// All accounts, with a client each.
    pub(super) async fn all(
        &self,
        settings: Vec<AccountSettings>,
    ) -> Result<Vec<Account<Arc<Client>>>, CommandError> {
        let mut connections: BTreeMap<Kind, Connections> = BTreeMap::new();
        let mut accounts = Vec::new();
        for settings in settings {
            let AccountSettings { name, api, source, origin, .. } = settings;
            let credentials = Credentials::load(source, &origin, self.clock).await;
            let credentials = credentials.map_err(SettingsError::from)?.telling(self.mask.clone());
            let ChosenApi { api, source } = api.chosen(credentials.region(), None);
            tracing::info!(
                account = &*name,
                snyk.api = %api,
                snyk.api_source = source,
                credential.source = origin,
                "asking Snyk"
            );
            let surroundings = Surroundings {
                api: api.to_string(),
                credential: origin,
                general_version: GA_VERSION,
                go_on: GoOn::new("wait").with([("api".to_owned(), Some(api.to_string()))]),
            };
            self.ledger.journal.learn(Arc::clone(&name), surroundings);
            let kind = (api.is_https(), api.is_loopback(), settings.ca_cert);
            let shared = match connections.get(&kind) {
                Some(shared) => shared.clone(),
                None => {
                    let (api, network) = (api.clone(), settings.network);
                    // Certificates are read here, from files that may be pipes.
                    blocking(move || Connections::new(&api, &network)).await?
                }
            };
            connections.insert(kind, shared.clone());
            let client = Client::over(shared, api, settings.api_version, credentials);
            let requests_per_minute = Some(settings.requests_per_minute);
            accounts.push(Account { name, poller: Arc::new(client), requests_per_minute });
        }
        Ok(accounts)
    }
}
