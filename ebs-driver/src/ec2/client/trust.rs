//! Whose certificates are trusted. Those that `AWS_CA_BUNDLE` or the profile's `ca_bundle` name stand alone, as in Go's SDK;
//! else those of the system, and those that OpenShift lays beside them for the proxy of a cluster.

use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_smithy_http_client::HttpClientError;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

use super::environment::{configured, variable};
use super::setup::EC2;

const VARIABLE: &str = "AWS_CA_BUNDLE";
const OF_PROFILE: &str = "ca_bundle";

/// Where the operators of OpenShift mount the trusted authorities of the cluster. Debian's own file, which our images have, hides
/// it from who looks for the first file that there is.
const LAID_BESIDE: &str = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";

/// Who names the authorities of the system by these names all of them.
const OF_SYSTEM: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The certificates that are to be trusted cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read {path}, which {named} names: {reason}", path = .path.display())]
    Unreadable {
        /// The variable, or the key of the profile.
        named: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// There is nothing to trust in it.
    #[error("{path}, which {named} names, holds no certificate in PEM", path = .path.display())]
    NoCertificate {
        /// The variable, or the key of the profile.
        named: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The TLS library takes no configuration.
    #[error("cannot set TLS up: {0}")]
    Tls(#[from] HttpClientError),
}

/// What connections trust.
pub(super) async fn context(config: &SdkConfig) -> Result<TlsContext, TrustError> {
    let store = match configured(config, EC2, VARIABLE, OF_PROFILE).filter(|path| !path.is_empty()) {
        Some(path) => named(PathBuf::from(path)).await?,
        None => of_system().await,
    };
    Ok(TlsContext::builder().with_trust_store(store).build()?)
}

async fn named(path: PathBuf) -> Result<TrustStore, TrustError> {
    let named = match variable(VARIABLE) {
        Some(_) => VARIABLE,
        None => "ca_bundle of the AWS profile",
    };
    let text = match tokio::fs::read(&path).await {
        Ok(text) => text,
        Err(reason) => return Err(TrustError::Unreadable { named, path, reason }),
    };
    let text = String::from_utf8_lossy(&text);
    let certificates = certificates(&text);
    if certificates.is_empty() {
        return Err(TrustError::NoCertificate { named, path });
    }
    Ok(trusting(TrustStore::empty(), &certificates))
}

async fn of_system() -> TrustStore {
    if OF_SYSTEM.into_iter().any(|name| variable(name).is_some()) {
        return TrustStore::default();
    }
    let text = tokio::fs::read(LAID_BESIDE).await.unwrap_or_default();
    trusting(
        TrustStore::default(),
        &certificates(&String::from_utf8_lossy(&text)),
    )
}

fn trusting(store: TrustStore, certificates: &[&str]) -> TrustStore {
    let certificates = certificates.iter();
    certificates.fold(store, |store, certificate| {
        store.with_pem_certificate(*certificate)
    })
}

/// The certificates of a PEM file. What is none is passed over, as Go does: the store takes it for a fault of the program.
fn certificates(text: &str) -> Vec<&str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut tried = RootCertStore::empty();
    let begun = text.match_indices(BEGIN).map(|(begin, _)| &text[begin..]);
    let blocks = begun.filter_map(|rest| rest.find(END).map(|end| &rest[..end + END.len()]));
    blocks
        .filter(|block| {
            let certificate = CertificateDer::from_pem_slice(block.as_bytes());
            certificate.is_ok_and(|certificate| tried.add(certificate).is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_smithy_http_client::{Connector, tls};

    use super::*;

    /// An authority on the curve P-256, valid until 2126.
    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBezCCASGgAwIBAgIUZCke3nTogFS0Oiy80c0g5wKJNxYwCgYIKoZIzj0EAwIw\n\
        EjEQMA4GA1UEAwwHZXhhbXBsZTAgFw0yNjEyMDEwNjUxMTZaGA8yMTI2MTEwNzA2\n\
        NTExNlowEjEQMA4GA1UEAwwHZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
        A0IABOe+SlMtGua5DmTdnAEXSWrGm62BPP0/jj1/iZENhCtrC+WOjbQBE87G18a5\n\
        lV1dAoHVrXBfETKPEHMJm3Z0RX6jUzBRMB0GA1UdDgQWBBRFm4WLH24PSuR0lNo4\n\
        /Q/5DuXXCjAfBgNVHSMEGDAWgBRFm4WLH24PSuR0lNo4/Q/5DuXXCjAPBgNVHRMB\n\
        Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIFjbu7J9g+RowhNHAxRgVs5nEsK2\n\
        iU4BEfWqQk1Xe55lAiEAya0fzeWF4gVPx2zuq6aB5k4Y8yxV7K/2gusxx5yP6mM=\n\
        -----END CERTIFICATE-----";

    #[test]
    fn ebs_case_190_what_is_no_certificate_is_passed_over() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let no_base64 = "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----";
        let cut = AUTHORITY.split_at(60).0;
        for (text, found) in [
            (AUTHORITY.to_owned(), 1),
            (
                format!("# Proxy\n{AUTHORITY}\n\n{key}\r\n{AUTHORITY}{AUTHORITY}"),
                3,
            ),
            (format!("{no_der}\n{no_base64}\n{AUTHORITY}\n{cut}"), 1),
            (format!("{cut}\n{AUTHORITY}"), 1),
            (no_der.to_owned(), 0),
            (key.to_owned(), 0),
            (cut.to_owned(), 0),
            (String::new(), 0),
        ] {
            let certificates = certificates(&text);
            assert_eq!(certificates, vec![AUTHORITY; found], "{text}");
            // The connector takes them without a panic.
            let store = trusting(TrustStore::empty(), &certificates);
            let context = TlsContext::builder().with_trust_store(store).build().unwrap();
            let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
            drop(
                Connector::builder()
                    .tls_provider(ring)
                    .tls_context(context)
                    .build(),
            );
        }
    }
}
