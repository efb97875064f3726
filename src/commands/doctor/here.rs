//! What `doctor` sees on this machine: settings, the credential, the region, proxies, certificates, the state directory.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::super::{CommandError, aside};
use super::findings::{
    Finding, Seen, is_about_region, number_of, of_certificates, of_credential, of_region, of_state,
    of_unknown_variable,
};
use super::{Doctor, Meant};
use crate::disk;
use crate::exit::ExitCode;
use crate::http::Network;
use crate::secret_file;
use crate::settings::{ChosenApi, SettingsError};
use crate::snyk::credentials::{Credentials, Source};
use crate::snyk::region::Api;
use crate::text::Text;

impl Doctor<'_> {
    /// What is wrong with the settings. Returns whether it is still known which API is meant: the credential must not go to
    /// another.
    pub(super) fn look_at_settings(&mut self) -> bool {
        let (session, mut is_known) = (self.session, true);
        for mistake in std::mem::take(&mut self.mistakes) {
            let is_region = is_about_region(&mistake);
            is_known &=
                !(is_region || matches!(mistake, SettingsError::File(_) | SettingsError::Unreadable(..)));
            self.report.fails(if is_region { "region" } else { "settings" }, &mistake.into());
        }
        for (name, near) in session.settings.unknown_variables() {
            self.report.add(of_unknown_variable(&name, near.as_deref()));
        }
        is_known
    }

    pub(super) fn look_at_state(&mut self) {
        let directory = self.session.settings.state_directory();
        self.report.add(of_state(
            &Text::of_path(&directory),
            directory.exists(),
            &disk::may_write(&directory),
        ));
    }

    /// The credential, with the place that it is from.
    pub(super) async fn look_at_credential(&mut self) -> Result<Option<(Credentials, String)>, CommandError> {
        let session = self.session;
        let loading = async {
            let (source, origin) = session.settings.credential_source()?;
            let file = match &source {
                Source::TokenFile(path) | Source::SnykCli(path) => Some(path.clone()),
                Source::Value(_) | Source::Client { .. } => None,
            };
            let loading = Credentials::load(source, &origin, session.clock);
            let loaded = session.signals.unless_interrupted(loading).await;
            let credentials = loaded.map_err(CommandError::Interrupted)?.map_err(SettingsError::from)?;
            Ok((credentials.telling(session.console.mask()), origin, file))
        };
        let loaded = loading.await;
        let Some((credentials, origin, file)) = self.unless_wrong("credential", loaded)? else {
            return Ok(None);
        };
        let (kind, ends) = credentials.kind().await;
        self.report.add(of_credential(&origin, kind, ends, session.clock.now()));
        if let Some(path) = file.filter(|path| secret_file::is_open(path)) {
            let path = Text::of_path(&path);
            let found = format!("every user of this machine can read {path}");
            self.report.add(Finding::warning("credential", found, format!("chmod o= {path}")));
        }
        Ok(Some((credentials, origin)))
    }

    pub(super) fn look_at_region(
        &mut self,
        credentials: Option<&Credentials>,
        meant: &Meant,
    ) -> Result<Option<Api>, CommandError> {
        let configured = self.session.settings.api().map_err(CommandError::from);
        let Some(configured) = self.unless_wrong("region", configured)? else { return Ok(None) };
        let region = credentials.and_then(Credentials::region);
        let ChosenApi { api, source, other } = configured.chosen(region, meant.pasted.clone());
        self.report.add(of_region(&api.to_string(), &source, other.as_deref()));
        if let Some(pasted) = meant.pasted.as_ref().filter(|pasted| **pasted != api) {
            let pasted = Text::of_host(&pasted.to_string());
            let found = format!("the host of the URL, {pasted}, is ignored");
            let cure = format!("use --api {pasted} if the export is there");
            self.report.add(Finding::warning("region", found, cure));
        }
        if !(api.is_https() || api.is_loopback()) {
            let found = "the credential goes over plain http, which others may read";
            self.report.add(Finding::warning("region", found, "use https, and not --allow-http"));
        }
        Ok(Some(api))
    }

    /// The proxy and the certificates for `api`, or for the usual one if it is not known.
    pub(super) async fn look_at_network(
        &mut self,
        api: Option<&Api>,
    ) -> Result<Option<Network>, CommandError> {
        let settings = &self.session.settings;
        let api = api.cloned().or_else(|| settings.configured_api().cloned()).unwrap_or_default();
        let own = self.look_at_certificates(&api).await?;
        if let (_, Some((name, entries))) = settings.exempt() {
            let found = format!("{name}: these entries are invalid, and are ignored: {entries}");
            let cure = "entries are domains, addresses or networks, such as .example.com or 10.0.0.0/8";
            self.report.add(Finding::warning("proxy", found, cure));
        }
        let network = settings.network_trusting(own.clone().unwrap_or_default());
        let Some(network) = self.unless_wrong("proxy", network.map_err(CommandError::from))? else {
            return Ok(None);
        };
        let proxy = network.proxy(api.url()).unwrap_or_else(|| "none".to_owned());
        self.report.add(Finding::good("proxy", proxy));
        Ok(own.map(|_| network))
    }

    /// The certificates of `--ca-cert`, if those and the others can be used. Each file is read once: it may be a pipe.
    async fn look_at_certificates(
        &mut self,
        api: &Api,
    ) -> Result<Option<Vec<CertificateDer<'static>>>, CommandError> {
        let settings = Arc::clone(&self.session.settings);
        let read = move || {
            let stores = settings.certificate_store();
            let seen = stores.look().into_iter().map(|(name, path, seen)| (name, Text::of_path(path), seen));
            (settings.own_certificates(), seen.collect::<Vec<Seen>>())
        };
        let (own, stores) = aside(&self.session.signals, read).await?;
        let own = self.unless_wrong("certificates", own.map_err(CommandError::from))?;
        let named = self.session.settings.own_certificates_file().zip(own.as_ref());
        if let Some(((place, path), own)) = named {
            let found = format!("{place} {}: {}", Text::of_path(path), number_of(own.len()));
            self.report.add(Finding::good("certificates", found));
        }
        let has_others = own.as_ref().is_some_and(|own| !own.is_empty());
        let (findings, is_usable) = of_certificates(&stores, api.is_https(), has_others);
        findings.into_iter().for_each(|finding| self.report.add(finding));
        if !is_usable {
            self.report.ends_with(ExitCode::USAGE);
        }
        Ok(own.filter(|_| is_usable))
    }
}
