//! Which changes wake a content. Our own writes do not: what they lead to is in the plan that made them.
//! Source: snapshot.md 3.2.

use crds::names;
use crds::v1::VolumeSnapshotContent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::{Change, Source};

use crate::observe::ContentExt as _;

/// Whether the change is worth a look. Additions, deletions and resyncs always are; an update is when readiness
/// was reached, or when anything differs besides resourceVersion, status, managedFields, finalizers and the
/// being-created mark.
///
/// Own writes are held to the same rule: their answer may carry a foreign change that the watch then repeats
/// without a difference.
pub(crate) fn wakes(change: &Change<VolumeSnapshotContent>, driver: &str) -> bool {
    let concerns = |content: &VolumeSnapshotContent| content.spec.driver == driver;
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if change.source != Source::Resync => {
            (concerns(old) || concerns(new)) && ((!old.is_ready() && new.is_ready()) || differ(old, new))
        }
        (old, new) => old.iter().chain(new).any(|content| concerns(content)),
    }
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
