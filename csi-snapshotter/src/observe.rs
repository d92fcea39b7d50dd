//! What a plan is made from: objects from the caches, and the answers that this run of the key has got so far.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::{CallFailure, SecretRead};
use jiff::Timestamp;

use crate::content::{Class, Content};

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the content.
    pub content: &'a dyn Content,
    /// The class that it names.
    pub class: ClassLookup<'a>,
    /// The snapshots of a group that names none itself, as their own contents tell them.
    pub members: &'a [String],
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
    Found(&'a dyn Class),
}

/// What does not change while the function runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The driver's name from GetPluginInfo.
    pub driver: String,
    /// The driver takes what these contents stand for. One without groups takes snapshots alone.
    pub can_take: bool,
    /// The driver can be asked about what exists. For snapshots that is LIST_SNAPSHOTS.
    pub can_look: bool,
    /// `--snapshot-name-prefix`, `--groupsnapshot-name-prefix`.
    pub name_prefix: String,
    /// `--snapshot-name-uuid-length`, `--groupsnapshot-name-uuid-length`; `None` keeps the UID whole, dashes included.
    pub name_uid_length: Option<usize>,
    /// `--extra-create-metadata`.
    pub extra_create_metadata: bool,
    /// `--retry-interval-max`.
    pub retry_interval_max: Duration,
}

/// The driver's answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To CreateSnapshot, CreateVolumeGroupSnapshot.
    Created(Result<Snapshot, CallFailure>),
    /// To ListSnapshots of one handle, GetVolumeGroupSnapshot: whatever the driver shows.
    Listed(Result<Vec<Snapshot>, CallFailure>),
    /// To DeleteSnapshot, DeleteVolumeGroupSnapshot of this handle.
    Deleted {
        /// The handle that was to be deleted.
        handle: String,
        /// What came of it.
        outcome: Result<(), CallFailure>,
    },
    /// What asked for the content: the object under the name of its reference.
    Behind(Behind),
}

/// What the API server says of the VolumeSnapshot or VolumeGroupSnapshot that a content names.
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
        /// The content that its status names.
        content: Option<String>,
        /// It is being deleted.
        is_going: bool,
    },
}

/// A snapshot, or a group of them, as the driver describes it.
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
    /// The volume that it is of; empty for a group.
    pub volume_handle: String,
    /// The snapshots of a group.
    pub members: Vec<Self>,
}

/// What is remembered of a content between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The first poll for readiness.
    pub pending_since: Option<Timestamp>,
    /// The next one, or the call that the driver asks to wait for.
    pub poll_due: Option<Timestamp>,
    /// How long that was waited for from its beginning.
    pub poll_wait: Duration,
    /// Since when it is waited for what the snapshot-controller says of a content that was never bound and is to go.
    pub unbound_since: Option<Timestamp>,
    /// The parameters of the last CreateSnapshot.
    pub parameters: Option<BTreeMap<String, String>>,
    /// How often it was called with these before, in a row.
    pub repeated: u32,
    /// The other handle that was told of.
    pub renamed: Option<String>,
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
