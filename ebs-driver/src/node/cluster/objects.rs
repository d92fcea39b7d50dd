//! Node and VolumeAttachment with only the fields that are read.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

/// A Node: labels, provider ID, taints.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "ReadNode")]
pub struct NodeView {
    /// Name, labels, version.
    pub metadata: ObjectMeta,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
    /// `spec.taints` as they are stored: a patch tests them.
    pub taints: Vec<Value>,
}

impl NodeView {
    /// Whether it has a taint with one of these keys.
    #[must_use]
    pub fn is_tainted(&self, keys: &[&str]) -> bool {
        self.taints.iter().any(|taint| has_key(taint, keys))
    }
}

/// Whether a taint has one of these keys.
pub(super) fn has_key(taint: &Value, keys: &[&str]) -> bool {
    taint["key"].as_str().is_some_and(|key| keys.contains(&key))
}

/// A VolumeAttachment: who attaches what to which node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "ReadAttachment")]
pub struct AttachmentView {
    /// Name and version.
    pub metadata: ObjectMeta,
    /// `spec.attacher`.
    pub attacher: String,
    /// `spec.nodeName`.
    pub node: String,
}

#[derive(Deserialize)]
struct ReadNode {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ReadNodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReadNodeSpec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    taints: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct ReadAttachment {
    metadata: ObjectMeta,
    spec: ReadAttachmentSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadAttachmentSpec {
    attacher: String,
    node_name: String,
}

/// Name, labels, UID and version.
fn trimmed(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        labels: metadata.labels,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    }
}

impl From<ReadNode> for NodeView {
    fn from(read: ReadNode) -> Self {
        Self {
            metadata: trimmed(read.metadata),
            provider_id: read.spec.provider_id,
            taints: read.spec.taints.unwrap_or_default(),
        }
    }
}

impl From<ReadAttachment> for AttachmentView {
    fn from(read: ReadAttachment) -> Self {
        Self {
            metadata: trimmed(read.metadata),
            attacher: read.spec.attacher,
            node: read.spec.node_name,
        }
    }
}

runtime::part_of!(NodeView, Node);
runtime::part_of!(AttachmentView, VolumeAttachment);
