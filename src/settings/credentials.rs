//! The credential: the first one that is found.

use std::path::{Path, PathBuf};

use super::{Environment, SettingsError};
use crate::secret::{Placeholder, Secret};
use crate::snyk::credentials::{Credential, Scheme, Source};
use crate::text::Text;

/// The first credential that is found, and its place. A token file of a flag takes precedence over the environment, that over a
/// settings file, and that over the Snyk CLI.
pub(super) fn source(
    flag: Option<&Path>,
    flag_or_file: Option<&Path>,
    environment: &Environment,
) -> Result<(Source, String), SettingsError> {
    let file = |path: &Path, origin: &str| {
        (Source::TokenFile(path.to_owned()), format!("{origin} {}", Text::of_path(path)))
    };
    let value = |name: &str, scheme| -> Result<_, SettingsError> {
        let found = environment.get(name).map(|text| Credential::new(text, scheme, name));
        Ok(found.transpose()?.map(|credential| (Source::Value(credential), name.to_owned())))
    };
    if let Some(path) = flag {
        return Ok(file(path, "--token-file"));
    }
    for (name, scheme) in [("SNYK_OAUTH_TOKEN", Scheme::Bearer), ("SNYK_TOKEN", Scheme::ByForm)] {
        if let Some(found) = value(name, scheme)? {
            return Ok(found);
        }
    }
    if let Some(path) = environment.path("SNYK_TOKEN_FILE") {
        return Ok(file(&path, "SNYK_TOKEN_FILE"));
    }
    if let Some(client) = client(environment)? {
        return Ok((client, "SNYK_CLIENT_ID".to_owned()));
    }
    if let Some(path) = flag_or_file {
        return Ok(file(path, "the settings file's token-file"));
    }
    if let Some(found) = value("SNYK_CFG_API", Scheme::ByForm)? {
        return Ok(found);
    }
    let stored =
        snyk_cli_file(environment).filter(|path| path.is_file()).ok_or(SettingsError::NoCredential)?;
    let name = format!("the Snyk CLI's {}", Text::of_path(&stored));
    Ok((Source::SnykCli(stored), name))
}

fn client(environment: &Environment) -> Result<Option<Source>, SettingsError> {
    const ID: &str = "SNYK_CLIENT_ID";
    const SECRET: &str = "SNYK_CLIENT_SECRET";
    match (environment.get(ID), environment.get(SECRET)) {
        (Some(id), Some(secret)) => {
            for (name, value) in [(ID, id), (SECRET, secret)] {
                if let Some(placeholder) = Placeholder::of(value) {
                    return Err(SettingsError::Placeholder(name, placeholder));
                }
            }
            Ok(Some(Source::Client { id: id.trim().to_owned(), secret: Secret::new(secret.trim()) }))
        }
        (Some(_), None) => Err(SettingsError::HalfAClient(ID, SECRET)),
        (None, Some(_)) => Err(SettingsError::HalfAClient(SECRET, ID)),
        (None, None) => Ok(None),
    }
}

fn snyk_cli_file(environment: &Environment) -> Option<PathBuf> {
    let home = || environment.path("HOME").map(|home| home.join(".config"));
    let config = environment.path("XDG_CONFIG_HOME").or_else(home)?;
    Some(config.join("configstore").join("snyk.json"))
}
