//! Who the driver is and how it grows volumes. Source: resize.md 1.1 steps 8 to 15.

use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{
    ControllerCapability, NodeCapability, PluginService, controller_capabilities, node_capabilities,
    plugin_capabilities, plugin_info, wait_until_ready,
};

/// A driver that grows volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    name: String,
    /// By ControllerExpandVolume; else only on the nodes.
    pub(crate) controller_expands: bool,
    pub(crate) single_node_multi_writer: bool,
    pub(crate) modifies: bool,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let expands = if self.controller_expands {
            "controller"
        } else {
            "nodes"
        };
        format!("{} (expansion by its {expands})", self.name)
    }

    async fn ask(channel: &Channel, timeout: Duration) -> Result<Self, Error> {
        wait_until_ready(channel, timeout).await?;
        let driver = plugin_info(channel, timeout).await?.name;
        let services = plugin_capabilities(channel, timeout).await?.services;
        if !services.contains(&PluginService::ControllerService) {
            let lacks =
                "does not support controller service: it lacks the plugin capability CONTROLLER_SERVICE";
            return Err(Error::Incapable { driver, lacks });
        }
        let capabilities = controller_capabilities(channel, timeout).await?;
        let has = |capability| capabilities.contains(&capability);
        let controller_expands = has(ControllerCapability::ExpandVolume);
        if !controller_expands {
            // A driver that does not serve Node here answers Unimplemented, which ends the process `[K]`.
            let node = node_capabilities(channel, timeout).await?;
            if !node.contains(&NodeCapability::ExpandVolume) {
                let lacks = "supports neither expansion in its controller nor in its node service \
                     (EXPAND_VOLUME), and changes by VolumeAttributesClass are not built yet";
                return Err(Error::Incapable { driver, lacks });
            }
        }
        Ok(Self {
            name: driver,
            controller_expands,
            single_node_multi_writer: has(ControllerCapability::SingleNodeMultiWriter),
            modifies: has(ControllerCapability::ModifyVolume),
        })
    }
}
