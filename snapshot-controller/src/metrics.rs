//! Metrics of the function (spec snapshot 6, journeys 7.3).
//!
//! Start times live in memory: after a restart durations start again. How many objects there are is the subject of
//! [`census`].

mod census;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use base::metrics::register;
use controller::failures::UNKNOWN_DRIVER;
use crds::group::v1::VolumeGroupSnapshot;
use crds::v1::VolumeSnapshot;
use jiff::Timestamp;
use kube::ResourceExt;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntGauge, Registry};
use runtime::ObjectKey;

use self::census::Census;

use crate::observe::Caches;
use crate::plan::group::{self, ObservedGroup};
use crate::plan::{Observed, Source, is_deleting, is_ready};

const SECONDS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

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
            driver: driver.unwrap_or_else(|| UNKNOWN_DRIVER.to_owned()),
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
            driver: driver.unwrap_or_else(|| UNKNOWN_DRIVER.to_owned()),
            kind,
            of_group: true,
        }
    }

    /// The later one, unless only the earlier one knew the driver.
    fn or(self, earlier: Labels) -> Labels {
        if self.driver == UNKNOWN_DRIVER {
            earlier
        } else {
            self
        }
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
    census: Census,
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
        registry.register(Box::new(AtScrape::new(&table)?))?;
        let census = Census::new(registry, clock)?;
        Ok(Self {
            operations,
            table,
            census,
            clock: clock.clone(),
        })
    }

    /// Counts a snapshot as it is in these caches now; none there is none any more.
    pub(crate) fn count(&self, caches: &Caches, key: &ObjectKey) {
        self.census.snapshot(caches, key);
    }

    /// The same of a content.
    pub(crate) fn count_content(&self, caches: &Caches, key: &ObjectKey) {
        self.census.content(caches, key);
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
                // As long as it was waited for, not as its deletion took.
                self.observe(operation, "cancel", &labels, started.at, now);
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
    census: Census,
}

impl Drop for Term {
    fn drop(&mut self) {
        lock(&self.table).clear();
        self.census.clear();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gauge of what is open, computed when it is asked for.
struct AtScrape {
    table: Arc<Mutex<Table>>,
    in_flight: IntGauge,
}

impl AtScrape {
    fn new(table: &Arc<Mutex<Table>>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            table: table.clone(),
            in_flight: IntGauge::new(
                "snapshot_controller_operations_in_flight",
                "Operations that have started and not ended.",
            )?,
        })
    }
}

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        self.in_flight.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let open = lock(&self.table).len();
        self.in_flight.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.in_flight.collect()
    }
}
