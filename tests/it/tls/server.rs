//! A certificate authority, a TLS server that has every export ready, and a proxy that knows only CONNECT.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::lab::{Watched, runtime};

/// What is answered to everything.
pub(super) const READY: &str = r#"{"data":{"attributes":{"status":"FINISHED"}}}"#;

pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = issuer.pem();
        Authority { issuer, pem }
    }

    fn server_config(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap()
    }
}

/// Answers every request on `https://localhost` with FINISHED.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) port: u16,
    pub(super) connections: Watched<u32>,
    /// The first line of each request.
    pub(super) requests: Watched<Vec<String>>,
    _runtime: Runtime,
}

impl Server {
    pub(super) fn start(authority: &Authority, name: &str) -> Server {
        Server::answering(authority, name, READY)
    }

    /// Answers with something else.
    pub(super) fn answering(authority: &Authority, name: &str, body: &str) -> Server {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(name)));
        let (connections, requests) = (Watched::default(), Watched::default());
        let (counted, heard): (Watched<u32>, Watched<Vec<String>>) = (connections.clone(), requests.clone());
        let (port, runtime) = serve(move |stream| {
            let (acceptor, heard, answer) = (acceptor.clone(), heard.clone(), answer.clone());
            counted.change(|connections| *connections += 1);
            async move {
                // A client that does not trust us goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while let Some(head) = read_head(&mut stream).await {
                    heard.change(|heard| heard.push(first_line(&head)));
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Server { url: format!("https://localhost:{port}"), port, connections, requests, _runtime: runtime }
    }
}

/// Opens tunnels, all of them to the same port of this machine.
pub(super) struct Proxy {
    pub(super) url: String,
    /// The first line of each request.
    pub(super) asked: Watched<Vec<String>>,
    /// All that was said before the tunnels were open.
    pub(super) heads: Watched<Vec<String>>,
    _runtime: Runtime,
}

impl Proxy {
    pub(super) fn start(to: u16) -> Proxy {
        let (asked, heads) = (Watched::default(), Watched::default());
        let (first, all): (Watched<Vec<String>>, Watched<Vec<String>>) = (asked.clone(), heads.clone());
        let (port, runtime) = serve(move |mut stream| {
            let (first, all) = (first.clone(), all.clone());
            async move {
                let Some(head) = read_head(&mut stream).await else { return };
                first.change(|first| first.push(first_line(&head)));
                all.change(|all| all.push(head));
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
        });
        Proxy { url: format!("http://127.0.0.1:{port}"), asked, heads, _runtime: runtime }
    }
}

/// Serves connections on loopback, each in a task, until the runtime is dropped.
pub(super) fn serve<F>(mut each: impl FnMut(TcpStream) -> F + Send + 'static) -> (u16, Runtime)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    (port, runtime)
}

/// The head of a request, nothing at the end of the connection.
pub(super) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

pub(super) fn first_line(head: &str) -> String {
    head.lines().next().unwrap_or_default().to_owned()
}
