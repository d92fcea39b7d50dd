//! The CustomResourceDefinitions: which kinds there are, in which versions. They are made from the types of `v1`.

mod form;
mod group;
mod snapshot;

use serde_json::Value;

/// The versions of VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass. The unserved one is listed so that
/// clusters whose `status.storedVersions` holds it can upgrade (specification `snapshot.md` 1.1).
pub const SNAPSHOT_VERSIONS: [Version; 2] = [
    Version::new("v1", true, true),
    Version::new("v1beta1", false, false),
];

/// The versions of VolumeGroupSnapshot, VolumeGroupSnapshotContent and VolumeGroupSnapshotClass. `v1` and `v1beta2` are
/// the same; what `v1beta1` cannot tell, `slackwater snapshot-conversion-webhook` keeps.
pub const GROUP_VERSIONS: [Version; 3] = [
    Version::new("v1", true, false),
    Version::new("v1beta1", true, false),
    Version::new("v1beta2", true, true),
];

/// Every kind, in the order in which to apply them.
pub const KINDS: [Kind; 6] = [
    Kind {
        name: "VolumeGroupSnapshotClass",
        versions: &GROUP_VERSIONS,
        file: "groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml",
        manifest: include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml"),
        v1: group::classes,
        older: group::older_class,
    },
    Kind {
        name: "VolumeGroupSnapshotContent",
        versions: &GROUP_VERSIONS,
        file: "groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml",
        manifest: include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml"),
        v1: group::contents,
        older: group::older_content,
    },
    Kind {
        name: "VolumeGroupSnapshot",
        versions: &GROUP_VERSIONS,
        file: "groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml",
        manifest: include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml"),
        v1: group::snapshots,
        older: group::older_snapshot,
    },
    Kind {
        name: "VolumeSnapshotClass",
        versions: &SNAPSHOT_VERSIONS,
        file: "snapshot.storage.k8s.io_volumesnapshotclasses.yaml",
        manifest: include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshotclasses.yaml"),
        v1: snapshot::classes,
        older: snapshot::older_class,
    },
    Kind {
        name: "VolumeSnapshotContent",
        versions: &SNAPSHOT_VERSIONS,
        file: "snapshot.storage.k8s.io_volumesnapshotcontents.yaml",
        manifest: include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshotcontents.yaml"),
        v1: snapshot::contents,
        older: snapshot::older_content,
    },
    Kind {
        name: "VolumeSnapshot",
        versions: &SNAPSHOT_VERSIONS,
        file: "snapshot.storage.k8s.io_volumesnapshots.yaml",
        manifest: include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshots.yaml"),
        v1: snapshot::snapshots,
        older: snapshot::older_snapshot,
    },
];

/// A version of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// As in `apiVersion`.
    pub name: &'static str,
    /// Whether the API server serves it.
    pub served: bool,
    /// Whether etcd holds objects in it.
    pub stored: bool,
}

impl Version {
    const fn new(name: &'static str, served: bool, stored: bool) -> Self {
        Self { name, served, stored }
    }
}

/// A kind, and how its definition is made.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As in `kind`.
    pub name: &'static str,
    /// In upstream's order.
    pub versions: &'static [Version],
    /// Its file in `crds/manifests/`.
    pub file: &'static str,
    /// What the file holds: [`Self::definition`] as YAML; a test holds that.
    pub manifest: &'static str,
    /// The definition with `v1` alone.
    v1: fn() -> Value,
    /// Makes of the version `v1` what `v1beta1` was.
    older: fn(&mut Value),
}

impl Kind {
    /// The definition, made from the type.
    #[must_use]
    pub fn definition(&self) -> Value {
        form::with_versions((self.v1)(), self.versions, self.older)
    }

    fn is_of_groups(&self) -> bool {
        self.file.starts_with("groupsnapshot.")
    }
}

/// The definitions of all kinds, in the order of [`KINDS`].
#[must_use]
pub fn all() -> Vec<Value> {
    KINDS.iter().map(Kind::definition).collect()
}

/// Those of the group kinds.
#[must_use]
pub fn groups() -> Vec<Value> {
    let kinds = KINDS.iter().filter(|kind| kind.is_of_groups());
    kinds.map(Kind::definition).collect()
}

/// Those of single snapshots.
#[must_use]
pub fn snapshots() -> Vec<Value> {
    let kinds = KINDS.iter().filter(|kind| !kind.is_of_groups());
    kinds.map(Kind::definition).collect()
}
