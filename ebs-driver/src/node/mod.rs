//! The node service: staging, publishing and growing volumes on one machine. Source: spec 4.
//!
//! ```text
//! CSI request -> services: parse -> stage | publish | expand | stats: in order, each step one primitive of the host
//!                                      rules: filesystem, device (pure) -> node::Host
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`device`] | which device is the volume's |
//! | [`filesystem`] | when and how to format, how to mount, when to grow |
//! | `stage`, `publish`, `expand`, `stats` | the calls |
//! | [`info`], [`limit`] | topology; how many volumes may be attached |
//! | [`cluster`] | the start-up taint, the pre-stop hook |
//! | [`metadata`] | what instance this is |
//! | [`nvme`] | the volumes' statistics as series |

pub mod cluster;
pub mod device;
mod expand;
pub mod filesystem;
pub mod info;
pub mod limit;
pub mod metadata;
pub mod nvme;
mod publish;
mod services;
mod stage;
mod stats;
mod status;

use std::sync::Arc;

use ::node::{Disks, Host};
use csi::panics::Panics;
use csi::v1::identity_server::IdentityServer;
use csi::v1::node_server::NodeServer;
use prometheus::Registry;
use tonic::service::Routes;

use crate::driver::Driver;
use crate::in_flight::InFlight;
pub use limit::Limits;
pub use metadata::{InstanceInfo, Metadata, MetadataError};

/// What the node service is told at its start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeConfig {
    /// How many volumes may be attached.
    pub limits: Limits,
    /// Format xfs so that old kernels can mount it.
    pub has_legacy_xfs: bool,
}

/// The node service of one machine. Clones share everything.
#[derive(Clone)]
pub struct NodeService {
    core: Arc<Core>,
    panics: Panics,
}

/// What the calls share. All of it may be lost at any moment.
pub(crate) struct Core {
    pub config: NodeConfig,
    pub host: Arc<dyn Host>,
    pub metadata: Arc<dyn Metadata>,
    pub in_flight: InFlight,
}

impl std::fmt::Debug for NodeService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeService")
            .field("config", &self.core.config)
            .finish_non_exhaustive()
    }
}

impl NodeService {
    /// A service on this machine.
    ///
    /// # Errors
    /// When the registry already has metrics of a driver.
    pub fn new(
        config: NodeConfig,
        host: Arc<dyn Host>,
        metadata: Arc<dyn Metadata>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self::with(config, host, metadata, Panics::new(registry)?))
    }

    /// A service beside the controller's on one socket: its panics are counted with the controller's.
    #[must_use]
    pub fn beside(
        driver: &Driver,
        config: NodeConfig,
        host: Arc<dyn Host>,
        metadata: Arc<dyn Metadata>,
    ) -> Self {
        Self::with(config, host, metadata, driver.panics().clone())
    }

    fn with(config: NodeConfig, host: Arc<dyn Host>, metadata: Arc<dyn Metadata>, panics: Panics) -> Self {
        let core = Arc::new(Core {
            config,
            host,
            metadata,
            in_flight: InFlight::default(),
        });
        Self { core, panics }
    }

    /// `csi.v1.Node` alone.
    pub(crate) fn server(&self) -> NodeServer<impl csi::v1::node_server::Node> {
        NodeServer::new(services::Service::new(self.core.clone()))
    }

    /// The services of mode `node`, Identity and Node, for a socket or for a channel in process. A panic in a call
    /// ends that call only.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let identity = IdentityServer::new(services::NodeIdentity);
        let routes = Routes::new(identity).add_service(self.server());
        csi::traces::trace(self.panics.catch(routes))
    }
}

/// The machine that this process runs on.
#[cfg(target_os = "linux")]
#[must_use]
pub fn this_machine() -> Arc<dyn Host> {
    Arc::new(::node::linux::LinuxHost::default())
}

/// Its NVMe disks.
#[cfg(target_os = "linux")]
#[must_use]
pub fn these_disks() -> Arc<dyn Disks> {
    Arc::new(::node::linux::LinuxHost::default())
}
