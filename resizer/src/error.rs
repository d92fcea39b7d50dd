//! Why the function ends. A failure of one claim never ends it.

use csi::identity::IdentityError;

/// Why [`crate::run()`] ends. The process then ends with exit 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver cannot be asked who it is and what it can do.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The driver has no controller service `[K]`.
    #[error(
        "CSI driver {driver} does not support controller service: it lacks the plugin capability CONTROLLER_SERVICE"
    )]
    NoControllerService {
        /// Its name.
        driver: String,
    },
    /// The driver cannot expand volumes.
    #[error(
        "CSI driver {driver} supports neither expansion in its controller nor in its node service (EXPAND_VOLUME), \
         and changes by VolumeAttributesClass are not built yet"
    )]
    NoExpansion {
        /// Its name.
        driver: String,
    },
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
    /// A metric of this function is in its registry already.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
