//! An instance of the sandbox's EC2 as a node of the sandbox's cluster.

use std::sync::Arc;

use super::{MemoryHost, Node};
use crate::ec2::{Ec2, Ec2Error};

/// An instance that is a node. The node service of a driver runs on its [`Machine::host`]; kubelet is that of its
/// [`Machine::node`]. Clones are the same machine.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    instance_id: String,
    instance_type: String,
    region: String,
    zone: String,
    host: Arc<MemoryHost>,
}

impl Machine {
    /// Launches a running instance with a root volume, to be a node of this name.
    ///
    /// # Errors
    /// `InvalidZone.NotFound` and `InvalidInstanceType`.
    pub fn launch(ec2: &Ec2, name: &str, zone: &str, instance_type: &str) -> Result<Self, Ec2Error> {
        let instance_id = ec2.create_instance_fixture(zone, instance_type, &[("Name", name)])?;
        Ok(Self {
            name: name.to_owned(),
            instance_type: instance_type.to_owned(),
            region: ec2.region(),
            zone: zone.to_owned(),
            host: Arc::new(MemoryHost::new(ec2.clone(), &instance_id)),
            instance_id,
        })
    }

    /// The ID of the instance.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The type of the instance.
    #[must_use]
    pub fn instance_type(&self) -> &str {
        &self.instance_type
    }

    /// The region's name.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Its devices, file systems and mounts.
    #[must_use]
    pub fn host(&self) -> Arc<MemoryHost> {
        self.host.clone()
    }

    /// The node, with the labels and the provider ID that the cloud gives it, and no drivers yet.
    #[must_use]
    pub fn node(&self) -> Node {
        let mut node = Node::new(&self.name);
        for (label, value) in [
            ("node.kubernetes.io/instance-type", &self.instance_type),
            ("topology.kubernetes.io/region", &self.region),
            ("topology.kubernetes.io/zone", &self.zone),
        ] {
            node.labels.insert(label.to_owned(), value.clone());
        }
        node.provider_id = format!("aws:///{}/{}", self.zone, self.instance_id);
        node
    }
}
