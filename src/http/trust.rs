//! Which certificates are trusted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use super::TransportError;
use super::validity::Validity;

/// Which certificates are trusted, and what comes of them, which is made once.
#[derive(Debug, Default)]
pub(super) struct Trust {
    added: Vec<CertificateDer<'static>>,
    chosen: Option<Store>,
    ready: OnceLock<Result<ClientConfig, TransportError>>,
}

/// Where certificates are that are trusted in place of the system's: what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// A file.
    pub file: Option<PathBuf>,
    /// Directories of files.
    pub directories: Vec<PathBuf>,
}

/// The certificates in a file that can be used, and how many cannot.
#[derive(Debug)]
pub struct Bundle {
    /// Those that can be used.
    pub certificates: Vec<CertificateDer<'static>>,
    /// How many cannot.
    pub unusable: usize,
}

impl Bundle {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// Says why it cannot be read, or that it holds nothing to trust.
    pub fn read(path: &Path) -> Result<Self, String> {
        let pem = std::fs::read(path).map_err(|error| error.to_string())?;
        let mut bundle = Self { certificates: Vec::new(), unusable: 0 };
        for der in CertificateDer::pem_slice_iter(&pem) {
            match der.ok().filter(|der| RootCertStore::empty().add(der.clone()).is_ok()) {
                Some(der) => bundle.certificates.push(der),
                None => bundle.unusable += 1,
            }
        }
        match (bundle.certificates.len(), bundle.unusable) {
            (0, 0) => Err("it holds no certificate in PEM form".to_owned()),
            (0, 1) => Err("the certificate in it is damaged".to_owned()),
            (0, _) => Err("all certificates in it are damaged".to_owned()),
            _ => Ok(bundle),
        }
    }
}

impl Trust {
    /// Trusts `added` besides the system's certificates, or besides those of `chosen` in their place.
    pub(super) fn new(added: Vec<CertificateDer<'static>>, chosen: Option<Store>) -> Self {
        Self { added, chosen, ready: OnceLock::new() }
    }

    /// What TLS needs. The first call reads the certificates from the disk; the others share what came of it.
    pub(super) fn config(&self) -> Result<ClientConfig, TransportError> {
        self.ready.get_or_init(|| self.load()).clone()
    }

    fn load(&self) -> Result<ClientConfig, TransportError> {
        let mut certificates = self.added.clone();
        match &self.chosen {
            Some(store) => certificates.extend(store.load(certificates.is_empty())?),
            None => certificates.extend(rustls_native_certs::load_native_certs().certs),
        }
        let named = certificates.iter().map(|der| fingerprint(der)).collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if self.chosen.is_none() && roots.len() <= self.added.len() {
            // A machine without a store, as an image from scratch.
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        let provider = Arc::new(provider::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let authorities = authorities.build().map_err(|error| TransportError::new(&error.to_string()))?;
        let verifier = Arc::new(Verifier { authorities, named });
        Ok(finished(builder(provider)?.dangerous().with_custom_certificate_verifier(verifier)))
    }
}

impl Store {
    /// The certificates in it. Where it must hold some, it is an error if it does not.
    fn load(&self, must_hold_some: bool) -> Result<Vec<CertificateDer<'static>>, TransportError> {
        let mut certificates = Vec::new();
        let mut reasons = Vec::new();
        if let Some(path) = &self.file {
            match Bundle::read(path) {
                Ok(bundle) => {
                    bundle.warn("SSL_CERT_FILE", path);
                    certificates.extend(bundle.certificates);
                }
                Err(why) => reasons.push(format!("SSL_CERT_FILE {}: {why}", path.display())),
            }
        }
        for path in &self.directories {
            let found = rustls_native_certs::load_certs_from_paths(None, Some(path));
            if found.certs.is_empty() {
                let why = found.errors.first().map(ToString::to_string);
                let why = why.unwrap_or_else(|| "it holds no certificate in PEM form".to_owned());
                reasons.push(format!("SSL_CERT_DIR {}: {why}", path.display()));
            }
            certificates.extend(found.certs);
        }
        if certificates.is_empty() && must_hold_some {
            return Err(TransportError::new(&reasons.join("; ")));
        }
        for reason in reasons {
            tracing::warn!(reason, "certificates could not be read");
        }
        Ok(certificates)
    }
}

impl Bundle {
    /// Warns of certificates that cannot be used, in a file that `setting` names.
    pub fn warn(&self, setting: &str, path: &Path) {
        if self.unusable > 0 {
            let path = path.display();
            tracing::warn!(setting, %path, certificates.damaged = self.unusable, "damaged certificates were passed over");
        }
    }
}

/// What TLS needs where nobody is asked over it.
pub(super) fn nobody() -> Result<ClientConfig, TransportError> {
    let builder = builder(Arc::new(provider::default_provider()))?;
    Ok(finished(builder.with_root_certificates(RootCertStore::empty())))
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TransportError> {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.map_err(|error| TransportError::new(&error.to_string()))
}

fn finished(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

type Fingerprint = [u8; SHA256_OUTPUT_LEN];

fn fingerprint(der: &CertificateDer<'_>) -> Fingerprint {
    let mut fingerprint = [0; SHA256_OUTPUT_LEN];
    fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
    fingerprint
}

/// Trusts what a trusted authority has signed, and what is a trusted certificate itself: a server may be its own
/// authority, which no chain is built for.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    /// The trusted certificates.
    named: Vec<Fingerprint>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let validity =
            self.named.contains(&fingerprint(end_entity)).then(|| Validity::of(end_entity)).flatten();
        let Some(Validity { not_before, not_after }) = validity else {
            return self.authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        };
        let time = now;
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time, not_after }.into());
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
