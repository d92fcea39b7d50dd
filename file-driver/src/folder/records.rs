//! What the folder holds beside the data: small JSON files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Id;

/// What a volume was made from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A snapshot.
    Snapshot(Id),
    /// Another volume.
    Volume(Id),
}

/// What is written down of a volume. Its size is that of its data.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// The name that CreateVolume gave.
    pub name: String,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Its mutable parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mutable: BTreeMap<String, String>,
    /// Nodes that it is published to, and whether read-only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<String, bool>,
}

/// What is written down of a snapshot. Its size is that of its data.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// The name that CreateSnapshot gave, or that of its group.
    pub name: String,
    /// The volume that it is of.
    pub source_volume: Id,
    /// When it was taken.
    pub created: Timestamp,
}

/// What is written down of a group of snapshots. Its members lie in its folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRecord {
    /// The name that CreateVolumeGroupSnapshot gave.
    pub name: String,
    /// When it was taken.
    pub created: Timestamp,
}

/// A volume as it is in the folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    /// Its ID.
    pub id: Id,
    /// What is written down.
    pub record: VolumeRecord,
    /// Where its data are.
    pub data: PathBuf,
    /// Its size in bytes; none where its data are gone.
    pub bytes: Option<u64>,
}

/// A snapshot as it is in the folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Its ID.
    pub id: Id,
    /// What is written down.
    pub record: SnapshotRecord,
    /// The group that it is a member of.
    pub group: Option<Id>,
    /// Where its data are.
    pub data: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A group of snapshots as it is in the folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// Its ID.
    pub id: Id,
    /// What is written down.
    pub record: GroupRecord,
    /// Its members, by ID.
    pub members: Vec<Snapshot>,
}
