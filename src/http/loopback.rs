//! What leads to this machine: one rule for addresses, names and URLs.

use std::net::IpAddr;

use url::{Host, Url};

/// Whether an address is this machine's own, also in the form that IPv6 has for an address of IPv4.
pub(crate) const fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a name is one of this machine by definition (RFC 6761). A resolver may know better, except for `localhost`.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether requests to `url` stay on this machine, whatever a resolver says.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => is_loopback_address(address.into()),
        Some(Host::Ipv6(address)) => is_loopback_address(address.into()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_urls_agree_on_what_is_here() {
        let here = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        let elsewhere = ["192.0.2.1", "::ffff:192.0.2.1", "0.0.0.0", "::"];
        for (address, expected) in
            here.map(|it| (it, true)).into_iter().chain(elsewhere.map(|it| (it, false)))
        {
            let address: IpAddr = address.parse().unwrap();
            let host = std::net::SocketAddr::new(address, 1);
            assert_eq!(is_loopback_address(address), expected, "{address}");
            assert_eq!(is_loopback(&Url::parse(&format!("http://{host}")).unwrap()), expected, "{address}");
        }
        for (name, is_name, is_sure) in [
            ("localhost", true, true),
            ("LocalHost", true, true),
            ("localhost.", true, false),
            ("snyk.localhost", true, false),
            ("notlocalhost", false, false),
            ("localhost.example", false, false),
        ] {
            assert_eq!(is_loopback_name(name), is_name, "{name}");
            assert_eq!(is_loopback(&Url::parse(&format!("http://{name}")).unwrap()), is_sure, "{name}");
        }
    }
}
