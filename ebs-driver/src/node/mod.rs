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
//! | [`info`] | topology and the attachment limit |
//! | [`metadata`] | what instance this is |

pub mod device;
mod expand;
pub mod filesystem;
pub mod info;
pub mod metadata;
mod publish;
mod services;
mod stage;
mod stats;
mod status;

use std::sync::Arc;

use ::node::Host;
use csi::panics::Panics;
use csi::v1::identity_server::IdentityServer;
use csi::v1::node_server::NodeServer;
use prometheus::Registry;
use tonic::service::Routes;

use crate::in_flight::InFlight;
pub use info::Limits;
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
        let core = Core {
            config,
            host,
            metadata,
            in_flight: InFlight::default(),
        };
        Ok(Self {
            core: Arc::new(core),
            panics: Panics::new(registry)?,
        })
    }

    /// The services of mode `node`, Identity and Node, for a socket or for a channel in process. A panic in a call
    /// ends that call only.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let identity = IdentityServer::new(services::NodeIdentity);
        let node = NodeServer::new(services::Service::new(self.core.clone()));
        self.panics.catch(Routes::new(identity).add_service(node))
    }
}
