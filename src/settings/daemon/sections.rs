//! The repeatable entries of a settings file, as they are read.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

use super::values::{Kind, Name, OutcomeWord, SecretText};
use crate::settings::values::{Id, Pause, Version};
use crate::snyk::region::Api;

/// `[snyk.accounts.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct AccountSection {
    pub(super) api: Option<Api>,
    pub(super) api_version: Option<Version>,
    pub(super) ca_cert: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret_file: Option<PathBuf>,
    pub(super) requests_per_minute: Option<NonZeroU32>,
}

impl AccountSection {
    /// The files that it names, by key.
    pub(in crate::settings) fn paths(&mut self) -> Vec<(&'static str, &mut Option<PathBuf>)> {
        let Self { ca_cert, token_file, client_secret_file, .. } = self;
        vec![("token-file", token_file), ("client-secret-file", client_secret_file), ("ca-cert", ca_cert)]
    }
}

/// `[[watch]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WatchSection {
    pub(super) group_id: Option<Id>,
    pub(super) org_id: Option<Id>,
    pub(super) export_id: Option<Id>,
    pub(super) account: Option<Name>,
    pub(super) labels: BTreeMap<String, String>,
}

/// `[[notify]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct NotifySection {
    pub(super) name: Option<Name>,
    pub(super) kind: Option<Kind>,
    pub(super) url: Option<SecretText>,
    pub(super) url_file: Option<PathBuf>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) headers_file: Option<PathBuf>,
    pub(super) max_per_minute: Option<u32>,
    pub(super) argv: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) timeout: Option<Pause>,
    pub(super) on: Option<Vec<OutcomeWord>>,
}

impl NotifySection {
    /// The files that it names, by key.
    pub(in crate::settings) fn paths(&mut self) -> Vec<(&'static str, &mut Option<PathBuf>)> {
        let Self { url_file, secret_file, headers_file, .. } = self;
        vec![("url-file", url_file), ("secret-file", secret_file), ("headers-file", headers_file)]
    }
}
