//! `workqueue_*` as upstream has them (spec sidecars 1.5), `slackwater_work_seconds` and
//! `slackwater_panics_total`.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts};
use tokio::time::Instant;

use super::outcome::QueueKey;
use super::queue::Shared;

/// 1e-8 x 10^n, ten of them: upstream's buckets.
const DURATION_BUCKETS: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// EBS work takes minutes.
const WORK_BUCKETS: [f64; 16] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];

/// The series of one queue. The names are constant labels, so that several queues share a registry.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) adds: IntCounter,
    pub(super) retries: IntCounter,
    pub(super) queue_seconds: Histogram,
    pub(super) upstream_work_seconds: Histogram,
    pub(super) work_seconds: Histogram,
    pub(super) panics: IntCounter,
    depth: IntGauge,
    unfinished: Gauge,
    longest: Gauge,
}

impl Metrics {
    pub(super) fn new(name: &str) -> Result<Self, prometheus::Error> {
        let of = |metric: &str, help: &str| Opts::new(metric, help).const_label("name", name);
        let seconds = |metric: &str, help: &str| {
            HistogramOpts::from(of(metric, help)).buckets(DURATION_BUCKETS.to_vec())
        };
        let own = HashMap::from([("queue".to_owned(), name.to_owned())]);
        let work =
            Opts::new("slackwater_work_seconds", "How long a run of a key takes.").const_labels(own.clone());
        let panics = Opts::new("slackwater_panics_total", "Panics caught while a key ran.").const_labels(own);
        Ok(Self {
            adds: IntCounter::with_opts(of(
                "workqueue_adds_total",
                "Total number of adds handled by workqueue",
            ))?,
            retries: IntCounter::with_opts(of(
                "workqueue_retries_total",
                "Total number of retries handled by workqueue",
            ))?,
            queue_seconds: Histogram::with_opts(seconds(
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested.",
            ))?,
            upstream_work_seconds: Histogram::with_opts(seconds(
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes.",
            ))?,
            work_seconds: Histogram::with_opts(HistogramOpts::from(work).buckets(WORK_BUCKETS.to_vec()))?,
            panics: IntCounter::with_opts(panics)?,
            depth: IntGauge::with_opts(of("workqueue_depth", "Current depth of workqueue"))?,
            unfinished: Gauge::with_opts(of(
                "workqueue_unfinished_work_seconds",
                "How many seconds of work are in progress that have not been observed by work_duration.",
            ))?,
            longest: Gauge::with_opts(of(
                "workqueue_longest_running_processor_seconds",
                "How many seconds the longest running processor has been running.",
            ))?,
        })
    }

    fn all(&self) -> [&dyn Collector; 9] {
        [
            &self.adds,
            &self.retries,
            &self.queue_seconds,
            &self.upstream_work_seconds,
            &self.work_seconds,
            &self.panics,
            &self.depth,
            &self.unfinished,
            &self.longest,
        ]
    }
}

/// Computes the depth and the running times when scraped.
pub(super) struct QueueCollector<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T: QueueKey> Collector for QueueCollector<T> {
    fn desc(&self) -> Vec<&Desc> {
        self.shared
            .metrics
            .all()
            .iter()
            .flat_map(|metric| metric.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = &self.shared.metrics;
        {
            let state = self.shared.lock();
            let (sum, longest) = state.running_for(Instant::now());
            metrics
                .depth
                .set(i64::try_from(state.depth()).unwrap_or(i64::MAX));
            metrics.unfinished.set(sum.as_secs_f64());
            metrics.longest.set(longest.as_secs_f64());
        }
        metrics.all().iter().flat_map(|metric| metric.collect()).collect()
    }
}
