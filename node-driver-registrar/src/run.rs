//! The process: it asks the driver for its name once, then it serves the registration socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::http::{BindError, Endpoints, Readiness};
use base::{Random, Scope};
use csi::identity::{IdentityError, plugin_info};
use csi::server::ServeError;
use csi::{Address, Channel, ConnectOptions};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::args::Config;
use crate::health::SocketHealth;
use crate::service::Registrar;
use crate::socket::{Fate, Socket, gone, likely_path, path_of, remove_stale};
use crate::v1::registration_server::RegistrationServer;

/// How long the driver may take to come.
const FIRST_CONNECTION: Duration = Duration::from_secs(30);
/// Until the driver is asked for its name again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the socket is still ours.
const LOOK: Duration = Duration::from_secs(10);
/// How long calls that run may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Why the process ends before it was asked to.
#[derive(Debug, Error)]
pub enum Error {
    /// The driver does not come.
    #[error("the CSI driver at {address} cannot be reached within {} s", FIRST_CONNECTION.as_secs())]
    NoDriver {
        /// Where it was to be.
        address: Address,
    },
    /// It does not say its name.
    #[error(transparent)]
    Driver(#[from] IdentityError),
    /// The socket cannot be had.
    #[error("the registration socket: {0}")]
    Socket(#[from] ServeError),
    /// The address of health cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The kubelet refuses the driver.
    #[error("the kubelet did not register the driver: {0}")]
    Refused(String),
}

/// Registers the driver, and stands by until the scope is stopping and the driver is gone; then the socket is gone.
///
/// # Errors
/// See [`Error`]. After [`Error::Refused`] the socket file stays, as after a crash.
pub async fn run(config: Config, scope: &Scope) -> Result<(), Error> {
    if let Some(path) = likely_path(&config.folder, &config.kubelet_path) {
        // The kubelet backs off from a socket at which nobody listens: the sooner it goes the better.
        remove_stale(&path).await;
    }
    let random = Random::from_entropy();
    let driver = tokio::select! {
        biased;
        () = scope.stopping() => return Ok(()),
        name = name_of(&config, &random, scope) => name?,
    };
    tracing::info!(driver, "found the CSI driver");
    let path = path_of(&config.folder, &driver);
    let readiness = Readiness::default();
    let registered = readiness.condition("registration", "not registered by the kubelet yet");
    if let Some(address) = &config.health {
        let health = SocketHealth {
            path: path.clone(),
            driver: driver.clone(),
            timeout: config.timeout,
            random,
            scope: scope.child(),
        };
        let mut endpoints = Endpoints::new(readiness);
        endpoints.health(address, Arc::new(health));
        endpoints.bind().await?.serve(scope);
    }
    let (refused, mut refusals) = mpsc::unbounded_channel();
    let registrar = Registrar {
        driver,
        kubelet_path: config.kubelet_path,
        registered,
        refused,
    };
    tokio::select! {
        biased;
        Some(why) = refusals.recv() => Err(Error::Refused(why)),
        served = stand_by(&path, &registrar, &config.driver, scope) => served,
    }
}

/// Asks for the driver's name over a connection that ends with it.
async fn name_of(config: &Config, random: &Random, scope: &Scope) -> Result<String, Error> {
    let asking = scope.child();
    let options = ConnectOptions {
        scope: asking.clone(),
        random: random.fork(),
    };
    let begun = Instant::now();
    let channel = Channel::connect(&config.driver, options);
    let connected = tokio::time::timeout(FIRST_CONNECTION, channel.connected()).await;
    connected.map_err(|_| Error::NoDriver {
        address: config.driver.clone(),
    })?;
    let info = loop {
        match plugin_info(&channel, config.timeout).await {
            // Many a driver listens long before it serves.
            Err(error) if error.is_unreachable() && begun.elapsed() < FIRST_CONNECTION => {
                tracing::warn!(%error, "the CSI driver does not answer yet");
            }
            answered => break answered?,
        }
        tokio::time::sleep(ASK_AGAIN).await;
    };
    asking.abort();
    Ok(info.name)
}

/// Serves the socket, and another one in its place when it is lost.
async fn stand_by(path: &Path, registrar: &Registrar, driver: &Address, scope: &Scope) -> Result<(), Error> {
    loop {
        let (socket, listener) = Socket::bind(path).await?;
        tracing::info!(socket = %path.display(), "serving the registration socket");
        let serving = scope.child();
        // The end of the process is not yet that of the registration.
        let stopping = CancellationToken::new();
        let (routes, stopped) = (routes(registrar), stopping.clone());
        let shown = PathBuf::from(path);
        serving.spawn_named("registration socket", async move {
            if let Err(error) = listener.serve(routes, stopped).await {
                tracing::error!(socket = %shown.display(), %error, "the registration socket is not served any more");
            }
        });
        let is_lost = tokio::select! {
            biased;
            () = unneeded(driver, scope) => false,
            () = lost(&socket) => true,
        };
        socket.remove();
        stopping.cancel();
        if tokio::time::timeout(GRACE, serving.finished()).await.is_err() {
            serving.abort();
        }
        if !is_lost {
            return Ok(());
        }
        tracing::warn!(socket = %path.display(), "the registration socket is lost, and is made again");
    }
}

/// Resolves once the process is to end and the driver is gone. While it is there, as it is as long as its pre-stop hook runs,
/// the kubelet needs it: it could not unmount what pods give back.
async fn unneeded(driver: &Address, scope: &Scope) {
    scope.stopping().await;
    tracing::info!("the driver is unregistered once it is gone");
    gone(driver).await;
}

fn routes(registrar: &Registrar) -> Routes {
    Routes::new(RegistrationServer::new(registrar.clone()))
}

/// Resolves once the socket is lost. One that somebody else serves is theirs.
async fn lost(socket: &Socket) {
    let mut is_taken = false;
    loop {
        tokio::time::sleep(LOOK).await;
        match socket.fate().await {
            Fate::Ours => is_taken = false,
            Fate::Lost => return,
            Fate::Taken if is_taken => {}
            Fate::Taken => {
                is_taken = true;
                tracing::warn!("another process serves the registration socket; it is left to it");
            }
        }
    }
}
