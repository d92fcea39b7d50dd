//! What this process remembers of recent snapshot names. Losing it costs lookups, never a snapshot.
//! Source: spec 1.7, 3.11, Q13, Q14.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Every;
use tokio::time::Instant;

use crate::ec2::types::Snapshot;

/// How long a name is remembered after its last use.
const MEMORY: Duration = Duration::from_secs(3600);
/// How often the names are looked through for forgotten ones.
const SWEEP: Duration = Duration::from_secs(60);

/// What is known of a snapshot that was answered before.
#[derive(Clone, Debug)]
pub struct KnownSnapshot {
    /// As it was last seen, without its tags.
    pub snapshot: Snapshot,
    /// When it was created here or first found.
    pub since: Instant,
    /// Fast restores and lock are done.
    pub is_complete: bool,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub struct Name {
    used: Instant,
    /// The snapshot that was answered.
    pub known: Option<KnownSnapshot>,
    /// The end of the last attempt whose outcome is unclear.
    pub unclear_since: Option<Instant>,
    /// Later ones of this name and volume, and when each was seen first.
    pub duplicates: BTreeMap<String, Instant>,
}

/// The recent names. Clones share them.
#[derive(Clone, Debug)]
pub struct SnapshotMemory {
    /// When this process began.
    pub process_started: Instant,
    names: Arc<Mutex<Names>>,
}

#[derive(Debug)]
struct Names {
    by_name: BTreeMap<String, Name>,
    sweep: Every,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            sweep: Every::new(SWEEP),
        }
    }
}

impl Names {
    /// The name, if it is remembered still.
    fn get(&mut self, name: &str, now: Instant) -> Option<&mut Name> {
        let fresh = |name: &Name| now.duration_since(name.used) < MEMORY;
        if self.sweep.is_due(now) {
            self.by_name.retain(|_, name| fresh(name));
        }
        self.by_name.get_mut(name).filter(|name| fresh(name))
    }
}

impl Default for SnapshotMemory {
    fn default() -> Self {
        Self {
            process_started: Instant::now(),
            names: Arc::default(),
        }
    }
}

impl SnapshotMemory {
    /// What is known of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let name = names.get(name, now)?;
        name.used = now;
        Some(name.clone())
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Name)) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let entry = names.by_name.entry(name.to_owned()).or_insert(Name {
            used: now,
            known: None,
            unclear_since: None,
            duplicates: BTreeMap::new(),
        });
        entry.used = now;
        change(entry);
    }

    /// This snapshot bears the name.
    pub fn remember(&self, name: &str, snapshot: &Snapshot) {
        let snapshot = without_tags(snapshot);
        self.change(name, |entry| match &mut entry.known {
            Some(known) if known.snapshot.id == snapshot.id => known.snapshot = snapshot,
            known => {
                *known = Some(KnownSnapshot {
                    snapshot,
                    since: Instant::now(),
                    is_complete: false,
                });
            }
        });
    }

    /// Fast restores and lock of the name's snapshot are done.
    pub fn complete(&self, name: &str) {
        self.change(name, |entry| {
            if let Some(known) = &mut entry.known {
                known.is_complete = true;
            }
        });
    }

    /// Whatever came of unclear attempts has been seen: from now on the name's snapshot is asked for by ID.
    pub fn settle(&self, name: &str) {
        self.change(name, |entry| {
            entry.unclear_since = None;
            entry.duplicates.clear();
        });
    }

    /// These were seen beside the adopted one; those seen before keep their time.
    pub fn saw_duplicates(&self, name: &str, duplicates: &[String], at: Instant) {
        self.change(name, |entry| {
            let before = std::mem::take(&mut entry.duplicates);
            entry.duplicates = duplicates
                .iter()
                .map(|id| (id.clone(), before.get(id).copied().unwrap_or(at)))
                .collect();
        });
    }

    /// A snapshot is gone by our own hand; its names mean nothing any more.
    pub fn forget_snapshot(&self, id: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .by_name
            .retain(|_, name| name.known.as_ref().is_none_or(|known| known.snapshot.id != id));
    }

    /// Begins an attempt to create. Unless it is said to be resolved, its outcome is unclear from the moment at
    /// which the guard is dropped, also when that is because the call was cancelled.
    #[must_use]
    pub fn attempt(&self, name: &str) -> Attempt {
        Attempt {
            memory: self.clone(),
            name: name.to_owned(),
            is_resolved: false,
        }
    }
}

/// Nobody asks for the tags of a remembered snapshot, and they are most of its bytes.
fn without_tags(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        id: snapshot.id.clone(),
        volume_id: snapshot.volume_id.clone(),
        state: snapshot.state.clone(),
        message: snapshot.message.clone(),
        started: snapshot.started,
        size_gib: snapshot.size_gib,
        tags: BTreeMap::new(),
    }
}

/// An attempt to create a snapshot whose outcome is not known yet.
#[derive(Debug)]
pub struct Attempt {
    memory: SnapshotMemory,
    name: String,
    is_resolved: bool,
}

impl Attempt {
    /// The outcome is known: nothing can come of this attempt that was not seen.
    pub fn resolve(mut self) {
        self.is_resolved = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_resolved {
            let now = Instant::now();
            self.memory
                .change(&self.name, |entry| entry.unclear_since = Some(now));
        }
    }
}
