//! The daemon's settings: accounts, watches, endpoints, the store and the server.

mod accounts;
mod endpoints;
mod entry;
pub(crate) mod sections;
mod server;
pub(crate) mod values;
mod watches;

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::entry::secret_in;
pub use self::server::{Reached, ServerSettings, reached, token_of};

use super::layers::{StoreValues, WATCH};
use super::{ConfiguredApi, Settings, SettingsError};
use crate::http::Network;
use crate::notify::EndpointKind;
use crate::snyk::credentials::Source;
use crate::text::Text;
use crate::watch::{NewWatch, Policy, Refusal};

/// How long an outage may last with `--until-idle`, unless the user sets a limit.
const MAX_OUTAGE_UNTIL_IDLE: Duration = Duration::from_secs(10 * 60);

/// The name of the store's file in the state directory.
const STORE_FILE: &str = "watches.db";

/// All settings of the daemon, checked.
#[derive(Debug)]
pub struct DaemonSettings {
    /// The accounts, at least one. The default account comes first if there is one.
    pub accounts: Vec<AccountSettings>,
    /// The file of the store.
    pub store: PathBuf,
    /// How long ended watches are kept.
    pub keep_ended: Duration,
    /// How many watches the API accepts; `None` for any number.
    pub max_watches: Option<u64>,
    /// How many bytes the labels of all watches may have together; `None` for any number.
    pub max_labels: Option<u64>,
    /// The server.
    pub server: ServerSettings,
    /// The exports to follow from the start. Their accounts are among `accounts`.
    pub watches: Vec<NewWatch>,
    /// The receivers of notifications.
    pub endpoints: Vec<EndpointSettings>,
    /// The network for endpoints.
    pub network: Network,
    /// How each watch is followed.
    pub policy: Policy,
    /// How many polls may be in flight at once.
    pub concurrency: NonZeroUsize,
}

/// An account: its credential, its API and its request budget.
#[derive(Debug)]
pub struct AccountSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The API, as far as the settings name it.
    pub api: ConfiguredApi,
    /// The version of the API that the user has set, if any.
    pub api_version: Option<String>,
    /// Its credential.
    pub source: Source,
    /// Where the credential comes from, to be logged.
    pub origin: String,
    /// How it reaches the API.
    pub network: Network,
    /// The file of additional certificates. Accounts with the same file trust the same ones.
    pub ca_cert: Option<PathBuf>,
    /// How many requests it may send in a minute.
    pub requests_per_minute: NonZeroU32,
}

/// An endpoint: a receiver of notifications.
#[derive(Debug)]
pub struct EndpointSettings {
    /// Its name.
    pub name: String,
    /// The words of the outcomes that it is notified of; `None` for all.
    pub on: Option<BTreeSet<String>>,
    /// How many deliveries it gets in a minute at most.
    pub max_per_minute: Option<NonZeroU32>,
    /// Its kind, with what that needs.
    pub kind: EndpointKind,
}

impl Settings {
    /// The daemon's settings. It reads the files that they name, so that all mistakes are found at the start.
    ///
    /// With `until_idle` the daemon ends when all work is done, and so a refused credential or a long outage ends its watches.
    ///
    /// # Errors
    ///
    /// When a setting is wrong. The message names its place.
    pub fn daemon(&self, until_idle: bool) -> Result<DaemonSettings, SettingsError> {
        let settings = self.read_daemon(until_idle);
        self.environment().pipes().settle(settings.is_ok());
        settings
    }

    fn read_daemon(&self, until_idle: bool) -> Result<DaemonSettings, SettingsError> {
        self.all_usable()?;
        let watches = watches::all(self)?;
        let surroundings = self.surroundings()?;
        let network = surroundings.with(self.own_certificates()?).with_threads();
        let accounts = accounts::all(self, &watches, &surroundings, &network)?;
        let (_, limits) = self.following(WATCH);
        let policy = self.policy_of(WATCH)?;
        let [said @ .., _defaults] = &self.layers;
        let is_said = said.iter().any(|layer| layer.limits.max_outage.is_some());
        let max_outage = match until_idle && !is_said {
            true => Some(MAX_OUTAGE_UNTIL_IDLE),
            false => policy.max_outage,
        };
        let StoreValues { url, keep_ended, max_watches, max_labels } = &self.store;
        let unless_zero = |most: u64| Some(most).filter(|most| *most > 0);
        self.ping()?;
        Ok(DaemonSettings {
            accounts,
            store: url.as_ref().map_or_else(|| self.state_directory().join(STORE_FILE), |url| url.0.clone()),
            keep_ended: keep_ended.0,
            max_watches: unless_zero(*max_watches),
            max_labels: unless_zero(max_labels.0),
            server: server::server(self)?,
            watches,
            endpoints: endpoints::all(self, &network)?,
            network,
            policy: Policy {
                max_outage,
                unrecoverable_is_final: false,
                refusal: if until_idle { Refusal::EndsAccount } else { Refusal::PausesAccount },
                ..policy
            },
            concurrency: limits.concurrency,
        })
    }
}

impl DaemonSettings {
    /// A summary in one line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |number: usize, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {many}"),
        };
        format!(
            "{}, {}, {}, store {}",
            count(self.accounts.len(), "account", "accounts"),
            count(self.watches.len(), "watch", "watches"),
            count(self.endpoints.len(), "endpoint", "endpoints"),
            Text::of_file(&self.store)
        )
    }
}

#[cfg(test)]
mod tests;
