//! Metrics of the function (spec snapshot 6, journeys 7.3).
//!
//! Start times live in memory: after a restart durations start again. The gauges are computed at the scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use base::metrics::register;
use crds::v1::VolumeSnapshot;
use jiff::Timestamp;
use kube::ResourceExt;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::observe::Caches;
use crate::plan::{Observed, Source, is_deleting, is_ready};

const SECONDS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
const UNKNOWN: &str = "unknown";

/// What is measured from its first sync on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Create,
    CreateAndReady,
    Delete,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CreateSnapshot",
            Self::CreateAndReady => "CreateSnapshotAndReady",
            Self::Delete => "DeleteSnapshot",
        }
    }
}

/// How a snapshot is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Labels {
    driver: String,
    kind: &'static str,
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
    caches: Arc<Mutex<Option<Caches>>>,
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
        let caches = Arc::<Mutex<Option<Caches>>>::default();
        registry.register(Box::new(AtScrape::new(&table, &caches, clock)?))?;
        Ok(Self {
            operations,
            table,
            caches,
            clock: clock.clone(),
        })
    }

    /// Counts the phases of the snapshots in these caches from now on.
    pub(crate) fn count(&self, caches: Option<Caches>) {
        *lock(&self.caches) = caches;
    }

    /// Starts and ends what the snapshot's state says.
    pub(crate) fn see(&self, observed: &Observed, now: Timestamp) {
        let snapshot = &observed.snapshot;
        let Some(uid) = snapshot.uid() else { return };
        let labels = Labels::of(observed);
        let start = |operation| {
            lock(&self.table)
                .entry((uid.clone(), operation))
                .or_insert_with(|| Started {
                    at: now,
                    labels: labels.clone(),
                });
        };
        if is_deleting(&**snapshot) {
            start(Operation::Delete);
            return;
        }
        let cut = snapshot
            .status
            .as_ref()
            .is_some_and(|status| status.creation_time.is_some());
        if is_ready(snapshot) {
            self.succeed(&uid, Operation::Create, &labels, now);
            self.succeed(&uid, Operation::CreateAndReady, &labels, now);
        } else if cut {
            self.succeed(&uid, Operation::Create, &labels, now);
            start(Operation::CreateAndReady);
        } else {
            start(Operation::Create);
            start(Operation::CreateAndReady);
        }
    }

    /// Ends the deletion of a snapshot that is gone, and cancels what was pending of its creation.
    pub(crate) fn gone(&self, snapshot: &VolumeSnapshot) {
        let Some(uid) = snapshot.uid() else { return };
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
            .with_label_values(&[labels.driver.as_str(), operation.as_str(), labels.kind, status])
            .observe(to.duration_since(from).as_secs_f64().max(0.0));
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gauges that are computed when they are asked for.
struct AtScrape {
    table: Arc<Mutex<Table>>,
    caches: Arc<Mutex<Option<Caches>>>,
    clock: Clock,
    in_flight: IntGauge,
    phases: IntGaugeVec,
    oldest: GaugeVec,
}

impl AtScrape {
    fn new(
        table: &Arc<Mutex<Table>>,
        caches: &Arc<Mutex<Option<Caches>>>,
        clock: &Clock,
    ) -> Result<Self, prometheus::Error> {
        let labels = ["driver_name", "phase"];
        Ok(Self {
            table: table.clone(),
            caches: caches.clone(),
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
                    "Age of the oldest VolumeSnapshot of a phase; of a deletion, since it was asked for.",
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
        let Some(caches) = lock(&self.caches).clone() else {
            return;
        };
        let now = self.clock.now();
        let mut oldest = BTreeMap::<(String, &'static str), f64>::new();
        for snapshot in caches.snapshots.all() {
            let driver = caches.driver_of(&snapshot).unwrap_or_else(|| UNKNOWN.to_owned());
            let phase = phase(&snapshot);
            self.phases.with_label_values(&[driver.as_str(), phase]).inc();
            let known = oldest.entry((driver, phase)).or_default();
            *known = known.max(age(&snapshot, now));
        }
        for ((driver, phase), age) in oldest {
            self.oldest.with_label_values(&[driver.as_str(), phase]).set(age);
        }
    }
}

/// Seconds since the deletion was asked for, else since the creation.
fn age(snapshot: &VolumeSnapshot, now: Timestamp) -> f64 {
    let metadata = &snapshot.metadata;
    let since = metadata
        .deletion_timestamp
        .as_ref()
        .or(metadata.creation_timestamp.as_ref());
    since.map_or(0.0, |since| now.duration_since(since.0).as_secs_f64().max(0.0))
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
        "ready"
    } else if status.is_some_and(|status| status.error.is_some()) {
        "error"
    } else if status.is_some_and(|status| status.bound_volume_snapshot_content_name.is_some()) {
        "creating"
    } else {
        "unbound"
    }
}
