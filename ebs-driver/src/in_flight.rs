//! The set of operations that are running. Nobody waits: a present key yields Aborted. Source: spec 1.4, Q21.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tonic::Status;

/// What an operation excludes. Kinds never collide, whatever their text.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// CreateVolume, by CSI name.
    VolumeName(String),
    /// Whatever removes an existing volume, and on a node whatever uses it, by EC2 ID.
    Volume(String),
    /// Attaching and detaching, by EC2 ID and node.
    Attachment {
        /// The volume.
        volume_id: String,
        /// The node.
        node_id: String,
    },
    /// CreateSnapshot, by CSI name.
    SnapshotName(String),
    /// DeleteSnapshot, by EC2 ID.
    Snapshot(String),
    /// Creation and deletion of a group, by CSI name.
    GroupName(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VolumeName(name) => write!(f, "volume {name}"),
            Self::Volume(id) | Self::Attachment { volume_id: id, .. } => write!(f, "volume {id}"),
            Self::SnapshotName(name) => write!(f, "snapshot {name}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
            Self::GroupName(name) => write!(f, "group snapshot {name}"),
        }
    }
}

/// The running operations of one driver. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    keys: Arc<Mutex<BTreeSet<Key>>>,
}

/// Holds a key until dropped.
#[derive(Debug)]
pub struct Guard {
    keys: Arc<Mutex<BTreeSet<Key>>>,
    key: Key,
}

impl InFlight {
    /// Takes the key.
    ///
    /// # Errors
    /// Another operation holds it.
    pub fn begin(&self, key: Key) -> Result<Guard, Busy> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|held| held.excludes(&key)) {
            return Err(Busy(key));
        }
        keys.insert(key.clone());
        Ok(Guard {
            keys: self.keys.clone(),
            key,
        })
    }
}

/// Another operation holds what this one needs. The caller repeats it: Aborted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", text(.0))]
pub struct Busy(Key);

fn text(key: &Key) -> String {
    match key {
        Key::VolumeName(_) | Key::SnapshotName(_) => format!("{key} is already being created"),
        Key::Volume(_) | Key::Attachment { .. } | Key::Snapshot(_) | Key::GroupName(_) => {
            format!("another operation of {key} is running")
        }
    }
}

impl From<Busy> for Status {
    fn from(busy: Busy) -> Self {
        Self::aborted(busy.to_string())
    }
}

impl Key {
    /// A volume is not removed while it is attached anywhere; attachments of several nodes go side by side.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Volume(id), Self::Attachment { volume_id, .. })
            | (Self::Attachment { volume_id, .. }, Self::Volume(id)) => id == volume_id,
            _ => self == other,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_until_its_guard_is_dropped() {
        let running = InFlight::default();
        let guard = running.begin(Key::VolumeName("pvc-1".into()));
        assert!(guard.is_ok());
        assert!(running.begin(Key::VolumeName("pvc-1".into())).is_err());
        assert!(
            running.begin(Key::SnapshotName("pvc-1".into())).is_ok(),
            "another kind"
        );
        drop(guard);
        let at = |node: &str| Key::Attachment {
            volume_id: "vol-1".into(),
            node_id: node.into(),
        };
        let first = running.begin(at("i-1"));
        assert!(first.is_ok() && running.begin(at("i-1")).is_err());
        assert!(running.begin(at("i-2")).is_ok());
        assert!(running.begin(Key::Volume("vol-1".into())).is_err());
        assert!(running.begin(Key::Volume("vol-2".into())).is_ok());
        assert!(running.begin(Key::VolumeName("pvc-1".into())).is_ok());
    }
}
