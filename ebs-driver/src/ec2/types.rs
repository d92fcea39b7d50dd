//! Requests and answers of EC2, free of their form on the wire. Source: spec 3.1.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::topology::Place;

/// Which volumes or snapshots to describe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selection {
    /// By ID; an unknown one is an error that names it.
    Ids(Vec<String>),
    /// By ID through a filter; an unknown one is left out. At most 200.
    FilteredIds(Vec<String>),
    /// By the value of a tag. At most 200 values.
    Tag {
        /// The key of the tag.
        key: &'static str,
        /// The values.
        values: Vec<String>,
    },
}

/// A volume to be made. Unset fields are not sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewVolume {
    /// Makes the request repeatable.
    pub client_token: String,
    /// GiB.
    pub size_gib: i64,
    /// Volume type.
    pub volume_type: String,
    /// Sent as it is, also when false.
    pub is_encrypted: bool,
    /// Sent as it is, also when false.
    pub is_multi_attach: bool,
    /// Zone, zone ID, Outpost.
    pub place: Place,
    /// KMS key.
    pub kms_key_id: Option<String>,
    /// Source snapshot.
    pub snapshot_id: Option<String>,
    /// MiB/s.
    pub initialization_rate: Option<i32>,
    /// IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
}

/// A copy of a volume to be made; it is placed where its source is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VolumeCopy {
    /// Makes the request repeatable.
    pub client_token: String,
    /// The volume to copy.
    pub source_volume_id: String,
    /// GiB.
    pub size_gib: i64,
    /// Volume type of the copy.
    pub volume_type: String,
    /// Sent when true, see [`crate::volume::copy_encryption`].
    pub is_encrypted: bool,
    /// KMS key.
    pub kms_key_id: Option<String>,
    /// Sent as it is, also when false.
    pub is_multi_attach: bool,
    /// IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
}

/// State of a volume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VolumeState {
    /// Not yet usable.
    Creating,
    /// Usable and free.
    Available,
    /// Attached.
    InUse,
    /// Going or gone.
    Deleting,
    /// Failed; will never be usable.
    Error,
    /// A state that this version does not know.
    Other,
}

/// A volume as EC2 describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    /// ID.
    pub id: String,
    /// State.
    pub state: VolumeState,
    /// GiB.
    pub size_gib: i64,
    /// Volume type.
    pub volume_type: String,
    /// Zone name, zone ID and Outpost.
    pub place: Place,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// KMS key.
    pub kms_key_id: Option<String>,
    /// Provisioned or default IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// The snapshot it was made from.
    pub snapshot_id: Option<String>,
    /// The volume it was copied from.
    pub source_volume_id: Option<String>,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// Where it is attached, being attached or being detached.
    pub attachments: Vec<Attachment>,
    /// Whether it may be attached to several instances at once.
    pub is_multi_attach: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// State of an attachment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttachmentState {
    /// Not yet usable.
    Attaching,
    /// Usable.
    Attached,
    /// Going.
    Detaching,
    /// Gone.
    Detached,
    /// Busy, or a state that this version does not know.
    Other,
}

impl AttachmentState {
    /// EC2's name of it; `busy` for what this version does not know.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Detached => "detached",
            Self::Other => "busy",
        }
    }
}

/// A volume at an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// The instance.
    pub instance_id: String,
    /// The name of the device, as sent to EC2.
    pub device: String,
    /// State.
    pub state: AttachmentState,
    /// The EBS card, where the instance has several.
    pub card: Option<i32>,
    /// Whether a service keeps the instance, which knows itself what hangs.
    pub is_of_service: bool,
}

/// An attachment to be made. Unset fields are not sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewAttachment {
    /// The volume.
    pub volume_id: String,
    /// The instance.
    pub instance_id: String,
    /// The name of the device.
    pub device: String,
    /// The EBS card.
    pub card: Option<i32>,
}

/// An instance, as far as volumes need it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    /// ID.
    pub id: String,
    /// Instance type.
    pub instance_type: String,
    /// The device of the root volume.
    pub root_device: Option<String>,
    /// What is attached.
    pub mappings: Vec<Mapping>,
    /// Network interfaces.
    pub interfaces: usize,
}

/// What an instance type has for volumes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InstanceType {
    /// EBS cards, at least one.
    pub cards: u32,
    /// How many attachments there may be, and whether those of network interfaces are among them.
    pub attachments: Option<(u32, bool)>,
}

/// A device of an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// Its name.
    pub device: String,
    /// The volume; none for what is no EBS volume (Q20).
    pub volume_id: Option<String>,
    /// State.
    pub state: AttachmentState,
    /// The EBS card, where the instance has several.
    pub card: Option<i32>,
}

/// How far a volume is filled from its snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Initialization {
    /// It is filled, or nothing is to be filled.
    Done,
    /// It is being filled; EC2 may say for how long still.
    Running(Option<Duration>),
}

/// A change of a volume. Unset fields are not sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VolumeChange {
    /// The volume.
    pub volume_id: String,
    /// GiB.
    pub size_gib: Option<i64>,
    /// Volume type.
    pub volume_type: Option<String>,
    /// IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
}

/// State of a modification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModificationState {
    /// Not yet in effect.
    Modifying,
    /// In effect; EC2 allows no further one yet.
    Optimizing,
    /// In effect.
    Completed,
    /// Without effect.
    Failed,
    /// A state that this version does not know.
    Other,
}

/// The latest modification of a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Modification {
    /// The volume.
    pub volume_id: String,
    /// State.
    pub state: ModificationState,
    /// Why it failed, in EC2's words.
    pub message: Option<String>,
    /// GiB after it.
    pub target_size_gib: Option<i64>,
    /// IOPS after it.
    pub target_iops: Option<i32>,
    /// Volume type after it.
    pub target_type: Option<String>,
    /// MiB/s after it.
    pub target_throughput: Option<i32>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// Percent.
    pub progress: Option<i64>,
}

/// A snapshot to be made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewSnapshot {
    /// The volume.
    pub volume_id: String,
    /// Shown in the console.
    pub description: String,
    /// Outpost on which it is kept.
    pub outpost_arn: Option<String>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
    /// Whose it is, where that is known. Not sent.
    pub namespace: String,
}

/// Snapshots to be made of volumes of one instance, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewSnapshotSet {
    /// The instance to which the volumes are attached.
    pub instance_id: String,
    /// Whether its boot volume is left out.
    pub excludes_boot_volume: bool,
    /// Its other volumes that are left out.
    pub excluded_volume_ids: Vec<String>,
    /// Shown in the console, on each.
    pub description: String,
    /// Outpost on which they are kept.
    pub outpost_arn: Option<String>,
    /// All tags of each.
    pub tags: BTreeMap<String, String>,
}

/// State of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotState {
    /// Being filled.
    Pending,
    /// Usable.
    Completed,
    /// Failed; will never be usable.
    Error,
    /// Any other, such as one from the recycle bin.
    Other(String),
}

/// A snapshot as EC2 describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// ID.
    pub id: String,
    /// The volume it was made of.
    pub volume_id: String,
    /// State.
    pub state: SnapshotState,
    /// What EC2 says of the state.
    pub message: Option<String>,
    /// When it was begun.
    pub started: Option<Timestamp>,
    /// GiB of the volume.
    pub size_gib: i64,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// One page of the volumes that were made for a cluster under a CSI name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VolumeList {
    /// The ID of the cluster.
    pub cluster_id: String,
    /// Where the page before ended.
    pub next_token: Option<String>,
}

/// The answer to [`VolumeList`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VolumePage {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// Where the next page begins, if there is one.
    pub next_token: Option<String>,
}

/// One page of the account's own snapshots.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SnapshotList {
    /// Only those of this volume.
    pub volume_id: Option<String>,
    /// At most so many; EC2 allows 5 to 1000.
    pub max_results: Option<i32>,
    /// Where the page before ended.
    pub next_token: Option<String>,
}

/// The answer to [`SnapshotList`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SnapshotPage {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Where the next page begins, if there is one.
    pub next_token: Option<String>,
}
