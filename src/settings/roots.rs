//! Which certificate authorities are trusted.

use std::path::Path;

use reqwest::Certificate;

use super::sources::read_certificates;
use super::{Settings, SettingsError};
use crate::http::Roots;

impl Settings {
    /// The certificate authorities to trust besides those of the system.
    ///
    /// # Errors
    ///
    /// When the file of `--ca-cert` cannot be used; that of `NODE_EXTRA_CA_CERTS` is worth a warning.
    pub fn roots(&self) -> Result<Roots, SettingsError> {
        let mut added = self.own_certificates()?;
        let ambient = self.ambient_roots();
        added.extend(ambient.added);
        Ok(Roots { added, chosen: ambient.chosen })
    }

    /// The certificate authorities of `--ca-cert`.
    pub(super) fn own_certificates(&self) -> Result<Vec<Certificate>, SettingsError> {
        let Some(path) = &self.layers.snyk.ca_cert else { return Ok(Vec::new()) };
        let place = || self.places.of(&["snyk"], "ca-cert");
        let error = |why| SettingsError::CaCert { place: place(), path: path.clone(), why };
        read_certificates(path).map_err(error)
    }

    /// The certificate authorities that the environment names.
    pub(super) fn ambient_roots(&self) -> Roots {
        let chosen =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| self.environment().get(name).is_some());
        let mut roots = Roots { added: Vec::new(), chosen };
        if let Some(path) = self.environment().get("NODE_EXTRA_CA_CERTS") {
            match read_certificates(Path::new(path)) {
                Ok(certificates) => roots.added = certificates,
                Err(why) => tracing::warn!(path, reason = why, "NODE_EXTRA_CA_CERTS was passed over"),
            }
        }
        roots
    }
}
