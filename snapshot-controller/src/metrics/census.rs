//! How many VolumeSnapshots and VolumeSnapshotContents there are, by state, driver and policy. They are counted as they
//! change, so that a scrape looks at those only that are not ready.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use base::Clock;
use controller::failures::UNKNOWN_DRIVER;
use crds::v1::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use runtime::ObjectKey;

use super::lock;
use crate::observe::{Caches, reference_key};
use crate::plan::{is_deleting, is_ready};

const UNBOUND: &str = "unbound";
const CREATING: &str = "creating";
const ERROR: &str = "error";
const READY: &str = "ready";
const DELETING: &str = "deleting";
const ORPHANED: &str = "orphaned";

/// The counts of one function. Clones share them.
#[derive(Clone)]
pub(super) struct Census(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    snapshots: Tally<[Label; 2]>,
    /// Snapshots that are not ready, and since when they are waited for.
    open: BTreeMap<ObjectKey, Open>,
    contents: Tally<[Label; 3]>,
    labels: BTreeSet<Label>,
}

/// The value of a label. There are few, and many objects with each.
type Label = Arc<str>;

struct Open {
    place: [Label; 2],
    since: Option<Timestamp>,
}

impl Census {
    /// Registers the gauges.
    pub(super) fn new(registry: &Registry, clock: &Clock) -> Result<Self, prometheus::Error> {
        let census = Self(Arc::default());
        registry.register(Box::new(AtScrape::new(&census, clock)?))?;
        Ok(census)
    }

    /// Counts a snapshot as it is in these caches now; none there is none any more.
    pub(super) fn snapshot(&self, caches: &Caches, key: &ObjectKey) {
        let snapshot = caches.snapshots.get(key);
        let driver = snapshot.as_ref().and_then(|snapshot| caches.driver_of(snapshot));
        let mut counts = lock(&self.0);
        counts.open.remove(key);
        let Some(snapshot) = snapshot else {
            return counts.snapshots.set(key, None);
        };
        let phase = phase(&snapshot);
        let place = [
            counts.label(driver.as_deref().unwrap_or(UNKNOWN_DRIVER)),
            counts.label(phase),
        ];
        counts.snapshots.set(key, Some(place.clone()));
        if phase != READY {
            let since = since(&snapshot);
            counts.open.insert(key.clone(), Open { place, since });
        }
    }

    /// The same of a content. Whether it is an orphan hangs on its snapshot: it is counted anew when that comes or goes.
    pub(super) fn content(&self, caches: &Caches, key: &ObjectKey) {
        let content = caches.contents.get(key);
        let mut counts = lock(&self.0);
        let place = content.map(|content| {
            let policy = match content.spec.deletion_policy {
                DeletionPolicy::Delete => "Delete",
                DeletionPolicy::Retain => "Retain",
            };
            let phase = phase_of_content(&content, is_orphan(caches, &content));
            [&*content.spec.driver, phase, policy].map(|label| counts.label(label))
        });
        counts.contents.set(key, place);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        *lock(&self.0) = Counts::default();
    }
}

impl Counts {
    fn label(&mut self, text: &str) -> Label {
        if let Some(known) = self.labels.get(text) {
            return known.clone();
        }
        let label: Label = text.into();
        self.labels.insert(label.clone());
        label
    }
}

/// How many objects there are in each place.
struct Tally<P> {
    counts: BTreeMap<P, usize>,
    /// Where each object is, by a hash of its key: few bytes each.
    places: BTreeMap<u64, P>,
}

impl<P> Default for Tally<P> {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<P: Clone + Ord> Tally<P> {
    fn set(&mut self, key: &ObjectKey, place: Option<P>) {
        let hash = hash(key);
        if let Some(before) = self.places.remove(&hash) {
            match self.counts.get_mut(&before) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.counts.remove(&before);
                }
            }
        }
        if let Some(place) = place {
            *self.counts.entry(place.clone()).or_default() += 1;
            self.places.insert(hash, place);
        }
    }
}

fn hash(key: &ObjectKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// When the deletion was asked for, else when it was created.
fn since(snapshot: &VolumeSnapshot) -> Option<Timestamp> {
    let metadata = &snapshot.metadata;
    let since = metadata.deletion_timestamp.as_ref();
    Some(since.or(metadata.creation_timestamp.as_ref())?.0)
}

/// The phase of a snapshot, as `slackwater_volumesnapshots` counts it.
fn phase(snapshot: &VolumeSnapshot) -> &'static str {
    let status = snapshot.status.as_ref();
    if is_deleting(snapshot) {
        DELETING
    } else if is_ready(snapshot) {
        READY
    } else if status.is_some_and(|status| status.error.is_some()) {
        ERROR
    } else if status.is_some_and(|status| status.bound_volume_snapshot_content_name.is_some()) {
        CREATING
    } else {
        UNBOUND
    }
}

/// The phase of a content, as `slackwater_volumesnapshotcontents` counts it.
fn phase_of_content(content: &VolumeSnapshotContent, is_orphan: bool) -> &'static str {
    let status = content.status.as_ref();
    if is_deleting(content) {
        DELETING
    } else if is_orphan {
        ORPHANED
    } else if uid(content).is_none() {
        UNBOUND
    } else if status.and_then(|status| status.ready_to_use) == Some(true) {
        READY
    } else if status.is_some_and(|status| status.error.is_some()) {
        ERROR
    } else {
        CREATING
    }
}

/// It was bound to a snapshot that is no more.
fn is_orphan(caches: &Caches, content: &VolumeSnapshotContent) -> bool {
    let Some(uid) = uid(content) else { return false };
    let snapshot = reference_key(content).and_then(|key| caches.snapshots.get(&key));
    snapshot.is_none_or(|snapshot| snapshot.metadata.uid.as_deref() != Some(uid))
}

fn uid(content: &VolumeSnapshotContent) -> Option<&str> {
    let uid = content.spec.volume_snapshot_ref.uid.as_deref();
    uid.filter(|uid| !uid.is_empty())
}

/// The gauges, computed from the counts when they are asked for.
struct AtScrape {
    census: Census,
    clock: Clock,
    snapshots: IntGaugeVec,
    oldest: GaugeVec,
    contents: IntGaugeVec,
}

impl AtScrape {
    fn new(census: &Census, clock: &Clock) -> Result<Self, prometheus::Error> {
        let labels = ["driver_name", "phase"];
        let of_contents = ["driver_name", "phase", "deletion_policy"];
        Ok(Self {
            census: census.clone(),
            clock: clock.clone(),
            snapshots: IntGaugeVec::new(
                Opts::new("slackwater_volumesnapshots", "VolumeSnapshots by phase."),
                &labels,
            )?,
            oldest: GaugeVec::new(
                Opts::new(
                    "slackwater_volumesnapshot_oldest_seconds",
                    "Age of the oldest VolumeSnapshot that is not ready, by phase; of a deletion, since it was asked for.",
                ),
                &labels,
            )?,
            contents: IntGaugeVec::new(
                Opts::new(
                    "slackwater_volumesnapshotcontents",
                    "VolumeSnapshotContents by phase and policy; those whose VolumeSnapshot is gone are orphaned.",
                ),
                &of_contents,
            )?,
        })
    }

    fn refresh(&self) {
        self.snapshots.reset();
        self.oldest.reset();
        self.contents.reset();
        let now = self.clock.now();
        let counts = lock(&self.census.0);
        let count = |count: &usize| i64::try_from(*count).unwrap_or(i64::MAX);
        for (place, number) in &counts.snapshots.counts {
            self.snapshots.with_label_values(place).set(count(number));
        }
        for (place, number) in &counts.contents.counts {
            self.contents.with_label_values(place).set(count(number));
        }
        for open in counts.open.values() {
            let oldest = self.oldest.with_label_values(&open.place);
            let age = open
                .since
                .map_or(0.0, |since| now.duration_since(since).as_secs_f64());
            oldest.set(oldest.get().max(age));
        }
    }
}

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.snapshots.desc();
        all.extend(self.oldest.desc());
        all.extend(self.contents.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let mut all = self.snapshots.collect();
        all.extend(self.oldest.collect());
        all.extend(self.contents.collect());
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::observe::tests::{recorded, recorded_snapshot};

    fn census(registry: &Registry) -> Census {
        let clock = Clock::simulated("2026-01-01T00:01:00Z".parse().unwrap());
        Census::new(registry, &clock).unwrap()
    }

    /// The sum of a gauge's series that have all of these labels.
    fn gauge(registry: &Registry, name: &str, labels: &[&str]) -> f64 {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let has_all = |metric: &&prometheus::proto::Metric| {
            let has = |label: &&str| metric.get_label().iter().any(|one| one.value() == *label);
            labels.iter().all(has)
        };
        metrics
            .iter()
            .filter(has_all)
            .map(|metric| metric.get_gauge().get_value())
            .sum()
    }

    /// Those that are ready are counted as they change, and are not looked at again.
    #[tokio::test]
    async fn a_scrape_looks_only_at_snapshots_that_are_not_ready() {
        let (registry, caches) = (Registry::new(), recorded());
        let census = census(&registry);
        for number in 0..50 {
            let key = recorded_snapshot(&caches, &format!("ready-{number}"), "p", true);
            census.snapshot(&caches, &key);
        }
        let key = recorded_snapshot(&caches, "waiting", "p", false);
        census.snapshot(&caches, &key);
        let count = |phase| gauge(&registry, "slackwater_volumesnapshots", &[phase]);
        assert_eq!((count(READY), count(UNBOUND)), (50.0, 1.0));
        let looked_at: Vec<ObjectKey> = lock(&census.0).open.keys().cloned().collect();
        assert_eq!(looked_at, [key]);
        // Ready at last, and gone.
        let key = recorded_snapshot(&caches, "waiting", "p", true);
        census.snapshot(&caches, &key);
        caches
            .snapshots
            .record_deleted(&ObjectKey::new("ns", "ready-0"), "ready-0");
        census.snapshot(&caches, &ObjectKey::new("ns", "ready-0"));
        assert_eq!((count(READY), count(UNBOUND)), (50.0, 0.0));
    }

    fn record_content(caches: &Caches, version: u32, rest: &Value) -> ObjectKey {
        let mut object = json!({
            "metadata": {"name": "c", "uid": "cu", "resourceVersion": version.to_string(), "finalizers": ["f"]},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"snapshotHandle": "snap"},
                "volumeSnapshotRef": {"name": "s", "namespace": "ns"}},
        });
        json_patch::merge(&mut object, rest);
        caches.contents.record(serde_json::from_value(object).unwrap());
        ObjectKey::cluster("c")
    }

    #[tokio::test]
    async fn snapshot_case_140_contents_are_counted_by_state_driver_and_policy() {
        let (registry, caches) = (Registry::new(), recorded());
        let census = census(&registry);
        let bound = json!({"spec": {"volumeSnapshotRef": {"uid": "s"}}});
        let with = |change: Value| {
            let mut all = bound.clone();
            json_patch::merge(&mut all, &change);
            all
        };
        let count = |labels: &[&str]| gauge(&registry, "slackwater_volumesnapshotcontents", labels);
        let snapshot = recorded_snapshot(&caches, "s", "p", false);
        for (version, (change, phase)) in [
            (json!({}), UNBOUND),
            (bound.clone(), CREATING),
            (with(json!({"status": {"error": {"message": "no"}}})), ERROR),
            (with(json!({"status": {"readyToUse": true}})), READY),
            (
                with(json!({"spec": {"volumeSnapshotRef": {"uid": "another"}}})),
                ORPHANED,
            ),
            (
                with(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
                DELETING,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let key = record_content(&caches, 10 + u32::try_from(version).unwrap(), &change);
            census.content(&caches, &key);
            assert_eq!(count(&["d", phase, "Delete"]), 1.0, "{phase}");
            assert_eq!(count(&[]), 1.0, "it has left {phase}'s neighbour");
        }
        // Its snapshot goes.
        let retained = with(json!({"spec": {"deletionPolicy": "Retain"}, "status": {"readyToUse": true}}));
        let key = record_content(&caches, 20, &retained);
        census.content(&caches, &key);
        assert_eq!(count(&["d", READY, "Retain"]), 1.0);
        caches.snapshots.record_deleted(&snapshot, "s");
        census.content(&caches, &key);
        assert_eq!(count(&["d", ORPHANED, "Retain"]), 1.0);
        caches.contents.record_deleted(&key, "cu");
        census.content(&caches, &key);
        assert_eq!(count(&[]), 0.0);
    }
}
