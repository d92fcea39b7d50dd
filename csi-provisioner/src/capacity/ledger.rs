//! Which objects are wanted, which are there, and whose room may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Queue;
use base::metrics::register;
use controller::Difference;
use csi::v1::Topology;
use k8s_openapi::api::core::v1::VolumeNodeAffinity;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use prometheus::{IntGauge, Registry};
use runtime::ObjectKey;

use super::counts::Counts;
use super::segments::{self, Segment};

/// Upstream's counts.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    goal: IntGauge,
    current: IntGauge,
    obsolete: IntGauge,
}

impl Gauges {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let name = format!("csistoragecapacities_{name}");
            register(registry, IntGauge::new(name, help)?)
        };
        Ok(Self {
            goal: gauge(
                "desired_goal",
                "Number of CSIStorageCapacity objects that are supposed to be managed automatically.",
            )?,
            current: gauge(
                "desired_current",
                "Number of CSIStorageCapacity objects that exist and are supposed to be managed automatically.",
            )?,
            obsolete: gauge(
                "obsolete",
                "Number of CSIStorageCapacity objects that exist and will be deleted automatically. Objects that exist and \
                 may need an update are not considered obsolete and therefore not included in this value.",
            )?,
        })
    }

    fn set(&self, goal: usize, current: usize, obsolete: usize) {
        let gauges = [
            (&self.goal, goal),
            (&self.current, current),
            (&self.obsolete, obsolete),
        ];
        for (gauge, number) in gauges {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}

/// What one term of leadership knows. Clones share it; its counts go with the last.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    gauges: Gauges,
}

#[derive(Default)]
struct State {
    wanted: BTreeMap<ObjectKey, Segment>,
    /// What each object that is there is about.
    present: BTreeMap<ObjectKey, ObjectKey>,
    counts: Counts,
    stale: BTreeSet<ObjectKey>,
}

impl Ledger {
    pub(crate) fn new(gauges: Gauges) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            gauges,
        }))
    }

    /// From now on these are wanted; answers those that came or went.
    pub(crate) fn want(&self, wanted: BTreeMap<ObjectKey, Segment>) -> Vec<ObjectKey> {
        let mut state = self.lock();
        let former = std::mem::replace(&mut state.wanted, wanted);
        let came = state.wanted.keys().filter(|key| !former.contains_key(key));
        let went = former.keys().filter(|key| !state.wanted.contains_key(key));
        let changed = came.chain(went).cloned().collect();
        let State { wanted, counts, .. } = &mut *state;
        counts.anew(|about| wanted.contains_key(about));
        self.show(&state);
        changed
    }

    /// The place of what is wanted.
    pub(crate) fn segment(&self, about: &ObjectKey) -> Option<Segment> {
        self.lock().wanted.get(about).cloned()
    }

    /// Takes in a change of an object; answers what it was and is about.
    pub(crate) fn note(&self, change: Difference<'_, CSIStorageCapacity>) -> Vec<ObjectKey> {
        let mut state = self.lock();
        let now = change.new.map(segments::about_object);
        let former = match &now {
            Some(about) => state.present.insert(change.key.clone(), about.clone()),
            None => state.present.remove(change.key),
        };
        let State { wanted, counts, .. } = &mut *state;
        counts.change(former.as_ref(), now.as_ref(), |about| wanted.contains_key(about));
        self.show(&state);
        let mut concerned: Vec<ObjectKey> = former.into_iter().chain(now).collect();
        concerned.dedup();
        concerned
    }

    /// The room may be another one for those of which this is true; answers them.
    fn mark(&self, concerned: impl Fn(&ObjectKey, &Segment) -> bool) -> Vec<ObjectKey> {
        let mut state = self.lock();
        let of = state
            .wanted
            .iter()
            .filter(|(about, segment)| concerned(about, segment));
        let keys: Vec<ObjectKey> = of.map(|(about, _)| about.clone()).collect();
        state.stale.extend(keys.iter().cloned());
        keys
    }

    pub(crate) fn is_stale(&self, about: &ObjectKey) -> bool {
        self.lock().stale.contains(about)
    }

    /// The driver is asked now: what changes from here on is news again.
    pub(crate) fn ask(&self, about: &ObjectKey) {
        self.lock().stale.remove(about);
    }

    fn show(&self, state: &State) {
        let Counts {
            current, obsolete, ..
        } = state.counts;
        self.0.gauges.set(state.wanted.len(), current, obsolete);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.gauges.set(0, 0, 0);
    }
}

/// Has the driver asked again once volumes came or went.
#[derive(Clone)]
pub(crate) struct Refresh {
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue<ObjectKey>,
}

impl Refresh {
    /// A volume was made there, or was not made; without a place all of its class are looked at.
    pub(crate) fn made(&self, class: &str, places: &[Topology]) {
        let places: Vec<&Segment> = places
            .iter()
            .map(|place| &place.segments)
            .filter(|segments| !segments.is_empty())
            .collect();
        match places.is_empty() {
            true => self.class(class),
            false => self.enqueue(self.ledger.mark(|_, segment| places.contains(&segment))),
        }
    }

    /// Something about a class has changed.
    pub(crate) fn class(&self, class: &str) {
        self.enqueue(self.ledger.mark(|about, _| about.namespace == class));
    }

    /// A volume that could be reached from there is gone.
    pub(crate) fn deleted(&self, affinity: Option<&VolumeNodeAffinity>) {
        let terms = affinity
            .and_then(|affinity| affinity.required.as_ref())
            .map(|required| required.node_selector_terms.as_slice());
        let places: Vec<Segment> = terms
            .unwrap_or_default()
            .iter()
            .filter_map(segments::segment_of)
            .collect();
        self.enqueue(self.ledger.mark(|_, segment| places.contains(segment)));
    }

    pub(crate) fn enqueue(&self, keys: Vec<ObjectKey>) {
        for key in keys {
            self.queue.add(key);
        }
    }
}
