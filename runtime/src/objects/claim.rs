//! PersistentVolumeClaim, trimmed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::metadata::{FromEntries, Metadata};
use super::{Quantity, VolumeMode};

/// Annotation by which the resizer tells kubelet that no node has to grow anything.
const NODE_EXPANSION_NOT_REQUIRED: &str = "volume.kubernetes.io/node-expansion-not-required";
/// Annotation by which the expand controller hands a migrated in-tree claim to a resizer.
const STORAGE_RESIZER: &str = "volume.kubernetes.io/storage-resizer";
/// Annotations by which the persistent volume controller asks a provisioner for a volume, now and before.
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Annotation by which it hands a claim of an in-tree plugin to a CSI driver.
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// Annotations by which the scheduler says where the first consumer will be, now and before.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const ALPHA_SELECTED_NODE: &str = "volume.alpha.kubernetes.io/selected-node";
/// Annotation that goes before `spec.storageClassName`.
const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Annotation in which kubectl keeps what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
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
    /// What only matters until the claim has a volume; none from then on.
    pub wish: Option<Box<Wish>>,
}

/// What a volume for a claim is made from, beside what [`Claim`] has anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// All annotations but what kubectl keeps for itself.
    pub annotations: BTreeMap<String, String>,
    /// `spec.accessModes`, in order.
    pub access_modes: Vec<String>,
    /// `spec.volumeMode`.
    pub mode: Option<VolumeMode>,
    /// There is a `spec.selector`.
    pub has_selector: bool,
    /// The data source with which the claim was applied by kubectl, where the API server has dropped it without a word. Any other
    /// that was applied once and is not there was taken away on purpose, as backup tools do.
    pub dropped_source: Option<DataSource>,
}

impl Wish {
    /// Whom the persistent volume controller asks for the volume.
    #[must_use]
    pub fn provisioner(&self) -> Option<&str> {
        self.first(&[STORAGE_PROVISIONER, BETA_STORAGE_PROVISIONER])
    }

    /// The driver that it hands a claim of an in-tree plugin to.
    #[must_use]
    pub fn migrated_to(&self) -> Option<&str> {
        self.first(&[MIGRATED_TO])
    }

    /// The node that the scheduler chose.
    #[must_use]
    pub fn selected_node(&self) -> Option<&str> {
        self.first(&[SELECTED_NODE, ALPHA_SELECTED_NODE])
    }

    /// The first of these annotations that is not empty.
    fn first(&self, keys: &[&str]) -> Option<&str> {
        let mut values = keys.iter().filter_map(|key| self.annotations.get(*key));
        values.find(|value| !value.is_empty()).map(String::as_str)
    }
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
    /// The annotation by which the scheduler says where the first consumer will be.
    pub const SELECTED_NODE: &str = SELECTED_NODE;

    /// The class that a volume is made of: an annotation of the time before `spec.storageClassName` goes before it.
    #[must_use]
    pub fn class_of_new_volume(&self) -> Option<&str> {
        let wish = self.wish.as_ref();
        let annotated = wish.and_then(|wish| wish.annotations.get(BETA_STORAGE_CLASS));
        let named = annotated
            .map(String::as_str)
            .or(self.storage_class_name.as_deref());
        named.filter(|name| !name.is_empty())
    }

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
    access_modes: Vec<String>,
    volume_mode: Option<VolumeMode>,
    selector: Option<IgnoredAny>,
}

/// What kubectl says was applied, as far as it is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Applied {
    spec: AppliedSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AppliedSpec {
    data_source: Option<DataSource>,
    data_source_ref: Option<DataSource>,
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
    last_applied: Option<String>,
    all: BTreeMap<String, String>,
}

impl FromEntries for Annotations {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            STORAGE_RESIZER => self.storage_resizer = Some(value.into()),
            NODE_EXPANSION_NOT_REQUIRED => self.node_expansion_not_required = true,
            LAST_APPLIED => {
                self.last_applied = Some(value.to_owned());
                return;
            }
            _ => self.changes |= CHANGES_BY_ANNOTATION.iter().any(|end| key.ends_with(end)),
        }
        self.all.insert(key.to_owned(), value.to_owned());
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let mut spec = wire.spec.unwrap_or_default();
        let status = wire.status.unwrap_or_default();
        let mut annotations = wire.metadata.annotations;
        let has_volume = spec.volume_name.as_ref().is_some_and(|name| !name.is_empty());
        let wish = (!has_volume).then(|| Box::new(wish(&mut spec, &mut annotations)));
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
            wish,
        })
    }
}

fn wish(spec: &mut WireSpec, annotations: &mut Annotations) -> Wish {
    let has_source = spec.data_source.is_some() || spec.data_source_ref.is_some();
    let applied = annotations.last_applied.as_deref().filter(|_| !has_source);
    let applied = applied.and_then(|text| serde_json::from_str::<Applied>(text).ok());
    let applied = applied.map(|applied| applied.spec);
    Wish {
        annotations: std::mem::take(&mut annotations.all),
        access_modes: std::mem::take(&mut spec.access_modes),
        mode: spec.volume_mode,
        has_selector: spec.selector.is_some(),
        dropped_source: applied.and_then(dropped),
    }
}

/// What the API server drops of the sources of a claim: a reference to another namespace, unless its feature gate
/// CrossNamespaceVolumeDataSource is on, and a `dataSource` of any kind but two. Source: `kubernetes:
/// pkg/api/persistentvolumeclaim/util.go`, `DropDisabledFields` and `EnforceDataSourceBackwardsCompatibility`.
fn dropped(applied: AppliedSpec) -> Option<DataSource> {
    let is_told = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let is_kept = |source: &DataSource| {
        let group = source.api_group.as_deref().unwrap_or_default();
        let kind = (group, source.kind.as_str());
        kind == ("", "PersistentVolumeClaim") || kind == ("snapshot.storage.k8s.io", "VolumeSnapshot")
    };
    match (applied.data_source_ref, applied.data_source) {
        (Some(reference), _) => Some(reference).filter(|reference| is_told(&reference.namespace)),
        (None, source) => source.filter(|source| !is_kept(source)),
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
    fn a_claim_without_a_volume_keeps_what_one_is_made_from() {
        let applied =
            json!({"spec": {"dataSourceRef": {"kind": "VolumeSnapshot", "name": "s", "namespace": "b"}}});
        let claim = |volume: &str, source| -> Claim {
            serde_json::from_value(json!({
                "metadata": {"name": "data", "annotations": {
                    "volume.beta.kubernetes.io/storage-provisioner": "d.csi",
                    "volume.kubernetes.io/storage-provisioner": "",
                    "volume.kubernetes.io/selected-node": "n1",
                    "volume.beta.kubernetes.io/storage-class": "a",
                    "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
                }},
                "spec": {
                    "volumeName": volume, "storageClassName": "b", "accessModes": ["ReadWriteOnce"],
                    "volumeMode": "Block", "selector": {}, "dataSource": source,
                },
            }))
            .unwrap()
        };
        let without = claim("", json!(null));
        let wish = without.wish.as_ref().unwrap();
        assert_eq!(
            (wish.provisioner(), wish.selected_node()),
            (Some("d.csi"), Some("n1"))
        );
        assert_eq!((wish.migrated_to(), wish.annotations.len()), (None, 4));
        assert_eq!((wish.mode, wish.has_selector), (Some(VolumeMode::Block), true));
        assert_eq!(wish.access_modes, ["ReadWriteOnce"]);
        assert_eq!(
            wish.dropped_source.as_ref().unwrap().namespace.as_deref(),
            Some("b")
        );
        assert_eq!(without.class_of_new_volume(), Some("a"));
        let sourced = claim("", json!({"kind": "PersistentVolumeClaim", "name": "other"}));
        assert_eq!(sourced.wish.unwrap().dropped_source, None);
        let bound = claim("pv-1", json!(null));
        assert_eq!(
            (bound.class_of_new_volume(), bound.wish.as_ref()),
            (Some("b"), None)
        );
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
