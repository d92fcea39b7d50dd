//! What the decisions read of claims, volumes and nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelector;

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was observed.
    pub resource_version: String,
    /// All its finalizers, in order.
    pub finalizers: Vec<String>,
    /// Asked to go.
    pub deleting: bool,
    /// `status.phase` is `Bound`.
    pub bound: bool,
    /// `spec.volumeName`, not empty.
    pub volume_name: Option<String>,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeFacts {
    /// Its name.
    pub name: String,
    /// Driver and handle of a CSI volume; none for an in-tree one.
    pub csi: Option<CsiVolume>,
    /// The claim it is bound to.
    pub claim: Option<ClaimReference>,
    /// `Block` or `Filesystem`, where set.
    pub mode: Option<String>,
    /// `spec.nodeAffinity.required`.
    pub affinity: Option<NodeSelector>,
}

/// A volume as its driver knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiVolume {
    /// Name of the driver.
    pub driver: String,
    /// The driver's name of the volume.
    pub handle: String,
}

/// The claim that a volume is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimReference {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub name: String,
    /// UID of the claim, where the volume knows it.
    pub uid: Option<String>,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}
