//! Requests and answers of EC2, free of the SDK. Source: spec 3.1.

use std::collections::BTreeMap;

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
    /// Tags.
    pub tags: BTreeMap<String, String>,
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
