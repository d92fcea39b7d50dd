//! Who the driver is and how it attaches volumes. Source: sidecars.md 1.3, 3.2.

use std::collections::BTreeSet;
use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{
    ControllerCapability, PluginService, controller_capabilities, plugin_capabilities, plugin_info,
    wait_until_ready,
};

/// A driver, and what it does to attach volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    name: String,
    /// By ControllerPublishVolume; else volumes count as attached at once.
    pub(crate) publishes: bool,
    /// It may be told that nobody writes.
    pub(crate) publishes_read_only: bool,
    pub(crate) single_node_multi_writer: bool,
    /// Its ListVolumes says where volumes are attached.
    pub(crate) lists_nodes: bool,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let attaches = if self.publishes { "" } else { "no " };
        let lists = if self.lists_nodes { "" } else { "no " };
        format!(
            "{} ({attaches}attachment, {lists}list of where volumes are)",
            self.name
        )
    }

    async fn ask(channel: &Channel, timeout: Duration) -> Result<Self, Error> {
        wait_until_ready(channel, timeout).await?;
        let name = plugin_info(channel, timeout).await?.name;
        let services = plugin_capabilities(channel, timeout).await?.services;
        let mut capabilities = BTreeSet::new();
        if services.contains(&PluginService::ControllerService) {
            capabilities = controller_capabilities(channel, timeout).await?;
        }
        let has = |capability| capabilities.contains(&capability);
        Ok(Self {
            name,
            publishes: has(ControllerCapability::PublishUnpublishVolume),
            publishes_read_only: has(ControllerCapability::PublishReadonly),
            single_node_multi_writer: has(ControllerCapability::SingleNodeMultiWriter),
            lists_nodes: has(ControllerCapability::ListVolumes)
                && has(ControllerCapability::ListVolumesPublishedNodes),
        })
    }
}
