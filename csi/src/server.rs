//! Serving a driver over a socket.

mod authority;

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use self::authority::AnyAuthority;
use crate::address::Address;

/// Why a driver cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Something that is no socket lies at the path.
    #[error("{path} exists and is no socket; it is left alone")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The server failed while it ran.
    #[error("serving {address} failed: {source}")]
    Serve {
        /// The address.
        address: Address,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// A socket that listens. Connections queue up until [`Listener::serve`] accepts them.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix {
        listener: UnixListener,
        inode: Option<u64>,
    },
    Tcp(TcpListener),
}

impl Listener {
    /// Listens. A stale socket file at the path is replaced; any other file is an error.
    ///
    /// # Errors
    /// [`ServeError::NotASocket`] and [`ServeError::Bind`].
    pub async fn bind(address: &Address) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind {
            address: address.clone(),
            source,
        };
        let socket = match address {
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let inode = inode(path);
                Socket::Unix { listener, inode }
            }
            Address::Tcp(target) => Socket::Tcp(TcpListener::bind(target).await.map_err(failed)?),
        };
        Ok(Self {
            address: address.clone(),
            socket,
        })
    }

    /// Where it listens; with the real port if port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.socket {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(local) => Address::Tcp(local.to_string()),
                Err(_) => self.address.clone(),
            },
            Socket::Unix { .. } => self.address.clone(),
        }
    }

    /// Serves until `stopping`; then takes no new call, lets running ones end, and removes its socket file.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub async fn serve(self, routes: Routes, stopping: CancellationToken) -> Result<(), ServeError> {
        let router = Server::builder().add_routes(routes.prepare());
        let stopped = stopping.cancelled_owned();
        let served = match self.socket {
            Socket::Tcp(listener) => {
                let incoming = TcpListenerStream::new(listener);
                router.serve_with_incoming_shutdown(incoming, stopped).await
            }
            Socket::Unix {
                listener,
                inode: ours,
            } => {
                let incoming = UnixListenerStream::new(listener).map(|stream| stream.map(AnyAuthority::new));
                let served = router.serve_with_incoming_shutdown(incoming, stopped).await;
                if let Address::Unix(path) = &self.address
                    && ours.is_some()
                    && ours == inode(path)
                {
                    // Another process may have taken the path meanwhile; ours is gone either way.
                    let _ = std::fs::remove_file(path);
                }
                served
            }
        };
        served.map_err(|source| ServeError::Serve {
            address: self.address,
            source,
        })
    }
}

/// Listens on `address` and serves `routes` until `stopping`: [`Listener::bind`] and [`Listener::serve`].
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(address: &Address, routes: Routes, stopping: CancellationToken) -> Result<(), ServeError> {
    Listener::bind(address).await?.serve(routes, stopping).await
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|metadata| metadata.ino())
}

/// A socket file outlives its process. Upstream removes whatever is there; we only remove sockets.
fn remove_stale(path: &Path) -> Result<(), ServeError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(ServeError::NotASocket { path: path.into() });
    }
    std::fs::remove_file(path).map_err(|source| ServeError::Bind {
        address: Address::Unix(path.into()),
        source,
    })
}
