//! Why a function ends. The failure of one object never ends it.

use csi::identity::IdentityError;
use runtime::cache::IndexTaken;
use runtime::crds::CrdsMissing;

/// Why a function ends. A process of one function then ends with exit 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The definitions of custom kinds did not appear in time.
    #[error(transparent)]
    CrdsMissing(#[from] CrdsMissing),
    /// The driver cannot be asked who it is and what it can do.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The driver cannot do what the sidecar is there for `[K]`.
    #[error("CSI driver {driver} {lacks}")]
    Incapable {
        /// Its name.
        driver: String,
        /// What it does not support, and the capability that says so.
        lacks: &'static str,
    },
    /// A function that drives a CSI driver was started without one.
    #[error("there is no CSI driver to drive")]
    NoDriver,
    /// The connection was lost and `--exit-on-connection-loss` is set.
    #[error("Lost connection to CSI driver, exiting")]
    ConnectionLost,
    /// Behind the socket is another driver, or another version of it, than at the start.
    #[error("the CSI driver has changed from {before} to {after}; starting anew is needed")]
    DriverChanged {
        /// Name and capabilities at the start.
        before: String,
        /// The same now.
        after: String,
    },
    /// Another replica has taken the lease.
    #[error("lost the lease {lease}")]
    LeaseLost {
        /// Its name.
        lease: String,
    },
    /// Something about the surroundings of the process cannot be found out.
    #[error("{0}")]
    Surroundings(String),
    /// Two functions of this process index their objects differently under one name.
    #[error(transparent)]
    Index(#[from] IndexTaken),
    /// A metric of this function is in its registry already.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
