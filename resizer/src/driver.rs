//! Who the driver is and how it grows and changes volumes. Source: resize.md 1.1 steps 8 to 15.

use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{
    ControllerCapability, NodeCapability, PluginService, controller_capabilities, node_capabilities,
    plugin_capabilities, plugin_info, wait_until_ready,
};

/// A driver that grows or changes volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    name: String,
    /// By ControllerExpandVolume; else only on the nodes.
    pub(crate) controller_expands: bool,
    /// On the nodes; asked only where its controller does not.
    node_expands: bool,
    pub(crate) single_node_multi_writer: bool,
    /// By ControllerModifyVolume.
    pub(crate) modifies: bool,
}

impl Driver {
    /// Whether it grows volumes at all.
    pub(crate) fn expands(&self) -> bool {
        self.controller_expands || self.node_expands
    }
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let expands = match (self.controller_expands, self.node_expands) {
            (true, _) => "expansion by its controller",
            (false, true) => "expansion by its nodes",
            (false, false) => "no expansion",
        };
        let modifies = if self.modifies { "" } else { "no " };
        format!("{} ({expands}, {modifies}changes by class)", self.name)
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
        let modifies = has(ControllerCapability::ModifyVolume);
        let mut node_expands = false;
        if !controller_expands {
            let node = match node_capabilities(channel, timeout).await {
                // One that changes volumes need not serve Node here.
                Err(error) if modifies && !error.is_unreachable() => Vec::new(),
                // Any other answers Unimplemented, which ends the process `[K]`.
                answer => answer?.into_iter().collect(),
            };
            node_expands = node.contains(&NodeCapability::ExpandVolume);
            if !node_expands && !modifies {
                let lacks = "supports neither expansion in its controller nor in its node service \
                     (EXPAND_VOLUME), nor changes by VolumeAttributesClass (MODIFY_VOLUME)";
                return Err(Error::Incapable { driver, lacks });
            }
        }
        Ok(Self {
            name: driver,
            controller_expands,
            node_expands,
            single_node_multi_writer: has(ControllerCapability::SingleNodeMultiWriter),
            modifies,
        })
    }
}
