//! The certificates and the proxies that flags, files and variables name.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use url::Url;

use super::{Environment, Settings, SettingsError};
use crate::disk::Pipes;
use crate::http::{Exempt, Network, Proxies, Proxy, Store, read_certificates};
use crate::text::Text;

/// The certificate stores and proxies of the environment, which apply to all connections.
#[derive(Debug)]
pub(super) struct Surroundings {
    store: Store,
    proxies: Proxies,
}

impl Surroundings {
    /// A network that also trusts these certificates.
    pub(super) fn with(&self, own: Vec<CertificateDer<'static>>) -> Network {
        Network::new(own, self.store.clone(), self.proxies.clone())
    }
}

impl Settings {
    /// The network for requests to Snyk and others.
    ///
    /// # Errors
    ///
    /// When the file of `--ca-cert` or a proxy cannot be used. Files that variables name are read when a connection needs them.
    pub fn network(&self) -> Result<Network, SettingsError> {
        self.network_trusting(self.own_certificates()?)
    }

    /// The same, with the certificates of `--ca-cert`, which are read already. The error is about a proxy.
    pub(crate) fn network_trusting(
        &self,
        own: Vec<CertificateDer<'static>>,
    ) -> Result<Network, SettingsError> {
        Ok(self.surroundings()?.with(own))
    }

    /// The file with further certificates, and where it is named.
    pub(crate) fn own_certificates_file(&self) -> Option<(String, &Path)> {
        self.snyk.ca_cert.as_ref().map(|path| (self.places.of(&["snyk"], "ca-cert"), path.as_path()))
    }

    /// The certificates of `--ca-cert`.
    pub(crate) fn own_certificates(&self) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
        let Some((place, path)) = self.own_certificates_file() else { return Ok(Vec::new()) };
        self.usable(path)?;
        certificates(path, place, self.environment().pipes())
    }

    /// The certificate stores and proxies of the environment.
    pub(super) fn surroundings(&self) -> Result<Surroundings, SettingsError> {
        let (exempt, ignored) = self.exempt();
        if let Some((name, unknown)) = ignored {
            tracing::warn!(setting = name, entries = %unknown, "invalid entries are ignored");
        }
        Ok(Surroundings { store: self.certificate_store(), proxies: proxies(self.environment(), exempt)? })
    }

    /// The certificate stores that variables name.
    pub(crate) fn certificate_store(&self) -> Store {
        let environment = self.environment();
        Store {
            file: environment.path("SSL_CERT_FILE"),
            directories: paths(environment.get("SSL_CERT_DIR").unwrap_or_default()),
            extra: environment.path("NODE_EXTRA_CA_CERTS"),
            pipes: environment.pipes().clone(),
        }
    }

    /// The hosts that are reached without a proxy. Also returns the variable that lists them, if it has invalid entries, and
    /// those.
    pub(crate) fn exempt(&self) -> (Exempt, Option<(&'static str, Text)>) {
        let environment = self.environment();
        let list = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| Some((name, environment.get(name)?)));
        let Some((name, list)) = list else { return (Exempt::default(), None) };
        let (exempt, unknown) = Exempt::parse(list);
        (exempt, (!unknown.is_empty()).then(|| (name, Text::new(&unknown.join(", ")))))
    }
}

/// Reads at least one certificate from the file that the setting at `place` names.
pub(super) fn certificates(
    path: &Path,
    place: String,
    pipes: &Pipes,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let failed = |why| format!("failed to read CA certificates from {}: {why}", Text::of_path(path));
    read_certificates(&place, path, pipes).map_err(|why| SettingsError::wrong(place, failed(why)))
}

fn paths(list: &str) -> Vec<PathBuf> {
    list.trim().split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// The proxies that the variables name, in upper or lower case; `ALL_PROXY` applies to all schemes.
fn proxies(environment: &Environment, exempt: Exempt) -> Result<Proxies, SettingsError> {
    // In a CGI program a client sets this variable with the header `Proxy`.
    let is_cgi = environment.get("REQUEST_METHOD").is_some();
    let http: &[&str] = if is_cgi { &["http_proxy"] } else { &["HTTP_PROXY", "http_proxy"] };
    let of = |names: &[&str]| names.iter().find_map(|name| proxy(environment, name)).transpose();
    let [http, https, all] =
        [of(http)?, of(&["HTTPS_PROXY", "https_proxy"])?, of(&["ALL_PROXY", "all_proxy"])?];
    Ok(Proxies { http: http.or_else(|| all.clone()), https: https.or(all), exempt })
}

/// The proxy that a variable names, if it is set.
fn proxy(environment: &Environment, name: &str) -> Option<Result<Proxy, SettingsError>> {
    let text = environment.get(name)?;
    let proxy = proxy_url(text).map(|url| Proxy::new(url, name));
    Some(proxy.map_err(|why| {
        let why =
            format!("it is not a usable proxy: {why} (a login is USER:PASSWORD@ before HOST; the form is http://HOST:PORT)");
        SettingsError::wrong(name, why)
    }))
}

/// Parses the URL of a proxy. The error does not show the text, which may contain a password.
fn proxy_url(text: &str) -> Result<Url, &'static str> {
    if text.contains(['"', '\'']) {
        return Err("it contains quotation marks");
    }
    if text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err("it contains a blank or a line break");
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if rest.starts_with("http:/") || rest.starts_with("https:/") {
        return Err("its scheme is followed by one `/` instead of two");
    }
    let scheme = scheme.to_ascii_lowercase();
    if scheme.starts_with("socks") {
        return Err("SOCKS proxies are not supported");
    }
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err("its scheme is neither http nor https");
    }
    // A proxy ignores a path. If the path contains an `@`, it is the rest of a password that was cut there.
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    if path.contains(['@', '?', '#', '\\']) {
        return Err("a `/`, `?`, `#` or `\\` in a user or a password is written %2F, %3F, %23 or %5C");
    }
    let no_port = "its port is not a number from 1 to 65535";
    let url = Url::parse(&format!("{scheme}://{authority}"));
    if url.as_ref().is_ok_and(|url| url.port() == Some(0)) {
        return Err(no_port);
    }
    url.map_err(|error| {
        if error == url::ParseError::InvalidPort {
            no_port
        } else if error == url::ParseError::EmptyHost {
            "it names no host"
        } else {
            "it is not a valid URL"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn https(variables: &[(&str, &str)]) -> Option<String> {
        proxies(&environment(variables), Exempt::default()).unwrap().https.map(|proxy| format!("{proxy:?}"))
    }

    #[test]
    fn variables_name_proxies_in_either_case() {
        let named = |text: &str| Some(text.to_owned());
        assert_eq!(https(&[]), None);
        assert_eq!(https(&[("HTTPS_PROXY", "")]), None);
        assert_eq!(https(&[("https_proxy", "p:3128")]), named("http://p:3128 (https_proxy)"));
        assert_eq!(https(&[("HTTPS_PROXY", " "), ("https_proxy", "p")]), named("http://p:80 (https_proxy)"));
        assert_eq!(https(&[("ALL_PROXY", "https://u:x@p/")]), named("https://p:443 (ALL_PROXY)"));
        assert_eq!(https(&[("all_proxy", "p"), ("HTTPS_PROXY", "q:1")]), named("http://q:1 (HTTPS_PROXY)"));
        assert_eq!(https(&[("HTTP_PROXY", "p")]), None);
        let http =
            |variables: &[(&str, &str)]| proxies(&environment(variables), Exempt::default()).unwrap().http;
        assert!(http(&[("HTTP_PROXY", "p")]).is_some());
        assert!(http(&[("HTTP_PROXY", "p"), ("REQUEST_METHOD", "GET")]).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_an_error_that_names_the_variable_and_nothing_of_its_value() {
        let unusable = [
            "\"http://u:hunter2@p:3128\"",
            "'http://p:3128'",
            "http://u:hunter2@p:3128\n",
            "http://u:hunter2@p :3128",
            "http://u:hun#ter2@p:3128",
            "http://u:hun/ter2@p:3128",
            "http://u:123#ter2@p",
            "u:hunter2?@p:3128",
            "u:hunter2\\@p:3128",
            "htp://u:hunter2@p:3128",
            "socks5://u:hunter2@p:1080",
            "http://u:hunter2@p:port",
            "http://u:hunter2@p:99999",
            "http://u:hunter2@p:0",
            "http:/p:3128",
            "http://u:hunter2@",
            "://p:3128",
            "http://",
        ];
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        for (name, value) in names.into_iter().flat_map(|name| unusable.map(|value| (name, value))) {
            let error = proxies(&environment(&[(name, value)]), Exempt::default()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: it is not a usable proxy")), "{error}");
            assert!(!error.contains("ter2") && !error.contains("3128"), "{error}");
        }
        for usable in [
            "p",
            "p:3128",
            "http://p",
            "HTTP://P:3128/",
            "https://u:p%23@p:1",
            "http://u:a@b@p",
            "[::1]:3128",
            "http://p/proxy",
        ] {
            assert!(proxies(&environment(&[("HTTPS_PROXY", usable)]), Exempt::default()).is_ok(), "{usable}");
        }
    }

    #[test]
    fn settings_with_an_unusable_proxy_are_refused() {
        let command_line = crate::settings::CommandLine::default();
        let settings = Settings::load(command_line, environment(&[("HTTPS_PROXY", "htp://p")])).unwrap();
        assert!(matches!(settings.network(), Err(SettingsError::Wrong(name, _)) if name == "HTTPS_PROXY"));
    }
}
