//! HTTPS: a certificate with its key, from files or as text, and a listener whose connections have agreed on encryption.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Scope;

/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long running requests have to be answered at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Agreed connections that wait to be served.
const WAITING: usize = 16;

/// A certificate with its key. Clones share it; [`Tls::reload`] and [`Tls::renew`] take a renewed one.
#[derive(Clone)]
pub struct Tls {
    /// None where the text was given.
    files: Option<Files>,
    pair: Arc<Mutex<Pair>>,
}

#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Pair {
    acceptor: TlsAcceptor,
    /// What it was made of.
    text: Text,
}

#[derive(Eq, PartialEq)]
struct Text {
    certificate: Vec<u8>,
    key: Vec<u8>,
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
        /// The file, or which of the two texts.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate and its key cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

impl Tls {
    /// Reads PEM files: the certificate with its chain, and its key.
    ///
    /// # Errors
    /// When one of them cannot be read, or they do not go together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let text = Text::read(certificate, key)?;
        let acceptor = text.acceptor(certificate, key)?;
        Ok(Self {
            files: Some(Files {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }),
            pair: Arc::new(Mutex::new(Pair { acceptor, text })),
        })
    }

    /// From the text of PEM files.
    ///
    /// # Errors
    /// As [`Tls::from_files`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, TlsError> {
        let text = Text::of(certificate, key);
        let acceptor = text.given()?;
        Ok(Self {
            files: None,
            pair: Arc::new(Mutex::new(Pair { acceptor, text })),
        })
    }

    /// Serves new connections with this pair. True when that is another one.
    ///
    /// # Errors
    /// As [`Tls::from_files`]. The former pair stays.
    pub fn renew(&self, certificate: &str, key: &str) -> Result<bool, TlsError> {
        let text = Text::of(certificate, key);
        if self.pair().text == text {
            return Ok(false);
        }
        let acceptor = text.given()?;
        *self.pair() = Pair { acceptor, text };
        Ok(true)
    }

    /// The certificate that new connections get, with its chain, as PEM.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.pair().text.certificate.clone()
    }

    /// Reads the files again, and serves new connections with what they hold now. True when that is another pair.
    ///
    /// # Errors
    /// As [`Tls::from_files`], also while only one of the two is written yet. The former pair stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(Files { certificate, key }) = &self.files else {
            return Ok(false);
        };
        let text = Text::read(certificate, key)?;
        if self.pair().text == text {
            return Ok(false);
        }
        let acceptor = text.acceptor(certificate, key)?;
        *self.pair() = Pair { acceptor, text };
        Ok(true)
    }

    /// Reloads each `period`, for ever. Kubernetes renews a mounted Secret by exchanging a link to its folder, which a
    /// look at the files shows as surely as a watch of them.
    pub async fn reload_every(&self, period: Duration) {
        let mut told = None;
        loop {
            tokio::time::sleep(period).await;
            match self.reload() {
                Ok(true) => tracing::info!("took the renewed certificate"),
                Ok(false) => {}
                Err(error) => {
                    let text = error.to_string();
                    if told.as_ref() != Some(&text) {
                        tracing::warn!("the former certificate stays in use: {text}");
                        told = Some(text);
                    }
                    continue;
                }
            }
            told = None;
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.pair().acceptor.clone()
    }

    fn pair(&self) -> MutexGuard<'_, Pair> {
        self.pair.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Text {
    fn of(certificate: &str, key: &str) -> Self {
        Self {
            certificate: certificate.as_bytes().to_vec(),
            key: key.as_bytes().to_vec(),
        }
    }

    /// For texts that are from no file.
    fn given(&self) -> Result<TlsAcceptor, TlsError> {
        self.acceptor(Path::new("the certificate"), Path::new("its key"))
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| failed(path, &error));
        Ok(Self {
            certificate: read(certificate)?,
            key: read(key)?,
        })
    }

    fn acceptor(&self, certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(certificate, &error))?;
        if chain.is_empty() {
            return Err(failed(certificate, &"it holds no certificate"));
        }
        let own = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| failed(key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, own)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Serves a router over HTTPS until `scope` stops; requests that run then are answered first.
///
/// # Errors
/// The listener cannot be used any longer.
pub async fn serve_https(listener: TcpListener, tls: Tls, router: Router, scope: &Scope) -> io::Result<()> {
    let stopping = scope.stopping_token();
    let listener = TlsListener::new(listener, tls, scope.child());
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        biased;
        ended = serving.into_future() => ended,
        () = overdue => Ok(()),
    }
}

/// Connections of a listener that have agreed on encryption. Each agrees in a task of its own: a slow one holds up
/// none.
pub(super) struct TlsListener {
    agreed: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
    _scope: Scope,
}

impl TlsListener {
    pub(super) fn new(listener: TcpListener, tls: Tls, scope: Scope) -> Self {
        let (send, agreed) = mpsc::channel(WAITING);
        // A family of its own: should a handshake panic, it costs its connection and not the process.
        let handshakes = Scope::new();
        let address = listener.local_addr();
        scope.spawn_named("listener of HTTPS", async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let (acceptor, send) = (tls.acceptor(), send.clone());
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
    type Addr = SocketAddr;

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
