//! The set of operations that are running. Nobody waits: a present key yields Aborted. Source: spec 1.4, Q21.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What an operation excludes. Kinds never collide, whatever their text.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// CreateVolume, by CSI name.
    VolumeName(String),
    /// Whatever changes or removes an existing volume, by EC2 ID.
    Volume(String),
    /// CreateSnapshot, by CSI name.
    SnapshotName(String),
    /// DeleteSnapshot, by EC2 ID.
    Snapshot(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VolumeName(name) => write!(f, "volume {name}"),
            Self::Volume(id) => write!(f, "volume {id}"),
            Self::SnapshotName(name) => write!(f, "snapshot {name}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
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
    /// Takes the key, or says that another operation holds it.
    #[must_use]
    pub fn begin(&self, key: Key) -> Option<Guard> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.clone()).then(|| Guard {
            keys: self.keys.clone(),
            key,
        })
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
        assert!(guard.is_some());
        assert!(running.begin(Key::VolumeName("pvc-1".into())).is_none());
        assert!(
            running.begin(Key::SnapshotName("pvc-1".into())).is_some(),
            "another kind"
        );
        drop(guard);
        assert!(running.begin(Key::VolumeName("pvc-1".into())).is_some());
    }
}
