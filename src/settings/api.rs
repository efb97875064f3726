//! Which API to use: that of the settings, else the region of the credential, else that of a pasted URL.

use super::sources::alias;
use super::{Environment, Settings, SettingsError};
use crate::snyk::region::{Api, NotAnApi};
use crate::text::Text;

/// The API of the settings, if they name one, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredApi(pub(super) Option<(Api, String)>);

/// The API to use, and where it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenApi {
    /// The API.
    pub api: Api,
    /// Where it was named, for the log.
    pub source: String,
    /// The API that the credential belongs to, if it is another one.
    pub other: Option<String>,
}

impl ConfiguredApi {
    /// The API to use unless the credential or a pasted URL names another region.
    #[must_use]
    pub fn likely(&self) -> Api {
        self.0.as_ref().map_or_else(Api::default, |(api, _)| api.clone())
    }

    /// The API of the settings; else the region that the credential names, the only one where it works; else the host of a
    /// `pasted` URL; else the default region. Logs a warning about contradictions and about plain http.
    #[must_use]
    pub fn chosen(self, credential: Option<&Api>, pasted: Option<Api>) -> ChosenApi {
        let of_credential = || credential.map(|api| (api.clone(), "the token's region".to_owned()));
        let of_url = || pasted.clone().map(|api| (api, "the pasted URL".to_owned()));
        let by_default = || (Api::default(), "the default".to_owned());
        let (api, source) = self.0.or_else(of_credential).or_else(of_url).unwrap_or_else(by_default);
        if !(api.is_https() || api.is_loopback()) {
            tracing::warn!(snyk.api = %api, "the credential goes over plain http");
        }
        let other = api.contradicted_by(credential).map(ToString::to_string);
        if let Some(region) = &other {
            tracing::warn!(snyk.api = %api, snyk.api_source = source, credential.region = region,
                "the credential belongs to another region than the API");
        }
        if let Some(pasted) = pasted.filter(|pasted| *pasted != api) {
            let pasted = Text::of_host(&pasted.to_string());
            tracing::warn!(url.host = %pasted, snyk.api = %api, snyk.api_source = source,
                "the host of the pasted URL is ignored");
        }
        ChosenApi { api, source, other }
    }
}

impl Settings {
    /// The API of flags, variables and the file, if one of them names it.
    ///
    /// # Errors
    ///
    /// When it uses plain http and is not on this machine.
    pub fn api(&self) -> Result<ConfiguredApi, SettingsError> {
        let Some(api) = self.configured_api() else { return Ok(ConfiguredApi(None)) };
        self.configured(api, self.places.of(&["snyk"], "api"), "--allow-http")
    }

    /// An API with its place, if the credential may be sent there. The error names `option`, which allows plain http.
    pub(super) fn configured(
        &self,
        api: &Api,
        place: String,
        option: &str,
    ) -> Result<ConfiguredApi, SettingsError> {
        if !(api.is_https() || api.is_loopback() || self.allows_http()) {
            return Err(SettingsError::wrong(
                place,
                format!(
                    "{api} is plain http and not on this machine: use https, or {option} if nobody else can listen"
                ),
            ));
        }
        Ok(ConfiguredApi(Some((api.clone(), place))))
    }

    /// Whether plain http may leave this machine.
    #[must_use]
    pub const fn allows_http(&self) -> bool {
        self.snyk.allow_http
    }

    /// The API that the user has configured, if one has been.
    #[must_use]
    pub const fn configured_api(&self) -> Option<&Api> {
        self.snyk.api.as_ref()
    }
}

/// The API in the variable of the Snyk CLI. It is parsed only if it is needed.
pub(super) fn of_snyk_cli(environment: &Environment) -> Result<Option<Api>, SettingsError> {
    let Some((name, text)) = alias("api").and_then(|name| Some((name, environment.get(name)?))) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error: NotAnApi| SettingsError::wrong(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(text: &str) -> Api {
        text.parse().unwrap()
    }

    #[test]
    fn settings_take_precedence_over_the_credential_and_that_over_the_pasted_url() {
        let rows = [
            (Some("au"), Some("eu"), Some("us2"), "https://api.au.snyk.io from --api"),
            (Some("https://gateway.example"), Some("eu"), None, "https://gateway.example from --api"),
            (None, Some("eu"), Some("us2"), "https://api.eu.snyk.io from the token's region"),
            (None, Some("eu"), None, "https://api.eu.snyk.io from the token's region"),
            (None, None, Some("us2"), "https://api.us.snyk.io from the pasted URL"),
            (None, None, None, "https://api.snyk.io from the default"),
        ];
        for (configured, credential, pasted, expected) in rows {
            let configured = ConfiguredApi(configured.map(|text| (api(text), "--api".to_owned())));
            let chosen = configured.chosen(credential.map(api).as_ref(), pasted.map(api));
            assert_eq!(format!("{} from {}", chosen.api, chosen.source), expected);
        }
    }
}
