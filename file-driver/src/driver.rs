//! What all services of one driver share.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Clock;
use csi::panics::Panics;
use csi::v1::Topology;
use csi::v1::controller_server::ControllerServer;
use csi::v1::group_controller_server::GroupControllerServer;
use csi::v1::identity_server::IdentityServer;
use csi::v1::node_server::NodeServer;
use node::{Host, HostError, Loops};
use prometheus::Registry;
use thiserror::Error;
use tonic::Status;
use tonic::service::Routes;

use crate::capability::{Capabilities, Capability};
use crate::folder::{Files, Folder, FolderError, Volume};
use crate::node::NodeService;
use crate::plan::{Refusal, topology};
use crate::rpc::status::{of_folder, of_host, of_refusal};
use crate::rpc::{ControllerService, GroupControllerService, IdentityService};

/// How a driver is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// The node that it runs on.
    pub node_id: String,
    /// What all volumes and snapshots may have together, in bytes.
    pub capacity_bytes: u64,
    /// How many volumes may be attached to the node; 0 means any number.
    pub max_volumes: u32,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How long after its creation a snapshot becomes ready.
    pub ready_after: Duration,
}

/// The machine that the driver runs on.
#[derive(Clone)]
pub struct Machine {
    /// Its mounts and file systems.
    pub host: Arc<dyn Host>,
    /// Its loop devices.
    pub loops: Arc<dyn Loops>,
}

/// Why a driver cannot be begun.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The registry has metrics of a driver already.
    #[error("cannot register the metrics of the driver: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The driver: its services over one folder. Clones share everything.
#[derive(Clone, Debug)]
pub struct Driver {
    core: Arc<Core>,
    panics: Panics,
}

/// What the calls share.
pub(crate) struct Core {
    pub config: Config,
    pub machine: Machine,
    pub clock: Clock,
    /// Where this node is.
    pub here: Topology,
    /// Held while devices and mounts change.
    pub devices: tokio::sync::Mutex<()>,
    folder: Arc<Mutex<Folder>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver over this folder, which is made where it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used, or the registry already has metrics of a driver.
    pub fn new(
        config: Config,
        folder: &Path,
        machine: Machine,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        Self::over(
            config,
            Folder::open(folder, Files::default())?,
            machine,
            clock,
            registry,
        )
    }

    /// The same over a folder that is open.
    ///
    /// # Errors
    /// As [`Driver::new`].
    pub fn over(
        config: Config,
        folder: Folder,
        machine: Machine,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, StartError> {
        let panics = Panics::new(registry)?;
        let core = Core {
            here: topology::of_node(&config.name, &config.node_id),
            config,
            machine,
            clock,
            devices: tokio::sync::Mutex::default(),
            folder: Arc::new(Mutex::new(folder)),
        };
        Ok(Self {
            core: Arc::new(core),
            panics,
        })
    }

    /// The services, for a socket or for a channel in process; without those that are switched off. A panic in a call
    /// ends that call only.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let core = || self.core.clone();
        let has = |capability| self.core.config.capabilities.has(capability);
        let mut routes = Routes::new(IdentityServer::new(IdentityService::new(core())))
            .add_service(NodeServer::new(NodeService::new(core())));
        if has(Capability::ControllerService) {
            routes = routes.add_service(ControllerServer::new(ControllerService::new(core())));
        }
        if has(Capability::GroupControllerService) {
            routes = routes.add_service(GroupControllerServer::new(GroupControllerService::new(core())));
        }
        csi::traces::trace(self.panics.catch(routes))
    }
}

impl Core {
    /// Works on the folder, beside the other tasks, while nobody else does.
    pub async fn in_folder<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Status> {
        let folder = self.folder.clone();
        let acted = tokio::task::spawn_blocking(move || {
            act(&folder.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Status::from)
        });
        match acted.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Status::aborted("the driver is being stopped")),
        }
    }

    /// Whether the driver can do this.
    pub fn has(&self, capability: Capability) -> bool {
        self.config.capabilities.has(capability)
    }

    /// Refuses what is switched off.
    pub fn need(&self, capability: Capability) -> Result<(), Refusal> {
        if self.has(capability) {
            return Ok(());
        }
        Err(Refusal::Lacking(capability))
    }

    /// Whether this node has a device over a volume. Where there are no loop devices at all it has none.
    pub async fn is_attached(&self, volume: &Volume) -> Result<bool, Status> {
        if volume.bytes.is_none() {
            return Ok(false);
        }
        match self.machine.loops.over(&volume.data).await {
            Ok(devices) => Ok(!devices.is_empty()),
            Err(HostError::ToolMissing { .. }) => Ok(false),
            Err(error) => Err(of_host(&error)),
        }
    }
}

/// Why work on the folder has failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// By its rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// By the operating system.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => of_refusal(&refusal),
            Failure::Folder(error) => of_folder(&error),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        of_refusal(&refusal)
    }
}
