//! Node, trimmed to its labels.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// The labels of a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "OnlyMetadata")]
pub struct NodeLabels {
    /// Name, UID and version; everything else is left out.
    pub metadata: ObjectMeta,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

/// Nothing of spec and status is decoded.
#[derive(Deserialize)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

impl From<OnlyMetadata> for NodeLabels {
    fn from(node: OnlyMetadata) -> Self {
        Self {
            metadata: ObjectMeta {
                name: node.metadata.name,
                uid: node.metadata.uid,
                resource_version: node.metadata.resource_version,
                ..ObjectMeta::default()
            },
            labels: node.metadata.labels.unwrap_or_default(),
        }
    }
}

crate::part_of!(NodeLabels, Node);
