//! What the actors are connected with.

use std::collections::{BTreeMap, BTreeSet};

use base::Random;
use csi::Channel;

use crate::node::Node;

/// What the actors are connected with. By default nothing: pods run without volumes.
#[derive(Debug, Default)]
pub struct Options {
    /// The controller services of drivers, by driver name. For each of them attach-detach makes
    /// VolumeAttachments and an external-attacher serves them.
    pub attachers: BTreeMap<String, Channel>,
    /// Drivers for which attach-detach makes VolumeAttachments that somebody else serves.
    pub attached: BTreeSet<String>,
    /// Nodes with a kubelet. Where there are some, pods are scheduled to them.
    pub nodes: Vec<Node>,
    /// Claims are marked for their provisioners by whoever makes them, not by the volume controller.
    pub marked_by_hand: bool,
    /// For the back-off; a fixed seed where absent.
    pub random: Option<Random>,
}

impl Options {
    /// The same with the controller service of a driver: its volumes are attached before they are mounted.
    #[must_use]
    pub fn with_attacher(mut self, driver: &str, controller: Channel) -> Self {
        self.attachers.insert(driver.to_owned(), controller);
        self
    }

    /// The same with a driver whose volumes are attached by a csi-attacher that runs beside the sandbox.
    #[must_use]
    pub fn with_attached(mut self, driver: &str) -> Self {
        self.attached.insert(driver.to_owned());
        self
    }

    /// The same with claims that are marked for their provisioners by whoever makes them.
    #[must_use]
    pub fn marked_by_hand(mut self) -> Self {
        self.marked_by_hand = true;
        self
    }

    /// The same with a node.
    #[must_use]
    pub fn with_node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }
}
