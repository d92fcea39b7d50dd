//! The certificate by which clients know the server.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The names under which the server is reached.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// No certificate could be made, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Making it failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refuses it.
    #[error("cannot use the certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// A certificate that the server signed itself, for loopback names only. The key never leaves the process.
pub(crate) struct Identity {
    pem: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    /// A new key and its certificate. Keys come from the system's random numbers, not from a seed.
    pub fn new() -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(NAMES.map(str::to_owned))?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "slackwater sandbox");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        })
    }

    /// The certificate as text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Takes the server's side of connections. HTTP/1.1 alone is spoken.
    pub fn acceptor(&self) -> Result<TlsAcceptor, CertificateError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
