//! Where the API is: the name of a region, or any of the URLs that people have in `SNYK_API`.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::export::ExportRef;
use crate::http;
use crate::request::StartRequest;
use crate::text::Text;

/// Snyk's regions: the name that `--api` takes, Snyk's own name, the host of the API.
const REGIONS: [(&str, &str, &str); 5] = [
    ("us", "SNYK-US-01", "api.snyk.io"),
    ("us2", "SNYK-US-02", "api.us.snyk.io"),
    ("eu", "SNYK-EU-01", "api.eu.snyk.io"),
    ("au", "SNYK-AU-01", "api.au.snyk.io"),
    ("gov", "SNYK-GOV-01", "api.snykgov.io"),
];

/// The names of the regions.
pub(crate) fn region_names() -> [&'static str; 5] {
    REGIONS.map(|(name, ..)| name)
}

/// The base URL of an API: scheme, host, and the path of a gateway if there is one, without `/rest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api(Url);

/// The text does not name an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not an API: {why}; use us, us2, eu, au, gov or a URL such as https://api.eu.snyk.io")]
pub struct NotAnApi {
    given: Text,
    why: &'static str,
}

impl Api {
    /// Whether a URL has the origin of this API.
    #[must_use]
    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// Whether requests stay on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        http::is_loopback(&self.0)
    }

    /// The base as a URL.
    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The API at the host of a URL, if it is one of Snyk's own.
    #[must_use]
    pub fn of_known_region(url: &Url) -> Option<Self> {
        let host = api_host(url.host_str()?);
        let known = REGIONS.iter().any(|(_, _, known)| *known == host);
        (known && url.port().is_none()).then(|| host.parse().ok()).flatten()
    }

    /// The API that a host or a URL names, if it is one of Snyk's own.
    #[must_use]
    pub fn of_snyk(text: &str) -> Option<Self> {
        let url =
            if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
        Self::of_known_region(&url.ok()?)
    }

    /// The region that a credential names, if this API is another region of Snyk's. Which region is behind a gateway is not
    /// known.
    #[must_use]
    pub fn contradicted_by<'a>(&self, region: Option<&'a Self>) -> Option<&'a Self> {
        let is_snyks = Self::of_known_region(&self.0).as_ref() == Some(self);
        region.filter(|region| is_snyks && *region != self)
    }

    /// The URL of an export's status.
    #[must_use]
    pub fn status_url(&self, export: &ExportRef, version: &str) -> Url {
        self.rest_url(&export.to_string(), version)
    }

    /// The URL that lists one's own personal access tokens.
    #[must_use]
    pub fn tokens_url(&self, version: &str) -> Url {
        self.rest_url("/self/personal_access_tokens", version)
    }

    /// The URL of an export's results.
    #[must_use]
    pub fn results_url(&self, export: &ExportRef, version: &str) -> Url {
        let path =
            format!("/{}/{}/export/{}", export.scope.path_segment(), export.scope_id, export.export_id);
        self.rest_url(&path, version)
    }

    /// The URL that starts an export.
    #[must_use]
    pub fn start_url(&self, request: &StartRequest, version: &str) -> Url {
        let scope = request.scope;
        let mut url = self.rest_url(&format!("/{}/{}/export", scope.scope.path_segment(), scope.id), version);
        let flags = [
            ("include_deleted", request.include_deleted),
            ("include_deactivated", request.include_deactivated),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            url.query_pairs_mut().append_pair(name, "true");
        }
        url
    }

    /// The URL that issues OAuth access tokens.
    #[must_use]
    pub fn token_url(&self) -> Url {
        self.with_path("/oauth2/token")
    }

    fn rest_url(&self, path: &str, version: &str) -> Url {
        let mut url = self.with_path(&format!("/rest{path}"));
        // A form would encode `~`, but it is not a reserved character, and Snyk does not encode it.
        url.set_query(Some(&format!("version={version}")));
        url
    }

    fn with_path(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }
}

impl Default for Api {
    fn default() -> Self {
        let [(_, _, host), ..] = REGIONS;
        Self(
            Url::parse(&format!("https://{host}")).unwrap_or_else(|_| unreachable!("a constant that parses")),
        )
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for Api {
    type Err = NotAnApi;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| NotAnApi { given: Text::of_wrong_value(text), why };
        let text = text.trim();
        let region = REGIONS
            .iter()
            .find(|(name, long, _)| [name, long].into_iter().any(|n| n.eq_ignore_ascii_case(text)));
        let text = match region {
            Some((_, _, host)) => format!("https://{host}"),
            None if text.contains("://") => text.to_owned(),
            None if text.contains(['.', ':']) || text == "localhost" => format!("https://{text}"),
            None => return Err(error("it is neither a region nor a URL")),
        };
        if text.contains(|char: char| char.is_whitespace() || char.is_control()) {
            return Err(error("it has white space or a line break inside"));
        }
        let mut url = Url::parse(&text).map_err(|_| error("it is not a valid URL"))?;
        if text.split("://").nth(1).is_none_or(|rest| rest.starts_with(['/', '\\'])) {
            return Err(error("it names no host"));
        }
        if !matches!(url.scheme(), "https" | "http") {
            return Err(error("its scheme is neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("it carries credentials"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error("it has a query or a fragment"));
        }
        if Text::of_input(&text).as_str() != text {
            return Err(error("it looks like a secret"));
        }
        let host = api_host(url.host_str().unwrap_or_default());
        url.set_host(Some(&host)).map_err(|_| error("its host is not valid"))?;
        url.set_path(&gateway_path(url.path()));
        Ok(Self(url))
    }
}

/// The API's host for any of Snyk's hosts: for `app.eu.snyk.io` and `eu.snyk.io` it is `api.eu.snyk.io`.
fn api_host(host: &str) -> String {
    let host = host.trim_end_matches('.');
    let of_snyk = ["snyk.io", "snykgov.io"]
        .iter()
        .any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !of_snyk || host.starts_with("api.") {
        return host.to_owned();
    }
    format!("api.{}", host.strip_prefix("app.").or_else(|| host.strip_prefix("www.")).unwrap_or(host))
}

/// A path without the parts that belong to the API itself.
fn gateway_path(path: &str) -> String {
    let mut path = path.trim_end_matches('/');
    while let Some(shorter) = ["/rest", "/v1", "/api"].iter().find_map(|end| path.strip_suffix(end)) {
        path = shorter.trim_end_matches('/');
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_values_of_snyk_api_are_understood() {
        let rows = [
            ("us", "https://api.snyk.io"),
            ("US2", "https://api.us.snyk.io"),
            ("eu", "https://api.eu.snyk.io"),
            ("snyk-au-01", "https://api.au.snyk.io"),
            ("gov", "https://api.snykgov.io"),
            ("https://api.eu.snyk.io/v1", "https://api.eu.snyk.io"),
            ("https://app.eu.snyk.io", "https://api.eu.snyk.io"),
            ("https://app.snyk.io/api/", "https://api.snyk.io"),
            ("https://snyk.io/api/v1", "https://api.snyk.io"),
            ("https://API.SNYK.IO/rest/", "https://api.snyk.io"),
            (" api.eu.snyk.io ", "https://api.eu.snyk.io"),
            ("https://api.acme.snyk.io", "https://api.acme.snyk.io"),
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010"),
            ("http://localhost:4010/rest", "http://localhost:4010"),
            ("https://gateway.example/snyk/rest", "https://gateway.example/snyk"),
            ("https://app.example", "https://app.example"),
            ("https://notsnyk.io", "https://notsnyk.io"),
        ];
        for (given, base) in rows {
            assert_eq!(given.parse::<Api>().map(|api| api.to_string()).as_deref(), Ok(base), "{given}");
        }
        assert_eq!("us".parse(), Ok(Api::default()));
        let origin = |url: &str| Api::default().is_origin_of(&Url::parse(url).unwrap());
        assert!(origin("https://api.snyk.io/rest/x") && !origin("https://api.eu.snyk.io/"));
        assert!(Api::default().is_https() && !Api::default().is_loopback());
    }

    #[test]
    fn only_hosts_of_snyk_name_a_region() {
        let named = |text: &str| Api::of_snyk(text).map(|api| api.to_string());
        for text in ["api.eu.snyk.io", "https://app.eu.snyk.io/x"] {
            assert_eq!(named(text).as_deref(), Some("https://api.eu.snyk.io"), "{text}");
        }
        for text in ["api.example", "https://api.eu.snyk.io:444", "https://", "api.acme.snyk.io"] {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_without_showing_passwords() {
        let wrong = [
            "",
            "mars",
            "ftp://api.snyk.io",
            "https://",
            "https:///v1",
            "https://api.example/a\nhttps://b.example",
            "https://api.example/a b",
            "https://u:hunter2@api.snyk.io",
            "https://hunter2@api.snyk.io",
            "https://:hunter2@api.snyk.io",
            "https://api.snyk.io?x=1",
            "snyk_uat.1a2b3c4d.e30.hunter2",
            "5f1c2a8e-0b1d-4c3e-8a6b-9c0d1eabcdef",
            "https://eyJhbGciOiJSUzI1NiJ9.e30.hunter2",
            "https://hooks.slack.com/services/T/B/hunter2",
        ];
        for text in wrong {
            let error = text.parse::<Api>().expect_err(text).to_string();
            assert!(
                error.contains("us, us2, eu, au, gov")
                    && !error.contains("hunter2")
                    && !error.contains("5f1c"),
                "{error}"
            );
        }
    }

    #[test]
    fn builds_urls_below_a_gateway() {
        let api: Api = "http://[::1]:80/snyk/rest".parse().unwrap();
        let export = "/orgs/11111111-2222-4333-8444-555555555555/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        let crate::export::ExportArg::Located { export, .. } = export.parse().unwrap() else { panic!() };
        assert_eq!(
            api.status_url(&export, "2024-05-10~experimental").as_str(),
            "http://[::1]/snyk/rest/orgs/11111111-2222-4333-8444-555555555555/jobs/export/\
             7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b?version=2024-05-10~experimental"
        );
        assert!(api.results_url(&export, "x").as_str().contains("/export/7f2c"));
        assert_eq!(api.token_url().as_str(), "http://[::1]/snyk/oauth2/token");
        assert!(api.is_loopback() && !api.is_https());
    }

    #[test]
    fn knows_loopback_and_regions() {
        for local in ["http://localhost", "http://127.8.0.1", "http://[::ffff:127.0.0.1]:1"] {
            assert!(local.parse::<Api>().unwrap().is_loopback(), "{local}");
        }
        assert!(!"http://localhost.example".parse::<Api>().unwrap().is_loopback());
        let known = |url: &str| Api::of_known_region(&Url::parse(url).unwrap()).map(|api| api.to_string());
        assert_eq!(known("https://api.eu.snyk.io/rest/groups").as_deref(), Some("https://api.eu.snyk.io"));
        assert_eq!(known("https://app.snyk.io/x").as_deref(), Some("https://api.snyk.io"));
        assert_eq!(known("http://api.eu.snyk.io/").as_deref(), Some("https://api.eu.snyk.io"));
        assert_eq!(known("https://api.eu.snyk.io:444/"), None);
        assert_eq!(known("https://api.eu.snyk.io.evil.example/"), None);
        assert_eq!(known("https://evil.snyk.io/"), None);
    }

    #[test]
    fn a_region_contradicts_another_but_no_gateway() {
        let region: Api = "eu".parse().unwrap();
        let contradicts = |api: &str| api.parse::<Api>().unwrap().contradicted_by(Some(&region)).is_some();
        assert!(contradicts("us") && contradicts("https://api.snykgov.io") && !contradicts("app.eu.snyk.io"));
        for other in ["http://api.us.snyk.io", "https://api.us.snyk.io/gateway", "https://gateway.example"] {
            assert!(!contradicts(other), "{other}");
        }
        assert_eq!(Api::default().contradicted_by(None), None);
    }
}
