//! Where a link of a server may lead.
//!
//! Links of a hostile server could make us send requests that it cannot send itself: to services that listen on this
//! machine only, or to the metadata service of a cloud, which gives credentials to every program on the machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{Proxies, is_loopback, is_loopback_address, is_loopback_name};
use crate::watch::observation::{Failure, FailureKind};

/// Where links may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// To this machine.
    pub loopback: bool,
    /// To this machine without TLS.
    pub plain_loopback: bool,
    /// Anywhere without TLS.
    pub plain: bool,
}

/// Why a link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutOfReach {
    #[error(
        "the link uses plain http, which others can read: this requires an API over plain http and --allow-http"
    )]
    Plain,
    #[error("the link leads to this machine, but the API is not on it")]
    Loopback,
    #[error("the link leads to an address that is reserved for services of this network")]
    LinkLocal,
    #[error("the link has no host")]
    Nowhere,
}

impl From<OutOfReach> for Failure {
    fn from(why: OutOfReach) -> Self {
        Self::new(FailureKind::Rejected, "the link is not followed", &why.to_string())
    }
}

impl Reach {
    /// The reach of links from the server at `url`: to this machine only if the server is on it, and over plain http only if the
    /// server uses plain http itself and is on this machine, or `allows_plain`.
    #[must_use]
    pub fn from(url: &Url, allows_plain: bool) -> Self {
        let (loopback, is_plain) = (is_loopback(url), url.scheme() == "http");
        Self { loopback, plain_loopback: loopback && is_plain, plain: is_plain && allows_plain }
    }

    /// Whether a link may be followed, before its name is resolved.
    pub(crate) fn check(self, url: &Url) -> Result<(), OutOfReach> {
        let may_be_plain = self.plain || (self.plain_loopback && is_loopback(url));
        if url.scheme() != "https" && !may_be_plain {
            return Err(OutOfReach::Plain);
        }
        match url.host() {
            Some(Host::Domain(name)) if is_loopback_name(name) && !self.loopback => Err(OutOfReach::Loopback),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
            None => Err(OutOfReach::Nowhere),
        }
    }

    fn check_address(self, address: IpAddr) -> Result<(), OutOfReach> {
        let address = inner(address);
        // Requests to the unspecified address arrive on this machine.
        if (is_loopback_address(address) || address.is_unspecified()) && !self.loopback {
            return Err(OutOfReach::Loopback);
        }
        if is_link_local(address) { Err(OutOfReach::LinkLocal) } else { Ok(()) }
    }
}

/// The address that is reached: IPv6 has several forms that lead to an IPv4 address.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(outer) = address else { return address };
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([a, b, c, d])
    };
    match outer.segments() {
        _ if outer.is_loopback() || outer.is_unspecified() => address,
        // IPv4-mapped, IPv4-compatible and NAT64 addresses; then 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// Link-local addresses, which include most metadata services; two clouds have other addresses for them.
fn is_link_local(address: IpAddr) -> bool {
    const AMAZON: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    const ALIBABA: [u8; 4] = [100, 100, 100, 200];
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.octets() == ALIBABA,
        IpAddr::V6(address) => address.is_unicast_link_local() || address == AMAZON,
    }
}

/// Resolves names in links, and removes the addresses where links may not lead.
pub(crate) struct Resolver {
    reach: Reach,
    /// Names of proxies, which the user has chosen: they may lead anywhere.
    trusted: Arc<BTreeSet<String>>,
}

impl Resolver {
    /// With proxies, their names are resolved, not those in links.
    pub(crate) fn new(reach: Reach, proxies: &Proxies) -> Self {
        let hosts = [&proxies.http, &proxies.https].into_iter().flatten();
        let trusted = hosts.filter_map(|proxy| Some(proxy.url.host_str()?.to_owned())).collect();
        Self { reach, trusted: Arc::new(trusted) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let is_trusted = self.trusted.contains(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            if is_trusted {
                return Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let (within, mut outside) = (Vec::new(), None);
            let within = found.fold(within, |mut within: Vec<SocketAddr>, address| {
                match reach.check_address(address.ip()) {
                    Ok(()) => within.push(address),
                    Err(why) => outside = Some(why),
                }
                within
            });
            match outside.filter(|_| within.is_empty()) {
                Some(why) => Err(why.into()),
                None => Ok(Box::new(within.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reach: Reach, url: &str) -> Result<(), OutOfReach> {
        reach.check(&Url::parse(url).unwrap())
    }

    fn from(api: &str, allows_plain: bool) -> Reach {
        Reach::from(&Url::parse(api).unwrap(), allows_plain)
    }

    #[test]
    fn links_lead_where_the_api_is() {
        use OutOfReach::{LinkLocal, Loopback, Plain};
        let remote = from("https://api.snyk.io", false);
        let here = from("http://127.0.0.1:4010", false);
        let rows = [
            ("https://storage.googleapis.com/x", Ok(()), Ok(())),
            ("https://10.1.2.3/x", Ok(()), Ok(())),
            ("https://127.0.0.1/x", Err(Loopback), Ok(())),
            ("https://127.9.9.9/x", Err(Loopback), Ok(())),
            ("https://2130706433/x", Err(Loopback), Ok(())),
            ("https://localhost/x", Err(Loopback), Ok(())),
            ("https://localhost./x", Err(Loopback), Ok(())),
            ("https://x.localhost/x", Err(Loopback), Ok(())),
            ("https://0.0.0.0/x", Err(Loopback), Ok(())),
            ("https://[::]/x", Err(Loopback), Ok(())),
            ("https://[::1]/x", Err(Loopback), Ok(())),
            ("https://[::ffff:127.0.0.1]/x", Err(Loopback), Ok(())),
            ("http://storage.example/x", Err(Plain), Err(Plain)),
            ("http://127.0.0.1:1/x", Err(Plain), Ok(())),
            ("https://169.254.169.254/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[::ffff:169.254.169.254]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[64:ff9b::169.254.169.254]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[2002:a9fe:a9fe::1]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[::169.254.169.254]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[64:ff9b::7f00:1]/x", Err(Loopback), Ok(())),
            ("https://[2002:7f00:1::]/x", Err(Loopback), Ok(())),
            ("https://[::127.0.0.1]/x", Err(Loopback), Ok(())),
            ("https://[64:ff9b::8.8.8.8]/x", Ok(()), Ok(())),
            ("https://[fe80::1]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://[fd00:ec2::254]/x", Err(LinkLocal), Err(LinkLocal)),
            ("https://100.100.100.200/x", Err(LinkLocal), Err(LinkLocal)),
        ];
        for (url, of_remote, of_here) in rows {
            assert_eq!((check(remote, url), check(here, url)), (of_remote, of_here), "{url}");
        }
        // An API, whether plain http may leave the machine, and whether a link without TLS is followed elsewhere and to here.
        let rows = [
            ("http://api.example", true, true, false),
            ("http://api.example", false, false, false),
            ("https://api.example", true, false, false),
            ("https://127.0.0.1", true, false, false),
            ("http://127.0.0.1", false, false, true),
            ("http://127.0.0.1", true, true, true),
        ];
        for (api, allows_plain, elsewhere, to_here) in rows {
            let follows = |url| check(from(api, allows_plain), url).is_ok();
            let followed = (follows("http://s.example"), follows("http://127.0.0.1"));
            assert_eq!(followed, (elsewhere, to_here), "{api}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_only_where_a_link_may() {
        let resolve = |reach, proxies: &Proxies| {
            let resolver = Resolver::new(reach, proxies);
            resolver.resolve("localhost".parse().unwrap())
        };
        let (nowhere, here) = (from("https://api.snyk.io", false), from("https://localhost", false));
        let why = resolve(nowhere, &Proxies::default()).await.err().unwrap();
        assert_eq!(why.downcast_ref(), Some(&OutOfReach::Loopback));
        assert!(resolve(here, &Proxies::default()).await.unwrap().count() > 0);
        let url = Url::parse("http://localhost:3128").unwrap();
        let https = Some(super::super::Proxy::new(url, "HTTPS_PROXY"));
        assert!(resolve(nowhere, &Proxies { https, ..Proxies::default() }).await.is_ok());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_as_its_address_is() {
        let (url, network) = (Url::parse("https://localhost:1/x").unwrap(), super::super::Network::default());
        let resolver = Arc::new(network.resolver(from("https://api.snyk.io", false)));
        let options = |builder: reqwest::ClientBuilder| builder.dns_resolver(Arc::clone(&resolver));
        let client = super::super::client(&url, &network, options).unwrap();
        let failure = network.send(&client, client.get(url).build().unwrap()).await.unwrap_err();
        assert_eq!(failure, OutOfReach::Loopback.into());
    }
}
