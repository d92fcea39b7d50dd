//! PersistentVolume, trimmed.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{PersistentVolume, VolumeNodeAffinity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A PersistentVolume with the fields that our controllers read (spec snapshot Q44).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// Name, UID, version, deletion and finalizers; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.csi`; `None` for in-tree volumes.
    pub csi: Option<CsiSource>,
    /// `spec.claimRef`.
    pub claim: Option<ClaimReference>,
    /// `spec.volumeMode`, where set.
    pub mode: Option<VolumeMode>,
    /// `spec.nodeAffinity`: where the volume can be reached from.
    pub node_affinity: Option<Box<VolumeNodeAffinity>>,
}

/// The CSI volume behind a PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiSource {
    /// Name of the CSI driver.
    pub driver: String,
    /// The driver's volume ID.
    pub volume_handle: String,
}

/// The claim that a volume is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimReference {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub name: String,
    /// UID of the claim, absent while only reserved.
    pub uid: Option<String>,
}

/// `spec.volumeMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum VolumeMode {
    /// A raw block device.
    Block,
    /// Mounted with a file system.
    Filesystem,
}

impl VolumeMode {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "Block",
            Self::Filesystem => "Filesystem",
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(deserialize_with = "super::metadata::trimmed")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<WireSpec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    csi: Option<CsiSource>,
    claim_ref: Option<ClaimReference>,
    volume_mode: Option<VolumeMode>,
    node_affinity: Option<Box<VolumeNodeAffinity>>,
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let spec = wire.spec.unwrap_or_default();
        Ok(Self {
            metadata: wire.metadata,
            csi: spec.csi,
            claim: spec.claim_ref,
            mode: spec.volume_mode,
            node_affinity: spec.node_affinity,
        })
    }
}

impl Resource for Volume {
    type DynamicType = ();
    type Scope = k8s_openapi::ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        PersistentVolume::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        PersistentVolume::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        PersistentVolume::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        PersistentVolume::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_keeps_the_fields_that_are_read() {
        let volume: Volume = serde_json::from_value(json!({
            "metadata": {"name": "pv-1", "resourceVersion": "7", "annotations": {"a": "b"}},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1", "fsType": "ext4"},
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "u-1"},
                "volumeMode": "Block",
                "nodeAffinity": {"required": {"nodeSelectorTerms": []}},
            },
        }))
        .unwrap();
        let csi = volume.csi.unwrap();
        assert_eq!(
            (csi.driver.as_str(), csi.volume_handle.as_str()),
            ("ebs.csi.aws.com", "vol-1")
        );
        assert_eq!(volume.claim.unwrap().uid.as_deref(), Some("u-1"));
        assert_eq!(volume.mode.map(VolumeMode::as_str), Some("Block"));
        assert!(volume.node_affinity.is_some());
        assert_eq!(volume.metadata.annotations, None);
    }

    #[test]
    fn an_in_tree_volume_has_no_csi_source() {
        let volume: Volume = serde_json::from_value(json!({
            "metadata": {"name": "pv-1"}, "spec": {"awsElasticBlockStore": {"volumeID": "vol-1"}},
        }))
        .unwrap();
        assert_eq!(volume.csi, None);
    }
}
