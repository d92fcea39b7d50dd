//! PersistentVolumeClaim, trimmed.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::Quantity;
use super::metadata::{FromEntries, Metadata};

/// Annotation by which the resizer tells kubelet that no node has to grow anything.
const NODE_EXPANSION_NOT_REQUIRED: &str = "volume.kubernetes.io/node-expansion-not-required";
/// Annotation by which the expand controller hands a migrated in-tree claim to a resizer.
const STORAGE_RESIZER: &str = "volume.kubernetes.io/storage-resizer";
/// Ends of the annotations by which volumes were changed before there were attributes classes.
const CHANGES_BY_ANNOTATION: [&str; 3] = ["/volumeType", "/iops", "/throughput"];

/// A PersistentVolumeClaim with the fields that our controllers read (spec snapshot Q44).
///
/// It cannot be sent back with PUT: use a patch, or [`crate::Writer::get_raw`] and
/// [`crate::Writer::replace_raw`] where the role grants no patch (decision 7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Name, namespace, UID, version, deletion and finalizers; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.volumeName`: the bound volume.
    pub volume_name: Option<String>,
    /// `spec.storageClassName`.
    pub storage_class_name: Option<String>,
    /// `spec.dataSource`.
    pub data_source: Option<DataSource>,
    /// `spec.dataSourceRef`.
    pub data_source_ref: Option<DataSource>,
    /// `status.phase`.
    pub phase: ClaimPhase,
    /// `spec.resources.requests.storage`: the wanted size.
    pub request: Option<Quantity>,
    /// `status.capacity.storage`: the proven size.
    pub capacity: Option<Quantity>,
    /// `status.allocatedResources.storage`: the size of the running or last expansion.
    pub allocated: Option<Quantity>,
    /// `status.allocatedResourceStatuses.storage`: how far an expansion is.
    pub resize: Option<ResizeStatus>,
    /// `status.conditions`, whole and in order.
    pub conditions: Box<[PersistentVolumeClaimCondition]>,
    /// Annotation `volume.kubernetes.io/storage-resizer`: whom a migrated in-tree claim was handed to.
    pub storage_resizer: Option<Box<str>>,
    /// The annotation `volume.kubernetes.io/node-expansion-not-required` is there.
    pub node_expansion_not_required: bool,
    /// There are annotations by which volumes were changed before there were attributes classes.
    pub changed_by_annotations: bool,
    /// Attributes classes; none where neither spec nor status name one.
    pub attributes: Option<Box<Attributes>>,
}

/// The attributes classes of a claim. Empty names count as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `spec.volumeAttributesClassName`: the wanted class.
    pub wanted: Option<String>,
    /// `status.currentVolumeAttributesClassName`: the class that the volume has.
    pub current: Option<String>,
    /// `status.modifyVolumeStatus`.
    pub modify: Option<Modify>,
}

/// `status.modifyVolumeStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modify {
    /// How far the change is.
    pub status: ModifyStatus,
    /// `targetVolumeAttributesClassName`: the class that is, or was last, asked for.
    pub target: Option<String>,
}

/// `status.modifyVolumeStatus.status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ModifyStatus {
    /// The class does not exist yet.
    Pending,
    /// The driver is called, or will be again.
    InProgress,
    /// The driver cannot change the volume so.
    Infeasible,
    /// One that we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ModifyStatus {
    /// The word of the API; empty for an unknown one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Infeasible => "Infeasible",
            Self::Unknown => "",
        }
    }
}

impl Claim {
    /// `spec.volumeAttributesClassName`.
    #[must_use]
    pub fn wanted_class(&self) -> Option<&str> {
        self.attributes.as_ref()?.wanted.as_deref()
    }

    /// `status.currentVolumeAttributesClassName`.
    #[must_use]
    pub fn current_class(&self) -> Option<&str> {
        self.attributes.as_ref()?.current.as_deref()
    }

    /// `status.modifyVolumeStatus`.
    #[must_use]
    pub fn modify(&self) -> Option<&Modify> {
        self.attributes.as_ref()?.modify.as_ref()
    }

    /// Whether a change of the volume other than of its size is wanted or running: by an attributes class, or by
    /// annotations of the days before there were classes.
    #[must_use]
    pub fn attributes_pending(&self) -> bool {
        self.changed_by_annotations || self.modify().is_some() || self.wanted_class() != self.current_class()
    }
}

/// `status.allocatedResourceStatuses.storage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ResizeStatus {
    /// The driver is called, or will be again.
    ControllerResizeInProgress,
    /// The driver cannot grow the volume to this size.
    ControllerResizeInfeasible,
    /// The volume has grown; kubelet may begin.
    NodeResizePending,
    /// Kubelet grows the file system.
    NodeResizeInProgress,
    /// Kubelet has given up.
    NodeResizeInfeasible,
    /// One that we do not know.
    #[serde(other)]
    Unknown,
}

impl ResizeStatus {
    /// The word of the API; empty for an unknown one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControllerResizeInProgress => "ControllerResizeInProgress",
            Self::ControllerResizeInfeasible => "ControllerResizeInfeasible",
            Self::NodeResizePending => "NodeResizePending",
            Self::NodeResizeInProgress => "NodeResizeInProgress",
            Self::NodeResizeInfeasible => "NodeResizeInfeasible",
            Self::Unknown => "",
        }
    }
}

/// `status.phase` of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ClaimPhase {
    /// Bound to a volume.
    Bound,
    /// The bound volume is gone.
    Lost,
    /// Not bound yet; also when there is no status or an unknown phase.
    #[default]
    #[serde(other)]
    Pending,
}

/// What a claim is filled from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSource {
    /// API group; empty or absent for core kinds.
    pub api_group: Option<String>,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace where it is not the claim's own (`dataSourceRef` only).
    pub namespace: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata<Annotations>,
    #[serde(default)]
    spec: Option<WireSpec>,
    #[serde(default)]
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    volume_name: Option<String>,
    storage_class_name: Option<String>,
    data_source: Option<DataSource>,
    data_source_ref: Option<DataSource>,
    volume_attributes_class_name: Option<String>,
    resources: Option<WireResources>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireResources {
    requests: Option<Storage<Quantity>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: Option<ClaimPhase>,
    capacity: Option<Storage<Quantity>>,
    allocated_resources: Option<Storage<Quantity>>,
    allocated_resource_statuses: Option<Storage<ResizeStatus>>,
    conditions: Option<Box<[PersistentVolumeClaimCondition]>>,
    current_volume_attributes_class_name: Option<String>,
    modify_volume_status: Option<WireModify>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireModify {
    status: Option<ModifyStatus>,
    target_volume_attributes_class_name: Option<String>,
}

/// The `storage` of a list of resources.
#[derive(Deserialize)]
struct Storage<T> {
    #[serde(default = "Option::default")]
    storage: Option<T>,
}

/// What is read of the annotations.
#[derive(Default)]
struct Annotations {
    storage_resizer: Option<Box<str>>,
    node_expansion_not_required: bool,
    changes: bool,
}

impl FromEntries for Annotations {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            STORAGE_RESIZER => self.storage_resizer = Some(value.into()),
            NODE_EXPANSION_NOT_REQUIRED => self.node_expansion_not_required = true,
            _ => self.changes |= CHANGES_BY_ANNOTATION.iter().any(|end| key.ends_with(end)),
        }
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let spec = wire.spec.unwrap_or_default();
        let status = wire.status.unwrap_or_default();
        let annotations = wire.metadata.annotations;
        let named = |name: Option<String>| name.filter(|name| !name.is_empty());
        let attributes = Attributes {
            wanted: named(spec.volume_attributes_class_name),
            current: named(status.current_volume_attributes_class_name),
            modify: status.modify_volume_status.map(|modify| Modify {
                status: modify.status.unwrap_or_default(),
                target: named(modify.target_volume_attributes_class_name),
            }),
        };
        Ok(Self {
            metadata: wire.metadata.metadata,
            request: storage(spec.resources.and_then(|resources| resources.requests)),
            capacity: storage(status.capacity),
            allocated: storage(status.allocated_resources),
            resize: storage(status.allocated_resource_statuses),
            conditions: status.conditions.unwrap_or_default(),
            storage_resizer: annotations.storage_resizer,
            node_expansion_not_required: annotations.node_expansion_not_required,
            changed_by_annotations: annotations.changes,
            attributes: (attributes != Attributes::default()).then(|| Box::new(attributes)),
            volume_name: spec.volume_name.filter(|name| !name.is_empty()),
            storage_class_name: spec.storage_class_name,
            data_source: spec.data_source,
            data_source_ref: spec.data_source_ref,
            phase: status.phase.unwrap_or_default(),
        })
    }
}

fn storage<T>(list: Option<Storage<T>>) -> Option<T> {
    list.and_then(|list| list.storage)
}

crate::part_of!(Claim, PersistentVolumeClaim);

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_keeps_the_fields_that_are_read() {
        let claim: Claim = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data", "namespace": "shop", "uid": "u-1", "resourceVersion": "7",
                "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["x/y"],
                "managedFields": [{"manager": "m"}],
            },
            "spec": {
                "volumeName": "pv-1", "storageClassName": "gp3", "accessModes": ["ReadWriteOnce"],
                "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
            },
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }))
        .unwrap();
        assert_eq!(claim.metadata.labels, None);
        assert_eq!(claim.metadata.managed_fields, None);
        assert_eq!(claim.metadata.finalizers, Some(vec!["x/y".to_owned()]));
        assert_eq!(claim.volume_name.as_deref(), Some("pv-1"));
        assert_eq!(claim.phase, ClaimPhase::Bound);
        assert_eq!(claim.data_source_ref.unwrap().name, "s");
    }

    #[test]
    fn a_claim_keeps_what_expansion_reads() {
        let claim: Claim = serde_json::from_value(json!({
            "metadata": {"name": "data", "annotations": {
                "volume.kubernetes.io/storage-resizer": "d.csi",
                "volume.kubernetes.io/node-expansion-not-required": "true",
            }},
            "spec": {"resources": {"requests": {"storage": "20Gi"}}, "volumeAttributesClassName": "gold"},
            "status": {
                "phase": "Bound",
                "capacity": {"storage": "10Gi"},
                "allocatedResources": {"storage": "20Gi", "example.com/x": "1"},
                "allocatedResourceStatuses": {"storage": "NodeResizePending", "example.com/x": "Strange"},
                "conditions": [{"type": "example.com/x", "status": "False", "reason": "R"}],
                "currentVolumeAttributesClassName": "gold",
            },
        }))
        .unwrap();
        let gibibytes = |size: Option<Quantity>| size.unwrap().bytes() >> 30;
        assert_eq!(gibibytes(claim.request), 20);
        assert_eq!(gibibytes(claim.capacity), 10);
        assert_eq!(gibibytes(claim.allocated), 20);
        assert_eq!(claim.resize, Some(ResizeStatus::NodeResizePending));
        assert_eq!(claim.conditions[0].reason.as_deref(), Some("R"));
        assert_eq!(claim.storage_resizer.as_deref(), Some("d.csi"));
        assert!(claim.node_expansion_not_required && !claim.attributes_pending());
        assert_eq!(claim.metadata.annotations, None);
    }

    #[test]
    fn pending_changes_of_attributes_are_seen() {
        let pending = |annotations, wanted: Option<&str>, status| {
            let claim = json!({
                "metadata": {"name": "data", "annotations": annotations},
                "spec": {"volumeAttributesClassName": wanted},
                "status": status,
            });
            let claim = serde_json::from_value::<Claim>(claim).unwrap();
            claim.attributes_pending()
        };
        assert!(!pending(json!(null), None, json!({})));
        assert!(!pending(json!({"a": "b"}), Some(""), json!({})));
        assert!(pending(json!({"ebs.csi.aws.com/iops": "3000"}), None, json!({})));
        assert!(pending(json!({}), Some("gold"), json!({})));
        let running = json!({"status": "InProgress", "targetVolumeAttributesClassName": "gold"});
        assert!(pending(json!({}), None, json!({"modifyVolumeStatus": running})));
    }

    #[test]
    fn a_claim_keeps_what_changes_by_classes_read() {
        let claim: Claim = serde_json::from_value(json!({
            "metadata": {"name": "data"},
            "spec": {"volumeAttributesClassName": "gold"},
            "status": {
                "currentVolumeAttributesClassName": "silver",
                "modifyVolumeStatus": {"status": "Infeasible", "targetVolumeAttributesClassName": "gold"},
            },
        }))
        .unwrap();
        assert_eq!(
            (claim.wanted_class(), claim.current_class()),
            (Some("gold"), Some("silver"))
        );
        let modify = claim.modify().unwrap();
        assert_eq!(
            (modify.status.as_str(), modify.target.as_deref()),
            ("Infeasible", Some("gold"))
        );
        let without = json!({"metadata": {"name": "a"}, "spec": {"volumeAttributesClassName": ""}});
        let without: Claim = serde_json::from_value(without).unwrap();
        assert_eq!(without.attributes, None);
    }

    #[test]
    fn a_claim_without_spec_and_status_is_pending() {
        for status in [json!(null), json!({}), json!({"phase": "Strange"})] {
            let claim: Claim =
                serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap();
            assert_eq!((claim.phase, claim.volume_name), (ClaimPhase::Pending, None));
        }
    }

    #[test]
    fn a_claim_is_found_where_the_full_type_is() {
        assert_eq!(
            Claim::url_path(&(), Some("shop")),
            "/api/v1/namespaces/shop/persistentvolumeclaims"
        );
    }
}
