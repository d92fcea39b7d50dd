//! Who the driver is and how it grows volumes. Source: resize.md 1.1 steps 8 to 15.

use std::future::Future;
use std::time::Duration;

use csi::Channel;
use csi::identity::{
    ControllerCapability, IdentityError, NodeCapability, PluginService, controller_capabilities,
    node_capabilities, plugin_capabilities, plugin_info,
};

use crate::error::Error;

/// Pause between two questions to a driver that is away.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// What must stay the same over a reconnection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// By ControllerExpandVolume; else only on the nodes.
    pub(crate) controller_expands: bool,
    pub(crate) single_node_multi_writer: bool,
    pub(crate) modifies: bool,
}

impl Known {
    pub(crate) fn text(&self) -> String {
        let expands = if self.controller_expands {
            "controller"
        } else {
            "nodes"
        };
        format!("{} (expansion by its {expands})", self.name)
    }
}

/// Asks the driver, after it is known to be ready.
pub(crate) async fn ask(driver: &Channel, timeout: Duration) -> Result<Known, Error> {
    let name = plugin_info(driver, timeout).await?.name;
    let services = plugin_capabilities(driver, timeout).await?.services;
    if !services.contains(&PluginService::ControllerService) {
        return Err(Error::NoControllerService { driver: name });
    }
    let capabilities = controller_capabilities(driver, timeout).await?;
    let has = |capability| capabilities.contains(&capability);
    let controller_expands = has(ControllerCapability::ExpandVolume);
    if !controller_expands {
        // A driver that does not serve Node here answers Unimplemented, which ends the process `[K]`.
        let node = node_capabilities(driver, timeout).await?;
        if !node.contains(&NodeCapability::ExpandVolume) {
            return Err(Error::NoExpansion { driver: name });
        }
    }
    Ok(Known {
        name,
        controller_expands,
        single_node_multi_writer: has(ControllerCapability::SingleNodeMultiWriter),
        modifies: has(ControllerCapability::ModifyVolume),
    })
}

/// Repeats each second while the driver is away, if that is allowed.
pub(crate) async fn patiently<T, F>(patient: bool, question: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut told = false;
    loop {
        match question().await {
            Err(Error::Identity(error)) if patient && is_away(&error) => {
                if !told {
                    tracing::warn!(%error, "waiting for the CSI driver");
                }
                told = true;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn is_away(error: &IdentityError) -> bool {
    error.is_unreachable()
}
