//! Where volumes can be made, as far as the nodes tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use csi::v1::TopologyRequirement;
use k8s_openapi::api::storage::v1::CSINode;
use runtime::Cache;
use runtime::objects::NodeLabels;

use crate::local::LocalNode;
use crate::topology::{self, Cluster, Trouble, Wish};
use crate::triggers::Placeless;

/// Where the nodes are, and where the driver is registered.
pub(crate) enum Nodes {
    /// As the cluster says.
    Cluster {
        labels: Cache<NodeLabels>,
        drivers: Cache<CSINode>,
        placeless: Placeless,
    },
    /// One alone, as its driver says.
    Local(LocalNode),
}

impl Nodes {
    /// What a driver is told of where the volume should be. That no place is found for no chosen node is noted.
    pub(crate) fn requirement(
        &self,
        wish: &Wish<'_>,
        driver: &str,
    ) -> Result<Option<TopologyRequirement>, Trouble> {
        let (labels, drivers, placeless) = match self {
            Self::Local(local) => return topology::requirement(wish, &local.cluster()),
            Self::Cluster {
                labels,
                drivers,
                placeless,
            } => (labels, drivers, placeless),
        };
        let look = || {
            let (labels, drivers) = (labels.all(), drivers.all());
            let cluster = Cluster {
                nodes: labels
                    .iter()
                    .filter_map(|node| Some((node.metadata.name.as_deref()?, &node.labels)))
                    .collect(),
                registered: registered(&drivers, driver),
            };
            topology::requirement(wish, &cluster)
        };
        match look() {
            Err(Trouble::Refused(_)) if wish.node.is_none() => {
                placeless.note();
                look()
            }
            told => told,
        }
    }
}

/// The keys of the driver on each node.
fn registered<'a>(drivers: &'a [Arc<CSINode>], name: &str) -> BTreeMap<&'a str, &'a [String]> {
    let keys = |node: &'a CSINode| {
        let ours = node.spec.drivers.iter().find(|driver| driver.name == name);
        ours.and_then(|driver| driver.topology_keys.as_deref())
            .unwrap_or_default()
    };
    drivers
        .iter()
        .filter_map(|node| Some((node.metadata.name.as_deref()?, keys(node))))
        .collect()
}
