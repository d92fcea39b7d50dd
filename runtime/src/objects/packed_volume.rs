//! A volume as few bytes: usually some hundred.

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, VolumeNodeAffinity,
};

use super::pack::{Pen, Reader};
use super::{
    AccessModes, ClaimReference, CsiSource, DeletionSecret, ElasticBlockStore, ObjectKey, ReclaimPolicy,
    SecretName, Volume, VolumeMode, VolumePhase, ZoneLabels,
};

const READ_WRITE_ONCE: u8 = 1;
const READ_ONLY_MANY: u8 = 1 << 1;
const READ_WRITE_MANY: u8 = 1 << 2;
const READ_WRITE_ONCE_POD: u8 = 1 << 3;
const HAS_PRE_RESIZE_CAPACITY: u8 = 1 << 4;
const BLOCK: u8 = 1 << 5;
const FILESYSTEM: u8 = 1 << 6;
const PHASES: [VolumePhase; 5] = [
    VolumePhase::Pending,
    VolumePhase::Available,
    VolumePhase::Bound,
    VolumePhase::Released,
    VolumePhase::Failed,
];
/// Above the phase.
const PHASE_MASK: u8 = 7;
const DELETE: u8 = 1 << 3;
const HAS_NO_SECRET: u8 = 1 << 4;
const HAS_SECRET: u8 = 1 << 5;
/// Of a byte at the end, which volumes without all of that do not have.
const HAS_CLASS: u8 = 1;
const HAS_MODIFY_SECRET: u8 = 1 << 1;
const IS_IN_TREE: u8 = 1 << 2;
const READ_ONLY: u8 = 1 << 3;
const CSI_READ_ONLY: u8 = 1 << 4;
const HAS_ATTRIBUTES: u8 = 1 << 5;
const HAS_PUBLISH_SECRET: u8 = 1 << 6;
/// The volume is called `pvc-` and the UID of its claim, as provisioners do.
const USUAL_CLAIM: u8 = 1 << 7;

impl Volume {
    /// All but the name.
    pub(crate) fn packed(&self) -> Box<[u8]> {
        let mut pen = Pen::default();
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let claim = self.claim.as_ref();
        let uid = claim.and_then(|claim| claim.uid.as_deref());
        let is_usual = uid.is_some() && uid == name.strip_prefix("pvc-");
        pen.byte(self.flags() | if is_usual { USUAL_CLAIM } else { 0 });
        pen.metadata(&self.metadata);
        pen.text(self.csi.as_ref().map(|csi| csi.driver.as_str()));
        if let Some(csi) = &self.csi {
            pen.text(Some(&csi.volume_handle));
            pen.text(csi.fs_type.as_deref());
            let secret = csi.controller_expand_secret_ref.as_ref();
            pen.text(secret.map(|secret| secret.namespace.as_str()));
            if let Some(secret) = secret {
                pen.text(Some(&secret.name));
            }
        }
        pen.text(claim.map(|claim| claim.namespace.as_str()));
        if let Some(claim) = claim {
            pen.text(Some(&claim.name));
            if !is_usual {
                pen.uid(uid);
            }
        }
        affinity(&mut pen, self.node_affinity.as_deref());
        pen.size(self.capacity);
        pen.list(Some(&self.mount_options), |pen, option| pen.text(Some(option)));
        self.pack_origin(&mut pen);
        self.pack_attributes(&mut pen);
        pen.end()
    }

    fn pack_origin(&self, pen: &mut Pen) {
        let phase = (0..).zip(PHASES).find(|(_, phase)| *phase == self.phase);
        let policy = match self.reclaim_policy {
            ReclaimPolicy::Delete => DELETE,
            ReclaimPolicy::Retain => 0,
        };
        let secret = match self.deletion_secret {
            DeletionSecret::Unsaid => 0,
            DeletionSecret::None => HAS_NO_SECRET,
            DeletionSecret::Named(_) => HAS_SECRET,
        };
        pen.byte(phase.map_or(0, |(place, _): (u8, _)| place) | policy | secret);
        pen.text(self.class.as_deref());
        pen.text(self.provisioned_by.as_deref());
        pen.text(self.migrated_to.as_deref());
        if let DeletionSecret::Named(secret) = &self.deletion_secret {
            pen.text(Some(&secret.namespace));
            pen.text(Some(&secret.name));
        }
    }

    fn unpack_origin(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let flags = reader.byte()?;
        self.phase = *PHASES.get(usize::from(flags & PHASE_MASK))?;
        if flags & DELETE != 0 {
            self.reclaim_policy = ReclaimPolicy::Delete;
        }
        self.class = reader.boxed()?;
        self.provisioned_by = reader.boxed()?;
        self.migrated_to = reader.boxed()?;
        self.deletion_secret = match (flags & HAS_SECRET != 0, flags & HAS_NO_SECRET != 0) {
            (true, _) => {
                let (namespace, name) = (reader.text()??, reader.text()??);
                DeletionSecret::Named(Box::new(SecretName { namespace, name }))
            }
            (false, true) => DeletionSecret::None,
            (false, false) => DeletionSecret::Unsaid,
        };
        Some(())
    }

    /// Nothing at all where nothing is set.
    fn pack_attributes(&self, pen: &mut Pen) {
        let (class, secret) = (self.attributes_class.as_deref(), self.modify_secret.as_deref());
        let (in_tree, csi) = (self.in_tree.as_deref(), self.csi.as_ref());
        let attributes = csi
            .map(|csi| &csi.volume_attributes)
            .filter(|all| !all.is_empty());
        let publish_secret = csi.and_then(|csi| csi.controller_publish_secret_ref.as_deref());
        let flags: u8 = [
            (class.is_some(), HAS_CLASS),
            (secret.is_some(), HAS_MODIFY_SECRET),
            (in_tree.is_some(), IS_IN_TREE),
            (in_tree.is_some_and(|in_tree| in_tree.read_only), READ_ONLY),
            (csi.is_some_and(|csi| csi.read_only), CSI_READ_ONLY),
            (attributes.is_some(), HAS_ATTRIBUTES),
            (publish_secret.is_some(), HAS_PUBLISH_SECRET),
        ]
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .sum();
        if flags == 0 {
            return;
        }
        pen.byte(flags);
        if class.is_some() {
            pen.text(class);
        }
        if let Some(secret) = secret {
            pen.text(Some(&secret.namespace));
            pen.text(Some(&secret.name));
        }
        if let Some(in_tree) = in_tree {
            pen.text(Some(&in_tree.volume_id));
            pen.text(in_tree.fs_type.as_deref());
            pen.count(Some(in_tree.partition.into()));
            pen.text(in_tree.zones.zone.as_deref());
            pen.text(in_tree.zones.beta.as_deref());
        }
        if let Some(attributes) = attributes {
            let all: Vec<(&String, &String)> = attributes.iter().collect();
            pen.list(Some(&all), |pen, (key, value)| {
                pen.text(Some(key));
                pen.text(Some(value));
            });
        }
        if let Some(secret) = publish_secret {
            pen.text(Some(&secret.namespace));
            pen.text(Some(&secret.name));
        }
    }

    fn unpack_attributes(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        if reader.0.is_empty() {
            return Some(());
        }
        let flags = reader.byte()?;
        if flags & HAS_CLASS != 0 {
            self.attributes_class = reader.boxed()?;
        }
        if flags & HAS_MODIFY_SECRET != 0 {
            let (namespace, name) = (reader.text()??, reader.text()??);
            self.modify_secret = Some(Box::new(SecretName { namespace, name }));
        }
        if flags & IS_IN_TREE != 0 {
            self.in_tree = Some(Box::new(ElasticBlockStore {
                volume_id: reader.text()??,
                fs_type: reader.boxed()?,
                partition: reader.count()??.try_into().ok()?,
                zones: ZoneLabels {
                    zone: reader.boxed()?,
                    beta: reader.boxed()?,
                },
                read_only: flags & READ_ONLY != 0,
            }));
        }
        if let Some(csi) = &mut self.csi {
            csi.read_only = flags & CSI_READ_ONLY != 0;
            if flags & HAS_ATTRIBUTES != 0 {
                let all = reader.list(|reader| Some((reader.text()??, reader.text()??)))??;
                csi.volume_attributes = all.into_iter().collect();
            }
            if flags & HAS_PUBLISH_SECRET != 0 {
                let (namespace, name) = (reader.text()??, reader.text()??);
                csi.controller_publish_secret_ref = Some(Box::new(SecretName { namespace, name }));
            }
        }
        Some(())
    }

    fn flags(&self) -> u8 {
        let modes = self.access_modes;
        [
            (modes.read_write_once, READ_WRITE_ONCE),
            (modes.read_only_many, READ_ONLY_MANY),
            (modes.read_write_many, READ_WRITE_MANY),
            (modes.read_write_once_pod, READ_WRITE_ONCE_POD),
            (self.has_pre_resize_capacity, HAS_PRE_RESIZE_CAPACITY),
            (self.mode == Some(VolumeMode::Block), BLOCK),
            (self.mode == Some(VolumeMode::Filesystem), FILESYSTEM),
        ]
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .sum()
    }

    /// What [`Volume::packed`] made of the volume with this key.
    pub(crate) fn unpacked(key: &ObjectKey, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let mut volume = Self {
            access_modes: AccessModes {
                read_write_once: has(READ_WRITE_ONCE),
                read_only_many: has(READ_ONLY_MANY),
                read_write_many: has(READ_WRITE_MANY),
                read_write_once_pod: has(READ_WRITE_ONCE_POD),
            },
            has_pre_resize_capacity: has(HAS_PRE_RESIZE_CAPACITY),
            mode: match (has(BLOCK), has(FILESYSTEM)) {
                (true, _) => Some(VolumeMode::Block),
                (_, true) => Some(VolumeMode::Filesystem),
                _ => None,
            },
            metadata: reader.metadata(key)?,
            csi: read_csi(&mut reader)?,
            claim: read_claim(&mut reader, has(USUAL_CLAIM), key)?,
            node_affinity: read_affinity(&mut reader)?,
            capacity: reader.size()?,
            mount_options: reader.list(|reader| reader.boxed()?)??.into_boxed_slice(),
            ..Self::default()
        };
        volume.unpack_origin(&mut reader)?;
        volume.unpack_attributes(&mut reader)?;
        Some(volume)
    }
}

fn read_csi(reader: &mut Reader<'_>) -> Option<Option<CsiSource>> {
    let Some(driver) = reader.text()? else {
        return Some(None);
    };
    Some(Some(CsiSource {
        driver,
        volume_handle: reader.text()??,
        fs_type: reader.boxed()?,
        controller_expand_secret_ref: match reader.text()? {
            Some(namespace) => Some(Box::new(SecretName {
                namespace,
                name: reader.text()??,
            })),
            None => None,
        },
        ..CsiSource::default()
    }))
}

fn read_claim(reader: &mut Reader<'_>, is_usual: bool, key: &ObjectKey) -> Option<Option<ClaimReference>> {
    let Some(namespace) = reader.text()? else {
        return Some(None);
    };
    Some(Some(ClaimReference {
        namespace,
        name: reader.text()??,
        uid: if is_usual {
            Some(key.name.strip_prefix("pvc-")?.to_owned())
        } else {
            reader.uid()?
        },
    }))
}

/// Without an affinity 0, without terms 1.
fn affinity(pen: &mut Pen, affinity: Option<&VolumeNodeAffinity>) {
    let Some(affinity) = affinity else {
        return pen.number(0);
    };
    let terms = affinity
        .required
        .as_ref()
        .map(|required| &required.node_selector_terms);
    pen.number(1);
    pen.list(terms.map(Vec::as_slice), |pen, term| {
        for requirements in [&term.match_expressions, &term.match_fields] {
            pen.list(requirements.as_deref(), |pen, requirement| {
                pen.text(Some(&requirement.key));
                pen.text(Some(&requirement.operator));
                pen.list(requirement.values.as_deref(), |pen, value| pen.text(Some(value)));
            });
        }
    });
}

fn read_affinity(reader: &mut Reader<'_>) -> Option<Option<Box<VolumeNodeAffinity>>> {
    if reader.number()? == 0 {
        return Some(None);
    }
    let requirement = |reader: &mut Reader<'_>| {
        Some(NodeSelectorRequirement {
            key: reader.text()??,
            operator: reader.text()??,
            values: reader.list(|reader| reader.text()?)?,
        })
    };
    let terms = reader.list(|reader| {
        Some(NodeSelectorTerm {
            match_expressions: reader.list(requirement)?,
            match_fields: reader.list(requirement)?,
        })
    })?;
    let required = terms.map(|node_selector_terms| NodeSelector { node_selector_terms });
    Some(Some(Box::new(VolumeNodeAffinity { required })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::pack::metadata_of_every_form;
    use super::*;

    fn comes_back(volume: &Volume) {
        let key = ObjectKey::of(volume);
        assert_eq!(Volume::unpacked(&key, &volume.packed()).as_ref(), Some(volume));
    }

    #[test]
    fn a_volume_comes_back_whole() {
        for (_, mut metadata) in metadata_of_every_form() {
            metadata.namespace = None;
            comes_back(&Volume {
                metadata,
                ..Volume::default()
            });
        }
        let affinities = [
            json!(null),
            json!({}),
            json!({"required": {"nodeSelectorTerms": []}}),
            json!({"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "z", "operator": "In", "values": ["a", "b"]}]},
                {"matchFields": [{"key": "metadata.name", "operator": "Exists"}]},
            ]}}),
        ];
        for affinity in affinities {
            for mode in ["Block", "Filesystem"] {
                let volume: Volume = serde_json::from_value(json!({
                    "metadata": {
                        "name": "pvc-u", "uid": "v", "resourceVersion": "7",
                        "annotations": {
                            "volume.alpha.kubernetes.io/pre-resize-capacity": "1Gi",
                            "volume.kubernetes.io/controller-modify-secret-name": "s",
                            "volume.kubernetes.io/controller-modify-secret-namespace": "n",
                            "volume.kubernetes.io/provisioner-deletion-secret-name": "s",
                            "volume.kubernetes.io/provisioner-deletion-secret-namespace": "n",
                            "pv.kubernetes.io/provisioned-by": "kubernetes.io/aws-ebs",
                            "pv.kubernetes.io/migrated-to": "ebs.csi.aws.com",
                        },
                    },
                    "status": {"phase": "Released"},
                    "spec": {
                        "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "gp3",
                        "volumeAttributesClassName": "gold",
                        "csi": {
                            "driver": "d", "volumeHandle": "v", "fsType": "ext3",
                            "readOnly": mode == "Block", "volumeAttributes": {"a": "b", "é": ""},
                            "controllerExpandSecretRef": {"name": "s", "namespace": "n"},
                            "controllerPublishSecretRef": {"name": "t", "namespace": "n"},
                        },
                        "claimRef": {"namespace": "shop", "name": "data", "uid": "w"},
                        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                        "mountOptions": ["noatime", "é"],
                        "volumeMode": mode, "nodeAffinity": affinity, "capacity": {"storage": "3Gi"},
                    },
                }))
                .unwrap();
                comes_back(&volume);
            }
        }
    }

    #[test]
    fn an_in_tree_volume_comes_back_whole() {
        for read_only in [true, false] {
            let volume: Volume = serde_json::from_value(json!({
                "metadata": {"name": "v", "uid": "v", "labels": {
                    "topology.kubernetes.io/zone": "a", "failure-domain.beta.kubernetes.io/zone": "b__c",
                }, "annotations": {"pv.kubernetes.io/migrated-to": "ebs.csi.aws.com"}},
                "spec": {"awsElasticBlockStore": {
                    "volumeID": "aws://a/vol-1", "fsType": "xfs", "partition": 3, "readOnly": read_only,
                }},
            }))
            .unwrap();
            assert!(volume.in_tree.is_some());
            comes_back(&volume);
        }
    }

    #[test]
    fn an_ordinary_volume_is_some_hundred_bytes() {
        let uid = "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80";
        let zone = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]});
        let volume: Volume = serde_json::from_value(json!({
            "metadata": {
                "name": format!("pvc-{uid}"), "uid": "01234567-89ab-cdef-0123-456789abcdef",
                "resourceVersion": "12345678",
                "finalizers": ["kubernetes.io/pv-protection", "external-attacher/ebs-csi-aws-com"],
                "annotations": {
                    "pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com",
                    "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                    "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
                },
            },
            "status": {"phase": "Bound"},
            "spec": {
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "gp3",
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0123456789abcdef0", "fsType": "ext4"},
                "claimRef": {"namespace": "shop", "name": "data-database-0", "uid": uid},
                "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "capacity": {"storage": "20Gi"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}},
            },
        }))
        .unwrap();
        comes_back(&volume);
        assert!(volume.packed().len() < 116, "{}", volume.packed().len());
    }
}
