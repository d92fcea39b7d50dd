//! A driver behind a real socket that goes away. Sockets need real time.

use std::time::Duration;

use base::{Random, Scope};
use csi::{Address, Channel, ConnectOptions, Listener};
use sandbox::faults::Faults;
use tempfile::TempDir;

use super::{Driver, Process, World};

/// The socket, and the scope that owns our end of it.
pub struct Socket {
    address: Address,
    scope: Scope,
    _directory: TempDir,
}

impl Default for Socket {
    fn default() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            address: Address::Unix(directory.path().join("csi.sock")),
            scope: Scope::new(),
            _directory: directory,
        }
    }
}

impl Socket {
    /// Serves the driver until what is answered is stopped or dropped.
    ///
    /// # Panics
    /// The socket is served already.
    pub async fn serve(&self, driver: &Driver) -> Scope {
        let (server, routes) = (Scope::new(), driver.routes());
        let listener = Listener::bind(&self.address).await.unwrap();
        let token = server.stopping_token();
        server.spawn(async move { listener.serve(routes, token).await.unwrap() });
        server
    }
}

impl World {
    /// Starts the function with its driver behind a socket, whether it is served or not.
    #[must_use]
    pub fn start_behind(&self, socket: &Socket) -> Process {
        let options = ConnectOptions {
            scope: socket.scope.clone(),
            random: Random::seeded(1),
        };
        self.start_over(Channel::connect(&socket.address, options), Faults::none())
    }
}

/// Waits until something is so; a minute at most.
///
/// # Panics
/// It is not so by then.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
