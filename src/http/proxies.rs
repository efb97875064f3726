//! Which proxy a request goes through, if any.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::is_loopback;
use crate::secret::Secret;

/// The proxies in use. Nothing here reads the environment: the settings do.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For requests over plain http.
    pub http: Option<Proxy>,
    /// For requests over https.
    pub https: Option<Proxy>,
    /// Hosts that are reached without a proxy.
    pub exempt: Exempt,
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its URL, with credentials, which is never shown.
    pub(super) url: Url,
    /// The variable that names it.
    pub(super) variable: String,
    /// Held as long as the proxy exists, so that texts mask its password.
    _held: Secret,
}

/// Shows the address without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{}://{host}:{}", self.url.scheme(), self.url.port_or_known_default().unwrap_or_default())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.variable)
    }
}

impl Proxy {
    /// The proxy that `variable` names.
    #[must_use]
    pub fn new(url: Url, variable: &str) -> Self {
        Self { _held: Secret::new(url.as_str()), url, variable: variable.to_owned() }
    }

    /// Whether it has a user or a password.
    pub(super) fn has_credentials(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }
}

impl Proxies {
    /// The proxy for a URL. Requests to this machine need none.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| !is_loopback(url) && !self.exempt.covers(url))
    }

    /// Whether there is no proxy at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Through which proxy requests to `url` go, for the message of a failure; `None` for loopback.
    pub(super) fn route(&self, url: &Url) -> Option<String> {
        if is_loopback(url) {
            return None;
        }
        let host = url.host_str().unwrap_or_default();
        let (variable, proxy) = match url.scheme() {
            "https" => ("HTTPS_PROXY", self.https.as_ref()),
            _ => ("HTTP_PROXY", self.http.as_ref()),
        };
        Some(match (proxy, self.of(url)) {
            (_, Some(proxy)) => {
                format!(
                    "{host} is reached through the proxy {proxy} ({}): check whether it works",
                    proxy.variable
                )
            }
            (Some(_), None) => format!("{host} is reached without a proxy, because NO_PROXY names it"),
            (None, None) => {
                format!("{host} is reached without a proxy: if this network requires one, set {variable}")
            }
        })
    }
}

/// Hosts that are reached without a proxy, as `NO_PROXY` lists them.
#[derive(Debug, Clone, Default)]
pub struct Exempt(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// The hosts of a domain, in lower case, with or without the host of that name.
    Domain {
        name: String,
        itself: bool,
    },
    /// The addresses of a network.
    Network(IpNet),
}

impl Exempt {
    /// Parses a list as curl and Go do: entries are separated by commas or blanks. Each is `*`, a domain (`x.example`,
    /// `.x.example`, `*.x.example`), an address or a network (`10.0.0.0/8`, `[::1]`), with or without a port. Also returns
    /// the invalid entries, which are ignored.
    #[must_use]
    pub fn parse(list: &str) -> (Self, Vec<&str>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        let entries = list.split(|char: char| char == ',' || char.is_whitespace());
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match Entry::parse(entry) {
                Some(entry) => known.push(entry),
                None => unknown.push(entry),
            }
        }
        (Self(known), unknown)
    }

    /// Whether the host of `url` is one of them.
    fn covers(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let fits = |entry: &Entry| entry.port.is_none_or(|wanted| Some(wanted) == port);
        self.0.iter().any(|entry| fits(entry) && entry.hosts.cover(url))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self { hosts: Hosts::All, port: None });
        }
        if let Some(hosts) = Hosts::network(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let hosts = Hosts::network(host).or_else(|| Hosts::domain(host))?;
        Some(Self { hosts, port })
    }
}

impl Hosts {
    /// An address, in brackets or not, or a network.
    fn network(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address = || inner.unwrap_or(text).parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).ok().map(Self::Network)
    }

    fn domain(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (name, itself) = match text.strip_prefix("*.") {
            Some(name) => (name, false),
            None => (text.strip_prefix('.').unwrap_or(text), true),
        };
        // As in URLs: in lower case and ASCII.
        let Ok(Host::Domain(name)) = Host::parse(name) else { return None };
        let is_name = name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
        is_name.then_some(Self::Domain { name, itself })
    }

    fn cover(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
            Some(Host::Domain(_)) | None => None,
        };
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Domain { name, itself } => {
                let host = url.host_str().unwrap_or_default();
                let host = host.strip_suffix('.').unwrap_or(host);
                match host.strip_suffix(name.as_str()) {
                    Some("") => *itself,
                    Some(rest) => rest.ends_with('.'),
                    None => false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn exemptions_are_read_as_curl_and_go_read_them() {
        // An entry, what it covers, and what it does not.
        let rows = [
            (
                "*",
                &["https://api.snyk.io", "https://[2001:db8::1]", "http://10.1.2.3:80"] as &[_],
                &[] as &[_],
            ),
            (
                "snyk.io",
                &["https://snyk.io", "https://api.snyk.io", "https://API.SNYK.IO."],
                &["https://xsnyk.io", "https://snyk.io.x"],
            ),
            (".snyk.io", &["https://snyk.io", "https://api.snyk.io"], &["https://xsnyk.io"]),
            (
                "*.snyk.io",
                &["https://api.snyk.io", "https://a.b.snyk.io"],
                &["https://snyk.io", "https://xsnyk.io"],
            ),
            ("Snyk.IO.", &["https://api.snyk.io"], &["https://snyk.com"]),
            (
                "api.snyk.io:443",
                &["https://api.snyk.io"],
                &["https://api.snyk.io:8443", "http://api.snyk.io"],
            ),
            ("bücher.example", &["https://bücher.example", "https://xn--bcher-kva.example"], &[]),
            ("10.1.2.3", &["https://10.1.2.3"], &["https://10.1.2.4", "https://x.10.1.2.3.example"]),
            ("10.1.2.3:8080", &["http://10.1.2.3:8080"], &["http://10.1.2.3"]),
            (
                "10.0.0.0/8",
                &["https://10.255.0.1", "https://[::ffff:10.1.2.3]"],
                &["https://11.0.0.1", "https://[::1]"],
            ),
            ("0.0.0.0/0", &["https://1.2.3.4"], &["https://[2001:db8::1]", "https://x.example"]),
            ("2001:db8::1", &["https://[2001:db8::1]"], &["https://[2001:db8::2]"]),
            ("[2001:db8::1]", &["https://[2001:db8::1]:8443"], &["https://[2001:db8::2]"]),
            ("[2001:db8::1]:443", &["https://[2001:db8::1]"], &["https://[2001:db8::1]:8443"]),
            ("2001:db8::/32", &["https://[2001:db8:ffff::1]"], &["https://[2001:db9::1]"]),
            (
                "a.example , b.example\tc.example,,",
                &["https://a.example", "https://b.example", "https://c.example"],
                &["https://d.example"],
            ),
        ];
        for (list, covered, others) in rows {
            let (exempt, unknown) = Exempt::parse(list);
            assert_eq!(unknown, [""; 0], "{list}");
            for host in covered {
                assert!(exempt.covers(&url(host)), "{list} covers {host}");
            }
            for host in others {
                assert!(!exempt.covers(&url(host)), "{list} does not cover {host}");
            }
        }
        for list in
            ["http://snyk.io", "10.*", "a*b.example", "snyk.io:https", "10.0.0.0/33", "*.", "a b%", "!"]
        {
            let (_, unknown) = Exempt::parse(list);
            assert!(!unknown.is_empty(), "{list}");
        }
    }

    #[test]
    fn a_proxy_is_for_a_scheme_and_never_for_loopback() {
        let proxy = |port: u16, variable: &str| {
            let url = url(&format!("http://user:hunter2@proxy.example:{port}"));
            Some(Proxy::new(url, variable))
        };
        let (exempt, _) = Exempt::parse("internal.example");
        let proxies = Proxies { http: proxy(1, "HTTP_PROXY"), https: proxy(2, "ALL_PROXY"), exempt };
        let of = |text: &str| proxies.of(&url(text)).map(ToString::to_string);
        assert_eq!(of("https://api.snyk.io").as_deref(), Some("http://proxy.example:2"));
        assert_eq!(of("http://api.snyk.io").as_deref(), Some("http://proxy.example:1"));
        for direct in ["https://localhost", "http://127.0.0.2", "https://[::1]", "https://internal.example"] {
            assert_eq!(of(direct), None, "{direct}");
        }
        assert!(!format!("{proxies:?}").contains("hunter2"));
        let route = |text: &str| proxies.route(&url(text)).unwrap_or_default();
        assert!(route("https://api.snyk.io").contains("http://proxy.example:2 (ALL_PROXY)"));
        assert!(route("https://internal.example").contains("NO_PROXY names it"));
        assert_eq!(route("http://localhost"), "");
        let none = Proxies::default().route(&url("https://api.snyk.io")).unwrap();
        assert!(none.contains("without a proxy") && none.contains("HTTPS_PROXY"), "{none}");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(list: String, host in "[a-z0-9.]{1,20}") {
            let (exempt, _) = Exempt::parse(&list);
            if let Ok(url) = Url::parse(&format!("http://{host}")) {
                let _ = exempt.covers(&url);
            }
        }
    }
}
