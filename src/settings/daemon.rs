//! The daemon's settings: what a settings file says of accounts, watches, endpoints, the store and the server.

mod accounts;
mod endpoints;
mod entry;
pub(crate) mod sections;
mod server;
pub(crate) mod values;
mod watches;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::entry::EntryError;
pub use self::server::{ServerSettings, listen_address};

use self::sections::{NotifySection, WatchSection};
use super::layers::{Following, ServerLayer, StoreLayer};
use super::{ConfiguredApi, Settings, SettingsError};
use crate::http::Network;
use crate::notify::Endpoint;
use crate::snyk::credentials::Source;
use crate::watch::{NewWatch, Policy};

/// The name of the account of `[snyk]` itself.
pub const DEFAULT_ACCOUNT: &str = "default";

/// How long an outage may last where the daemon is to end when all is done, unless the user set a limit: then nothing
/// is waited out for a day.
const MAX_OUTAGE_UNTIL_IDLE: Duration = Duration::from_secs(10 * 60);

/// The name of the store's file in the state directory.
const STORE_FILE: &str = "watches.db";

/// What the layers say to the daemon alone.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) following: Following,
    /// Whether the user has set `max-outage`, even to what it is anyway.
    pub(super) max_outage_is_set: bool,
    pub(super) store: StoreLayer,
    pub(super) server: ServerLayer,
    pub(super) watches: Vec<WatchSection>,
    pub(super) endpoints: Vec<NotifySection>,
}

/// All that the daemon needs to know, checked.
#[derive(Debug)]
pub struct DaemonSettings {
    /// The accounts, the default one first if it is there; at least one.
    pub accounts: Vec<AccountSettings>,
    /// The file of the store.
    pub store: PathBuf,
    /// How long ended watches are kept.
    pub keep_ended: Duration,
    /// How many watches the API may have kept; any number where it is not said.
    pub max_watches: Option<u64>,
    /// How many bytes the labels of all watches may have together.
    pub max_labels: Option<u64>,
    /// The server.
    pub server: ServerSettings,
    /// The exports to follow from the start. Each one's account is among the accounts.
    pub watches: Vec<NewWatch>,
    /// Who is told how watches ended.
    pub endpoints: Vec<Endpoint>,
    /// What is wanted of each watch.
    pub policy: Policy,
    /// How many polls may be under way at once.
    pub concurrency: NonZeroUsize,
}

/// An account: whose credential asks, where, and how often.
#[derive(Debug)]
pub struct AccountSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The API that it asks, if the settings say.
    pub api: ConfiguredApi,
    /// The version of the API that the user has set, if any.
    pub api_version: Option<String>,
    /// Its credential.
    pub source: Source,
    /// Where the credential comes from, to be logged.
    pub origin: String,
    /// How it reaches the API.
    pub network: Network,
    /// The file that some of the certificates are from that it trusts. Accounts that have it in common trust the same ones.
    pub ca_cert: Option<PathBuf>,
    /// How many requests it may send in a minute.
    pub requests_per_minute: NonZeroU32,
}

impl Settings {
    /// The daemon's settings. Reads the files that they name, so that everything that can be wrong is found at once.
    ///
    /// With `until_idle` the daemon is to end when all is done, and so a refused credential or a long outage ends its
    /// watches.
    ///
    /// # Errors
    ///
    /// When anything is wrong. The message names the place in the file.
    pub fn daemon(&self, until_idle: bool) -> Result<DaemonSettings, SettingsError> {
        let watches = watches::all(self)?;
        let surroundings = self.surroundings()?;
        let network = surroundings.with(self.own_certificates()?).with_threads();
        let accounts = accounts::all(self, &watches, &surroundings, &network)?;
        let following = &self.daemon.following;
        let policy = self.policy_of(&following.pace, &following.limits, &["limits", "pace"])?;
        let max_outage = match until_idle && !self.daemon.max_outage_is_set {
            true => Some(MAX_OUTAGE_UNTIL_IDLE),
            false => policy.max_outage,
        };
        let StoreLayer { url, keep_ended, max_watches, max_labels } = &self.daemon.store;
        let unless_zero = |most: u64| Some(most).filter(|most| *most > 0);
        Ok(DaemonSettings {
            accounts,
            store: url.as_ref().map_or_else(|| self.state_directory().join(STORE_FILE), |url| url.0.clone()),
            keep_ended: keep_ended.map_or(Duration::MAX, |kept| kept.0),
            max_watches: max_watches.and_then(unless_zero),
            max_labels: max_labels.and_then(|size| unless_zero(size.0)),
            server: server::server(self)?,
            watches,
            endpoints: endpoints::all(self, &network)?,
            policy: Policy {
                max_outage,
                unrecoverable_is_final: false,
                unauthorized_is_final: false,
                ..policy
            },
            concurrency: following.limits.concurrency.unwrap_or(NonZeroUsize::MIN),
        })
    }
}

impl DaemonSettings {
    /// What there is, in one line for people.
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
            self.store.display()
        )
    }
}

#[cfg(test)]
mod tests;
