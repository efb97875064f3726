//! Opens accounts: loads credentials and creates clients.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::Ledger;
use super::{DaemonError, or_panic};
use crate::clock::Clock;
use crate::runner::Account;
use crate::settings::daemon::AccountSettings;
use crate::settings::{ChosenApi, SettingsError};
use crate::snyk::credentials::Credentials;
use crate::snyk::{Client, Connections, GA_VERSION};
use crate::words::{GoOn, Surroundings};

/// Accounts share connections if these are equal: whether they are encrypted, whether they stay on this machine, and which
/// certificates they trust.
type Kind = (bool, bool, Option<PathBuf>);

/// Is called with each access token before its first use, so that a CI system can mask it.
pub(crate) type Mask = Arc<dyn Fn(&str) + Send + Sync>;

/// Opens accounts. They share connections if possible, so that certificates are loaded once and not for each account.
pub(super) struct Opener {
    pub(super) ledger: Arc<Ledger>,
    pub(super) clock: Clock,
    pub(super) mask: Mask,
}

impl Opener {
    /// Opens all accounts, each with a client.
    pub(super) async fn all(
        &self,
        settings: Vec<AccountSettings>,
    ) -> Result<Vec<Account<Arc<Client>>>, DaemonError> {
        let mut connections: BTreeMap<Kind, Connections> = BTreeMap::new();
        let mut accounts = Vec::new();
        for settings in settings {
            let AccountSettings { name, api, source, origin, .. } = settings;
            let credentials = match self.ledger.credentials_read_once(&source).await {
                Some(credentials) => credentials,
                None => Credentials::load(source, &origin, self.clock).await.map_err(SettingsError::from)?,
            };
            let mask = Arc::clone(&self.mask);
            let credentials = credentials.telling(move |token| mask(token));
            let ChosenApi { api, source, other } = api.chosen(credentials.region(), None);
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
                other_api: other,
                general_version: GA_VERSION,
                go_on: GoOn::new("wait").with([("api".to_owned(), Some(api.to_string()))]),
            };
            self.ledger.journal.learn(Arc::clone(&name), surroundings);
            let kind = (api.is_https(), api.is_loopback(), settings.ca_cert);
            let shared = match connections.get(&kind) {
                Some(shared) => shared.clone(),
                None => {
                    let (api, network) = (api.clone(), settings.network);
                    // This reads certificates, from files that may be pipes.
                    let opening = tokio::task::spawn_blocking(move || Connections::new(&api, &network));
                    or_panic(opening.await)?
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
