//! What a plan is made from: objects from the caches, and the answers that this run of the key has got so far.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::{CallFailure, SecretRead};
use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshotClass, VolumeSnapshotContent, VolumeSnapshotContentStatus};
use jiff::Timestamp;

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the content.
    pub content: &'a VolumeSnapshotContent,
    /// The class that it names.
    pub class: ClassLookup<'a>,
    /// Both kinds are followed at this moment. Else a class that is missing may only not be known yet.
    pub is_live: bool,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// The answer to the last call of this run, until its consequences are written.
    pub reply: Option<&'a Reply>,
    /// What earlier runs remember. Empty after a restart: it may delay or dampen, never decide.
    pub memory: &'a Memory,
    /// How the function is set up.
    pub settings: &'a Settings,
}

/// What the class cache says.
#[derive(Clone, Copy, Debug)]
pub enum ClassLookup<'a> {
    /// The content names none.
    NotNamed,
    /// It names one that does not exist.
    Absent(&'a str),
    /// It exists.
    Found(&'a VolumeSnapshotClass),
}

/// What does not change while the function runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The driver's name from GetPluginInfo.
    pub driver: String,
    /// The driver has LIST_SNAPSHOTS.
    pub can_list: bool,
    /// `--snapshot-name-prefix`.
    pub name_prefix: String,
    /// `--snapshot-name-uuid-length`; `None` keeps the UID whole, dashes included.
    pub name_uid_length: Option<usize>,
    /// `--extra-create-metadata`.
    pub extra_create_metadata: bool,
    /// `--retry-interval-max`.
    pub retry_interval_max: Duration,
}

/// The driver's answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To CreateSnapshot.
    Created(Result<Snapshot, CallFailure>),
    /// To ListSnapshots of one handle: whatever the driver lists.
    Listed(Result<Vec<Snapshot>, CallFailure>),
    /// To DeleteSnapshot of this handle.
    Deleted {
        /// The handle that was to be deleted.
        handle: String,
        /// What came of it.
        outcome: Result<(), CallFailure>,
    },
    /// The VolumeSnapshot under the name of the content's reference.
    Behind(Behind),
}

/// What the API server says of the VolumeSnapshot that a content names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Our role does not show any.
    Hidden,
    /// There is none of that name.
    Nothing,
    /// This one.
    Found {
        /// Its UID.
        uid: String,
        /// `status.boundVolumeSnapshotContentName`.
        content: Option<String>,
        /// It is being deleted.
        is_going: bool,
    },
}

/// A snapshot as the driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Its handle; never empty.
    pub handle: String,
    /// When it was taken, if the driver says so.
    pub creation_time: Option<Timestamp>,
    /// The least size of a volume made from it, in bytes; 0 means unknown.
    pub size_bytes: i64,
    /// A volume can be made from it.
    pub ready: bool,
    /// The group that it belongs to; may be empty.
    pub group_handle: String,
}

/// What is remembered of a content between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The first poll for readiness.
    pub pending_since: Option<Timestamp>,
    /// The next one.
    pub poll_due: Option<Timestamp>,
    /// Since when it is waited for what the snapshot-controller says of a content that was never bound and is to go.
    pub unbound_since: Option<Timestamp>,
    /// The parameters of the last CreateSnapshot.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Errors told since the last good answer.
    pub told: Vec<Told>,
    /// The handle that was deleted, while its finalizer is not yet gone.
    pub deleted: Option<String>,
}

/// An error that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The text without what differs from one failure to the next.
    pub masked: String,
    /// The text.
    pub text: String,
    /// When it was written into the status.
    pub written: Option<Timestamp>,
}

/// Questions to a content.
pub(crate) trait ContentExt {
    fn name(&self) -> &str;
    fn annotation(&self, key: &str) -> Option<&str>;
    /// The being-created mark is present; its value does not count.
    fn is_being_created(&self) -> bool;
    fn is_being_deleted(&self) -> bool;
    /// A CreateSnapshot for this content may be running. Only one with a volume to cut has any; elsewhere the mark was
    /// copied from another content.
    fn call_may_run(&self) -> bool;
    fn is_terminating(&self) -> bool;
    /// Member of a dynamic group: CreateSnapshot must not be called for it.
    fn is_group_member(&self) -> bool;
    fn volume_handle(&self) -> Option<&str>;
    fn source_snapshot_handle(&self) -> Option<&str>;
    fn stored_handle(&self) -> Option<&str>;
    fn group_handle(&self) -> Option<&str>;
    fn is_ready(&self) -> bool;
    fn deletes(&self) -> bool;
    fn snapshot_uid(&self) -> &str;
    fn finalizers(&self) -> &[String];
    /// Where our finalizer stands in the list.
    fn finalizer_position(&self) -> Option<usize>;
}

impl ContentExt for VolumeSnapshotContent {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn is_being_created(&self) -> bool {
        self.annotation(names::BEING_CREATED_ANNOTATION).is_some()
    }

    fn is_being_deleted(&self) -> bool {
        self.annotation(names::BEING_DELETED_ANNOTATION).is_some()
    }

    fn call_may_run(&self) -> bool {
        self.is_being_created() && self.volume_handle().is_some()
    }

    fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn is_group_member(&self) -> bool {
        self.annotation(names::GROUP_HANDLE_ANNOTATION).is_some()
    }

    fn volume_handle(&self) -> Option<&str> {
        self.spec.source.volume_handle.as_deref()
    }

    fn source_snapshot_handle(&self) -> Option<&str> {
        self.spec.source.snapshot_handle.as_deref()
    }

    fn stored_handle(&self) -> Option<&str> {
        text(self.status.as_ref(), |status| status.snapshot_handle.as_deref())
    }

    fn group_handle(&self) -> Option<&str> {
        text(self.status.as_ref(), |status| {
            status.volume_group_snapshot_handle.as_deref()
        })
    }

    fn is_ready(&self) -> bool {
        self.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
    }

    fn deletes(&self) -> bool {
        self.spec.deletion_policy == DeletionPolicy::Delete
    }

    fn snapshot_uid(&self) -> &str {
        self.spec.volume_snapshot_ref.uid.as_deref().unwrap_or_default()
    }

    fn finalizers(&self) -> &[String] {
        self.metadata.finalizers.as_deref().unwrap_or_default()
    }

    fn finalizer_position(&self) -> Option<usize> {
        self.finalizers()
            .iter()
            .position(|finalizer| finalizer == names::CONTENT_FINALIZER)
    }
}

/// A handle that is blank names nothing.
pub(crate) fn is_blank(handle: &str) -> bool {
    handle.trim().is_empty()
}

/// A blank text counts as absent.
fn text<'a>(
    status: Option<&'a VolumeSnapshotContentStatus>,
    field: impl Fn(&'a VolumeSnapshotContentStatus) -> Option<&'a str>,
) -> Option<&'a str> {
    status.and_then(field).filter(|text| !is_blank(text))
}
