//! The Node, the CSINode, and what node-driver-registrar does.

use std::time::Duration;

use csi::v1::node_service_capability::Type as Capability;
use csi::v1::node_service_capability::rpc::Type as Rpc;
use csi::v1::{NodeGetCapabilitiesRequest, NodeGetInfoRequest, NodeGetInfoResponse};
use serde_json::{Value, json};
use tonic::Status;

use super::Kubelet;
use crate::actors::{DRIVER_NODES, NODES, attempt, items, nodes, set, text};

const NODE_ID: &str = "csi.volume.kubernetes.io/nodeid";
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries of a driver that does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// For the volumes that wait for a driver.
pub(super) const WAIT_FOR_DRIVER: Duration = Duration::from_secs(1);

/// A registered driver.
#[derive(Clone, Debug, Default)]
pub(super) struct Driver {
    pub(super) stages: bool,
    pub(super) expands: bool,
    /// SINGLE_NODE_MULTI_WRITER.
    pub(super) fine: bool,
}

impl Kubelet {
    /// Makes the Node, and the CSINode without drivers.
    pub(super) fn register_node(&self) {
        let name = &self.node.name;
        let mut labels = json!(self.node.labels);
        for (label, value) in [
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
        ] {
            labels[label] = json!(value);
        }
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {},
        });
        if !self.node.provider_id.is_empty() {
            node["spec"]["providerID"] = json!(self.node.provider_id);
        }
        attempt(self.store.create(NODES, node));
        let now = self.now();
        attempt(
            self.store
                .update_status(NODES, "", name, |node| nodes::ready(node, name, &now)),
        );
        let uid = self
            .object(NODES, "", name)
            .map(|node| node["metadata"]["uid"].clone());
        let node = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
            "metadata": {
                "name": name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
            },
            "spec": {"drivers": []},
        });
        attempt(self.store.create(DRIVER_NODES, node));
    }

    /// Asks a driver who it is and writes it down; repeated until it answers.
    pub(super) async fn register_driver(&self, name: &str) -> Option<Duration> {
        match self.ask(name).await {
            Ok((info, driver)) => {
                self.write_down(name, &info);
                self.state().drivers.insert(name.to_owned(), driver);
                None
            }
            Err(error) => {
                tracing::debug!(driver = name, %error, "the driver does not answer yet");
                Some(AGAIN)
            }
        }
    }

    async fn ask(&self, name: &str) -> Result<(NodeGetInfoResponse, Driver), Status> {
        let absent = || Status::unavailable("no such driver");
        let channel = self.node.drivers.get(name).ok_or_else(absent)?;
        let mut client = channel.node();
        let request = csi::channel::request(NodeGetInfoRequest {}, TIMEOUT);
        let info = client.node_get_info(request).await?.into_inner();
        let request = csi::channel::request(NodeGetCapabilitiesRequest {}, TIMEOUT);
        let answer = client.node_get_capabilities(request).await?.into_inner();
        let has = |wanted: Rpc| {
            answer
                .capabilities
                .iter()
                .any(|capability| match &capability.r#type {
                    Some(Capability::Rpc(rpc)) => rpc.r#type == i32::from(wanted),
                    None => false,
                })
        };
        let driver = Driver {
            stages: has(Rpc::StageUnstageVolume),
            expands: has(Rpc::ExpandVolume),
            fine: has(Rpc::SingleNodeMultiWriter),
        };
        Ok((info, driver))
    }

    fn write_down(&self, driver: &str, info: &NodeGetInfoResponse) {
        let topology = info.accessible_topology.clone().unwrap_or_default().segments;
        attempt(self.store.update(NODES, "", &self.node.name, |node| {
            for (label, value) in &topology {
                set(node, "/metadata/labels", label, json!(value));
            }
            let noted = node["metadata"]["annotations"][NODE_ID].as_str();
            let mut ids: Value =
                serde_json::from_str(noted.unwrap_or_default()).unwrap_or_else(|_| json!({}));
            ids[driver] = json!(info.node_id);
            set(node, "/metadata/annotations", NODE_ID, json!(ids.to_string()));
        }));
        let mut entry = json!({
            "name": driver, "nodeID": info.node_id, "topologyKeys": topology.keys().collect::<Vec<_>>(),
        });
        if info.max_volumes_per_node > 0 {
            entry["allocatable"] = json!({"count": info.max_volumes_per_node});
        }
        attempt(self.store.update(DRIVER_NODES, "", &self.node.name, |node| {
            let mut drivers = items(node, "/spec/drivers").to_vec();
            drivers.retain(|one| text(one, "/name") != driver);
            drivers.push(entry);
            set(node, "/spec", "drivers", Value::Array(drivers));
        }));
    }
}
