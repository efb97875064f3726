//! The servers that the benchmarks run against, and the programs that they run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use snyk_export::simulator::{Exchange, Scenario, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

use crate::run::{Run, now};

pub(crate) const FINISHED: &str = r#"{"data":{"type":"export","id":"7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b","attributes":{"status":"FINISHED","row_count":0,"results":[]}}}"#;

pub(crate) const PENDING: &str = r#"{"data":{"type":"export","id":"7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b","attributes":{"status":"PENDING"}}}"#;

/// The TLS server never answers a URL with this ending.
pub(crate) const HANG: &str = "&hang";

/// An API on loopback.
pub(crate) struct Bed {
    url: String,
    simulator: Option<Simulator>,
    asked_at: Arc<Mutex<Option<Instant>>>,
    ca: Option<PathBuf>,
    directory: tempfile::TempDir,
    _runtime: Runtime,
}

impl Bed {
    /// The simulator with a scenario.
    pub(crate) fn http(scenario: &str) -> Self {
        let runtime = runtime();
        let scenario = Scenario::from_toml(scenario).expect("a scenario");
        let address = "127.0.0.1:0".parse().expect("an address");
        let asked_at = Arc::new(Mutex::new(None));
        let note = Arc::clone(&asked_at);
        let log = move |_: &Exchange| *note.lock().expect("no panic") = Some(now());
        let simulator = runtime.block_on(Simulator::start(address, scenario, log)).expect("a simulator");
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            url: simulator.base_url(),
            simulator: Some(simulator),
            asked_at,
            ca: None,
            directory,
            _runtime: runtime,
        }
    }

    /// A TLS server that answers `document` to every URL that does not end with [`HANG`].
    pub(crate) fn https(document: &'static str) -> Self {
        let runtime = runtime();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, key.cert.pem()).expect("a file");
        let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())
                .expect("a key"),
        )
        .expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Otherwise the answer may wait 40 ms for an acknowledgement of session tickets. Real servers do not do that.
                let _ = socket.set_nodelay(true);
                tokio::spawn(answer(acceptor.clone(), socket, document));
            }
        });
        Self {
            url: format!("https://localhost:{port}"),
            simulator: None,
            asked_at: Arc::default(),
            ca: Some(ca),
            directory,
            _runtime: runtime,
        }
    }

    /// The base URL of the API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The certificate to trust, as PEM, if there is TLS.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The requests that were answered so far.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.simulator.as_ref().map(Simulator::exchanges).unwrap_or_default()
    }

    /// The time from the launch of our program to its request, in milliseconds.
    pub(crate) fn launch_to_request(&self, run: &Run) -> Option<f64> {
        let start = now();
        run.time()?;
        let asked_at = self.asked_at.lock().expect("no panic").take()?;
        Some(asked_at.duration_since(start).as_secs_f64() * 1e3)
    }

    /// Our program against this API.
    pub(crate) fn ours(&self, args: &[&str]) -> Run {
        let run = Run::ours(args, &self.url, self.directory.path());
        match &self.ca {
            Some(ca) => run.env("SNYK_EXPORT_CA_CERT", &ca.display().to_string()),
            None => run,
        }
    }

    /// Another program.
    pub(crate) fn other(&self, program: &str, args: &[&str]) -> Run {
        Run::new(program, args, self.directory.path())
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn answer(acceptor: tokio_rustls::TlsAcceptor, socket: tokio::net::TcpStream, document: &str) {
    let Ok(mut stream) = acceptor.accept(socket).await else { return };
    let mut request = [0; 4096];
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{document}",
        document.len()
    );
    while let Ok(read @ 1..) = stream.read(&mut request).await {
        if request[..read].windows(HANG.len()).any(|window| window == HANG.as_bytes()) {
            std::future::pending::<()>().await;
        }
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
