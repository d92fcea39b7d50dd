//! Encryption of a listener, and a limit of its scrapes: what upstream's driver has beside the sidecars.
//! Source: ebs-driver.md 5, 6.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{RateLimit, Scope};

/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Agreed connections that wait to be served.
const WAITING: usize = 16;

/// What a listener demands.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Speak HTTPS with this certificate and key.
    pub tls: Option<Tls>,
    /// Scrapes beyond this rate are answered 429.
    pub scrapes: Option<RateLimit>,
}

/// A certificate with its key. Read once: a renewed one needs a new process, as upstream.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds the key.
        f.write_str("Tls")
    }
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or holds none.
    #[error("cannot read {path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate and the key of the metrics server cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

impl Tls {
    /// Reads PEM files: the certificate with its chain, and its key.
    ///
    /// # Errors
    /// When one of them cannot be read, or they do not go together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let failed = |path: &Path, reason: String| TlsError::File {
            path: path.to_owned(),
            reason,
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(failed(certificate, "it holds no certificate".to_owned()));
        }
        let own = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, own)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// Connections of a listener that have agreed on encryption. Each agrees in a task of its own: a slow one holds up
/// none.
pub(super) struct TlsListener {
    agreed: mpsc::Receiver<(TlsStream<TcpStream>, std::net::SocketAddr)>,
    address: io::Result<std::net::SocketAddr>,
    _scope: Scope,
}

impl TlsListener {
    pub(super) fn new(listener: TcpListener, tls: Tls, scope: Scope) -> Self {
        let (send, agreed) = mpsc::channel(WAITING);
        // A family of its own: should a handshake panic, it costs its connection and not the process.
        let handshakes = Scope::new();
        let address = listener.local_addr();
        scope.spawn_named("listener of metrics and health", async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let (acceptor, send) = (tls.acceptor.clone(), send.clone());
                        handshakes.spawn(async move {
                            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                                let _ = send.send((stream, peer)).await;
                            }
                        });
                    }
                    // Out of file descriptors, most likely: others are about to be closed.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Self {
            agreed,
            address,
            _scope: scope,
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.agreed.recv().await {
            Some(connection) => connection,
            // Its task lives as long as this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}
