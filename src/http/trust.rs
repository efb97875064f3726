//! Which certificates are trusted.

use std::collections::HashSet;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use super::TransportError;
use super::validity::Validity;
use crate::disk::{Input, Pipes, can_be_read_once};
use crate::text::Text;

/// The trusted certificates, and the TLS configuration, which is built once.
#[derive(Debug, Default)]
pub(super) struct Trust {
    added: Vec<CertificateDer<'static>>,
    store: Store,
    ready: OnceLock<Result<ClientConfig, TransportError>>,
}

/// A file in place of the system's certificates.
const FILE: &str = "SSL_CERT_FILE";

/// Directories in place of the system's certificates.
const DIRECTORIES: &str = "SSL_CERT_DIR";

/// A file besides all others.
const EXTRA: &str = "NODE_EXTRA_CA_CERTS";

/// The certificate stores that the environment names.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// A file in place of the system's certificates: `SSL_CERT_FILE`.
    pub file: Option<PathBuf>,
    /// Directories of files in place of the system's certificates: `SSL_CERT_DIR`.
    pub directories: Vec<PathBuf>,
    /// A file besides all others: `NODE_EXTRA_CA_CERTS`.
    pub extra: Option<PathBuf>,
    /// What those of them held that can be read only once.
    pub(crate) pipes: Pipes,
}

/// How many certificates a place has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) usable: usize,
    pub(crate) damaged: usize,
}

/// A variable, the file or directory that it names, and what is in it, or why it cannot be used.
pub(crate) type Place<'a> = (&'static str, &'a Path, Result<Counted, String>);

/// Reads the usable certificates of a PEM file that `setting` names. Logs a warning about damaged ones.
///
/// # Errors
///
/// Why it cannot be read, or that it has no usable certificate.
pub(crate) fn read_certificates(
    setting: &str,
    path: &Path,
    pipes: &Pipes,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut certificates = Vec::new();
    let counted = each(path, pipes, |der| {
        let is_usable = is_usable(&der);
        certificates.extend(is_usable.then_some(der));
        is_usable
    })?;
    warn_of_damaged(setting, path, counted);
    Ok(certificates)
}

fn is_usable(der: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(der.clone()).is_ok()
}

/// Passes each certificate of a PEM file to `take`, one at a time, because a file may have hundreds of kilobytes. `take` returns
/// whether it is usable. A file without a usable one is an error.
fn each(
    path: &Path,
    pipes: &Pipes,
    mut take: impl FnMut(CertificateDer<'static>) -> bool,
) -> Result<Counted, String> {
    let input = || -> io::Result<Box<dyn Read>> {
        Ok(match can_be_read_once(path) {
            true => Box::new(Cursor::new(pipes.read(path)?.as_bytes().to_vec())),
            false => Box::new(Input::open(path)?),
        })
    };
    let input = input().map_err(|error| error.to_string())?;
    let (mut usable, mut damaged) = (0, 0);
    for der in CertificateDer::pem_reader_iter(BufReader::new(input)) {
        let is_usable = match der {
            Ok(der) => take(der),
            Err(error @ pem::Error::Io(_)) => return Err(in_words(error)),
            Err(_) => false,
        };
        *(if is_usable { &mut usable } else { &mut damaged }) += 1;
    }
    if usable > 0 {
        pipes.keep(path);
    }
    match (usable, damaged) {
        (0, 0) if is_empty(path) => Err("it is empty".to_owned()),
        (0, 0) => Err("it has no certificate in PEM form".to_owned()),
        (0, 1) => Err("the certificate in it is damaged".to_owned()),
        (0, _) => Err("all certificates in it are damaged".to_owned()),
        _ => Ok(Counted { usable, damaged }),
    }
}

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Logs a warning if some certificates of a file are damaged. `setting` names the file.
fn warn_of_damaged(setting: &str, path: &Path, Counted { damaged, .. }: Counted) {
    if damaged > 0 {
        let path = Text::of_path(path);
        tracing::warn!(setting, %path, certificates.damaged = damaged, "damaged certificates are ignored");
    }
}

/// The certificates in the files of a directory.
fn of_directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_certs_from_paths(None, Some(path));
    if found.certs.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(why.unwrap_or_else(|| "it has no certificate in PEM form".to_owned()));
    }
    Ok(found.certs)
}

fn in_words(error: pem::Error) -> String {
    if let pem::Error::Io(error) = error { error.to_string() } else { error.to_string() }
}

impl Trust {
    /// Trusts `added` besides what `store` names.
    pub(super) fn new(added: Vec<CertificateDer<'static>>, store: Store) -> Self {
        Self { added, store, ready: OnceLock::new() }
    }

    /// The TLS configuration. The first call reads the certificates from the disk; later calls share the result.
    pub(super) fn config(&self) -> Result<ClientConfig, TransportError> {
        self.ready.get_or_init(|| self.load()).clone()
    }

    fn load(&self) -> Result<ClientConfig, TransportError> {
        let mut trusted = Trusted { roots: RootCertStore::empty(), named: HashSet::new() };
        for der in &self.added {
            trusted.add(der.clone());
        }
        if let Some(path) = &self.store.extra {
            match each(path, &self.store.pipes, |der| trusted.add(der)) {
                Ok(counted) => warn_of_damaged(EXTRA, path, counted),
                Err(why) => {
                    tracing::warn!(path = %Text::of_path(path), reason = why, "NODE_EXTRA_CA_CERTS is ignored");
                }
            }
        }
        if self.store.is_in_place_of_the_systems() {
            self.store.load(&mut trusted)?;
        } else {
            let found = rustls_native_certs::load_native_certs().certs;
            if found.into_iter().filter(|der| trusted.add(der.clone())).count() == 0 {
                // A machine without a certificate store, such as an image from scratch.
                trusted.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
        let provider = Arc::new(provider::default_provider());
        let authorities =
            WebPkiServerVerifier::builder_with_provider(trusted.roots.into(), Arc::clone(&provider));
        let authorities = authorities.build().map_err(|error| TransportError::new(&error.to_string()))?;
        let verifier = Arc::new(Verifier { authorities, named: trusted.named });
        Ok(finished(builder(provider)?.dangerous().with_custom_certificate_verifier(verifier)))
    }
}

/// The trusted certificates, each once: files often have the same ones.
struct Trusted {
    roots: RootCertStore,
    named: HashSet<Fingerprint>,
}

impl Trusted {
    /// Trusts a certificate. Returns whether it is usable.
    fn add(&mut self, der: CertificateDer<'static>) -> bool {
        let fingerprint = fingerprint(&der);
        let is_usable = self.named.contains(&fingerprint) || self.roots.add(der).is_ok();
        if is_usable {
            self.named.insert(fingerprint);
        }
        is_usable
    }
}

impl Store {
    /// Each place with its variable and the certificates in it, or why there are none.
    pub(crate) fn look(&self) -> Vec<Place<'_>> {
        let file = |setting, path| {
            let path: &Path = path;
            (setting, path, each(path, &self.pipes, |der| is_usable(&der)))
        };
        let directory = |path| {
            let path: &Path = path;
            let counted = of_directory(path).map(|found| Counted { usable: found.len(), damaged: 0 });
            (DIRECTORIES, path, counted)
        };
        let replacing = self.file.iter().map(|path| file(FILE, path));
        let replacing = replacing.chain(self.directories.iter().map(|path| directory(path)));
        replacing.chain(self.extra.iter().map(|path| file(EXTRA, path))).collect()
    }

    /// Whether it replaces the system's certificates.
    pub(crate) const fn is_in_place_of_the_systems(&self) -> bool {
        self.file.is_some() || !self.directories.is_empty()
    }

    /// Trusts the stores that replace the system's. An empty store is an error if nothing else is trusted.
    fn load(&self, trusted: &mut Trusted) -> Result<(), TransportError> {
        let must_hold_some = trusted.named.is_empty();
        let mut reasons = Vec::new();
        let mut reason = |setting, path: &Path, why| {
            reasons.push(format!("{setting} {}: {why}", Text::of_path(path)));
        };
        if let Some(path) = &self.file {
            match each(path, &self.pipes, |der| trusted.add(der)) {
                Ok(counted) => warn_of_damaged(FILE, path, counted),
                Err(why) => reason(FILE, path, why),
            }
        }
        for path in &self.directories {
            match of_directory(path) {
                Ok(found) => found.into_iter().for_each(|der| {
                    trusted.add(der);
                }),
                Err(why) => reason(DIRECTORIES, path, why),
            }
        }
        if must_hold_some && trusted.named.is_empty() {
            return Err(TransportError::new(&reasons.join("; ")));
        }
        for reason in reasons {
            tracing::warn!(reason, "certificates could not be read");
        }
        Ok(())
    }
}

/// The TLS configuration for plain http, which trusts nobody.
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

/// Accepts certificates that a trusted authority has signed, and certificates that are trusted themselves: a server may be its
/// own authority, for which no chain can be built.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    /// The trusted certificates.
    named: HashSet<Fingerprint>,
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
