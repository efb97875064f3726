//! `[report]`: the dead man's switch that hears how a command ended.

use super::daemon::secret_in;
use super::{Settings, SettingsError};
use crate::http::is_loopback;
use crate::notify::PingUrl;
use crate::secret_file;

impl Settings {
    /// The URL of the dead man's switch, if there is one. The strongest layer that names one decides.
    ///
    /// # Errors
    ///
    /// When it is not a URL, or a secret that others could read on the way, or when its file cannot be read.
    pub fn ping(&self) -> Result<Option<PingUrl>, SettingsError> {
        let mut layers = self.layers.iter().map(|layer| &layer.report);
        let Some(section) = layers.find(|section| section.ping.is_some() || section.ping_file.is_some())
        else {
            return Ok(None);
        };
        let wrong = |key: &str, why: String| SettingsError::wrong(self.places.of(&["report"], key), why);
        let (url, key) = match (&section.ping, &section.ping_file) {
            (Some(_), Some(_)) => {
                return Err(wrong("ping-file", "give either `ping` or `ping-file`".to_owned()));
            }
            (_, Some(path)) => {
                self.usable(path)?;
                secret_file::warn_if_open(path);
                let secret = secret_in(path, self.environment().pipes());
                (PingUrl::new(secret.map_err(|why| wrong("ping-file", why))?), "ping-file")
            }
            (url, None) => (url.clone().unwrap_or_else(|| unreachable!("one of them is there")), "ping"),
        };
        let parsed = url.url().map_err(|why| wrong(key, why))?;
        if parsed.scheme() != "https" && !is_loopback(&parsed) && !self.allows_http() {
            let why = "it is a secret, which others could read over plain http: use https, or --allow-http if nobody else \
                       can listen";
            return Err(wrong(key, why.to_owned()));
        }
        Ok(Some(url))
    }
}
