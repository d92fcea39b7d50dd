//! Which changes concern a content. Source: snapshot.md 3.2.

use controller::Difference;
use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use runtime::{Cache, ObjectKey};

use crate::observe::ContentExt as _;

/// The annotations that plans read, without those that they write.
const READ: [&str; 4] = [
    names::BEING_DELETED_ANNOTATION,
    names::DELETION_SECRET_NAME_ANNOTATION,
    names::DELETION_SECRET_NAMESPACE_ANNOTATION,
    names::GROUP_HANDLE_ANNOTATION,
];
/// Index of contents by class.
pub(crate) const BY_CLASS: &str = "class";

/// Whether the change is worth a look. What comes, goes or is looked at anew always is; an update is when readiness
/// was reached, or when anything differs that a plan reads, besides status, finalizers and the being-created mark: what
/// those lead to is in the plan that wrote them. So neither our own writes nor labels and annotations of others are.
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
    old.spec != new.spec
        || old.metadata.uid != new.metadata.uid
        || old.is_terminating() != new.is_terminating()
        || READ.iter().any(|key| old.annotation(key) != new.annotation(key))
}
