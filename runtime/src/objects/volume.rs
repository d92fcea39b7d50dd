//! PersistentVolume, trimmed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, VolumeNodeAffinity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::Quantity;
use super::metadata::{FromEntries, Metadata};

/// Annotation that holds the size of the claim before its first unfinished expansion.
const PRE_RESIZE_CAPACITY: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";
/// Annotations by which the provisioner names the Secret for changes of the volume.
const MODIFY_SECRET: &str = "volume.kubernetes.io/controller-modify-secret-name";
const MODIFY_SECRET_NAMESPACE: &str = "volume.kubernetes.io/controller-modify-secret-namespace";
/// Annotation: which provisioner made the volume.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotation by which the persistent volume controller hands a volume of an in-tree plugin to a CSI driver.
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// Annotations by which the provisioner names the Secret for the deletion of the volume.
const DELETION_SECRET: &str = "volume.kubernetes.io/provisioner-deletion-secret-name";
const DELETION_SECRET_NAMESPACE: &str = "volume.kubernetes.io/provisioner-deletion-secret-namespace";
/// Finalizer that keeps a volume until its provisioner has deleted what is behind it.
pub const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// Label of a volume's zone, and its name before Kubernetes 1.17.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
pub(crate) const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

/// A PersistentVolume with the fields that our controllers read (spec snapshot Q44).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// Name, UID, version, deletion and finalizers; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.csi`; `None` for in-tree volumes. Whoever wants to know what a driver calls the volume asks
    /// [`crate::migration::source_of`].
    pub csi: Option<CsiSource>,
    /// `spec.awsElasticBlockStore`.
    pub in_tree: Option<Box<ElasticBlockStore>>,
    /// `spec.claimRef`.
    pub claim: Option<ClaimReference>,
    /// `spec.volumeMode`, where set.
    pub mode: Option<VolumeMode>,
    /// `spec.nodeAffinity`: where the volume can be reached from.
    pub node_affinity: Option<Box<VolumeNodeAffinity>>,
    /// `spec.capacity.storage`.
    pub capacity: Option<Quantity>,
    /// `spec.accessModes`.
    pub access_modes: AccessModes,
    /// `spec.mountOptions`.
    pub mount_options: Box<[Box<str>]>,
    /// The annotation `volume.alpha.kubernetes.io/pre-resize-capacity` is there.
    pub has_pre_resize_capacity: bool,
    /// `spec.volumeAttributesClassName`, where it is not empty.
    pub attributes_class: Option<Box<str>>,
    /// The Secret that ControllerModifyVolume is given, where annotations name it whole.
    pub modify_secret: Option<Box<SecretName>>,
    /// `status.phase`.
    pub phase: VolumePhase,
    /// `spec.persistentVolumeReclaimPolicy`.
    pub reclaim_policy: ReclaimPolicy,
    /// `spec.storageClassName`.
    pub class: Option<Box<str>>,
    /// Annotation `pv.kubernetes.io/provisioned-by`.
    pub provisioned_by: Option<Box<str>>,
    /// Annotation `pv.kubernetes.io/migrated-to`.
    pub migrated_to: Option<Box<str>>,
    /// The Secret that DeleteVolume is given.
    pub deletion_secret: DeletionSecret,
}

/// `status.phase` of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum VolumePhase {
    /// For any claim.
    Available,
    /// Bound to a claim.
    Bound,
    /// Its claim is gone.
    Released,
    /// It could not be recycled.
    Failed,
    /// Not looked at yet, or a phase that we do not know.
    #[default]
    #[serde(other)]
    Pending,
}

/// `spec.persistentVolumeReclaimPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ReclaimPolicy {
    /// It is deleted with its claim.
    Delete,
    /// It stays; also one that we do not know.
    #[default]
    #[serde(other)]
    Retain,
}

/// What the annotations of a volume say about the Secret for its deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeletionSecret {
    /// Nothing: its class is to be asked.
    #[default]
    Unsaid,
    /// That there is none.
    None,
    /// This one.
    Named(Box<SecretName>),
}

/// The finalizer by which the attacher of a driver keeps volumes and attachments.
#[must_use]
pub fn attacher_finalizer(driver: &str) -> String {
    let clean = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => character,
        _ => '-',
    };
    format!(
        "external-attacher/{}",
        driver.chars().map(clean).collect::<String>()
    )
}

/// `spec.accessModes`, without those that we do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessModes {
    /// ReadWriteOnce.
    pub read_write_once: bool,
    /// ReadOnlyMany.
    pub read_only_many: bool,
    /// ReadWriteMany.
    pub read_write_many: bool,
    /// ReadWriteOncePod.
    pub read_write_once_pod: bool,
}

impl AccessModes {
    /// These modes, without those that we do not know.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut modes = Self::default();
        for name in names {
            match name {
                "ReadWriteOnce" => modes.read_write_once = true,
                "ReadOnlyMany" => modes.read_only_many = true,
                "ReadWriteMany" => modes.read_write_many = true,
                "ReadWriteOncePod" => modes.read_write_once_pod = true,
                _ => {}
            }
        }
        modes
    }
}

/// The CSI volume behind a PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiSource {
    /// Name of the CSI driver.
    pub driver: String,
    /// The driver's volume ID.
    pub volume_handle: String,
    /// The file system that the volume is mounted with, where it is named.
    pub fs_type: Option<Box<str>>,
    /// Nobody may write.
    pub read_only: bool,
    /// What the driver said of the volume when it made it.
    #[serde(deserialize_with = "or_default")]
    pub volume_attributes: BTreeMap<String, String>,
    /// The Secret that ControllerExpandVolume is given.
    pub controller_expand_secret_ref: Option<Box<SecretName>>,
    /// The Secret that ControllerPublishVolume and ControllerUnpublishVolume are given.
    pub controller_publish_secret_ref: Option<Box<SecretName>>,
}

/// An EBS volume of the in-tree plugin `kubernetes.io/aws-ebs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElasticBlockStore {
    /// `vol-...`, or `aws://zone/vol-...`.
    #[serde(rename = "volumeID")]
    pub volume_id: String,
    /// The file system that the volume is mounted with, where it is named.
    pub fs_type: Option<Box<str>>,
    /// The partition that is mounted; 0 for the whole volume.
    pub partition: i32,
    /// Nobody may write.
    pub read_only: bool,
    /// Label of the object.
    #[serde(skip)]
    pub zones: ZoneLabels,
}

/// The labels by which an in-tree volume says where it is; several zones are joined by `__`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneLabels {
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<Box<str>>,
    /// `failure-domain.beta.kubernetes.io/zone`, its name before Kubernetes 1.17.
    pub beta: Option<Box<str>>,
}

/// A Secret by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
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
    metadata: Metadata<Annotations, ZoneLabels>,
    #[serde(default)]
    spec: Option<WireSpec>,
    #[serde(default)]
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    phase: Option<VolumePhase>,
}

/// `spec` of a PersistentVolume, and of the volume of a pod without a claim in its VolumeAttachment.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireSpec {
    csi: Option<CsiSource>,
    aws_elastic_block_store: Option<Box<ElasticBlockStore>>,
    claim_ref: Option<ClaimReference>,
    volume_mode: Option<VolumeMode>,
    node_affinity: Option<Box<VolumeNodeAffinity>>,
    capacity: Option<WireCapacity>,
    access_modes: Option<Vec<Box<str>>>,
    mount_options: Option<Box<[Box<str>]>>,
    volume_attributes_class_name: Option<Box<str>>,
    persistent_volume_reclaim_policy: Option<ReclaimPolicy>,
    storage_class_name: Option<Box<str>>,
}

#[derive(Deserialize)]
struct WireCapacity {
    #[serde(default)]
    storage: Option<Quantity>,
}

#[derive(Default)]
struct Annotations {
    has_pre_resize_capacity: bool,
    modify_secret: SecretName,
    provisioned_by: Option<Box<str>>,
    migrated_to: Option<Box<str>>,
    deletion_secret: Option<String>,
    deletion_secret_namespace: Option<String>,
}

impl Annotations {
    fn deletion_secret(&mut self) -> DeletionSecret {
        match (self.deletion_secret.take(), self.deletion_secret_namespace.take()) {
            (Some(name), Some(namespace)) if !name.is_empty() && !namespace.is_empty() => {
                DeletionSecret::Named(Box::new(SecretName { namespace, name }))
            }
            (Some(_), Some(_)) => DeletionSecret::None,
            _ => DeletionSecret::Unsaid,
        }
    }
}

impl FromEntries for Annotations {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            PRE_RESIZE_CAPACITY => self.has_pre_resize_capacity = true,
            MODIFY_SECRET => value.clone_into(&mut self.modify_secret.name),
            MODIFY_SECRET_NAMESPACE => value.clone_into(&mut self.modify_secret.namespace),
            PROVISIONED_BY => self.provisioned_by = Some(value.into()),
            MIGRATED_TO => self.migrated_to = Some(value.into()),
            DELETION_SECRET => self.deletion_secret = Some(value.to_owned()),
            DELETION_SECRET_NAMESPACE => self.deletion_secret_namespace = Some(value.to_owned()),
            _ => {}
        }
    }
}

impl FromEntries for ZoneLabels {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            ZONE => self.zone = Some(value.into()),
            BETA_ZONE => self.beta = Some(value.into()),
            _ => {}
        }
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let mut annotations = wire.metadata.annotations;
        let deletion_secret = annotations.deletion_secret();
        let secret = annotations.modify_secret;
        let is_whole = !secret.name.is_empty() && !secret.namespace.is_empty();
        let mut volume = Self::of(wire.spec.unwrap_or_default());
        if let Some(in_tree) = &mut volume.in_tree {
            in_tree.zones = wire.metadata.labels;
        }
        Ok(Self {
            metadata: wire.metadata.metadata,
            has_pre_resize_capacity: annotations.has_pre_resize_capacity,
            modify_secret: is_whole.then(|| Box::new(secret)),
            phase: wire.status.and_then(|status| status.phase).unwrap_or_default(),
            provisioned_by: annotations.provisioned_by,
            migrated_to: annotations.migrated_to,
            deletion_secret,
            ..volume
        })
    }
}

impl Volume {
    /// A volume without metadata.
    pub(super) fn of(spec: WireSpec) -> Self {
        Self {
            attributes_class: spec.volume_attributes_class_name.filter(|name| !name.is_empty()),
            capacity: spec.capacity.and_then(|capacity| capacity.storage),
            access_modes: AccessModes::of(spec.access_modes.iter().flatten().map(|mode| &**mode)),
            mount_options: spec.mount_options.unwrap_or_default(),
            in_tree: spec.aws_elastic_block_store,
            csi: spec.csi,
            claim: spec.claim_ref,
            mode: spec.volume_mode,
            node_affinity: spec.node_affinity,
            reclaim_policy: spec.persistent_volume_reclaim_policy.unwrap_or_default(),
            class: spec.storage_class_name.filter(|name| !name.is_empty()),
            ..Self::default()
        }
    }
}

/// What is absent or null is empty.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

crate::part_of!(Volume, PersistentVolume);

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
        assert_eq!(volume.capacity, Quantity::parse("1Gi"));
        assert_eq!(csi.fs_type.as_deref(), Some("ext4"));
        assert!(!volume.has_pre_resize_capacity);
        assert_eq!(volume.metadata.annotations, None);
    }

    #[test]
    fn a_volume_keeps_what_expansion_reads() {
        let volume: Volume = serde_json::from_value(json!({
            "metadata": {
                "name": "pv-1",
                "annotations": {"volume.alpha.kubernetes.io/pre-resize-capacity": "1Gi"},
            },
            "spec": {
                "csi": {
                    "driver": "d", "volumeHandle": "v",
                    "controllerExpandSecretRef": {"name": "s", "namespace": "n"},
                },
                "accessModes": ["ReadWriteOnce", "Strange"],
                "mountOptions": ["noatime"],
            },
        }))
        .unwrap();
        assert!(volume.has_pre_resize_capacity);
        assert_eq!(&*volume.mount_options, ["noatime".into()]);
        let once = AccessModes {
            read_write_once: true,
            ..AccessModes::default()
        };
        assert_eq!(volume.access_modes, once);
        let secret = volume.csi.unwrap().controller_expand_secret_ref.unwrap();
        assert_eq!((secret.name.as_str(), secret.namespace.as_str()), ("s", "n"));
    }

    #[test]
    fn resize_case_96_a_secret_for_changes_is_named_whole_or_not_at_all() {
        let volume = |annotations| -> Volume {
            let metadata = json!({"name": "pv-1", "annotations": annotations});
            serde_json::from_value(
                json!({"metadata": metadata, "spec": {"volumeAttributesClassName": "gold"}}),
            )
            .unwrap()
        };
        let whole = volume(json!({
            "volume.kubernetes.io/controller-modify-secret-name": "s",
            "volume.kubernetes.io/controller-modify-secret-namespace": "n",
        }));
        let secret = whole.modify_secret.unwrap();
        assert_eq!((secret.name.as_str(), secret.namespace.as_str()), ("s", "n"));
        assert_eq!(whole.attributes_class.as_deref(), Some("gold"));
        let half = volume(json!({"volume.kubernetes.io/controller-modify-secret-name": "s"}));
        assert_eq!(half.modify_secret, None);
    }

    #[test]
    fn a_volume_keeps_what_its_deletion_reads() {
        let volume = |annotations, status| -> Volume {
            serde_json::from_value(json!({
                "metadata": {"name": "pv-1", "annotations": annotations},
                "spec": {"persistentVolumeReclaimPolicy": "Delete", "storageClassName": "gp3"},
                "status": status,
            }))
            .unwrap()
        };
        let (name, namespace) = (
            "volume.kubernetes.io/provisioner-deletion-secret-name",
            "volume.kubernetes.io/provisioner-deletion-secret-namespace",
        );
        let made = volume(
            json!({"pv.kubernetes.io/provisioned-by": "d", name: "s", namespace: "n"}),
            json!({"phase": "Released"}),
        );
        assert_eq!(
            (made.phase, made.reclaim_policy),
            (VolumePhase::Released, ReclaimPolicy::Delete)
        );
        assert_eq!(
            (made.class.as_deref(), made.provisioned_by.as_deref()),
            (Some("gp3"), Some("d"))
        );
        assert!(matches!(made.deletion_secret, DeletionSecret::Named(secret) if secret.name == "s"));
        let without = volume(json!({name: "", namespace: ""}), json!({"phase": "Strange"}));
        assert_eq!(
            (without.deletion_secret, without.phase),
            (DeletionSecret::None, VolumePhase::Pending)
        );
        assert_eq!(
            volume(json!({}), json!(null)).deletion_secret,
            DeletionSecret::Unsaid
        );
        assert_eq!(
            attacher_finalizer("ebs.csi.aws.com"),
            "external-attacher/ebs-csi-aws-com"
        );
    }

    #[test]
    fn an_in_tree_volume_has_no_csi_source() {
        let volume: Volume = serde_json::from_value(json!({
            "metadata": {"name": "pv-1", "labels": {"topology.kubernetes.io/zone": "z", "a": "b"}},
            "spec": {"awsElasticBlockStore": {"volumeID": "vol-1", "partition": 1}},
        }))
        .unwrap();
        let in_tree = ElasticBlockStore {
            volume_id: "vol-1".to_owned(),
            partition: 1,
            zones: ZoneLabels {
                zone: Some("z".into()),
                beta: None,
            },
            ..ElasticBlockStore::default()
        };
        assert_eq!((volume.csi, volume.in_tree), (None, Some(Box::new(in_tree))));
    }
}
