//! TLS of a server: its certificate, and the authorities whose certificates clients may show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::refreshed::Refreshed;

/// The files of a server's TLS, in PEM form.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// What the files' options are below: `push.tls`.
    pub section: &'static str,
    /// The server's certificate, with the intermediate ones.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// A client that shows a certificate has to have it of one of these; without them, none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// Takes TLS connections. Renewed files are used without a restart.
pub(crate) struct Tls(Refreshed<TlsAcceptor>);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub fn new(files: Files) -> Result<Tls, String> {
        let all = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
        let all = all.into_iter().flatten().cloned().collect();
        Refreshed::new(files.section, all, move || acceptor(&files)).map(Tls)
    }

    /// Shakes hands; gives the stream, and whether the client has shown a certificate.
    pub async fn accept(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, bool)> {
        match self.0.get().accept(stream).await {
            Ok(stream) => {
                let is_certified = stream.get_ref().1.peer_certificates().is_some();
                Some((stream, is_certified))
            }
            Err(error) => {
                tracing::debug!(%error, "A TLS connection could not be made.");
                None
            }
        }
    }
}

fn acceptor(files: &Files) -> Result<TlsAcceptor, String> {
    let Files { section, certificate, key, client_ca } = files;
    let unusable = |error: rustls::Error| {
        format!("{section}.certificate_file and {section}.key_file do not fit together: {error}")
    };
    // The provider is named, not taken from the process: another library in the process may bring its own.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let option = format!("{section}.client_ca_file");
            let mut roots = RootCertStore::empty();
            for authority in certificates(&option, file)? {
                roots.add(authority).map_err(|error| unreadable(&option, file, error))?;
            }
            // A platform without a certificate still gets in, to be told by its source what it lacks.
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unreadable(&option, file, error))?)
        }
    };
    let chain = certificates(&format!("{section}.certificate_file"), certificate)?;
    let private_key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(&format!("{section}.key_file"), key, error))?;
    let mut config = builder.with_single_cert(chain, private_key).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(option, file, error))?;
    if certificates.is_empty() {
        return Err(unreadable(option, file, "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

fn unreadable(option: &str, file: &Path, reason: impl ToString) -> String {
    format!("cannot use {option} {}: {}", file.display(), reason.to_string())
}
