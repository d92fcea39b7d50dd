//! Contents of both kinds, by what plans ask of them: one rule serves snapshots and groups of snapshots.
//!
//! | Module | Subject |
//! |---|---|
//! | this one | [`Content`] |
//! | `words` | what the two kinds call the same things |
//! | `snapshot` | VolumeSnapshotContent |
//! | `group` | VolumeGroupSnapshotContent |

mod group;
mod snapshot;
mod words;

use std::collections::BTreeMap;
use std::fmt::Debug;

use crds::group::v1::{VolumeGroupSnapshotClass, VolumeSnapshotInfo};
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotError};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

pub use words::Words;

use crate::plan::Call;

/// A content: what stands in the cluster for a snapshot, or for a group of snapshots. Marks, handles and times mean the same
/// in both kinds.
pub trait Content: Debug + Send + Sync {
    /// What its kind calls things.
    fn words(&self) -> &'static Words;

    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// `spec.driver`.
    fn driver(&self) -> &str;

    /// The class that it names; blank counts as none.
    fn class_name(&self) -> Option<&str>;

    /// What asked for it.
    fn reference(&self) -> &ObjectReference;

    /// Its policy is Delete.
    fn deletes(&self) -> bool;

    /// The volumes to cut, for a dynamic one.
    fn volumes(&self) -> Option<&[String]>;

    /// The handle of what existed before, for a pre-provisioned one.
    fn source_handle(&self) -> Option<&str>;

    /// Its status, if there is one.
    fn status(&self) -> Option<Status<'_>>;

    /// Member of a dynamic group: nothing is made or deleted for it alone.
    fn is_group_member(&self) -> bool;

    /// The handles of the snapshots in it, as far as it names them: those of a group.
    fn member_handles(&self) -> Vec<String>;

    /// The name of the content that is made for an asker of this UID.
    fn name_for(&self, uid: &str) -> String;

    /// The call that makes it, and is repeated until it is ready.
    fn create_call(&self, name: String, parameters: BTreeMap<String, String>) -> Call;

    /// The call that looks at what exists.
    fn look_call(&self, handle: &str) -> Call;

    /// The call that deletes what has this handle, a group with these snapshots; none where CSI needs to be told them.
    fn delete_call(&self, handle: &str, members: Vec<String>) -> Option<Call>;

    /// `status.creationTime` of this many nanoseconds since 1970.
    fn creation_time(&self, nanoseconds: i64) -> Value;

    /// The members of the status that are there and say that something exists.
    fn stale_members(&self) -> Vec<&'static str>;

    /// Its name.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The value of an annotation.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata().annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The being-created mark is present; its value does not count.
    fn is_being_created(&self) -> bool {
        self.annotation(self.words().being_created).is_some()
    }

    /// So is the being-deleted mark.
    fn is_being_deleted(&self) -> bool {
        self.annotation(self.words().being_deleted).is_some()
    }

    /// A call that makes it may be running. Only one with volumes to cut has any, and no member of a group: elsewhere the
    /// mark was copied from another content, and what is blank no driver can cut. One that nothing gives a name cannot be
    /// repeated to its end.
    fn call_may_run(&self) -> bool {
        let can_be_cut = |volumes: &[String]| !volumes.is_empty() && !volumes.iter().any(|one| is_blank(one));
        let is_named = !self.asker_uid().is_empty() || !self.uid_in_name().is_empty();
        self.is_being_created()
            && is_named
            && !self.is_group_member()
            && self.volumes().is_some_and(can_be_cut)
    }

    /// It has a deletionTimestamp.
    fn is_terminating(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    /// The handle in its status.
    fn stored_handle(&self) -> Option<&str> {
        self.status()?.handle.filter(|handle| !is_blank(handle))
    }

    /// The group that it belongs to, by its status.
    fn group_handle(&self) -> Option<&str> {
        self.status()?.group_handle.filter(|handle| !is_blank(handle))
    }

    /// Volumes can be restored from it.
    fn is_ready(&self) -> bool {
        self.status().and_then(|status| status.ready) == Some(true)
    }

    /// The UID of what asked for it; empty until a pre-provisioned one is bound.
    fn asker_uid(&self) -> &str {
        self.reference().uid.as_deref().unwrap_or_default()
    }

    /// The UID in the name of a content that a controller made: that of what asked for it, also where the reference has
    /// lost it.
    fn uid_in_name(&self) -> &str {
        let prefix = self.name_for("");
        self.name().strip_prefix(prefix.as_str()).unwrap_or_default()
    }

    /// Its finalizers.
    fn finalizers(&self) -> &[String] {
        self.metadata().finalizers.as_deref().unwrap_or_default()
    }

    /// Where our finalizer stands in the list.
    fn finalizer_position(&self) -> Option<usize> {
        let ours = self.words().finalizer;
        self.finalizers().iter().position(|finalizer| finalizer == ours)
    }
}

/// The status of a content of either kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status<'a> {
    /// The handle as it stands there.
    pub handle: Option<&'a str>,
    /// The group that a snapshot belongs to.
    pub group_handle: Option<&'a str>,
    /// `creationTime` is there.
    pub has_creation_time: bool,
    /// `restoreSize` is there.
    pub has_size: bool,
    /// `readyToUse`.
    pub ready: Option<bool>,
    /// `error`.
    pub error: Option<&'a VolumeSnapshotError>,
    /// The snapshots of a group.
    pub members: &'a [VolumeSnapshotInfo],
}

/// A class of either kind.
pub trait Class: Debug + Send + Sync {
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// Its driver.
    fn driver(&self) -> &str;

    /// Its parameters.
    fn parameters(&self) -> &BTreeMap<String, String>;

    /// Its name.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}

impl Class for VolumeSnapshotClass {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn driver(&self) -> &str {
        &self.driver
    }

    fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }
}

impl Class for VolumeGroupSnapshotClass {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn driver(&self) -> &str {
        &self.driver
    }

    fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }
}

/// A handle that is blank names nothing.
pub(crate) fn is_blank(handle: &str) -> bool {
    handle.trim().is_empty()
}
