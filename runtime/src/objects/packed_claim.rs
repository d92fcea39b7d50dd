//! A claim as few bytes: usually some fifty.

use super::pack::{Pen, Reader};
use super::{Attributes, Claim, ClaimPhase, DataSource, Modify, ModifyStatus, ObjectKey, ResizeStatus};

const NODE_EXPANSION_NOT_REQUIRED: u8 = 1;
const CHANGED_BY_ANNOTATIONS: u8 = 1 << 1;
/// The volume is called `pvc-` and the claim's UID, as provisioners do.
const USUAL_VOLUME: u8 = 1 << 2;
/// Two bits.
const PHASE: u8 = 3;
const PHASE_MASK: u8 = 3;
/// Few claims have attributes classes.
const HAS_ATTRIBUTES: u8 = 1 << 5;

const PHASES: [ClaimPhase; 3] = [ClaimPhase::Pending, ClaimPhase::Bound, ClaimPhase::Lost];
const STAGES: [ResizeStatus; 6] = [
    ResizeStatus::ControllerResizeInProgress,
    ResizeStatus::ControllerResizeInfeasible,
    ResizeStatus::NodeResizePending,
    ResizeStatus::NodeResizeInProgress,
    ResizeStatus::NodeResizeInfeasible,
    ResizeStatus::Unknown,
];

const MODIFY: [ModifyStatus; 4] = [
    ModifyStatus::Pending,
    ModifyStatus::InProgress,
    ModifyStatus::Infeasible,
    ModifyStatus::Unknown,
];

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    (0..)
        .zip(all)
        .find_map(|(place, each)| (each == one).then_some(place))
        .unwrap_or_default()
}

impl Claim {
    /// All but name and namespace.
    pub(crate) fn packed(&self) -> Box<[u8]> {
        let mut pen = Pen::default();
        let usual = self.usual_volume();
        let is_usual = usual.is_some() && usual == self.volume_name;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        pen.byte(
            flag(self.node_expansion_not_required, NODE_EXPANSION_NOT_REQUIRED)
                | flag(self.changed_by_annotations, CHANGED_BY_ANNOTATIONS)
                | flag(self.attributes.is_some(), HAS_ATTRIBUTES)
                | flag(is_usual, USUAL_VOLUME)
                | place(&PHASES, &self.phase) << PHASE,
        );
        pen.metadata(&self.metadata);
        if !is_usual {
            pen.text(self.volume_name.as_deref());
        }
        pen.text(self.storage_class_name.as_deref());
        source(&mut pen, self.data_source.as_ref());
        source(&mut pen, self.data_source_ref.as_ref());
        for size in [self.request, self.capacity, self.allocated] {
            pen.size(size);
        }
        pen.byte(self.resize.map_or(0, |stage| place(&STAGES, &stage) + 1));
        let conditions = Some(&self.conditions).filter(|conditions| !conditions.is_empty());
        pen.json(conditions);
        pen.text(self.storage_resizer.as_deref());
        if let Some(attributes) = &self.attributes {
            pen.text(attributes.wanted.as_deref());
            pen.text(attributes.current.as_deref());
            let modify = attributes.modify.as_ref();
            pen.byte(modify.map_or(0, |modify| place(&MODIFY, &modify.status) + 1));
            pen.text(modify.and_then(|modify| modify.target.as_deref()));
        }
        pen.end()
    }

    /// What [`Claim::packed`] made of the claim with this key.
    pub(crate) fn unpacked(key: &ObjectKey, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let flags = reader.byte()?;
        let mut claim = Self {
            metadata: reader.metadata(key)?,
            node_expansion_not_required: flags & NODE_EXPANSION_NOT_REQUIRED != 0,
            changed_by_annotations: flags & CHANGED_BY_ANNOTATIONS != 0,
            phase: *PHASES.get(usize::from(flags >> PHASE & PHASE_MASK))?,
            ..Self::default()
        };
        claim.volume_name = match flags & USUAL_VOLUME {
            0 => reader.text()?,
            _ => claim.usual_volume(),
        };
        claim.storage_class_name = reader.text()?;
        claim.data_source = read_source(&mut reader)?;
        claim.data_source_ref = read_source(&mut reader)?;
        claim.request = reader.size()?;
        claim.capacity = reader.size()?;
        claim.allocated = reader.size()?;
        claim.resize = match reader.byte()?.checked_sub(1) {
            Some(stage) => Some(*STAGES.get(usize::from(stage))?),
            None => None,
        };
        claim.conditions = reader.json()?.unwrap_or_default();
        claim.storage_resizer = reader.boxed()?;
        if flags & HAS_ATTRIBUTES != 0 {
            claim.attributes = Some(Box::new(read_attributes(&mut reader)?));
        }
        Some(claim)
    }

    fn usual_volume(&self) -> Option<String> {
        self.metadata.uid.as_ref().map(|uid| format!("pvc-{uid}"))
    }
}

fn read_attributes(reader: &mut Reader<'_>) -> Option<Attributes> {
    let (wanted, current) = (reader.text()?, reader.text()?);
    let status = match reader.byte()?.checked_sub(1) {
        Some(status) => Some(*MODIFY.get(usize::from(status))?),
        None => None,
    };
    let target = reader.text()?;
    Some(Attributes {
        wanted,
        current,
        modify: status.map(|status| Modify { status, target }),
    })
}

fn source(pen: &mut Pen, source: Option<&DataSource>) {
    pen.text(source.map(|source| source.kind.as_str()));
    if let Some(source) = source {
        pen.text(source.api_group.as_deref());
        pen.text(Some(&source.name));
        pen.text(source.namespace.as_deref());
    }
}

fn read_source(reader: &mut Reader<'_>) -> Option<Option<DataSource>> {
    let Some(kind) = reader.text()? else {
        return Some(None);
    };
    Some(Some(DataSource {
        kind,
        api_group: reader.text()?,
        name: reader.text()??,
        namespace: reader.text()?,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::pack::metadata_of_every_form;
    use super::*;

    fn comes_back(key: &ObjectKey, claim: &Claim) {
        assert_eq!(Claim::unpacked(key, &claim.packed()).as_ref(), Some(claim));
    }

    #[test]
    fn a_claim_comes_back_whole() {
        for (key, metadata) in metadata_of_every_form() {
            let claim = Claim {
                metadata,
                ..Claim::default()
            };
            comes_back(&key, &claim);
        }
        let key = ObjectKey::new("shop", "data");
        for (phase, stage, modify) in [
            ("Bound", "NodeResizePending", json!(null)),
            ("Lost", "Strange", json!({"status": "Pending"})),
            (
                "",
                "",
                json!({"status": "Infeasible", "targetVolumeAttributesClassName": "gold"}),
            ),
        ] {
            let claim: Claim = serde_json::from_value(json!({
                "metadata": {
                    "namespace": "shop", "name": "data", "uid": "u", "resourceVersion": "7",
                    "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
                    "annotations": {
                        "volume.kubernetes.io/storage-resizer": "d.csi",
                        "volume.kubernetes.io/node-expansion-not-required": "true",
                    },
                },
                "spec": {
                    "volumeName": "pv-1", "storageClassName": "gp3", "volumeAttributesClassName": "gold",
                    "resources": {"requests": {"storage": "20G"}},
                    "dataSource": {"kind": "PersistentVolumeClaim", "name": "other"},
                    "dataSourceRef": {"apiGroup": "g", "kind": "K", "name": "n", "namespace": "elsewhere"},
                },
                "status": {
                    "phase": phase, "capacity": {"storage": "10Gi"}, "allocatedResources": {"storage": "1500Mi"},
                    "allocatedResourceStatuses": {"storage": stage},
                    "conditions": [{"type": "Resizing", "status": "True", "message": "é"}],
                    "currentVolumeAttributesClassName": "silver", "modifyVolumeStatus": modify,
                },
            }))
            .unwrap();
            comes_back(&key, &claim);
        }
    }

    #[test]
    fn an_ordinary_claim_is_some_fifty_bytes() {
        let uid = "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80";
        let claim: Claim = serde_json::from_value(json!({
            "metadata": {
                "namespace": "shop", "name": "data", "uid": uid, "resourceVersion": "12345678",
                "finalizers": ["kubernetes.io/pvc-protection"],
            },
            "spec": {
                "volumeName": format!("pvc-{uid}"), "storageClassName": "fast-and-encrypted",
                "resources": {"requests": {"storage": "20Gi"}},
            },
            "status": {"phase": "Bound", "capacity": {"storage": "20Gi"}},
        }))
        .unwrap();
        comes_back(&ObjectKey::new("shop", "data"), &claim);
        assert!(claim.packed().len() < 64, "{}", claim.packed().len());
    }

    #[test]
    fn broken_bytes_are_no_claim() {
        let key = ObjectKey::new("shop", "data");
        let bytes = Claim::default().packed();
        for end in 0..bytes.len() {
            assert_eq!(Claim::unpacked(&key, &bytes[..end]), None);
        }
        assert_eq!(Claim::unpacked(&key, &[0xff; 8]), None);
    }
}
