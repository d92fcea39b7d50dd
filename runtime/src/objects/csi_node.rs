//! CSINode, trimmed.

use k8s_openapi::api::storage::v1::CSINode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A CSINode with the fields that our controllers read: what kubelet was told by the drivers of a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "CSINode")]
pub struct CsiNode {
    /// Name, UID, version and deletion; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.drivers`.
    pub drivers: Vec<NodeDriver>,
}

/// A driver on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeDriver {
    /// Its name.
    pub name: Box<str>,
    /// What it calls the node.
    pub node_id: Box<str>,
    /// The labels of the node by which it says where the node is.
    pub topology_keys: Vec<String>,
}

impl CsiNode {
    /// What this driver said of the node; none where it does not run there.
    #[must_use]
    pub fn driver(&self, name: &str) -> Option<&NodeDriver> {
        self.drivers.iter().find(|driver| &*driver.name == name)
    }
}

impl From<CSINode> for CsiNode {
    fn from(node: CSINode) -> Self {
        let metadata = node.metadata;
        let drivers = node.spec.drivers.into_iter().map(|driver| NodeDriver {
            name: driver.name.into(),
            node_id: driver.node_id.into(),
            topology_keys: driver.topology_keys.unwrap_or_default(),
        });
        Self {
            metadata: ObjectMeta {
                name: metadata.name,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                deletion_timestamp: metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
            drivers: drivers.collect(),
        }
    }
}

crate::part_of!(CsiNode, CSINode);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_keeps_what_its_drivers_say() {
        let node: CsiNode = serde_json::from_value(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
            "metadata": {"name": "n", "uid": "u", "annotations": {"a": "b"}},
            "spec": {"drivers": [
                {"name": "d", "nodeID": "i-1", "topologyKeys": ["zone"], "allocatable": {"count": 25}},
                {"name": "e", "nodeID": "n", "topologyKeys": null},
            ]},
        }))
        .unwrap();
        let driver = node.driver("d").unwrap();
        assert_eq!(
            (&*driver.node_id, driver.topology_keys.as_slice()),
            ("i-1", &["zone".to_owned()][..])
        );
        assert_eq!(node.driver("f"), None);
        assert_eq!(node.metadata.annotations, None);
    }
}
