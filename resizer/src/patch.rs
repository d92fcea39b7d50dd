//! Writes as merge patches. The claim's carry UID and version, since they hold whole lists; the volume's carry the
//! UID, so that another object of that name is never hit (Q25).

use controller::patch::Change;
use runtime::objects::{Claim, Modify, ResizeStatus, Volume};
use serde_json::{Map, Value, json};

use crate::plan::{ClaimChange, VolumeChange};

/// Annotation of a volume: the claim's size before its first unfinished expansion.
const PRE_RESIZE_CAPACITY: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";
/// Annotation of a claim: kubelet has nothing to grow.
const NODE_EXPANSION_NOT_REQUIRED: &str = "volume.kubernetes.io/node-expansion-not-required";

/// The patch of a claim's status. Its annotation rides on it: the role grants no other write of claims
/// (resize.md 1.7).
#[must_use]
pub fn of_claim(claim: &Claim, change: &ClaimChange) -> Change {
    let mut metadata = json!({
        "uid": claim.metadata.uid,
        "resourceVersion": claim.metadata.resource_version,
    });
    if let Some(wanted) = change.node_expansion_not_required {
        metadata["annotations"] = json!({ (NODE_EXPANSION_NOT_REQUIRED): wanted.then_some("true") });
    }
    let mut status = Map::new();
    if let Some(size) = change.capacity {
        status.insert("capacity".into(), json!({ "storage": size.to_string() }));
    }
    if let Some(size) = change.allocated {
        status.insert(
            "allocatedResources".into(),
            json!({ "storage": size.to_string() }),
        );
    }
    if let Some(stage) = change.resize {
        let stage = stage.map(ResizeStatus::as_str);
        status.insert("allocatedResourceStatuses".into(), json!({ "storage": stage }));
    }
    if let Some(modify) = &change.modify {
        status.insert(
            "modifyVolumeStatus".into(),
            modify.as_ref().map_or(Value::Null, of_modify),
        );
    }
    if let Some(class) = &change.current_class {
        status.insert("currentVolumeAttributesClassName".into(), json!(class));
    }
    if let Some(conditions) = &change.conditions {
        status.insert("conditions".into(), json!(conditions));
    }
    Change::Merge(json!({ "metadata": metadata, "status": status }))
}

/// The patch of a volume.
#[must_use]
pub fn of_volume(volume: &Volume, change: VolumeChange) -> Change {
    let mut metadata = json!({ "uid": volume.metadata.uid });
    match change {
        VolumeChange::Unannotate => {
            metadata["annotations"] = json!({ (PRE_RESIZE_CAPACITY): null });
            Change::Merge(json!({ "metadata": metadata }))
        }
        VolumeChange::Grown { capacity, before } => {
            if let Some(before) = before {
                metadata["annotations"] = json!({ (PRE_RESIZE_CAPACITY): before.to_string() });
            }
            let capacity = json!({ "storage": capacity.to_string() });
            Change::Merge(json!({ "metadata": metadata, "spec": { "capacity": capacity } }))
        }
    }
}

fn of_modify(modify: &Modify) -> Value {
    let mut value = json!({ "status": modify.status.as_str() });
    if let Some(target) = &modify.target {
        value["targetVolumeAttributesClassName"] = json!(target);
    }
    value
}

/// The patch that gives a volume an attributes class.
#[must_use]
pub fn of_class(volume: &Volume, class: &str) -> Change {
    Change::Merge(json!({
        "metadata": { "uid": volume.metadata.uid },
        "spec": { "volumeAttributesClassName": class },
    }))
}
