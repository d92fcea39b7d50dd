//! Who the driver is and what it can do for volumes. Source: sidecars.md 1.3.

use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{
    ControllerCapability, PluginService, controller_capabilities, plugin_capabilities, plugin_info,
    wait_until_ready,
};

/// A driver, and what it says that it can do. One that cannot make volumes is no error: each claim is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Such as `ebs.csi.aws.com`.
    pub name: String,
    /// CONTROLLER_SERVICE and CREATE_DELETE_VOLUME.
    pub makes_volumes: bool,
    /// CREATE_DELETE_SNAPSHOT.
    pub snapshots: bool,
    /// CLONE_VOLUME.
    pub clones: bool,
    /// MODIFY_VOLUME.
    pub modifies: bool,
    /// PUBLISH_UNPUBLISH_VOLUME.
    pub attaches: bool,
    /// SINGLE_NODE_MULTI_WRITER.
    pub single_node_multi_writer: bool,
    /// VOLUME_ACCESSIBILITY_CONSTRAINTS.
    pub has_topology: bool,
    /// GET_CAPACITY.
    pub tells_room: bool,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let abilities = [
            (self.makes_volumes, "volumes"),
            (self.snapshots, "snapshots"),
            (self.clones, "clones"),
            (self.modifies, "changes by class"),
            (self.attaches, "attachments"),
            (self.single_node_multi_writer, "several writers of a node"),
            (self.has_topology, "topology"),
            (self.tells_room, "capacity"),
        ];
        let has: Vec<&str> = abilities
            .into_iter()
            .filter_map(|(has, what)| has.then_some(what))
            .collect();
        format!("{} ({})", self.name, has.join(", "))
    }

    async fn ask(channel: &Channel, timeout: Duration) -> Result<Self, Error> {
        wait_until_ready(channel, timeout).await?;
        let name = plugin_info(channel, timeout).await?.name;
        let services = plugin_capabilities(channel, timeout).await?.services;
        let capabilities = match services.contains(&PluginService::ControllerService) {
            true => controller_capabilities(channel, timeout).await?,
            false => Default::default(),
        };
        let has = |capability| capabilities.contains(&capability);
        Ok(Self {
            name,
            makes_volumes: has(ControllerCapability::CreateDeleteVolume),
            snapshots: has(ControllerCapability::CreateDeleteSnapshot),
            clones: has(ControllerCapability::CloneVolume),
            modifies: has(ControllerCapability::ModifyVolume),
            attaches: has(ControllerCapability::PublishUnpublishVolume),
            single_node_multi_writer: has(ControllerCapability::SingleNodeMultiWriter),
            tells_room: has(ControllerCapability::GetCapacity),
            has_topology: services.contains(&PluginService::VolumeAccessibilityConstraints),
        })
    }
}
