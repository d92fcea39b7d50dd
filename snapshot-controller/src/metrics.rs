//! Metrics of the function (spec snapshot 6, journeys 7.3).
//!
//! Start times live in memory: after a restart durations start again. Snapshots are counted as they change, so that a
//! scrape looks at those only that are not ready.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use base::metrics::register;
use crds::group::v1::VolumeGroupSnapshot;
use crds::v1::VolumeSnapshot;
use jiff::Timestamp;
use kube::ResourceExt;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry};
use runtime::ObjectKey;

use crate::observe::Caches;
use crate::plan::group::{self, ObservedGroup};
use crate::plan::{Observed, Source, is_deleting, is_ready};

const SECONDS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
const UNKNOWN: &str = "unknown";
const READY: &str = "ready";

/// What is measured from its first sync on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Create,
    CreateAndReady,
    Delete,
}

impl Operation {
    fn as_str(self, of_group: bool) -> &'static str {
        match (self, of_group) {
            (Self::Create, false) => "CreateSnapshot",
            (Self::Create, true) => "CreateGroupSnapshot",
            (Self::CreateAndReady, false) => "CreateSnapshotAndReady",
            (Self::CreateAndReady, true) => "CreateGroupSnapshotAndReady",
            (Self::Delete, false) => "DeleteSnapshot",
            (Self::Delete, true) => "DeleteGroupSnapshot",
        }
    }
}

/// How far a snapshot or a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    Cut,
    Ready,
    Deleting,
}

impl Stage {
    fn of(is_deleting: bool, is_ready: bool, is_cut: bool) -> Self {
        match (is_deleting, is_ready, is_cut) {
            (true, _, _) => Self::Deleting,
            (false, true, _) => Self::Ready,
            (false, false, true) => Self::Cut,
            (false, false, false) => Self::Begun,
        }
    }
}

/// How a snapshot or a group is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Labels {
    driver: String,
    kind: &'static str,
    of_group: bool,
}

impl Labels {
    /// The content's driver for pre-provisioned snapshots, the class's for dynamic ones.
    fn of(observed: &Observed) -> Self {
        let of_content = || {
            observed
                .content
                .found()
                .map(|content| content.spec.driver.clone())
        };
        let of_class = || observed.class.found().map(|class| class.driver.clone());
        let (driver, kind) = match Source::of(&observed.snapshot) {
            Source::PreProvisioned(_) => (of_content(), "pre-provisioned"),
            Source::Dynamic(_) | Source::Member | Source::Invalid => {
                (of_class().or_else(of_content), "dynamic")
            }
        };
        Self {
            driver: driver.unwrap_or_else(|| UNKNOWN.to_owned()),
            kind,
            of_group: false,
        }
    }

    fn of_group(observed: &ObservedGroup) -> Self {
        let content = observed.content.found();
        let of_content = || content.map(|content| content.spec.driver.clone());
        let of_class = || observed.class.found().map(|class| class.driver.clone());
        let (driver, kind) = match group::Source::of(&observed.group) {
            group::Source::PreProvisioned(_) => (of_content(), "pre-provisioned"),
            group::Source::Dynamic(_) | group::Source::Invalid => (of_class().or_else(of_content), "dynamic"),
        };
        Self {
            driver: driver.unwrap_or_else(|| UNKNOWN.to_owned()),
            kind,
            of_group: true,
        }
    }

    /// The later one, unless only the earlier one knew the driver.
    fn or(self, earlier: Labels) -> Labels {
        if self.driver == UNKNOWN { earlier } else { self }
    }
}

#[derive(Clone, Debug)]
struct Started {
    at: Timestamp,
    labels: Labels,
}

type Table = BTreeMap<(String, Operation), Started>;

/// The metrics of the function, in its registry.
pub(crate) struct Metrics {
    operations: HistogramVec,
    table: Arc<Mutex<Table>>,
    census: Arc<Mutex<Census>>,
    clock: Clock,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, clock: &Clock) -> Result<Self, prometheus::Error> {
        let opts = HistogramOpts::new(
            "snapshot_controller_operation_total_seconds",
            "Seconds from the first sight of an operation to its end, by how it ended.",
        )
        .buckets(SECONDS.to_vec());
        let labels = [
            "driver_name",
            "operation_name",
            "snapshot_type",
            "operation_status",
        ];
        let operations = register(registry, HistogramVec::new(opts, &labels)?)?;
        let table = Arc::<Mutex<Table>>::default();
        let census = Arc::<Mutex<Census>>::default();
        registry.register(Box::new(AtScrape::new(&table, &census, clock)?))?;
        Ok(Self {
            operations,
            table,
            census,
            clock: clock.clone(),
        })
    }

    /// Counts a snapshot as it is in these caches now; none there is none any more.
    pub(crate) fn count(&self, caches: &Caches, key: &ObjectKey) {
        let standing = caches.snapshots.get(key).map(|snapshot| Standing {
            driver: caches.driver_of(&snapshot).unwrap_or_else(|| UNKNOWN.to_owned()),
            phase: phase(&snapshot),
            since: since(&snapshot),
        });
        lock(&self.census).set(key, standing);
    }

    /// Counts for one term of leadership: dropping it, however the term ends, forgets what is counted and what had begun.
    /// The next term sees every snapshot anew.
    pub(crate) fn term(&self) -> Term {
        Term {
            table: self.table.clone(),
            census: self.census.clone(),
        }
    }

    /// Starts and ends what the snapshot's state says.
    pub(crate) fn see(&self, observed: &Observed, now: Timestamp) {
        let snapshot = &observed.snapshot;
        let Some(uid) = snapshot.uid() else { return };
        let cut = snapshot
            .status
            .as_ref()
            .is_some_and(|status| status.creation_time.is_some());
        let stage = Stage::of(is_deleting(&**snapshot), is_ready(snapshot), cut);
        self.progress(&uid, &Labels::of(observed), stage, now);
    }

    /// The same for a group.
    pub(crate) fn see_group(&self, observed: &ObservedGroup, now: Timestamp) {
        let group = &observed.group;
        let Some(uid) = group.uid() else { return };
        let cut = group
            .status
            .as_ref()
            .is_some_and(|status| status.creation_time.is_some());
        let stage = Stage::of(is_deleting(&**group), group::is_ready(group), cut);
        self.progress(&uid, &Labels::of_group(observed), stage, now);
    }

    fn progress(&self, uid: &str, labels: &Labels, stage: Stage, now: Timestamp) {
        let start = |operation| {
            lock(&self.table)
                .entry((uid.to_owned(), operation))
                .or_insert_with(|| Started {
                    at: now,
                    labels: labels.clone(),
                });
        };
        match stage {
            Stage::Deleting => start(Operation::Delete),
            Stage::Ready => {
                self.succeed(uid, Operation::Create, labels, now);
                self.succeed(uid, Operation::CreateAndReady, labels, now);
            }
            Stage::Cut => {
                self.succeed(uid, Operation::Create, labels, now);
                start(Operation::CreateAndReady);
            }
            Stage::Begun => {
                start(Operation::Create);
                start(Operation::CreateAndReady);
            }
        }
    }

    /// Ends the deletion of a snapshot that is gone, and cancels what was pending of its creation.
    pub(crate) fn gone(&self, snapshot: &VolumeSnapshot) {
        self.ended(snapshot);
    }

    /// The same for a group.
    pub(crate) fn gone_group(&self, group: &VolumeGroupSnapshot) {
        self.ended(group);
    }

    fn ended(&self, object: &impl ResourceExt) {
        let Some(uid) = object.uid() else { return };
        let now = self.clock.now();
        let take = |operation| lock(&self.table).remove(&(uid.clone(), operation));
        let deleted = take(Operation::Delete);
        let pending =
            [Operation::Create, Operation::CreateAndReady].map(|operation| (operation, take(operation)));
        // One that was removed by force is not counted.
        let Some(deleted) = deleted else { return };
        for (operation, started) in pending {
            if let Some(started) = started {
                let labels = deleted.labels.clone().or(started.labels);
                self.observe(operation, "cancel", &labels, deleted.at, now);
            }
        }
        self.observe(Operation::Delete, "success", &deleted.labels, deleted.at, now);
    }

    fn succeed(&self, uid: &str, operation: Operation, labels: &Labels, now: Timestamp) {
        let started = lock(&self.table).remove(&(uid.to_owned(), operation));
        if let Some(started) = started {
            let labels = labels.clone().or(started.labels);
            self.observe(operation, "success", &labels, started.at, now);
        }
    }

    fn observe(&self, operation: Operation, status: &str, labels: &Labels, from: Timestamp, to: Timestamp) {
        self.operations
            .with_label_values(&[
                labels.driver.as_str(),
                operation.as_str(labels.of_group),
                labels.kind,
                status,
            ])
            .observe(to.duration_since(from).as_secs_f64().max(0.0));
    }
}

/// See [`Metrics::term`].
pub(crate) struct Term {
    table: Arc<Mutex<Table>>,
    census: Arc<Mutex<Census>>,
}

impl Drop for Term {
    fn drop(&mut self) {
        lock(&self.table).clear();
        *lock(&self.census) = Census::default();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gauges that are computed when they are asked for.
struct AtScrape {
    table: Arc<Mutex<Table>>,
    census: Arc<Mutex<Census>>,
    clock: Clock,
    in_flight: IntGauge,
    phases: IntGaugeVec,
    oldest: GaugeVec,
}

impl AtScrape {
    fn new(
        table: &Arc<Mutex<Table>>,
        census: &Arc<Mutex<Census>>,
        clock: &Clock,
    ) -> Result<Self, prometheus::Error> {
        let labels = ["driver_name", "phase"];
        Ok(Self {
            table: table.clone(),
            census: census.clone(),
            clock: clock.clone(),
            in_flight: IntGauge::new(
                "snapshot_controller_operations_in_flight",
                "Operations that have started and not ended.",
            )?,
            phases: IntGaugeVec::new(
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
        })
    }

    fn refresh(&self) {
        let open = lock(&self.table).len();
        self.in_flight.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.phases.reset();
        self.oldest.reset();
        let now = self.clock.now();
        let census = lock(&self.census);
        for ((driver, phase), count) in &census.counts {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.phases
                .with_label_values(&[driver.as_str(), phase])
                .set(count);
        }
        for standing in census.open.values() {
            let oldest = self
                .oldest
                .with_label_values(&[standing.driver.as_str(), standing.phase]);
            let age = standing
                .since
                .map_or(0.0, |since| now.duration_since(since).as_secs_f64());
            oldest.set(oldest.get().max(age));
        }
    }
}

/// How many snapshots there are, by driver and phase, kept up by their changes.
#[derive(Default)]
struct Census {
    counts: BTreeMap<(String, &'static str), usize>,
    /// Those that are not ready.
    open: BTreeMap<ObjectKey, Standing>,
    /// The drivers of the others, which are many, by a hash of their keys: few bytes each.
    ready: BTreeMap<u64, Arc<str>>,
    drivers: BTreeSet<Arc<str>>,
}

/// One snapshot in the census.
struct Standing {
    driver: String,
    phase: &'static str,
    since: Option<Timestamp>,
}

impl Census {
    fn set(&mut self, key: &ObjectKey, standing: Option<Standing>) {
        if let Some(before) = self.open.remove(key) {
            self.uncount(before.driver, before.phase);
        } else if let Some(driver) = self.ready.remove(&hash(key)) {
            self.uncount(driver.to_string(), READY);
        }
        let Some(standing) = standing else { return };
        *self
            .counts
            .entry((standing.driver.clone(), standing.phase))
            .or_default() += 1;
        if standing.phase == READY {
            let driver = self.driver(&standing.driver);
            self.ready.insert(hash(key), driver);
        } else {
            self.open.insert(key.clone(), standing);
        }
    }

    fn uncount(&mut self, driver: String, phase: &'static str) {
        let place = (driver, phase);
        match self.counts.get_mut(&place) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.counts.remove(&place);
            }
        }
    }

    fn driver(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.drivers.get(name) {
            return known.clone();
        }
        let driver: Arc<str> = name.into();
        self.drivers.insert(driver.clone());
        driver
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

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.in_flight.desc();
        all.extend(self.phases.desc());
        all.extend(self.oldest.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let mut all = self.in_flight.collect();
        all.extend(self.phases.collect());
        all.extend(self.oldest.collect());
        all
    }
}

/// The phase of a snapshot, as `slackwater_volumesnapshots` counts it.
fn phase(snapshot: &VolumeSnapshot) -> &'static str {
    let status = snapshot.status.as_ref();
    if is_deleting(snapshot) {
        "deleting"
    } else if is_ready(snapshot) {
        READY
    } else if status.is_some_and(|status| status.error.is_some()) {
        "error"
    } else if status.is_some_and(|status| status.bound_volume_snapshot_content_name.is_some()) {
        "creating"
    } else {
        "unbound"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::{recorded, recorded_snapshot};

    fn metrics(registry: &Registry) -> Metrics {
        let clock = Clock::simulated("2026-01-01T00:01:00Z".parse().unwrap());
        Metrics::new(registry, &clock).unwrap()
    }

    fn gauge(registry: &Registry, name: &str, label: &str) -> f64 {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let of_label = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|one| one.value() == label)
        };
        metrics
            .iter()
            .filter(of_label)
            .map(|metric| metric.get_gauge().get_value())
            .sum()
    }

    /// Those that are ready are counted as they change, and are not looked at again.
    #[tokio::test]
    async fn a_scrape_looks_only_at_snapshots_that_are_not_ready() {
        let (registry, caches) = (Registry::new(), recorded());
        let metrics = metrics(&registry);
        for number in 0..50 {
            let key = recorded_snapshot(&caches, &format!("ready-{number}"), "p", true);
            metrics.count(&caches, &key);
        }
        let key = recorded_snapshot(&caches, "waiting", "p", false);
        metrics.count(&caches, &key);
        let count = |phase| gauge(&registry, "slackwater_volumesnapshots", phase);
        assert_eq!((count(READY), count("unbound")), (50.0, 1.0));
        let looked_at: Vec<ObjectKey> = lock(&metrics.census).open.keys().cloned().collect();
        assert_eq!(looked_at, [key]);
        // Ready at last, and gone.
        let key = recorded_snapshot(&caches, "waiting", "p", true);
        metrics.count(&caches, &key);
        caches
            .snapshots
            .record_deleted(&ObjectKey::new("ns", "ready-0"), "ready-0");
        metrics.count(&caches, &ObjectKey::new("ns", "ready-0"));
        assert_eq!((count(READY), count("unbound")), (50.0, 0.0));
    }
}
