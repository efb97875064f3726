//! Why a request got no response, and what to do about it. Failures do not show the URL, because it may contain a secret.

use std::error::Error;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use url::Url;

use super::proxies::Proxy;
use super::reach::OutOfReach;
use super::tunnel::{self, Answered};
use super::{Network, innermost};
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind};

const HOW_TO_TRUST: &str =
    "trust the CA that signed it with --ca-cert FILE, SSL_CERT_FILE or NODE_EXTRA_CA_CERTS";

/// Retrying cannot help, because somebody must change a setting.
fn permanent(title: &str, detail: &str, cure: &str) -> Failure {
    with_cure(Failure::new(FailureKind::Unrecoverable, title, detail), cure)
}

fn with_cure(mut failure: Failure, cure: &str) -> Failure {
    failure.problem.cure = Text::non_empty(cure);
    failure
}

/// The server sends data without end, but no response.
pub(super) fn flood() -> Failure {
    let detail =
        "it has sent far more than the head of a response, such as interim responses (1xx) without end";
    Failure::transient("the server floods us", detail)
}

/// The proxy answered 407.
pub(super) fn login(proxy: &Proxy) -> Failure {
    let variable = &proxy.variable;
    let (title, cure) = match proxy.has_credentials() {
        true => (
            "the proxy does not accept the login",
            format!("check the user and the password in {variable}; special characters are percent-encoded"),
        ),
        false => {
            ("the proxy wants a login", format!("write USER:PASSWORD@ into {variable}, before HOST:PORT"))
        }
    };
    permanent(title, &format!("{proxy} ({variable}) answered 407"), &cure)
}

/// The other end of a TLS connection.
struct Peer<'a> {
    url: &'a Url,
    /// The proxy, if it was one.
    proxy: Option<&'a Proxy>,
}

impl Peer<'_> {
    const fn word(&self) -> &'static str {
        if self.proxy.is_some() { "proxy" } else { "server" }
    }

    /// The detail, with the name of the proxy.
    fn named(&self, detail: &str) -> String {
        self.proxy
            .map_or_else(|| detail.to_owned(), |proxy| format!("{proxy} ({}): {detail}", proxy.variable))
    }
}

/// Why a request got no response.
pub(super) async fn of(error: &reqwest::Error, network: &Network) -> Failure {
    match untunneled(error, network) {
        Some((proxy, url)) => refused(proxy, url, tunnel::ask(proxy, url, network).await),
        None => of_connection(error, network),
    }
}

/// The proxy that did not open a tunnel, and the tunnel's destination. Only the message of the client distinguishes this
/// failure.
fn untunneled<'a>(error: &'a reqwest::Error, network: &'a Network) -> Option<(&'a Proxy, &'a Url)> {
    let url = error.url()?;
    let proxy = network.proxies.of(url)?;
    let words = ["tunnel error: proxy authorization required", "tunnel error: unsuccessful"];
    let is_it = causes(error).iter().any(|cause| words.contains(&cause.to_string().as_str()));
    is_it.then_some((proxy, url))
}

fn of_connection(error: &reqwest::Error, network: &Network) -> Failure {
    let mut failure = cut_off(error);
    let Some(url) = error.url() else { return failure };
    let proxy = network.proxies.of(url);
    let causes = causes(error);
    let is_at_proxy =
        url.scheme() == "http" || causes.iter().any(|cause| cause.to_string().starts_with("tunnel error"));
    let peer = Peer { url, proxy: proxy.filter(|_| is_at_proxy) };
    let tls = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>());
    if let Some(failure) = tls.and_then(|tls| of_tls(tls, &peer)) {
        return failure;
    }
    if let Some(why) = causes.iter().find_map(|cause| cause.downcast_ref::<OutOfReach>()) {
        return (*why).into();
    }
    if error.is_connect() || error.is_timeout() {
        if let Some(proxy) = proxy {
            let detail = format!("through the proxy {proxy}: {}", innermost(error));
            failure.problem.detail = Text::non_empty(&detail);
        }
        failure.problem.cure = network.route(url);
        // Only the message of the client distinguishes this failure.
        if proxy.is_none() && causes.iter().any(|cause| cause.to_string() == "dns error") {
            let host = url.host_str().unwrap_or_default();
            let route = failure.problem.cure.map(|route| format!("; {route}")).unwrap_or_default();
            let cure = format!("check the name {host} (--api, SNYK_API) and the DNS of this machine{route}");
            failure.problem.cure = Text::non_empty(&cure);
        }
    }
    failure
}

/// Why a response did not arrive completely.
pub(crate) fn cut_off(error: &reqwest::Error) -> Failure {
    let title = if error.is_timeout() {
        "request timed out"
    } else if error.is_connect() {
        "connection failed"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut off"
    } else {
        "the connection broke"
    };
    Failure::transient(title, &innermost(error))
}

/// A proxy that did not open a tunnel. Retrying helps if the destination is the problem, but not if the proxy refuses us.
fn refused(proxy: &Proxy, url: &Url, answered: Option<Answered>) -> Failure {
    let (variable, place) = (&proxy.variable, tunnel::place(url));
    match answered {
        Some(Answered::Code(407)) => login(proxy),
        Some(Answered::Code(code @ (400..=407 | 409..=424 | 426..=428 | 430..=499 | 501))) => permanent(
            "the proxy refuses the connection",
            &format!("{proxy} ({variable}) answered {code} to CONNECT {place}"),
            &format!("have the proxy allow {place}, or exempt the host from it with NO_PROXY"),
        ),
        Some(Answered::NoHttp) => permanent(
            "the proxy does not speak HTTP",
            &format!("{proxy} ({variable}) did not answer CONNECT {place} with HTTP"),
            &format!("check the port in {variable}; a proxy that speaks TLS itself is written https://"),
        ),
        Some(Answered::Code(_)) | None => {
            let code = match answered {
                Some(Answered::Code(code)) => format!("answered {code} to CONNECT {place}"),
                _ => format!("did not connect to {place}"),
            };
            let failure = format!("the proxy {proxy} {code}");
            with_cure(
                Failure::transient("connection failed", &failure),
                &format!("check whether the proxy of {variable} reaches {place}"),
            )
        }
    }
}

/// Why TLS failed, if retrying cannot help.
fn of_tls(error: &rustls::Error, peer: &Peer<'_>) -> Option<Failure> {
    let word = peer.word();
    if let rustls::Error::InvalidCertificate(error) = error {
        return Some(of_certificate(error, peer));
    }
    let detail = peer.named(&error.to_string());
    let no_tls = [InvalidMessage::InvalidContentType, InvalidMessage::UnknownProtocolVersion];
    if matches!(error, rustls::Error::InvalidMessage(message) if no_tls.contains(message)) {
        let cure = match peer.proxy {
            Some(proxy) => format!("write http:// in place of https:// in {}", proxy.variable),
            None => format!("check the port of {}: it answers, but without TLS", tunnel::place(peer.url)),
        };
        return Some(permanent(&format!("the {word} does not speak TLS"), &detail, &cure));
    }
    let alert = if let rustls::Error::AlertReceived(alert) = error { Some(*alert) } else { None };
    let is_old = matches!(error, rustls::Error::PeerIncompatible(_))
        || matches!(alert, Some(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity));
    if is_old {
        let cure = format!("the {word} has to offer TLS 1.2 or 1.3, with a cipher suite of today");
        return Some(permanent(&format!("the {word} speaks another version of TLS"), &detail, &cure));
    }
    if matches!(alert, Some(AlertDescription::CertificateRequired | AlertDescription::BadCertificate)) {
        let cure =
            format!("the {word} has to let clients in without a certificate: snyk-export has none to show");
        return Some(permanent(&format!("the {word} wants a client certificate"), &detail, &cure));
    }
    if alert == Some(AlertDescription::HandshakeFailure) {
        let cure = format!(
            "the {word} has to offer TLS 1.2 or 1.3, with a cipher suite of today, and to let clients in without a \
             certificate: snyk-export has none to show"
        );
        return Some(permanent(&format!("the {word} refuses our TLS"), &detail, &cure));
    }
    None
}

fn of_certificate(error: &CertificateError, peer: &Peer<'_>) -> Failure {
    let (word, host) =
        (peer.word(), peer.proxy.map_or(peer.url, |proxy| &proxy.url).host_str().unwrap_or_default());
    let at = |time: &rustls::pki_types::UnixTime| {
        Moment::from_unix(std::time::Duration::from_secs(time.as_secs()))
    };
    let (title, detail, cure) = if let CertificateError::NotValidForNameContext { presented, .. } = error {
        let names: Vec<&str> = presented.iter().map(|name| name_in(name)).collect();
        let names = match names.is_empty() {
            true => "it has no host name (as a subjectAltName; others do not count)".to_owned(),
            false => format!("it is for {}, not for {host}", names.join(", ")),
        };
        let cure = format!("use one of its names, or install a certificate for {host} on the {word}");
        ("is for another name", names, cure)
    } else if let CertificateError::NotValidYetContext { time, not_before } = error {
        let detail =
            format!("it is valid from {}, and this machine's clock says {}", at(not_before), at(time));
        ("is not valid yet", detail, format!("set this machine's clock, if it is not {}", at(time)))
    } else if let CertificateError::ExpiredContext { time, not_after } = error {
        let detail =
            format!("it was valid until {}, and this machine's clock says {}", at(not_after), at(time));
        let cure =
            format!("the {word} needs a new one, unless this machine's clock is wrong: it says {}", at(time));
        ("has expired", detail, cure)
    } else if *error == CertificateError::UnknownIssuer {
        (
            "is not trusted",
            "it is not signed by a trusted authority".to_owned(),
            format!("{HOW_TO_TRUST} (if a proxy inspects TLS, that is the proxy's)"),
        )
    } else {
        let detail = rustls::Error::InvalidCertificate(error.clone()).to_string();
        // The type of this error is private.
        let detail = match detail.contains("CaUsedAsEndEntity") {
            true => "it is the certificate of an authority, and is not trusted itself".to_owned(),
            false => detail,
        };
        ("is not trusted", detail, format!("{HOW_TO_TRUST}, or name the certificate itself there"))
    };
    permanent(&format!("the {word}'s certificate {title}"), &peer.named(&detail), &cure)
}

/// The name in the verifier's notation: `DnsName("x.example")`, `IpAddress(10.0.0.1)`.
fn name_in(written: &str) -> &str {
    let inner = written.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(written).trim_matches('"')
}

/// The causes of an error, down to the root.
fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        causes.push(error);
        // The source of an io::Error is that of the wrapped error, not the wrapped error.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    causes
}
