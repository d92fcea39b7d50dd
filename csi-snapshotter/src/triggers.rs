//! Which changes concern a content. Source: snapshot.md 3.2.

use controller::Difference;
use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::{Cache, ObjectKey};

use crate::observe::ContentExt as _;

/// Index of contents by class.
pub(crate) const BY_CLASS: &str = "class";

/// Whether the change is worth a look. What comes, goes or is looked at anew always is; an update is when readiness
/// was reached, or when anything differs besides resourceVersion, status, managedFields, finalizers and the
/// being-created mark: what those lead to is in the plan that wrote them.
pub(crate) fn concerns(change: Difference<'_, VolumeSnapshotContent>, driver: &str) -> bool {
    change.sides().any(|content| content.spec.driver == driver)
        && match (change.old, change.new) {
            (Some(old), Some(new)) => (!old.is_ready() && new.is_ready()) || differ(old, new),
            _ => true,
        }
}

/// Contents that may wait for this class: those that are not ready, or are to go.
pub(crate) fn of_class(
    change: Difference<'_, VolumeSnapshotClass>,
    contents: &Cache<VolumeSnapshotContent>,
    driver: &str,
) -> Vec<ObjectKey> {
    contents
        .indexed(BY_CLASS, &change.key.name)
        .into_iter()
        .filter(|content| content.spec.driver == driver && (!content.is_ready() || content.is_terminating()))
        .map(|content| ObjectKey::of(&*content))
        .collect()
}

fn differ(old: &VolumeSnapshotContent, new: &VolumeSnapshotContent) -> bool {
    old.spec != new.spec || compared(&old.metadata) != compared(&new.metadata)
}

fn compared(metadata: &ObjectMeta) -> ObjectMeta {
    let mut metadata = metadata.clone();
    metadata.resource_version = None;
    metadata.managed_fields = None;
    metadata.finalizers = None;
    metadata.generation = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(names::BEING_CREATED_ANNOTATION);
    }
    // No annotations and none left are the same.
    metadata.annotations = metadata.annotations.filter(|annotations| !annotations.is_empty());
    metadata
}
