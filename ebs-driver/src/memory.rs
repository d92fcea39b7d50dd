//! What this process remembers of recent names of snapshots and groups. Losing it costs lookups, never a snapshot.
//! Source: spec 1.7, 3.11, Q13, Q14.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Every;
use tokio::time::Instant;

use crate::ec2::types::Snapshot;

/// How long a name is remembered after its last use.
const MEMORY: Duration = Duration::from_secs(3600);
/// When a caller has surely stored what it was answered.
const STORED_BY_NOW: Duration = Duration::from_secs(60);
/// How often the names are looked through for forgotten ones.
const SWEEP: Duration = Duration::from_secs(60);

/// What a name stands for: a snapshot, or the snapshots of a group.
pub trait Made: Clone {
    /// The IDs in EC2.
    fn ids(&self) -> Vec<&str>;

    /// Nobody asks for the tags of what is remembered, and they are most of its bytes.
    #[must_use]
    fn without_tags(&self) -> Self;
}

impl Made for Snapshot {
    fn ids(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn without_tags(&self) -> Self {
        Self {
            id: self.id.clone(),
            volume_id: self.volume_id.clone(),
            state: self.state.clone(),
            message: self.message.clone(),
            started: self.started,
            size_gib: self.size_gib,
            tags: BTreeMap::new(),
        }
    }
}

impl Made for Vec<Snapshot> {
    fn ids(&self) -> Vec<&str> {
        self.iter().map(|snapshot| snapshot.id.as_str()).collect()
    }

    fn without_tags(&self) -> Self {
        self.iter().map(Made::without_tags).collect()
    }
}

/// What is known of what was answered before.
#[derive(Clone, Debug)]
pub struct Known<T> {
    /// As it was last seen, without its tags.
    pub made: T,
    /// When it was created here or first found.
    pub since: Instant,
    /// Fast restores and lock are done.
    pub is_complete: bool,
    /// It was told that the class came to ask for what is refused.
    pub is_refusal_told: bool,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub struct Name<T> {
    used: Instant,
    /// What was answered.
    pub known: Option<Known<T>>,
    /// The end of the last attempt whose outcome is unclear.
    pub unclear_since: Option<Instant>,
    /// What else bears this name, and when each was seen first.
    pub duplicates: BTreeMap<String, Instant>,
    /// What was deleted again, or was to be. EC2 may show it for a while although it is gone.
    pub removing: BTreeSet<String>,
}

/// The recent names. Clones share them.
#[derive(Clone, Debug)]
pub struct Memory<T> {
    /// When this process began.
    pub process_started: Instant,
    names: Arc<Mutex<Names<T>>>,
}

/// Names of snapshots.
pub type SnapshotMemory = Memory<Snapshot>;
/// Names of groups.
pub type GroupMemory = Memory<Vec<Snapshot>>;

#[derive(Debug)]
struct Names<T> {
    by_name: BTreeMap<String, Name<T>>,
    sweep: Every,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            sweep: Every::new(SWEEP),
        }
    }
}

impl<T> Names<T> {
    /// The name, if it is remembered still.
    fn get(&mut self, name: &str, now: Instant) -> Option<&mut Name<T>> {
        let fresh = |name: &Name<T>| now.duration_since(name.used) < MEMORY;
        if self.sweep.is_due(now) {
            self.by_name.retain(|_, name| fresh(name));
        }
        self.by_name.get_mut(name).filter(|name| fresh(name))
    }
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self {
            process_started: Instant::now(),
            names: Arc::default(),
        }
    }
}

impl<T: Made> Memory<T> {
    /// What is known of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Name<T>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let name = names.get(name, now)?;
        name.used = now;
        Some(name.clone())
    }

    /// Whether what bears the name was answered so long ago that the caller has surely stored it.
    #[must_use]
    pub fn is_surely_stored(&self, name: &str) -> bool {
        let known = self.get(name).and_then(|name| name.known);
        known.is_some_and(|known| known.since.elapsed() >= STORED_BY_NOW)
    }

    /// Whether what bears the name was made, or first found, less than this ago.
    #[must_use]
    pub fn is_newer_than(&self, name: &str, age: Duration) -> bool {
        let known = self.get(name).and_then(|name| name.known);
        known.is_some_and(|known| known.since.elapsed() < age)
    }

    /// Whether this snapshot bears a name, and was made, or first found, less than this ago.
    #[must_use]
    pub fn has_new(&self, id: &str, age: Duration) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = names.by_name.values().filter_map(|name| name.known.as_ref());
        known.any(|known| known.since.elapsed() < age && known.made.ids().contains(&id))
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Name<T>)) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let entry = names.by_name.entry(name.to_owned()).or_insert(Name {
            used: now,
            known: None,
            unclear_since: None,
            duplicates: BTreeMap::new(),
            removing: BTreeSet::new(),
        });
        entry.used = now;
        change(entry);
    }

    /// This bears the name.
    pub fn remember(&self, name: &str, made: &T) {
        let made = made.without_tags();
        self.change(name, |entry| match &mut entry.known {
            Some(known) if known.made.ids() == made.ids() => known.made = made,
            known => {
                *known = Some(Known {
                    made,
                    since: Instant::now(),
                    is_complete: false,
                    is_refusal_told: false,
                });
            }
        });
    }

    /// Fast restores and locks of what bears the name are done.
    pub fn complete(&self, name: &str) {
        self.change(name, |entry| {
            if let Some(known) = &mut entry.known {
                known.is_complete = true;
            }
        });
    }

    /// Whether this is the first time that the refusal of the class of what bears the name is told.
    #[must_use]
    pub fn tell_refusal(&self, name: &str) -> bool {
        let mut is_first = false;
        self.change(name, |entry| {
            if let Some(known) = &mut entry.known {
                is_first = !std::mem::replace(&mut known.is_refusal_told, true);
            }
        });
        is_first
    }

    /// Whatever came of unclear attempts has been seen: from now on what bears the name is asked for by ID.
    pub fn settle(&self, name: &str) {
        self.change(name, |entry| {
            entry.unclear_since = None;
            entry.duplicates.clear();
            entry.removing.clear();
        });
    }

    /// Surely nothing bears the name.
    pub fn forget(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.by_name.remove(name);
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
        names.by_name.retain(|_, name| {
            name.known
                .as_ref()
                .is_none_or(|known| !known.made.ids().contains(&id))
        });
    }

    /// Begins an attempt to create. Unless it is said to be resolved, its outcome is unclear from the moment at
    /// which the guard is dropped, also when that is because the call was cancelled.
    #[must_use]
    pub fn attempt(&self, name: &str) -> Attempt<T> {
        Attempt {
            memory: self.clone(),
            name: name.to_owned(),
            removing: BTreeSet::new(),
            is_resolved: false,
        }
    }
}

/// An attempt to create, or to delete again what was created, whose outcome is not known yet.
#[derive(Debug)]
pub struct Attempt<T: Made> {
    memory: Memory<T>,
    name: String,
    removing: BTreeSet<String>,
    is_resolved: bool,
}

impl<T: Made> Attempt<T> {
    /// From here on these are deleted: nobody has heard of them. Whatever comes of it, they may be shown for a while.
    #[must_use]
    pub fn removing(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.removing.extend(ids);
        self
    }

    /// The outcome is known: nothing can come of this attempt that was not seen.
    pub fn resolve(mut self) {
        self.is_resolved = true;
    }
}

impl<T: Made> Drop for Attempt<T> {
    fn drop(&mut self) {
        if !self.is_resolved {
            let now = Instant::now();
            let mut removing = std::mem::take(&mut self.removing);
            self.memory.change(&self.name, |entry| {
                entry.unclear_since = Some(now);
                if !removing.is_empty() {
                    // Only a lookup tells what is left: by its ID it would be missed for ever.
                    entry.known = None;
                    entry.removing.append(&mut removing);
                }
            });
        }
    }
}
