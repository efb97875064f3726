//! Accounts: their credentials, APIs and request budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AccountSettings;
use super::entry::{Entry, read_secret, unusable};
use super::sections::AccountSection;
use super::values::Name;
use super::watches;
use crate::disk;
use crate::http::Network;
use crate::secret::Placeholder;
use crate::settings::network::{Surroundings, certificates};
use crate::settings::places::Step;
use crate::settings::{Settings, SettingsError};
use crate::snyk::credentials::{Credential, CredentialError, Scheme, Source};
use crate::text::Text;
use crate::watch::{DEFAULT_ACCOUNT, NewWatch};

/// All accounts, the default one first. It may be missing if there are others and no watch uses it.
pub(super) fn all(
    settings: &Settings,
    watches: &[NewWatch],
    surroundings: &Surroundings,
    network: &Network,
) -> Result<Vec<AccountSettings>, SettingsError> {
    let sections: Vec<_> = settings.snyk.accounts.iter().flatten().collect();
    let of_default = watches.iter().position(|watch| &*watch.account == DEFAULT_ACCOUNT);
    let mut accounts = Vec::new();
    match (default(settings, network), of_default) {
        (Ok(account), _) => accounts.push(account),
        (Err(SettingsError::NoCredential), None) if !sections.is_empty() => {}
        (Err(SettingsError::NoCredential), Some(index)) if !sections.is_empty() => {
            const NO_DEFAULT: &str = "it uses the account `default`, which has no credential: name another `account`, \
                or set SNYK_TOKEN, SNYK_TOKEN_FILE or the token-file of [snyk]";
            return Err(watches::error(settings, index, NO_DEFAULT));
        }
        (Err(error), _) => return Err(error),
    }
    let mut networks = Networks { surroundings, of_all: network, of_files: BTreeMap::new() };
    for (name, section) in sections {
        accounts.push(account(settings, name, section, &mut networks)?);
    }
    let known: BTreeSet<&str> = accounts.iter().map(|account| &*account.name).collect();
    let stray = watches.iter().enumerate().find(|(_, watch)| !known.contains(&*watch.account));
    if let Some((index, watch)) = stray {
        let (wanted, known) = (Text::of_wrong_value(&watch.account), Vec::from_iter(known).join(", "));
        let why = format!("there is no account `{wanted}`: the settings have {known}");
        return Err(watches::error(settings, index, why));
    }
    Ok(accounts)
}

/// The networks of accounts. Accounts that trust the same certificates share one, which reads them once.
struct Networks<'a> {
    surroundings: &'a Surroundings,
    of_all: &'a Network,
    of_files: BTreeMap<PathBuf, Network>,
}

impl Networks<'_> {
    /// The network of an account, which may have its own certificates.
    fn of(&mut self, ca_cert: Option<&Path>, entry: Entry<'_>) -> Result<Network, SettingsError> {
        let Some(path) = ca_cert else { return Ok(self.of_all.clone()) };
        if let Some(known) = self.of_files.get(path) {
            return Ok(known.clone());
        }
        let network = self
            .surroundings
            .with(certificates(path, entry.place_of("ca-cert"), entry.pipes())?)
            .with_threads();
        self.of_files.insert(path.to_owned(), network.clone());
        Ok(network)
    }
}

/// The account of `[snyk]`, with the same credential as `wait`.
fn default(settings: &Settings, network: &Network) -> Result<AccountSettings, SettingsError> {
    let (source, origin) = settings.credential_source()?;
    if let Source::TokenFile(path) = &source {
        let [_, _, file, _] = &settings.layers;
        let is_of_file = file.snyk.token_file.as_ref() == Some(path);
        let entry = Entry::new(&settings.places, &[Step::Key("snyk")], "[snyk]");
        let in_file = |error| entry.at("token-file")(with_cause(&error));
        match is_of_file {
            true => check_token_file(path, Text::of_path(path).as_str()).map_err(in_file)?,
            false => check_token_file(path, &origin)?,
        }
    }
    let api = settings.api()?;
    network.prepare(api.likely().url())?;
    Ok(AccountSettings {
        name: Arc::from(DEFAULT_ACCOUNT),
        api,
        api_version: settings.api_version(),
        source,
        origin,
        network: network.clone(),
        ca_cert: settings.snyk.ca_cert.clone(),
        requests_per_minute: settings.snyk.requests_per_minute,
    })
}

/// A named account: it inherits everything from `[snyk]` except the credential.
fn account(
    settings: &Settings,
    name: &Name,
    section: &AccountSection,
    networks: &mut Networks<'_>,
) -> Result<AccountSettings, SettingsError> {
    let title = format!("[snyk.accounts.{name}]");
    let steps = [Step::Key("snyk"), Step::Key("accounts"), Step::Key(&name.0)];
    let entry = Entry::new(&settings.places, &steps, &title);
    if &*name.0 == DEFAULT_ACCOUNT {
        return Err(
            entry.error("`default` is the name of the account of [snyk] itself: give this one another")
        );
    }
    let api = match &section.api {
        Some(api) => settings.configured(api, entry.place_of("api"), "`allow-http` in [snyk]")?,
        None => settings.api()?,
    };
    let (source, origin) = source(section, entry)?;
    let version = section.api_version.clone().map(|version| version.0);
    let network = networks.of(section.ca_cert.as_deref(), entry)?;
    network.prepare(api.likely().url())?;
    Ok(AccountSettings {
        name: Arc::clone(&name.0),
        api,
        api_version: version.or_else(|| settings.api_version()),
        source,
        origin,
        network,
        ca_cert: section.ca_cert.clone().or_else(|| settings.snyk.ca_cert.clone()),
        requests_per_minute: section.requests_per_minute.unwrap_or(settings.snyk.requests_per_minute),
    })
}

/// The credential of a named account, and its origin.
fn source(section: &AccountSection, entry: Entry<'_>) -> Result<(Source, String), SettingsError> {
    let AccountSection { token_file, client_id, client_secret_file, .. } = section;
    match (token_file, client_id, client_secret_file) {
        (None, None, None) => Err(entry.error(
            "it has no credential: give `token-file`, or `client-id` and `client-secret-file`; a named account takes none \
             from the environment",
        )),
        (Some(path), None, None) => {
            let path_as_text = Text::of_path(path).to_string();
            check_token_file(path, &path_as_text)
                .map_err(|error| entry.at("token-file")(with_cause(&error)))?;
            Ok((Source::TokenFile(path.clone()), format!("token-file {path_as_text}")))
        }
        (None, Some(id), Some(path)) => {
            let secret = read_secret(path, entry).map_err(entry.at("client-secret-file"))?;
            let id = id.trim().to_owned();
            if id.is_empty() {
                return Err(entry.at("client-id")("`client-id` is missing"));
            }
            if let Some(placeholder) = Placeholder::of(&id) {
                return Err(entry.at("client-id")(unusable("client-id", placeholder)));
            }
            Ok((Source::Client { id, secret }, format!("client-secret-file {}", Text::of_path(path))))
        }
        (None, Some(_), None) => Err(entry.lacks("client-secret-file")),
        (None, None, Some(_)) => Err(entry.lacks("client-id")),
        (Some(_), _, _) => Err(entry.error(
            "it has two credentials: give either `token-file`, or `client-id` and `client-secret-file`",
        )),
    }
}

/// An error about a credential, with its cause.
fn with_cause(error: &CredentialError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Checks that a file contains a token now. A pipe is not checked, because it can be read only once.
fn check_token_file(path: &Path, origin: &str) -> Result<(), CredentialError> {
    let unreadable = |error| CredentialError::File(path.to_owned(), error);
    if disk::can_be_read_once(path) {
        return Ok(());
    }
    let text = disk::read_text(path).map_err(unreadable)?;
    Credential::new(&text, Scheme::ByForm, origin).map(drop)
}
