//! A node: what kubelet does for the volumes of its pods, and the machine that a node service runs on.
//!
//! | Module | Subject |
//! |---|---|
//! | [`kubelet`] | mounts the volumes of its pods through the node services of drivers, and expands them |
//! | [`machine`] | an instance of the sandbox's EC2 as a node of its cluster |
//! | [`memory`] | the devices, file systems and mounts of such an instance, without data |
//! | [`socket`] | the place where a driver listens, while it comes and goes |

mod kubelet;
mod machine;
mod memory;
mod socket;

use std::collections::BTreeMap;

use csi::Channel;

pub use self::kubelet::Kubelet;
pub use self::machine::Machine;
pub use self::memory::MemoryHost;
pub use self::socket::Socket;

/// A node with a kubelet.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Labels beside those of its drivers' topology.
    pub labels: BTreeMap<String, String>,
    /// What the cloud calls it, such as `aws:///us-east-1a/i-0a`; empty where it is none's.
    pub provider_id: String,
    /// The folder of kubelet, below which volumes are mounted.
    pub root: String,
    /// The node services on it, by driver name.
    pub drivers: BTreeMap<String, Channel>,
}

impl Node {
    /// A node of this name with kubelet's usual folder and no drivers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            provider_id: String::new(),
            root: "/var/lib/kubelet".to_owned(),
            drivers: BTreeMap::new(),
        }
    }

    /// Where a pod with this UID has a PersistentVolume mounted.
    #[must_use]
    pub fn mount_path(&self, pod_uid: &str, volume: &str) -> String {
        format!(
            "{}/pods/{pod_uid}/volumes/kubernetes.io~csi/{volume}/mount",
            self.root
        )
    }

    /// The same with the node service of a driver.
    #[must_use]
    pub fn with_driver(mut self, name: &str, channel: Channel) -> Self {
        self.drivers.insert(name.to_owned(), channel);
        self
    }
}
