//! The types of `snapshot.storage.k8s.io/v1`.

mod class;
mod content;

mod snapshot;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use class::VolumeSnapshotClass;
pub use content::{
    VolumeSnapshotContent, VolumeSnapshotContentSource, VolumeSnapshotContentSpec,
    VolumeSnapshotContentStatus,
};
pub use snapshot::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec, VolumeSnapshotStatus};

/// What becomes of a content and of the physical snapshot when the `VolumeSnapshot` is deleted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum DeletionPolicy {
    /// Both are deleted.
    Delete,
    /// Both are kept.
    Retain,
}

impl DeletionPolicy {
    /// The value as it stands in the object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}

/// The last error met while a snapshot was made.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotError {
    /// What went wrong and what to do. Holds no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}
