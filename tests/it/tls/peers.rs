//! Servers and proxies that break TLS, and what a client sees.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use snyk_export::clock::Clock;
use snyk_export::export::{ExportRef, Scope, ScopeRef, parse_id};
use snyk_export::http::{Exempt, Network, Proxies, Proxy, Store};
use snyk_export::request::StartRequest;
use snyk_export::snyk::credentials::{Credential, Credentials, Scheme, Source};
use snyk_export::snyk::{Client, InFlight, NotStarted};
use snyk_export::watch::observation::{Failure, Poller as _};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::server::{READY, first_line, read_head, serve};
use crate::lab::{EXPORT_ID, GROUP, PATIENCE, TOKEN, Watched, runtime};

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    key: KeyPair,
}

/// From when until when a certificate may be valid: years that are over, that last, and that are to come.
pub(super) const PAST: (i32, i32) = (2001, 2002);
pub(super) const NOW: (i32, i32) = (2001, 2999);
pub(super) const FUTURE: (i32, i32) = (2998, 2999);

impl Identity {
    /// What `openssl req -x509` makes: signed by itself, and an authority.
    pub(super) fn of_itself(names: &[&str], (from, until): (i32, i32)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names, (from, until));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Identity { der: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// One that an authority has signed, which is given too.
    pub(super) fn signed(names: &[&str], years: (i32, i32)) -> (Identity, CertificateDer<'static>) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, years).signed_by(&key, &issuer).unwrap();
        let identity = Identity { der: certificate.der().clone(), pem: certificate.pem(), key };
        (identity, issuer.der().clone())
    }

    /// The certificate as PEM, damaged.
    pub(super) fn damaged(&self) -> String {
        let lines: Vec<&str> = self.pem.lines().collect();
        let (begin, end) = (lines[0], lines[lines.len() - 1]);
        format!("{begin}\n{}\n{end}\n", lines[1])
    }

    fn config(&self, wants_client: bool) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_client {
            let mut roots = tokio_rustls::rustls::RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        builder.with_single_cert(vec![self.der.clone()], key.into()).unwrap()
    }
}

fn params(names: &[&str], (from, until): (i32, i32)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    params
}

/// Somebody who listens on loopback.
pub(super) struct Peer {
    pub(super) port: u16,
    /// The first line of each request that came in whole.
    pub(super) heard: Watched<Vec<String>>,
    _runtime: Runtime,
}

impl Peer {
    /// Speaks TLS and has every export ready; with `wants_client` only for those who show a certificate.
    pub(super) fn speaking_tls(identity: &Identity, wants_client: bool) -> Peer {
        let acceptor = TlsAcceptor::from(Arc::new(identity.config(wants_client)));
        let heard: Watched<Vec<String>> = Watched::default();
        let hearing: Watched<Vec<String>> = heard.clone();
        let (port, runtime) = serve(move |stream| {
            let (acceptor, hearing) = (acceptor.clone(), hearing.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while let Some(head) = read_head(&mut stream).await {
                    hearing.change(|heard| heard.push(first_line(&head)));
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", READY.len());
                    let _ = stream.write_all(format!("{head}{READY}").as_bytes()).await;
                }
            }
        });
        Peer { port, heard, _runtime: runtime }
    }

    /// Answers whatever it hears with these bytes, and goes.
    pub(super) fn answering(bytes: &'static [u8]) -> Peer {
        let heard: Watched<Vec<String>> = Watched::default();
        let hearing: Watched<Vec<String>> = heard.clone();
        let (port, runtime) = serve(move |mut stream| {
            let hearing = hearing.clone();
            async move {
                let mut buffer = [0; 4096];
                let Ok(length @ 1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await else {
                    return;
                };
                let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
                hearing.change(|heard| heard.push(said));
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                // Until the other side has read it and goes too.
                while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await {}
            }
        });
        Peer { port, heard, _runtime: runtime }
    }

    /// A network that has this peer as its proxy for all.
    pub(super) fn as_proxy(&self, scheme_and_login: &str) -> Network {
        through(&format!("{scheme_and_login}127.0.0.1:{}", self.port))
    }
}

/// A network that trusts these certificates too.
pub(super) fn trusting(added: &[&CertificateDer<'static>]) -> Network {
    Network::new(added.iter().copied().cloned().collect(), Store::default(), Proxies::default())
}

/// A network with a proxy for all.
pub(super) fn through(url: &str) -> Network {
    let proxy = Some(Proxy::new(url.parse().unwrap(), "HTTPS_PROXY"));
    let proxies = Proxies { http: proxy.clone(), https: proxy, exempt: Exempt::default() };
    Network::new(Vec::new(), Store::default(), proxies)
}

async fn client(url: &str, network: &Network) -> Client {
    let credential = Credential::new(TOKEN, Scheme::ByForm, "a test").unwrap();
    let credentials = Credentials::load(Source::Value(credential), "a test", Clock::start()).await.unwrap();
    Client::new(url.parse().unwrap(), None, credentials, network).unwrap()
}

/// What a poll sees: a failure, or nothing where the export was found.
pub(super) fn poll(url: &str, network: &Network) -> Option<Failure> {
    let [scope_id, export_id] = [GROUP, EXPORT_ID].map(|id| parse_id(id).unwrap());
    let export = ExportRef { scope: Scope::Group, scope_id, export_id };
    runtime().block_on(async { client(url, network).await.poll(&export).await.answer.err() })
}

/// Why a start failed.
pub(super) fn start(url: &str, network: &Network) -> NotStarted {
    let scope = ScopeRef { scope: Scope::Group, id: parse_id(GROUP).unwrap() };
    let body = serde_json::json!({});
    let request = StartRequest { scope, body, include_deleted: false, include_deactivated: false };
    runtime().block_on(async {
        client(url, network).await.start(&request, PATIENCE, &InFlight::default()).await.unwrap_err()
    })
}
